/* The remembered walk of a thread in exact heap mode: the chain of memo_sig.h, with all the words it read in one list,
 * so that most of a stack is compared at the price of a few instructions a word. World: hook. */
#include "agent/arch/rule.h"
#include "agent/heap_thread_hook.h"
#include "agent/rules_sig.h"
#include "agent/walk_state_sig.h"

bool pa_heap_chain_list_hook(struct pa_heap_thread *t, uint32_t same)
{
	const struct pa_memo *m = &t->memo;
	uint32_t n = same < PA_HEAP_MEMO ? t->slot_of[same] : PA_HEAP_SLOTS;

	for (uint32_t i = same; i > m->first; i--) {
		const struct pa_memo_frame *f = &m->frames[i - 1], *caller = f + 1;

		if (f->kind == PA_MEMO_PLAIN) {
			uint64_t ra_at = caller->sp + (uint64_t)((int64_t)f->ra_at * 8);
			uint64_t fp_at = caller->sp + (uint64_t)((int64_t)f->fp_at * 8);

			if (ra_at < f->sp || (f->fp_at && fp_at < f->sp))
				return false;
			t->slots[--n] = (struct pa_heap_slot){.at = ra_at, .value = caller->pc};
			if (f->fp_at && caller->needs_fp)
				t->slots[--n] = (struct pa_heap_slot){.at = fp_at, .value = caller->fp};
		}
		t->slot_of[i - 1] = (uint16_t)n;
	}
	/* filled up at the leaf's end: one more look at the same word */
	for (; n % PA_HEAP_ABREAST; n--)
		t->slots[n - 1] = t->slots[n];
	t->first_slot = n;
	return true;
}

/* The first slot from `from` on that holds something else now; PA_HEAP_SLOTS: none. */
static PA_RAW_READ uint32_t first_changed(const struct pa_heap_thread *t, uint32_t from)
{
	for (uint32_t i = from; i < PA_HEAP_SLOTS; i++) {
		if (*(const uint64_t *)(uintptr_t)t->slots[i].at != t->slots[i].value)
			return i;
	}
	return PA_HEAP_SLOTS;
}

/* One step by a cached rule, noted in *f; as the walker's own, on a known stack. */
static inline PA_RAW_READ bool step(const struct pa_heap_thread *t, uint64_t generation, struct pa_caller *at,
				    struct pa_memo_frame *f)
{
	uint64_t cfa, ra_at, fp_at;
	int64_t ra_off, fp_off;
	uint32_t bits;

	if ((at->pc - 1) >> PA_ARCH_VA_BITS || !pa_rules_cached_sig(at->pc - 1, generation, &bits) ||
	    !pa_arch_rule_simple(bits, at->sp, at->fp, &cfa, &ra_at, &fp_at))
		return false;
	if (cfa <= at->sp || cfa > t->stack.hi || (cfa & 7) || ra_at < at->sp || (fp_at && fp_at < at->sp))
		return false;
	ra_off = (int64_t)(ra_at - cfa) / 8;
	fp_off = fp_at ? (int64_t)(fp_at - cfa) / 8 : 0;
	if ((int16_t)ra_off != ra_off || (int16_t)fp_off != fp_off)
		return false;
	*f = (struct pa_memo_frame){.pc = at->pc,
				    .sp = at->sp,
				    .fp = at->fp,
				    .ra_at = (int16_t)ra_off,
				    .fp_at = (int16_t)fp_off,
				    .by_fp = pa_arch_rule_by_fp(bits)};
	if (fp_at)
		at->fp = *(const uint64_t *)(uintptr_t)fp_at;
	at->pc = pa_arch_strip(*(const uint64_t *)(uintptr_t)ra_at);
	at->sp = cfa;
	return true;
}

/* Steps until the rest of the stack is the chain's; the new frames collect in memo.frames[0 .. *n), below memo.at.
 * False: given up. */
static bool meet(struct pa_heap_thread *t, const struct pa_caller *caller, uint32_t *n)
{
	const uint64_t generation = pa_rules_generation_sig();
	struct pa_memo *m = &t->memo;
	struct pa_caller at = *caller;
	uint32_t changed = 0; /* slots up to here have been looked at: the chain is another up to there */

	for (*n = 0;; (*n)++) {
		if (pa_memo_meets(m, at.pc, at.sp, at.fp) && t->slot_of[m->at] >= changed) {
			uint32_t i = first_changed(t, t->slot_of[m->at]);

			if (i == PA_HEAP_SLOTS)
				return true;
			changed = i + 1;
		}
		if (m->at == PA_HEAP_MEMO || *n == m->at || !step(t, generation, &at, &m->frames[*n]))
			return false;
	}
}

bool pa_heap_chain_follow_hook(struct pa_heap_thread *t, const struct pa_caller *caller, uint32_t flushes)
{
	struct pa_memo *m = &t->memo;
	uint32_t n;

	if (PA_ARCH_RA_IN_REGISTER || m->first >= PA_HEAP_MEMO || m->flushes != flushes || caller->sp < t->stack.lo ||
	    (caller->sp & 7))
		return false;
	pa_memo_begin(m, flushes);
	if (!meet(t, caller, &n) || n + PA_HEAP_MEMO - m->at > PA_FRAMES_LEAF) {
		/* what stands in the way of the new frames is no chain any more */
		if (m->first < n)
			m->first = n;
		return false;
	}
	m->filled = n;
	if (t->valid < m->at)
		t->valid = m->at;
	pa_memo_join(m, m->at);
	if (!pa_heap_chain_list_hook(t, m->at)) {
		pa_memo_drop(m);
		t->valid = PA_HEAP_MEMO;
		return false;
	}
	t->calm = PA_CALM;
	t->nr_frames = pa_heap_chain_frames(t);
	return true;
}
