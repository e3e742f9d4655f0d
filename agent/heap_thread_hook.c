/* See heap_thread_hook.h. World: hook. */
#include "agent/heap_thread_hook.h"

#include <sys/mman.h>

#include "agent/command_hook.h"
#include "agent/heap_memory_hook.h"
#include "agent/rules_sig.h"
#include "agent/session.h"
#include "agent/slots_sig.h"
#include "agent/sysdep.h"

#define NR_PLACES 512
#define RETRY_NS  10000000u /* after there was no ring or no memory */

/* The threads' memory. Not wiped in a child, which takes over what the parent's threads had: their owner has another
 * pid. Invariant: memory and dict belong to whoever is the owner. */
static struct place {
	_Atomic uint64_t owner; /* PA_OWNER(pid, tid); 0: nobody */
	struct pa_heap_thread *memory;
	_Atomic uint64_t dict; /* see struct pa_stackdict */
} places[NR_PLACES];

static _Atomic uint64_t retry_at_ns;

static void unrecorded(uint64_t events)
{
	pa_add_relaxed(&pa_mapping.control->heap_unrecorded, events);
}

/* Threads that ended past us, or recorded something after they had left. */
static void sweep(uint32_t pid)
{
	for (uint32_t i = 0; i < NR_PLACES; i++) {
		uint64_t owner = pa_load_relaxed(&places[i].owner);

		if (owner >> 32 == pid && pa_thread_is_gone_hook(pid, (uint32_t)owner))
			pa_claim_u64(&places[i].owner, owner, 0);
	}
	pa_heap_ring_sweep_hook(pid);
}

/* A place, one that has memory if possible. */
static struct place *claim_place(uint32_t pid, uint32_t tid)
{
	for (int with_memory = 1; with_memory >= 0; with_memory--) {
		for (uint32_t i = 0; i < NR_PLACES; i++) {
			uint64_t seen = pa_load_relaxed(&places[i].owner);

			if (with_memory && !places[i].memory)
				break; /* they are filled from the front */
			if ((seen == 0 || seen >> 32 != pid) &&
			    pa_claim_u64(&places[i].owner, seen, PA_OWNER(pid, tid)))
				return &places[i];
		}
	}
	return NULL;
}

static struct pa_heap_thread *memory_of(struct place *place)
{
	if (!place->memory)
		place->memory = pa_heap_map_hook(PA_HEAP_THREAD_BYTES);
	return place->memory;
}

static struct pa_heap_thread *take_memory(uint32_t pid, uint32_t tid)
{
	struct place *place = claim_place(pid, tid);
	struct pa_heap_thread *t = place ? memory_of(place) : NULL;

	if (t && !t->dict.slots)
		t->dict = pa_stackdict_at(&place->dict);
	else if (!t && place) {
		pa_store_release(&place->owner, 0);
	}
	return t;
}

static void set_bounds(struct pa_heap_thread *t)
{
	t->stack = pa_tls.block ? pa_tls.block->stack : (struct pa_stack_bounds){0, 0};
}

/* Empty, as OWNER says to the collector. */
static bool begin(struct pa_heap_thread *t, uint32_t pid, uint32_t tid)
{
	if (!t->dict.slots && !pa_stackdict_grow_hook(&t->dict))
		return false;
	pa_stackdict_clear_hook(&t->dict);
	t->memo.capacity = t->memo.first = t->valid = PA_HEAP_MEMO;
	t->memo.flushes = t->flushes = pa_load_relaxed(&pa_rules_flushes);
	t->nr_root = t->nr_frames = 0;
	t->leaf.pc = 0;
	t->figures_due = true;
	t->session = pa_load_relaxed(&pa_mapping.generation);
	set_bounds(t);
	return pa_heap_ring_claim_hook(&t->ring, pid, tid);
}

/* Its number is gone when the memory was given back, or a child finds it zeroed. */
static struct place *place_of(const struct pa_heap_thread *t)
{
	for (uint32_t i = 0; i < NR_PLACES; i++) {
		if (places[i].memory == t)
			return &places[i];
	}
	return NULL;
}

/* The ring of a session that is over is not touched any more. */
static void drop_ring(struct pa_heap_thread *t)
{
	if (pa_session_pin_sig()) {
		if (t->session == pa_load_relaxed(&pa_mapping.generation))
			pa_heap_ring_release_hook(&t->ring);
		pa_session_unpin_sig();
	}
	t->ring = (struct pa_heap_ring){0};
}

static void give_back(struct pa_heap_thread *t)
{
	struct place *place = place_of(t);

	drop_ring(t);
	pa_store_release(&t->busy, 0);
	if (place)
		pa_store_release(&place->owner, 0);
}

