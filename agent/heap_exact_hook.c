/* Exact heap mode: what each hook writes. The way of an allocation whose stack is that of the last one is short: the
 * clock, the comparison of the stack, three words, the head. World: hook. */
#include "agent/heap_hook.h"

#include "agent/figures_hook.h"
#include "agent/heap_thread_hook.h"
#include "agent/rules_sig.h"
#include "agent/walk_state_sig.h"

static inline PA_RAW_READ uint64_t differs(const struct pa_heap_slot *slot)
{
	return *(const uint64_t *)(uintptr_t)slot->at ^ slot->value;
}

_Static_assert(PA_HEAP_ABREAST == 4, "is_same_stack spells them out");

/* Whether the last walk would find again what it found: it would begin at the same place, and every word it read is
 * what it was (S17). Each is on the stack between this place, where we are, and the root: it can be read. */
static inline PA_RAW_READ bool is_same_stack(const struct pa_heap_thread *t, const struct pa_caller *caller)
{
	const struct pa_heap_slot *slot = &t->slots[t->first_slot], *end = &t->slots[PA_HEAP_SLOTS];

	if (caller->sp != t->leaf.sp || caller->pc != t->leaf.pc || ((caller->fp ^ t->leaf.fp) & t->leaf_fp_mask) ||
	    t->flushes != pa_load_relaxed(&pa_rules_flushes))
		return false;
	for (; slot < end; slot += PA_HEAP_ABREAST) {
		if (differs(&slot[0]) | differs(&slot[1]) | differs(&slot[2]) | differs(&slot[3]))
			return false;
	}
	return true;
}

/* The node of the caller's stack. False: counted as lost. */
static inline bool stack_of(struct pa_heap_thread *t, const struct pa_caller *caller, uint32_t *node,
			    enum pa_calm *calm)
{
	if (__builtin_expect(is_same_stack(t, caller), 1)) {
		*node = t->leaf_node;
		*calm = PA_CALM;
		return true;
	}
	if (!pa_heap_stack_hook(t, caller, node))
		return false;
	*calm = t->calm;
	return true;
}

static __attribute__((noinline)) void large(struct pa_heap_thread *t, uint64_t now, const void *p, size_t size,
					    uint32_t node, enum pa_calm calm)
{
	struct pa_heap_alloc_large *r = pa_heap_thread_room(t, sizeof(*r), false, calm);

	if (!r)
		return;
	pa_heap_head_set(r, sizeof(*r), PA_HR_ALLOC_LARGE, now - t->ring.last);
	r->address = (uint64_t)(uintptr_t)p;
	r->size = size;
	r->node = node;
	r->reserved = 0;
	pa_heap_thread_commit(t, sizeof(*r), now);
}

/* After a TIME record, with the first allocation that may: libc's figures of its heap. */
static __attribute__((noinline)) void ask_figures(struct pa_heap_thread *t)
{
	t->figures_due = false;
	if (pa_tls.block)
		pa_figures_maybe_hook(pa_tls.block, pa_now_sig());
}

static inline void record_alloc(const void *p, size_t size, const struct pa_caller *caller)
{
	struct pa_heap_thread *t;
	struct pa_heap_alloc *r;
	enum pa_calm calm;
	uint32_t node;
	uint64_t now;

	t = pa_heap_thread_ready(&now, false);
	if (!t || !stack_of(t, caller, &node, &calm))
		return;
	if (__builtin_expect(size > UINT32_MAX, 0)) {
		large(t, now, p, size, node, calm);
		return;
	}
	r = pa_heap_thread_room(t, sizeof(*r), false, calm);
	if (!r)
		return;
	pa_heap_head_set(r, sizeof(*r), PA_HR_ALLOC, now - t->ring.last);
	r->address = (uint64_t)(uintptr_t)p;
	pa_heap_word_set(r, offsetof(struct pa_heap_alloc, size), size | (uint64_t)node << 32);
	pa_heap_thread_commit(t, sizeof(*r), now);
	/* plain frames up to the root: no signal handler, and so no arena is locked further down */
	if (__builtin_expect(size > PA_FIGURES_SIZE && t->figures_due && calm == PA_CALM, 0))
		ask_figures(t);
}

void pa_exact_alloc_hook(const void *p, size_t size, const struct pa_caller *caller)
{
	if (!p)
		return;
	record_alloc(p, size, caller);
	pa_heap_thread_done();
}

static inline void record_free(struct pa_heap_thread *t, uint64_t now, const void *p)
{
	struct pa_heap_freed *r = pa_heap_thread_room(t, sizeof(*r), true, PA_CALM_ASK);

	if (!r)
		return;
	pa_heap_head_set(r, sizeof(*r), PA_HR_FREE, now - t->ring.last);
	r->address = (uint64_t)(uintptr_t)p;
	pa_heap_thread_commit(t, sizeof(*r), now);
}

void pa_exact_free_hook(const void *p)
{
	struct pa_heap_thread *t;
	uint64_t now;

	if (!p)
		return;
	t = pa_heap_thread_ready(&now, true);
	if (t)
		record_free(t, now, p);
	pa_heap_thread_done();
}

uint64_t pa_exact_stamp_hook(void)
{
	uint64_t now;

	now = pa_heap_thread_ready(&now, true) ? now : 0;
	pa_heap_thread_done();
	return now;
}

void pa_exact_realloc_hook(const void *old, uint64_t stamp, const void *p, size_t size, const struct pa_caller *caller)
{
	struct pa_heap_thread *t = NULL;
	uint64_t now;

	/* without a stamp its event has been counted already. Nothing was recorded since: the stamp is not below the
	 * last, but a session may have begun in between */
	if (old && stamp)
		t = pa_heap_thread_ready(&now, true);
	if (t)
		record_free(t, stamp < t->ring.last ? t->ring.last : stamp, old);
	pa_heap_thread_done();
	pa_exact_alloc_hook(p, size, caller);
}

static void record_map(const void *p, size_t size, const struct pa_caller *caller)
{
	uint64_t now;
	struct pa_heap_thread *t = pa_heap_thread_ready(&now, false);
	struct pa_heap_map *r;
	enum pa_calm calm;
	uint32_t node;

	if (!t || !stack_of(t, caller, &node, &calm))
		return;
	r = pa_heap_thread_room(t, sizeof(*r), false, calm);
	if (!r)
		return;
	pa_heap_head_set(r, sizeof(*r), PA_HR_MAP, now - t->ring.last);
	r->address = (uint64_t)(uintptr_t)p;
	r->size = size;
	r->node = node;
	r->reserved = 0;
	pa_heap_thread_commit(t, sizeof(*r), now);
}

void pa_exact_map_hook(const void *p, size_t size, const struct pa_caller *caller)
{
	record_map(p, size, caller);
	pa_heap_thread_done();
}

static void record_unmap(const void *p, size_t size)
{
	uint64_t now;
	struct pa_heap_thread *t = pa_heap_thread_ready(&now, true);
	struct pa_heap_unmap *r = t ? pa_heap_thread_room(t, sizeof(*r), true, PA_CALM_ASK) : NULL;

	if (!r)
		return;
	pa_heap_head_set(r, sizeof(*r), PA_HR_UNMAP, now - t->ring.last);
	r->address = (uint64_t)(uintptr_t)p;
	r->size = size;
	pa_heap_thread_commit(t, sizeof(*r), now);
}

void pa_exact_unmap_hook(const void *p, size_t size)
{
	record_unmap(p, size);
	pa_heap_thread_done();
}
