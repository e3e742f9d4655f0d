/* What the hooks on locks say: waits for mutexes, read-write locks, conditions, semaphores and threads; records of the
 * hook rings (wire.h). docs/WIRE.md has the byte tables.
 *
 * A wait is two records of one thread with one `order`. LOCK_WAIT is written before the thread begins to wait and has
 * the stack. LOCK_DONE has the times; that of a mutex or read-write lock is written when it has been unlocked, so that
 * nothing is written while others wait for it. A LOCK_WAIT without the other is a wait that was left by a cancellation
 * or a jump, or never ended. World: signal. */
#ifndef PA_COMMON_LOCKWIRE_H
#define PA_COMMON_LOCKWIRE_H

#include <stdint.h>

#include "common/wire.h"

enum pa_lock_kind {
	PA_LOCK_NONE = 0,
	PA_LOCK_MUTEX = 1,
	PA_LOCK_READ = 2, /* a read-write lock, to read */
	PA_LOCK_WRITE = 3,
	PA_LOCK_CONDITION = 4, /* until it was signalled and the mutex was had again */
	PA_LOCK_SEMAPHORE = 5,
	PA_LOCK_JOIN = 6, /* for a thread's end */
	PA_LOCK_KINDS
};

/* Head time_ns: when the wait began. */
struct pa_lock_wait {
	struct pa_record head;
	uint32_t tid;
	uint32_t order;   /* of the thread's waits, from 1 */
	uint64_t address; /* of the lock; JOIN: the thread's handle */
	uint32_t holder;  /* tid, as the lock itself said; 0: not known */
	uint16_t kind;
	uint16_t nr_frames; /* 0..PA_FRAMES_MAX */
	uint16_t stop;      /* enum pa_stop */
	uint16_t flags;
	uint32_t reserved;
	uint64_t frames[]; /* as in struct pa_heap_sample, on the function that waited: the leaf, exact */
};

enum pa_lock_outcome {
	PA_LOCK_GOT = 0, /* what was waited for has come */
	PA_LOCK_TIMED_OUT = 1,
	PA_LOCK_INTERRUPTED = 2, /* a semaphore's EINTR */
	PA_LOCK_REFUSED = 3,     /* any other error: it was no wait */
	PA_LOCK_OUTCOMES
};

/* Head time_ns: when this was written. */
struct pa_lock_done {
	struct pa_record head;
	uint32_t tid;
	uint32_t order;
	uint64_t start_ns;
	uint64_t got_ns;      /* the wait was over */
	uint64_t released_ns; /* the lock was given back; 0: there is nothing to give back, or nobody saw it */
	uint32_t outcome;     /* enum pa_lock_outcome */
	uint32_t reserved;
};

PA_ASSERT_SIZE(struct pa_lock_wait, 48);
PA_ASSERT_SIZE(struct pa_lock_done, 56);

#endif
