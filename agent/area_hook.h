/* Tables of the agent's that are mapped when they are first needed, and stay. World: hook. */
#ifndef PA_AGENT_AREA_HOOK_H
#define PA_AGENT_AREA_HOOK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include "agent/sysdep.h"
#include "common/atomics.h"

/* The zeroed table of so many bytes whose address is in *at, 0: not made yet; several threads may be at it.
 * Errors: NULL: no memory. */
static inline void *pa_area(_Atomic uintptr_t *at, size_t bytes)
{
	uintptr_t none = 0;
	long made;

	if (pa_load_acquire(at))
		return (void *)pa_load_acquire(at);
	made = pa_sys(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (made < 0 && made > -4096)
		return NULL;
	if (!atomic_compare_exchange_strong_explicit(at, &none, (uintptr_t)made, memory_order_acq_rel,
						     memory_order_acquire))
		pa_sys(SYS_munmap, made, bytes);
	return (void *)pa_load_acquire(at);
}

#endif
