/* The only file that spells memory orders.
 *
 * Every word two threads or two processes touch is _Atomic and goes through one of these names; the name says what
 * the access orders. World: signal (usable anywhere). */
#ifndef PA_COMMON_ATOMICS_H
#define PA_COMMON_ATOMICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define pa_load_acquire(p)         atomic_load_explicit((p), memory_order_acquire)
#define pa_load_relaxed(p)         atomic_load_explicit((p), memory_order_relaxed)
#define pa_store_release(p, v)     atomic_store_explicit((p), (v), memory_order_release)
#define pa_store_relaxed(p, v)     atomic_store_explicit((p), (v), memory_order_relaxed)
#define pa_add_relaxed(p, v)       ((void)atomic_fetch_add_explicit((p), (v), memory_order_relaxed))
#define pa_fetch_add_relaxed(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define pa_exchange(p, v)          atomic_exchange_explicit((p), (v), memory_order_acq_rel)

/* What was stored before it is seen before what is loaded after it. */
#define pa_fence() atomic_thread_fence(memory_order_seq_cst)

/* A counter with one writer: no locked instruction, readers see some recent value. */
#define pa_bump(p, v) pa_store_relaxed((p), pa_load_relaxed(p) + (v))

/* Single-word claims: true when the word held `expect` and now holds `want`. Acquire and release on success. */
static inline bool pa_claim_u32(_Atomic uint32_t *word, uint32_t expect, uint32_t want)
{
	return atomic_compare_exchange_strong_explicit(word, &expect, want, memory_order_acq_rel, memory_order_acquire);
}

static inline bool pa_claim_u64(_Atomic uint64_t *word, uint64_t expect, uint64_t want)
{
	return atomic_compare_exchange_strong_explicit(word, &expect, want, memory_order_acq_rel, memory_order_acquire);
}

#endif
