/* From the heap rings of a session to heaps: what threads wrote becomes one sequence in the order of its stamps.
 *
 * A pass has two steps. pa_heap_drain_look reads the clock and then every ring's head; whatever an event up to that
 * clock depends on is then in front of one of those heads. The caller drains the other rings (modules are announced
 * there), and pa_heap_drain_play copies, checks and plays the events up to that clock. A ring that lies is never read
 * again. World: plain. */
#ifndef PA_COLLECTOR_HEAP_DRAIN_H
#define PA_COLLECTOR_HEAP_DRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/heap.h"
#include "collector/session.h"

/* Who writes a ring now. */
struct pa_heap_writer {
	struct pa_heap *heap; /* NULL: nobody we know, its events are skipped */
	void *process;        /* the sink's */
	uint32_t thread;      /* id for the totals; 0: none */
};

struct pa_heap_sink {
	void *arg;
	struct pa_heap_writer (*writer)(void *arg, uint32_t pid, uint32_t tid, uint64_t time_ns);
	/* The stack (an id of pa_stacks) of a frame on a parent, 0: of the root frame. */
	uint32_t (*stack)(void *arg, void *process, uint32_t parent, uint64_t frame, uint64_t time_ns);
	/* That of an allocation whose stack is not known. */
	uint32_t (*no_stack)(void *arg);
	/* The differences of a ring's counters since the last pass; only when any is not 0. heap: of the ring's present
	 * writer, may be NULL. */
	void (*counters)(void *arg, struct pa_heap *heap, uint32_t pid, const struct pa_ring_counters *delta);
	/* a ring was given up: why is a phrase */
	void (*bad)(void *arg, struct pa_heap *heap, uint32_t pid, uint32_t ring, const char *why);
};

struct pa_heap_drain_result {
	uint64_t bytes;
	uint64_t events;
	uint32_t fill_permille; /* of the fullest ring as it was found */
	uint32_t owned;         /* rings with an owner */
};

struct pa_heap_drain;

/* Shapes: a session with heap rings; both arguments outlive it. Errors: NULL: out of memory. */
struct pa_heap_drain *pa_heap_drain_new(struct pa_session *s, const struct pa_heap_clock *clock);
void pa_heap_drain_free(struct pa_heap_drain *d); /* NULL allowed */

void pa_heap_drain_look(struct pa_heap_drain *d);
/* The caller ends the pass for all heaps. Errors: none; out of memory leaves a ring for the next pass. */
void pa_heap_drain_play(struct pa_heap_drain *d, const struct pa_heap_sink *sink, struct pa_heap_drain_result *result);
/* The same in parts: stops soon after pa_now_ns has reached until_ns, but never without having got on. Until it is done
 * there is no other look, and no release. result is of this part only. Returns true: it is done. */
bool pa_heap_drain_part(struct pa_heap_drain *d, const struct pa_heap_sink *sink, uint64_t until_ns,
			struct pa_heap_drain_result *result);
/* The clock of the latest look, ticks. */
uint64_t pa_heap_drain_clock(const struct pa_heap_drain *d);

/* A process is gone and was drained: its rings are for others, its heap is written no more. */
void pa_heap_drain_release(struct pa_heap_drain *d, uint32_t inner_pid, const struct pa_heap *heap);
/* Bytes of ring memory that the threads of a process have touched. */
uint64_t pa_heap_drain_touched(const struct pa_heap_drain *d, uint32_t inner_pid);

#endif