static struct pa_heap_thread *try(uint32_t pid, uint32_t tid)
{
	struct pa_heap_thread *t = take_memory(pid, tid);

	if (t && begin(t, pid, tid))
		return t;
	if (t)
		give_back(t);
	return NULL;
}

/* This thread's first event, or its first one after it left. NULL: nothing to be had. */
static struct pa_heap_thread *enter(void)
{
	uint32_t pid = (uint32_t)pa_sys(SYS_getpid), tid = (uint32_t)pa_sys(SYS_gettid);
	struct pa_heap_thread *t = try(pid, tid);

	if (t)
		return t;
	sweep(pid);
	return try(pid, tid);
}

static struct pa_heap_thread *enter_now_and_then(void)
{
	uint64_t now = pa_now_sig();
	struct pa_heap_thread *t = NULL;

	if (!pa_session_pin_sig())
		return NULL;
	if (pa_heap_area.lines && now >= pa_load_relaxed(&retry_at_ns)) {
		t = enter();
		if (t)
			pa_store_relaxed(&t->busy, 1);
		else
			pa_store_relaxed(&retry_at_ns, now + RETRY_NS);
	}
	pa_session_unpin_sig();
	return t;
}

/* Not in a child, which finds its parent's there. */
static bool is_own(const struct pa_heap_thread *t)
{
	const struct place *place = place_of(t);

	return place &&
	       pa_load_relaxed(&place->owner) == PA_OWNER((uint32_t)pa_sys(SYS_getpid), (uint32_t)pa_sys(SYS_gettid));
}

/* What the thread has of an earlier session is of use in this one: the place stays its own. */
static struct pa_heap_thread *anew(struct pa_heap_thread *old)
{
	/* a vfork child would claim in its own name what its parent goes on using */
	pa_session_adopt_hook();
	if (!pa_session_is_mine_hook())
		return NULL;
	if (old && is_own(old))
		give_back(old);
	pa_thread_adopt_hook();
	return enter_now_and_then();
}

static bool write_time(struct pa_heap_thread *t, uint64_t now, bool free)
{
	if (pa_heap_ring_time_hook(&t->ring, now))
		return true;
	/* frees have the room that is kept: this one would have found none either */
	return pa_heap_thread_room_hook(t, sizeof(struct pa_heap_time), free, PA_CALM_ASK) &&
	       pa_heap_ring_time_hook(&t->ring, now);
}

struct pa_heap_thread *pa_heap_thread_ready_hook(uint64_t *now, bool free)
{
	struct pa_heap_thread *t = pa_tls.heap;

	if (pa_command_session_ended_hook(t ? &t->busy : NULL))
		return NULL;
	if (!t || !t->ring.line || t->session != pa_load_relaxed(&pa_mapping.generation)) {
		pa_tls.heap = NULL;
		t = anew(t);
		pa_tls.heap = t;
		if (!t)
			unrecorded(1);
		else if (*now < t->ring.last)
			*now = t->ring.last;
		return t;
	}
	if (*now < t->ring.last && t->ring.last - *now < PA_HEAP_TICKS_MAX)
		*now = t->ring.last; /* two cores that do not quite agree */
	if (*now < t->ring.time_due && *now - t->ring.last < PA_HEAP_TICKS_MAX)
		return t;
	if (!t->stack.hi)
		set_bounds(t);
	if (!write_time(t, *now, free))
		return NULL;
	t->figures_due = true;
	return t;
}

static bool may_wait(struct pa_heap_thread *t, enum pa_calm calm)
{
	if (calm == PA_CALM)
		return true;
	if (calm == PA_CALM_ASK) {
		PA_HEAP_CALLER(here);
		t->info.memo = NULL;
		t->nr_frames = (uint32_t)pa_walk_here_sig(here.pc, here.sp, here.fp, &t->stack, t->frames,
							  PA_FRAMES_LEAF, &t->info);
	}
	if (t->info.foreign)
		return false;
	for (uint32_t i = 0; i < t->nr_frames; i++) {
		if (t->frames[i] & PA_FRAME_EXACT)
			return false;
	}
	return true;
}

/* The reader falls behind: it gets the processor, and then time, the more of it the fuller the ring is. With two
 * threads whose events have to be put in order the reader may have all of the other's to play first, longer than one
 * stall; and once a second it writes. Source: two threads at full speed on 2 processors that 16 other processes want:
 * without yields 60 000 to 310 000 of 4 million events lost in two of three runs; with yields and one stall at the end
 * 0 to 560 000 of 24 million where the processors were ours. */
