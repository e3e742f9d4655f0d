/* Which addresses are sampled: a filter of counting bytes that every free looks at, and behind it a table of the
 * addresses themselves. Both are mapped when sampling starts and touched only where samples are: reading the rest maps
 * the kernel's page of zeros. Lock-free; add and remove are one compare-and-swap each. Counting bytes, because a bit
 * could not be taken back when a block dies, and the filter would fill up. World: hook. */
#ifndef PA_AGENT_ADDRSET_HOOK_H
#define PA_AGENT_ADDRSET_HOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/hot.h"
#include "common/atomics.h"

#define PA_ADDRSET_FILTER  (UINT32_C(1) << 20) /* bytes */
#define PA_ADDRSET_WAYS    8                   /* keys of a bucket: one cache line */
#define PA_ADDRSET_BUCKETS (UINT32_C(1) << 16)
#define PA_ADDRSET_STUCK   UINT8_MAX /* a byte that came up to this stays */
#define PA_ADDRSET_BYTES   (PA_ADDRSET_FILTER + (size_t)PA_ADDRSET_BUCKETS * PA_ADDRSET_WAYS * sizeof(uint64_t))

extern _Atomic uint8_t *pa_addrset_filter PA_NEAR; /* not NULL while pa_heap_mode is SAMPLED */

#define PA_ADDRSET_SHIFT 8 /* a byte stands for so much of the heap, and for what lies a multiple of 256 MiB away */

/* Neighbours in the heap share a byte, or a line, so that the filter is in the cache: of half a megabyte one block is
 * sampled, and its few neighbours that pass for nothing cost less than more lines would. Nothing is mixed: how many
 * pass depends on how many are sampled, not on where they lie, except for large blocks at multiples of something, and
 * of those nearly all are sampled. */
static inline uint32_t pa_addrset_slot(uintptr_t address)
{
	return (uint32_t)address >> PA_ADDRSET_SHIFT & (PA_ADDRSET_FILTER - 1);
}

/* False: it is not in the set. */
static inline bool pa_addrset_may_hold(const void *p)
{
	return pa_load_relaxed(&pa_addrset_filter[pa_addrset_slot((uintptr_t)p)]) != 0;
}

/* Maps filter and table, once. Errors: -errno: no memory for them. */
int pa_addrset_init_hook(void);

/* Shapes: address > 0.   Errors: -ENOSPC: both buckets it may be in are full; -EEXIST: it is in the set. */
int pa_addrset_add_hook(uintptr_t address);

/* True for the one caller that took it out. */
bool pa_addrset_remove_hook(uintptr_t address);

/* Addresses [start, start + bytes) pass the filter for good, also after it was cleared. */
void pa_addrset_pass_hook(uintptr_t start, size_t bytes);

/* Forgets all, and gives the memory back but for the addresses. World: signal. */
void pa_addrset_clear_sig(void);

uint32_t pa_addrset_live_hook(void);

#endif
