/* The agent's own memory: thread blocks in a few mmap'ed regions that only grow, at most 16 MiB in all, never given
 * back (a late destructor may still come by). World: signal. */
#ifndef PA_AGENT_ARENA_H
#define PA_AGENT_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/thread.h"

/* A block nobody uses, claimed (state LIVE), its fields zero but for the list. NULL: the budget or the address space is
 * used up. Lock-free; may mmap. */
struct pa_block *pa_arena_take_sig(void);
/* Gives it back. */
void pa_arena_put_sig(struct pa_block *block);

/* Whether a pointer of unknown origin is one of our blocks. */
bool pa_arena_owns_sig(const void *p);

/* The first region, made with the first block: where nearly all programs' blocks lie. */
void pa_arena_first_region_sig(uint64_t *start, uint64_t *end);

/* Calls fn for every block ever made; fn is of the signal world. */
void pa_arena_each_sig(void (*fn)(struct pa_block *block, void *arg), void *arg);

#endif
