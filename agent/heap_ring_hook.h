/* Heap rings: claiming one, and room in it for the small records of common/heapwire.h. One writer each, the thread that
 * claimed it, inside its hooks. Callers: heap_thread_hook.c, heap_stack_hook.c, heap_exact_hook.c. World: hook. */
#ifndef PA_AGENT_HEAP_RING_HOOK_H
#define PA_AGENT_HEAP_RING_HOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/arch/ticks.h"
#include "agent/timer_sig.h"
#include "common/atomics.h"
#include "common/heapwire.h"
#include "common/wire.h"

/* What the handshake mapped of the session's heap rings; inherited by forked children. Threads look at it while they are
 * pinned (slots_sig.h), or at work in exact mode (heap_thread_hook.h). */
struct pa_heap_area {
	struct pa_heap_line *lines; /* NULL: none */
	uintptr_t rings;            /* where ring 0 would be, had it been mapped */
	uint32_t first;             /* rings first .. nr - 1 are mapped */
	uint32_t nr;
	bool tsc; /* PA_HEAP_TSC */
	struct pa_heap_class classes[PA_HEAP_CLASSES];
};

extern struct pa_heap_area pa_heap_area;

/* Maps the heap rings of a session, if there are any. fd is the memfd. Errors: -errno: exact mode will be declined.
 * World: signal, in the handshake's helper (no allocation, no TLS). */
int pa_heap_area_map_sig(int fd, const struct pa_control *control, struct pa_heap_area *out);
/* Takes that back. World: signal. */
void pa_heap_area_unmap_sig(const struct pa_heap_area *area);
/* They are those of the session that is about to be opened; and after it was closed and nobody is at work in them any
 * more, unmapped. World: signal. */
void pa_heap_area_open_sig(const struct pa_heap_area *area);
void pa_heap_area_bury_sig(void);

#define PA_HEAP_TICKS_MAX (UINT64_C(1) << 31) /* between two TIME records */
#define PA_HEAP_STALL_NS  10000000u           /* the longest wait in one go */
#define PA_HEAP_PACE_NS   5000000u            /* once the second half begins to fill */
/* As long as the reader does not move it is waited for so long in all, then not again until it has. */
#define PA_HEAP_PATIENCE_NS 100000000u
/* In all at most half of the time since the ring was claimed: a reader that is behind has to be waited for. It takes
 * 70 ns for an event, two threads on two processors write one every 40, and a third to a quarter of their time is what
 * they were measured to wait. A twentieth lost up to 20 of 24 million events. */
#define PA_HEAP_STALL_PART 2

/* The writer's view of a ring, in its own memory.
 * Invariant: while a ring is claimed head <= free_to, or no record but one of a free may be written. All zero: none is
 * claimed, and whoever wants to write finds out because no time is below time_due. */
struct pa_heap_ring {
	uint64_t head;
	uint64_t
	    free_to; /* up to here an allocation may be written without looking at the tail or the end of the lap */
	uint8_t *data;
	uint64_t mask;     /* size - 1 */
	uint64_t last;     /* ticks of the last record */
	uint64_t time_due; /* ticks at which a TIME record has to stand first */
	struct pa_heap_line *line;
	bool dropping; /* allocations are dropped until the tail has moved half a ring from drop_tail */
	uint64_t drop_tail;
	uint64_t claimed_ns;
	uint64_t stalled_ns; /* in all, since then */
	uint64_t still_tail; /* the tail after the last stall */
	uint64_t still_ns;   /* stalled since it stands there */
};

/* The clock of all heap rings of the session. */
static inline uint64_t pa_heap_ticks(void)
{
	return __builtin_expect(pa_heap_area.tsc, 1) ? pa_arch_ticks() : pa_now_sig();
}

/* Takes the first ring that is free, or was left by a thread of this process, and writes OWNER.
 * Errors: false: there is none with room.   World: hook. */
bool pa_heap_ring_claim_hook(struct pa_heap_ring *ring, uint32_t pid, uint32_t tid);

#define PA_HEAP_LIMIT_PART 8 /* of a limited address space rings take at most this part */

/* The host is about to limit its address space: large rings that no thread of this process has are unmapped and not
 * claimed here any more, until the rest is no more than that part. */
void pa_heap_rings_limit_hook(uint32_t pid, uint64_t address_space);

/* Rings of threads of this process that ended and did not say so are for others, as if they had been released. */
void pa_heap_ring_sweep_hook(uint32_t pid);

/* The ring is for another thread of this process, or for the collector to free. Idempotent. */
void pa_heap_ring_release_hook(struct pa_heap_ring *ring);

/* Cold half of pa_heap_ring_reserve: looks at the tail, pads up to the end of the lap.
 * Shapes: free: the last 1/16 may be used.   Errors: NULL: no room, or dropping. */
void *pa_heap_ring_reserve_hook(struct pa_heap_ring *ring, uint32_t bytes, bool free);

/* Room for a record, or NULL. Shapes: bytes a multiple of 8, at most PA_HEAP_RECORD_MAX. */
static inline void *pa_heap_ring_reserve(struct pa_heap_ring *ring, uint32_t bytes, bool free)
{
	if (__builtin_expect(ring->head + bytes <= ring->free_to, 1))
		return ring->data + (ring->head & ring->mask);
	return pa_heap_ring_reserve_hook(ring, bytes, free);
}

/* Makes the record that was reserved last visible. */
static inline void pa_heap_ring_commit(struct pa_heap_ring *ring, uint32_t bytes)
{
	ring->head += bytes;
	/* pairs with the acquire of the collector's head */
	pa_store_release(&ring->line->out.head, ring->head);
}

/* Two fields of a record in one store: apart, compilers bring some of them together by way of a vector register. */
static inline void pa_heap_word_set(void *record, size_t offset, uint64_t word)
{
	__builtin_memcpy((uint8_t *)record + offset, &word, sizeof(word));
}

/* The first word of a record, struct pa_heap_head. */
static inline void pa_heap_head_set(void *record, uint32_t bytes, enum pa_heap_type type, uint64_t delta)
{
	pa_heap_word_set(record, 0, bytes | (uint32_t)type << 16 | delta << 32);
}

/* TIME: the clock is set anew to `now`. False: no room. */
bool pa_heap_ring_time_hook(struct pa_heap_ring *ring, uint64_t now);

/* How far the reader is behind, in eighths of the second half of the ring: 0: not so much, or nothing is written. */
uint64_t pa_heap_ring_behind_hook(const struct pa_heap_ring *ring);

/* Gives the processor to a reader that waits for its turn. Where nobody does this is a system call and no more; nothing
 * is waited for. */
void pa_heap_ring_yield_hook(struct pa_heap_ring *ring);

/* Waits for the reader to make half the ring free: at most most_ns, and the part above of all the time. errno stays.
 * Returns whether it waited. */
bool pa_heap_ring_stall_hook(struct pa_heap_ring *ring, uint64_t most_ns);

/* An event found no room and is gone: so are the allocations after it, until the tail has moved half a ring. */
void pa_heap_ring_lost_hook(struct pa_heap_ring *ring, bool free);

#endif
