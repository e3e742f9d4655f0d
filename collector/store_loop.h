/* Event loops in a recording: what loops.c writes and a report reads. perfagent-recording(5) has the columns.
 * World: plain. */
#ifndef PA_COLLECTOR_STORE_LOOP_H
#define PA_COLLECTOR_STORE_LOOP_H

#include <stddef.h>
#include <stdint.h>

#include "collector/lag.h"
#include "collector/store.h"

struct pa_store_loop {
	uint32_t id; /* from 1 */
	uint32_t thread;
	uint32_t kind;    /* EPOLL, POLL, SELECT of enum pa_wait_kind */
	uint64_t key;     /* EPOLL: the descriptor; else 0 */
	uint32_t frame;   /* the call of its wait, 0: not known */
	uint32_t watched; /* descriptors, as told last, 0: not known */
};

/* What a loop did between two moments. Iterations of PA_LAG_FLOOR_NS or more are in `counts`, and in `iterations` when
 * their sum has come, which may be later. */
struct pa_store_loop_chunk {
	uint32_t loop;
	uint64_t first_ns, last_ns;
	uint64_t iterations, ready, busy_ns, wait_ns;
	uint64_t long_ns;   /* sum of the lengths in counts */
	uint64_t waited_ns; /* of that, in waits by other calls */
	uint64_t max_ns;
	const uint64_t *counts; /* PA_LAG_BUCKETS */
};

/* An iteration that lasted for the threshold or more. */
struct pa_store_loop_blocked {
	uint32_t loop;
	uint64_t start_ns, end_ns;
	uint64_t waited_ns; /* in waits by other calls */
	uint64_t wait_ns;   /* in the longest of them */
	uint32_t stack;     /* of that one, 0: none */
	uint32_t ready;     /* events its wait had returned */
};

/* Waits of one stack inside iterations of its thread's loops. */
struct pa_store_loop_wait {
	uint32_t id;
	uint32_t thread;
	uint32_t kind; /* enum pa_wait_kind */
	uint32_t stack;
	uint64_t waits, total_ns, max_ns;
};

/* As in store.h: the first and the last replace the row of the same id. Errors: 0 or -errno. */
int pa_store_put_loop(struct pa_store *s, const struct pa_store_loop *l);
int pa_store_add_loop_chunk(struct pa_store *s, const struct pa_store_loop_chunk *c);
int pa_store_add_loop_blocked(struct pa_store *s, const struct pa_store_loop_blocked *b);
int pa_store_put_loop_wait(struct pa_store *s, const struct pa_store_loop_wait *w);

/* Visits as in store.h. `counts` of a chunk is lent. */
int pa_recording_loops(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_loop *l), void *arg);
int pa_recording_loop_chunks(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_loop_chunk *c),
			     void *arg);
int pa_recording_loop_blocked(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_loop_blocked *b),
			      void *arg);
int pa_recording_loop_waits(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_loop_wait *w),
			    void *arg);

#endif
