/* The previous walk of a thread, remembered: most of a stack is the same at the next tick. When a walk comes to a state
 * (pc, sp, fp) of the remembered chain, and the words that the old walk read from there on still hold what they held
 * (return addresses and saved frame pointers, every one compared, S17), the rest of the stack is the same. That is one
 * or two loads of the stack and one line of this page a frame, in order, instead of a cold look-up in a large table.
 *
 * One page per thread for the handler, more for the hooks of exact heap mode. Only plain steps on the thread's own
 * stack are remembered; rules hold for a pc as long as no module goes away, so a chain holds for one value of
 * pa_rules_flushes. World: signal. */
#ifndef PA_AGENT_MEMO_SIG_H
#define PA_AGENT_MEMO_SIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PA_MEMO_FRAMES 126 /* of one page */

enum pa_memo_kind {
	PA_MEMO_PLAIN = 0, /* the next entry is the caller */
	PA_MEMO_END = 1,   /* the outermost frame by its rule, or (pc 0) the end after a zero return address */
};

/* A frame's state before the step to its caller, and where that step read: offsets from the caller's sp (the CFA), in
 * words; fp_at 0: the frame pointer stays.
 * Most code uses that register for anything else: its value counts only where this frame or one further up, that gets
 * it unchanged, has its CFA from it. Elsewhere it is not compared, and may be an old one. */
struct pa_memo_frame {
	uint64_t pc;
	uint64_t sp;
	uint64_t fp;
	int16_t ra_at;
	int16_t fp_at;
	uint8_t kind;  /* enum pa_memo_kind */
	bool by_fp;    /* the step went by it */
	bool needs_fp; /* fp counts; known when the chain is */
	uint8_t pad;
};

/* The chain is frames[first .. capacity), from the leaf, sp rising; its last entry is of kind END. While a walk is
 * on, its own frames collect in frames[0 .. filled), always below `at`.
 * Invariant: filled <= at or lost; first <= at <= capacity. */
struct pa_memo {
	uint32_t first;
	uint32_t flushes;
	uint32_t filled;
	uint32_t at;
	bool lost;         /* no room for this walk's frames: it leaves no chain */
	uint32_t capacity; /* 0 in new memory: PA_MEMO_FRAMES */
	uint8_t pad[40];
	struct pa_memo_frame frames[];
};

#define PA_MEMO_BYTES(nr) (sizeof(struct pa_memo) + (nr) * sizeof(struct pa_memo_frame))

_Static_assert(PA_MEMO_BYTES(PA_MEMO_FRAMES) <= 4096, "a memo is a page");

static inline void pa_memo_begin(struct pa_memo *m, uint32_t flushes)
{
	if (m->flushes != flushes || m->first > m->capacity || !m->capacity) {
		if (!m->capacity)
			m->capacity = PA_MEMO_FRAMES;
		m->flushes = flushes;
		m->first = m->capacity;
	}
	m->at = m->first;
	m->filled = 0;
	m->lost = false;
}

/* A frame of the present walk. */
static inline void pa_memo_note(struct pa_memo *m, const struct pa_memo_frame *frame)
{
	if (m->filled < m->at)
		m->frames[m->filled++] = *frame;
	else
		m->lost = true;
}

/* A step that cannot be remembered: what was collected below it leads nowhere. */
static inline void pa_memo_restart(struct pa_memo *m)
{
	m->filled = 0;
	m->lost = false;
}

/* Whether the walk stands where the old one stood. */
static inline bool pa_memo_meets(struct pa_memo *m, uint64_t pc, uint64_t sp, uint64_t fp)
{
	const struct pa_memo_frame *f;

	while (m->at < m->capacity && m->frames[m->at].sp < sp)
		m->at++;
	f = &m->frames[m->at];
	return m->at < m->capacity && f->sp == sp && f->pc == pc && (f->fp == fp || !f->needs_fp);
}

/* The old walk ended with the chain: its entries stay where they are, the new ones go in front of them. World: signal.
 */
static inline void pa_memo_join(struct pa_memo *m, uint32_t meets)
{
	if (m->lost)
		m->filled = 0; /* the new frames are many: what stays is the chain from where they met */
	for (uint32_t i = m->filled; i > 0; i--) {
		struct pa_memo_frame *f = &m->frames[meets - m->filled + i - 1];

		*f = m->frames[i - 1];
		f->needs_fp = f->by_fp || (f->kind == PA_MEMO_PLAIN && !f->fp_at && f[1].needs_fp);
	}
	m->first = meets - m->filled;
}

/* The walk came to the outermost frame by itself. end is its last frame. */
static inline void pa_memo_finish(struct pa_memo *m, const struct pa_memo_frame *end)
{
	m->at = m->capacity;
	pa_memo_note(m, end);
	if (m->lost)
		m->first = m->capacity;
	else
		pa_memo_join(m, m->capacity);
}

/* The walk ended in some other way: nothing is known about its rest. */
static inline void pa_memo_drop(struct pa_memo *m)
{
	m->first = m->capacity;
}

/* Follows the chain from where the walk meets it, comparing all it reads.
 * Shapes: frames has room for max entries, n are in use; words of [lo, hi) can be read; pc, sp and fp are the state,
 * moved on to the first frame that is not as it was (it is not among the frames yet).
 * Returns the new n. *ended: the whole rest was the same. */
static inline size_t pa_memo_replay(struct pa_memo *m, uint64_t *frames, size_t n, size_t max, uint64_t lo, uint64_t hi,
				    uint64_t *pc, uint64_t *sp, uint64_t *fp, bool *ended)
{
	uint32_t met = m->at, at = met;
	uint64_t met_fp = *fp;

	*ended = false;
	while (n < max) {
		const struct pa_memo_frame *f = &m->frames[at], *next = f + 1;
		uint64_t ra_at, fp_at;

		if (f->kind == PA_MEMO_END) {
			if (f->pc)
				frames[n++] = f->pc;
			*ended = true;
			pa_memo_join(m, met);
			return n;
		}
		ra_at = next->sp + (uint64_t)(int64_t)f->ra_at * 8;
		fp_at = next->sp + (uint64_t)(int64_t)f->fp_at * 8;
		if (ra_at < lo || ra_at >= hi || *(const uint64_t *)(uintptr_t)ra_at != next->pc)
			break;
		if (f->fp_at &&
		    (fp_at < lo || fp_at >= hi || (next->needs_fp && *(const uint64_t *)(uintptr_t)fp_at != next->fp)))
			break;
		frames[n++] = f->pc;
		at++;
	}
	/* here the stacks part: what was the same belongs to the new walk as well, with the fp of today */
	for (uint32_t i = met; i < at; i++) {
		struct pa_memo_frame frame = m->frames[i];

		frame.fp = met_fp;
		if (frame.fp_at)
			met_fp = *(const uint64_t *)(uintptr_t)(frame.fp_at * 8 + (int64_t)m->frames[i + 1].sp);
		m->at = i + 1;
		pa_memo_note(m, &frame);
	}
	m->at = at;
	*pc = m->frames[at].pc;
	*sp = m->frames[at].sp;
	*fp = met_fp;
	return n;
}

#endif
