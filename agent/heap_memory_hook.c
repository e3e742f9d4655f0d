/* See heap_memory_hook.h. World: hook. */
#include "agent/heap_memory_hook.h"

#include <sys/mman.h>

#include "agent/slots_sig.h"
#include "agent/sysdep.h"
#include "common/atomics.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#define MADV_KEEPONFORK 19
#endif

/* What this process has mapped; a child inherits the mappings with the figure. */
static _Atomic uint64_t mapped_bytes;

static void count(uint64_t bytes)
{
	if (pa_mapping.control)
		pa_add_relaxed(&pa_mapping.control->heap_own_bytes, bytes);
}

void pa_heap_memory_begin_hook(void)
{
	count(pa_load_relaxed(&mapped_bytes));
}

void *pa_heap_map_hook(size_t bytes)
{
	long at = -1;

	if (pa_fetch_add_relaxed(&mapped_bytes, bytes) + bytes <= PA_HEAP_MEMORY_MAX)
		at = pa_sys(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			    0);
	if (at < 0 && at > -4096) {
		pa_add_relaxed(&mapped_bytes, -(uint64_t)bytes);
		return NULL;
	}
	/* an older kernel refuses: then the fork hooks alone tell a child from its parent */
	pa_sys(SYS_madvise, at, bytes, MADV_WIPEONFORK);
	pa_sys(SYS_madvise, at, bytes, MADV_DONTDUMP);
	count(bytes);
	return (void *)at;
}

void pa_heap_unmap_hook(void *at, size_t bytes)
{
	pa_sys(SYS_munmap, at, bytes);
	pa_add_relaxed(&mapped_bytes, -(uint64_t)bytes);
	count(-(uint64_t)bytes);
}

void pa_heap_keep_hook(void *at, size_t bytes, bool keep)
{
	pa_sys(SYS_madvise, at, bytes, keep ? MADV_KEEPONFORK : MADV_WIPEONFORK);
}