static void pace(struct pa_heap_thread *t, enum pa_calm calm)
{
	uint64_t behind;

	if (!pa_heap_ring_behind_hook(&t->ring))
		return;
	pa_heap_ring_yield_hook(&t->ring);
	behind = pa_heap_ring_behind_hook(&t->ring);
	if (behind && may_wait(t, calm))
		pa_heap_ring_stall_hook(&t->ring, behind > 1 ? PA_HEAP_STALL_NS : PA_HEAP_PACE_NS);
}

__attribute__((noinline)) void *pa_heap_thread_room_hook(struct pa_heap_thread *t, uint32_t bytes, bool free,
							 enum pa_calm calm)
{
	void *record;

	pace(t, calm);
	record = pa_heap_ring_reserve_hook(&t->ring, bytes, free);
	if (!record && !t->ring.dropping && may_wait(t, calm) && pa_heap_ring_stall_hook(&t->ring, PA_HEAP_STALL_NS))
		record = pa_heap_ring_reserve_hook(&t->ring, bytes, free);
	if (!record)
		pa_heap_ring_lost_hook(&t->ring, free);
	return record;
}

void pa_exact_leave_hook(void)
{
	struct pa_heap_thread *t = pa_tls.heap;

	pa_tls.heap = NULL;
	if (t && is_own(t))
		give_back(t);
}

/* The dictionary may be the old one or the new one of a growth, and hold what the ring does not say. */
void pa_exact_abandon_hook(void)
{
	struct pa_heap_thread *t = pa_tls.heap;
	struct place *place;

	pa_tls.heap = NULL;
	if (!t || !t->ring.line)
		return;
	place = place_of(t);
	if (place)
		t->dict = pa_stackdict_at(&place->dict);
	pa_stackdict_wipe_hook(&t->dict);
	give_back(t);
}

void pa_exact_forget_hook(void)
{
	pa_tls.heap = NULL;
}

static void keep(struct pa_heap_thread *t, bool on)
{
	pa_heap_keep_hook(t, PA_HEAP_THREAD_BYTES, on);
	if (t->dict.slots)
		pa_heap_keep_hook(t->dict.nodes, pa_stackdict_bytes(t->dict.slots), on);
}

struct pa_heap_thread *pa_exact_fork_begin_hook(void)
{
	struct pa_heap_thread *t = pa_tls.heap;

	if (!(pa_tls.in_hook & (PA_HOOK_IN_REAL - 1)) || !t || !t->ring.line || !pa_session_is_mine_hook())
		return NULL;
	keep(t, true);
	return t;
}

/* Every word of the ring that the event may have read before the fork fits those it reads after it: what moves is where
 * records go, which is as large, and the line. Without memory for that they go where the parent writes the same. */
static void lead_nowhere(struct pa_heap_ring *ring)
{
	static struct pa_heap_line nobody;
	long at = pa_sys(SYS_mmap, 0, ring->mask + 1, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at >= 0 || at <= -4096)
		ring->data = (uint8_t *)at;
	pa_store_relaxed(&nobody.in.tail, pa_load_relaxed(&ring->line->in.tail));
	ring->line = &nobody;
}

/* The event's memory is the child's from now on, but no thread's: the next one takes some of its own. */
void pa_exact_fork_end_hook(struct pa_heap_thread *t, bool is_child)
{
	struct place *place;

	if (!t)
		return;
	keep(t, false);
	if (!is_child)
		return;
	place = place_of(t);
	if (place)
		pa_store_release(&place->owner, PA_OWNER((uint32_t)pa_sys(SYS_getpid), (uint32_t)pa_sys(SYS_gettid)));
	lead_nowhere(&t->ring);
	pa_tls.heap = NULL;
}

bool pa_heap_threads_idle_sig(uint32_t pid)
{
	bool idle = true;

	for (uint32_t i = 0; i < NR_PLACES && places[i].memory; i++) {
		struct pa_heap_thread *t = places[i].memory;

		if (pa_load_relaxed(&places[i].owner) >> 32 != pid || !t->ring.line)
			continue;
		/* with no time due the next event looks at the session; a thread at work may set it once more */
		if (pa_load_acquire(&t->busy) || t->ring.time_due)
			idle = false;
		t->ring.time_due = 0;
	}
	return idle;
}

void pa_heap_threads_rest_sig(void)
{
	for (uint32_t i = 0; i < NR_PLACES && places[i].memory; i++) {
		uint64_t dict = pa_load_relaxed(&places[i].dict);

		/* all zero, as a forked child finds it */
		pa_sys(SYS_madvise, places[i].memory, PA_HEAP_THREAD_BYTES, MADV_DONTNEED);
		if (dict)
			pa_sys(SYS_madvise, dict & ~UINT64_C(4095), pa_stackdict_bytes(UINT32_C(1) << (dict & 63)),
			       MADV_DONTNEED);
	}
}
