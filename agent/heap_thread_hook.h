/* What exact heap mode keeps for a thread: its ring, the dictionary of its stacks, and its remembered walk. Some pages
 * of our own, taken at the thread's first event and given to another at its end. World: hook. */
#ifndef PA_AGENT_HEAP_THREAD_HOOK_H
#define PA_AGENT_HEAP_THREAD_HOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/heap_hook.h"
#include "agent/heap_ring_hook.h"
#include "agent/memo_sig.h"
#include "agent/stackdict_hook.h"
#include "agent/thread.h"
#include "agent/walk_sig.h"

#define PA_HEAP_MEMO 512 /* more frames than a walk has: a chain always fits */

/* What is known of the stack an event came from, for the question whether the thread may wait (S15). */
enum pa_calm {
	PA_CALM,        /* plain frames from the caller to the root */
	PA_CALM_WALKED, /* see frames and info */
	PA_CALM_ASK,    /* nothing: a walk will tell */
};

/* A word of the stack that the remembered walk read. */
struct pa_heap_slot {
	uint64_t at;
	uint64_t value;
};

#define PA_HEAP_SLOTS   (2 * PA_HEAP_MEMO) /* a return address and a frame pointer per frame */
#define PA_HEAP_ABREAST 4                  /* slots that are compared before the outcome is looked at */

/* Invariant: for i in valid .. memo.capacity - 1, ids[i] is the node of the stack from memo.frames[i] to the root, in
 * the present epoch of the ring. slots[slot_of[i] ..] is what the steps from memo.frames[i] on read, in their order;
 * slots[first_slot ..] is all the walk from `leaf` read, all of it on the known stack. frames is what the last walk
 * found, nr_frames of them. */
struct pa_heap_thread {
	struct pa_heap_ring ring;
	struct pa_caller leaf; /* of the walk that leaf_node stands for; pc 0: none */
	uint64_t leaf_fp_mask; /* 0: its fp does not count */
	uint32_t leaf_node;
	uint32_t first_slot;          /* multiple of PA_HEAP_ABREAST */
	struct pa_stack_bounds stack; /* 0, 0: unknown */
	bool figures_due;             /* a TIME record was written */
	_Atomic uint32_t busy;        /* its thread is at work here: the ring must not be unmapped */
	uint32_t session;             /* pa_mapping.generation that the ring belongs to */
	uint32_t valid;
	uint32_t flushes; /* pa_rules_flushes when the epoch began */
	struct pa_stackdict dict;
	enum pa_calm calm;  /* of the last walk */
	uint32_t nr_frames; /* of the last walk; in frames only if it was of the general kind: PA_CALM_WALKED */
	uint32_t nr_root;
	uint64_t root[PA_ROOT_FRAMES]; /* of the last complete deep stack, for those deeper than PA_FRAMES_LEAF */
	struct pa_walk_info info;
	uint32_t ids[PA_HEAP_MEMO];
	uint16_t slot_of[PA_HEAP_MEMO];
	struct pa_heap_slot slots[PA_HEAP_SLOTS];
	uint64_t frames[PA_FRAMES_LEAF];
	struct pa_memo memo; /* with PA_HEAP_MEMO frames behind it */
};

#define PA_HEAP_THREAD_BYTES ((offsetof(struct pa_heap_thread, memo) + PA_MEMO_BYTES(PA_HEAP_MEMO) + 4095) & ~4095ul)

/* The calling thread's, ready for an event at *now (ticks), which has been read, and busy. Claims what is missing,
 * writes TIME when it is due. Errors: NULL: the event cannot be recorded, and has been counted.   Shapes: free: the
 * event is a free. */
struct pa_heap_thread *pa_heap_thread_ready_hook(uint64_t *now, bool free);

static inline struct pa_heap_thread *pa_heap_thread_ready(uint64_t *now, bool free)
{
	struct pa_heap_thread *t = pa_tls.heap;

	*now = pa_heap_ticks();
	if (__builtin_expect(t != NULL, 1)) {
		pa_store_relaxed(&t->busy, 1);
		__asm__ volatile("" : : : "memory");
		/* in a forked child all is zero there; a clock that goes back is looked at, too */
		if (__builtin_expect(*now < t->ring.time_due && *now - t->ring.last < PA_HEAP_TICKS_MAX, 1))
			return t;
	}
	return pa_heap_thread_ready_hook(now, free);
}

/* What every event ends with: without it the session's memory is kept. */
static inline void pa_heap_thread_done(void)
{
	struct pa_heap_thread *t = pa_tls.heap;

	if (t)
		pa_store_release(&t->busy, 0);
}

/* After a session was closed: whether none of the process's threads is at work with its rings, and none will be without
 * having looked for the present session. Shapes: asked a tenth of a millisecond after the closing or later: what a
 * thread stored before that is seen by then, without a fence in every event. World: signal. */
bool pa_heap_threads_idle_sig(uint32_t pid);
/* After that: gives their memory back but for the addresses. World: signal. */
void pa_heap_threads_rest_sig(void);

/* Room for a record; where there is none the thread may wait, else the event is lost and counted.
 * Shapes: as pa_heap_ring_reserve; calm as the caller knows it. */
void *pa_heap_thread_room_hook(struct pa_heap_thread *t, uint32_t bytes, bool free, enum pa_calm calm);

static inline void *pa_heap_thread_room(struct pa_heap_thread *t, uint32_t bytes, bool free, enum pa_calm calm)
{
	if (__builtin_expect(t->ring.head + bytes <= t->ring.free_to, 1))
		return t->ring.data + (t->ring.head & t->ring.mask);
	return pa_heap_thread_room_hook(t, bytes, free, calm);
}

/* Commits an event's record: the last store before the call goes on. */
static inline void pa_heap_thread_commit(struct pa_heap_thread *t, uint32_t bytes, uint64_t now)
{
	t->ring.last = now;
	pa_bump(&t->ring.line->out.records, 1);
	pa_heap_ring_commit(&t->ring, bytes);
}

/* Frames of the chain; heap_chain_hook.c. Not its end, where that has no pc: a return address of 0. */
static inline uint32_t pa_heap_chain_frames(const struct pa_heap_thread *t)
{
	return PA_HEAP_MEMO - t->memo.first - (t->memo.frames[PA_HEAP_MEMO - 1].pc == 0);
}

/* Lists the slots of the chain's frames memo.first .. same - 1 in front of those from `same` on, which are listed.
 * False: a step read below its own frame, where the stack of a later walk may not reach any more. */
bool pa_heap_chain_list_hook(struct pa_heap_thread *t, uint32_t same);

/* Walks by cached rules of the plain kind to a frame of the remembered chain from which on nothing has changed, and
 * puts what it found in front of that. Most stacks of a program are its last one but for a few frames. Shapes: flushes
 * is pa_rules_flushes. False: that cannot be done, walk in general; a part of the chain may be gone. */
bool pa_heap_chain_follow_hook(struct pa_heap_thread *t, const struct pa_caller *caller, uint32_t flushes);

/* The node of the stack above a hook's caller, defined in the ring if it is new; heap_stack_hook.c.
 * Errors: false: no room for that; the event has been counted as lost. *node 0: nothing could be walked. */
bool pa_heap_stack_hook(struct pa_heap_thread *t, const struct pa_caller *caller, uint32_t *node);

#endif
