/* See heap_ring_hook.h. World: hook. */
#include "agent/heap_ring_hook.h"

#include <sys/mman.h>
#include <time.h>

#include "agent/sysdep.h"

#define SLICE_NS 100000 /* between two looks at the tail */
#define AHEAD    65536u /* bytes whose pages are asked for together while a ring is new */

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static uint64_t ring_size(const struct pa_heap_ring *ring)
{
	return ring->mask + 1;
}

/* Bytes that were written and not yet read; more than the size: the tail is nonsense, there is no room. */
static uint64_t ring_used(const struct pa_heap_ring *ring)
{
	/* pairs with the release of the collector's tail: what it freed has been copied out */
	return ring->head - pa_load_acquire(&ring->line->in.tail);
}

static bool still_dropping(struct pa_heap_ring *ring)
{
	uint64_t moved = pa_load_relaxed(&ring->line->in.tail) - ring->drop_tail;

	/* a tail that goes back has moved by more than a ring ever can */
	if (moved < ring_size(ring) / 2 || moved > UINT64_MAX / 2)
		return true;
	ring->dropping = false;
	return false;
}

/* The pages of the next part of a ring that nobody has written yet, in one call instead of a fault for each. An older
 * kernel refuses: then they come one by one. Source: the first 8 MiB of records at 190 ns a pair instead of 260. */
static uint64_t populate(const struct pa_heap_ring *ring)
{
	uint64_t at = ring->head & ~(uint64_t)(AHEAD - 1);

	if (ring->head >= ring_size(ring) || ring_size(ring) < AHEAD)
		return UINT64_MAX;
	pa_sys(SYS_madvise, ring->data + at, AHEAD, MADV_POPULATE_WRITE);
	return at + AHEAD - ring->head;
}

/* Up to where allocations may be written without looking: the room that is left them, the end of the lap, or the next
 * place to give the reader time at. */
static uint64_t next_look(const struct pa_heap_ring *ring, uint64_t used, uint64_t to_end)
{
	uint64_t size = ring_size(ring), most = size - size / 16, go_on = size / 16;
	uint64_t room = used < most ? most - used : 0, there = populate(ring);

	if (used < size / 2)
		go_on = size / 2 - used;
	if (go_on > there)
		go_on = there;
	if (room > to_end)
		room = to_end;
	return ring->head + (room < go_on ? room : go_on);
}

void *pa_heap_ring_reserve_hook(struct pa_heap_ring *ring, uint32_t bytes, bool free)
{
	uint64_t size = ring_size(ring), most = size - size / 16, used = ring_used(ring);
	uint64_t at = ring->head & ring->mask, to_end = size - at, pad = bytes > to_end ? to_end : 0;

	if ((ring->dropping && still_dropping(ring) && !free) || used > size ||
	    used + pad + bytes > (free ? size : most))
		return NULL;
	if (pad) {
		pa_heap_head_set(ring->data + at, (uint32_t)pad, PA_HR_FILLER, 0);
		ring->head += pad; /* becomes visible with the record behind it */
		used += pad;
		to_end = size;
	}
	if (!ring->dropping)
		ring->free_to = next_look(ring, used, to_end);
	return ring->data + (ring->head & ring->mask);
}

/* Where ring i lies; its size. Rings of a class follow each other, classes too. */
static uint8_t *place_of(uint32_t i, uint64_t *size)
{
	uintptr_t at = pa_heap_area.rings;

	for (unsigned k = 0; k < PA_HEAP_CLASSES; k++) {
		const struct pa_heap_class *class = &pa_heap_area.classes[k];

		*size = class->bytes;
		if (i < class->nr)
			return (uint8_t *)(at + (uint64_t)i * class->bytes);
		i -= class->nr;
		at += (uint64_t) class->nr * class->bytes;
	}
	return NULL;
}

/* Ticks and nanoseconds of one moment. */
static uint64_t both_clocks(uint64_t *ns)
{
	uint64_t before = pa_heap_ticks();

	*ns = pa_now_sig();
	return before + (pa_heap_ticks() - before) / 2;
}

static bool open_ring(struct pa_heap_ring *ring, uint32_t i, uint32_t pid, uint32_t tid)
{
	struct pa_heap_owner *owner;
	uint64_t size, ns;
	uint8_t *data = place_of(i, &size);

	if (!data)
		return false;
	*ring = (struct pa_heap_ring){.data = data, .mask = size - 1, .line = &pa_heap_area.lines[i]};
	/* pairs with the compare-and-swap that gave us the ring; the mask keeps records aligned whatever stands there
	 */
	ring->head = pa_load_acquire(&ring->line->out.head) & ~UINT64_C(7);
	owner = pa_heap_ring_reserve_hook(ring, sizeof(*owner), false);
	if (!owner)
		return false;
	pa_heap_head_set(owner, sizeof(*owner), PA_HR_OWNER, 0);
	ring->last = both_clocks(&ns);
	ring->time_due = ring->last + PA_HEAP_TICKS_MAX;
	ring->claimed_ns = ns;
	owner->ticks = ring->last;
	owner->ns = ns;
	owner->pid = pid;
	owner->tid = tid;
	pa_heap_ring_commit(ring, sizeof(*owner));
	return true;
}

