/* Waits for locks in a recording: what locks.c writes and a report reads. perfagent-recording(5) has the columns.
 * World: plain. */
#ifndef PA_COLLECTOR_STORE_LOCK_H
#define PA_COLLECTOR_STORE_LOCK_H

#include <stddef.h>
#include <stdint.h>

#include "collector/lag.h"
#include "collector/store.h"

/* A place where threads waited: a stack, and what it waited for. */
struct pa_store_lock {
	uint32_t id; /* from 1 */
	uint32_t process;
	uint32_t kind; /* enum pa_lock_kind */
	uint32_t stack;
	uint32_t addresses;  /* different locks that were waited for, as far as they were counted */
	uint32_t holder;     /* stack on which most of the time the lock had been waited for and got, 0: not known */
	uint64_t holder_ns;  /* time that was waited for those */
	uint64_t unfinished; /* waits of which the end was not seen */
};

/* What they were between two moments. Lengths by pa_latency_bucket. */
struct pa_store_lock_chunk {
	uint32_t lock;
	uint64_t first_ns, last_ns;
	uint64_t waits; /* those below included */
	uint64_t timed_out;
	uint64_t total_ns, max_ns;
	uint64_t held; /* waits after which the lock was seen given back: how long it was held in these */
	uint64_t held_ns, held_max_ns;
	const uint64_t *counts; /* PA_LAG_BUCKETS */
};

/* A wait of PA_LOCK_SLOW_NS or more. */
struct pa_store_lock_slow {
	uint32_t lock;
	uint32_t thread;
	uint32_t holder; /* thread that had the lock when the wait began, 0: not known */
	uint32_t stack;  /* on which that one had waited for it, 0: it had not, or is not known */
	uint64_t start_ns, end_ns;
	uint64_t address;
};

/* As in store.h: the first replaces the row of the same id. Errors: 0 or -errno. */
int pa_store_put_lock(struct pa_store *s, const struct pa_store_lock *l);
int pa_store_add_lock_chunk(struct pa_store *s, const struct pa_store_lock_chunk *c);
int pa_store_add_lock_slow(struct pa_store *s, const struct pa_store_lock_slow *l);

/* Visits as in store.h. `counts` of a chunk is lent. */
int pa_recording_locks(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_lock *l), void *arg);
int pa_recording_lock_chunks(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_lock_chunk *c),
			     void *arg);
int pa_recording_lock_slow(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_lock_slow *l), void *arg);

#endif
