/* The heap engine's own memory: mapped, never from the host's heap, bounded for the whole process and counted in
 * control.heap_own_bytes. A forked child finds all of it zeroed (MADV_WIPEONFORK), so that nobody goes on writing into
 * the parent's ring, however the child was made. World: hook. */
#ifndef PA_AGENT_HEAP_MEMORY_HOOK_H
#define PA_AGENT_HEAP_MEMORY_HOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PA_HEAP_MEMORY_MAX (UINT64_C(16) << 20) /* bytes, per process */

/* A session begins: what is there already is counted in it. */
void pa_heap_memory_begin_hook(void);

/* Zeroed pages. Errors: NULL: the budget or the address space is used up. */
void *pa_heap_map_hook(size_t bytes);
void pa_heap_unmap_hook(void *at, size_t bytes);

/* Whether a child finds this memory as it was. */
void pa_heap_keep_hook(void *at, size_t bytes, bool keep);

#endif