bool pa_heap_ring_claim_hook(struct pa_heap_ring *ring, uint32_t pid, uint32_t tid)
{
	uint64_t mine = PA_OWNER(pid, tid), left = PA_OWNER(pid, 0);

	for (uint32_t i = pa_heap_area.first; i < pa_heap_area.nr; i++) {
		_Atomic uint64_t *owner = &pa_heap_area.lines[i].in.owner;
		uint64_t seen = pa_load_relaxed(owner);

		if ((seen != 0 && seen != left) || !pa_claim_u64(owner, seen, mine))
			continue;
		/* pairs with the exchange: after it a ring may be unmapped that was not ours yet */
		if (i >= __atomic_load_n(&pa_heap_area.first, __ATOMIC_SEQ_CST) && open_ring(ring, i, pid, tid))
			return true;
		/* still full of what its last thread wrote */
		pa_store_release(owner, left);
	}
	*ring = (struct pa_heap_ring){0};
	return false;
}

void pa_heap_rings_limit_hook(uint32_t pid, uint64_t address_space)
{
	uint32_t first = pa_heap_area.first, left = pa_heap_area.nr;
	uint64_t most = address_space / PA_HEAP_LIMIT_PART, bytes = 0, size;

	/* the small ones at the end stay */
	while (left > first && place_of(left - 1, &size) && bytes + size <= most) {
		bytes += size;
		left--;
	}
	if (left == first)
		return;
	__atomic_exchange_n(&pa_heap_area.first, left, __ATOMIC_SEQ_CST);
	for (uint32_t i = first; i < left; i++) {
		void *at = place_of(i, &size);

		if (atomic_load(&pa_heap_area.lines[i].in.owner) >> 32 != pid)
			pa_sys(SYS_munmap, at, size);
	}
}

void pa_heap_ring_sweep_hook(uint32_t pid)
{
	for (uint32_t i = pa_heap_area.first; i < pa_heap_area.nr; i++) {
		_Atomic uint64_t *at = &pa_heap_area.lines[i].in.owner;
		uint64_t owner = pa_load_relaxed(at);

		if (owner >> 32 == pid && (uint32_t)owner && pa_thread_is_gone_hook(pid, (uint32_t)owner))
			pa_claim_u64(at, owner, PA_OWNER(pid, 0));
	}
}

void pa_heap_ring_release_hook(struct pa_heap_ring *ring)
{
	struct pa_heap_line *line = ring->line;
	uint64_t owner;

	*ring = (struct pa_heap_ring){0};
	if (!line)
		return;
	owner = pa_load_relaxed(&line->in.owner);
	/* release: the next owner's acquire sees our last head */
	pa_store_release(&line->in.owner, owner & ~(uint64_t)UINT32_MAX);
}

bool pa_heap_ring_time_hook(struct pa_heap_ring *ring, uint64_t now)
{
	struct pa_heap_time *time = pa_heap_ring_reserve(ring, sizeof(*time), true);

	if (!time)
		return false;
	pa_heap_head_set(time, sizeof(*time), PA_HR_TIME, 0);
	time->ticks = now;
	time->ns = pa_now_sig();
	pa_heap_ring_commit(ring, sizeof(*time));
	ring->last = now;
	ring->time_due = now + PA_HEAP_TICKS_MAX;
	return true;
}

/* Whether whoever reads has stood still for so long that it is waited for no more, until it moves. */
static bool is_hopeless(const struct pa_heap_ring *ring, uint64_t tail)
{
	return tail == ring->still_tail && ring->still_ns >= PA_HEAP_PATIENCE_NS;
}

uint64_t pa_heap_ring_behind_hook(const struct pa_heap_ring *ring)
{
	uint64_t half = ring_size(ring) / 2, tail = pa_load_acquire(&ring->line->in.tail), used = ring->head - tail;

	if (ring->dropping || used <= half || used > 2 * half || is_hopeless(ring, tail))
		return 0;
	return (used - half) * 8 / half;
}

void pa_heap_ring_yield_hook(struct pa_heap_ring *ring)
{
	uint64_t begin = pa_now_sig();

	pa_sys(SYS_sched_yield);
	pa_bump(&ring->line->out.self_ns, pa_now_sig() - begin);
}

bool pa_heap_ring_stall_hook(struct pa_heap_ring *ring, uint64_t most_ns)
{
	const struct timespec slice = {.tv_nsec = SLICE_NS};
	uint64_t begin = pa_now_sig(), now = begin, tail = pa_load_relaxed(&ring->line->in.tail);
	uint64_t credit = (begin - ring->claimed_ns) / PA_HEAP_STALL_PART;

	credit = credit > ring->stalled_ns ? credit - ring->stalled_ns : 0;
	if (ring->dropping || credit < SLICE_NS || is_hopeless(ring, tail))
		return false;
	if (most_ns > credit)
		most_ns = credit;
	do {
		pa_sys(SYS_nanosleep, &slice, NULL);
		now = pa_now_sig();
	} while (ring_used(ring) > ring_size(ring) / 2 && now - begin < most_ns);
	ring->still_ns = tail == ring->still_tail ? ring->still_ns + (now - begin) : now - begin;
	ring->still_tail = pa_load_relaxed(&ring->line->in.tail);
	if (ring->still_tail != tail)
		ring->still_ns = 0;
	ring->stalled_ns += now - begin;
	pa_bump(&ring->line->out.self_ns, now - begin);
	pa_bump(&ring->line->out.ticks, 1);
	return true;
}

void pa_heap_ring_lost_hook(struct pa_heap_ring *ring, bool free)
{
	pa_bump(&ring->line->out.lost_full, 1);
	if (free)
		pa_bump(&ring->line->out.lost_weight, 1);
	if (ring->dropping)
		return;
	ring->dropping = true;
	ring->drop_tail = pa_load_relaxed(&ring->line->in.tail);
	ring->free_to = ring->head; /* from here on every record looks */
}
