/* What a small program waited for, for tests of the store: see lock_fill. */
#ifndef PA_TESTS_LOCK_UTIL_H
#define PA_TESTS_LOCK_UTIL_H

#include "tests/unit/store_util.h"

#include "collector/store_lock.h"
#include "collector/store_talk.h"
#include "common/lockwire.h"

#define LOCK_MS UINT64_C(1000000)

/* Process 1: a mutex waited for 9 times 2 ms and once 150 ms, by thread 1, of which thread 2 held it; a condition that
 * timed out once after 40 ms, and once never ended. */
static inline void lock_fill(struct pa_store *s)
{
	static uint64_t counts[PA_LAG_BUCKETS], others[PA_LAG_BUCKETS];
	const struct pa_store_lock mutex = {.id = 1,
					    .process = 1,
					    .kind = PA_LOCK_MUTEX,
					    .stack = 2,
					    .addresses = 3,
					    .holder = 1,
					    .holder_ns = 4 * LOCK_MS};
	const struct pa_store_lock condition = {
	    .id = 2, .process = 1, .kind = PA_LOCK_CONDITION, .stack = 1, .addresses = 1, .unfinished = 1};
	struct pa_store_lock_chunk chunk = {.lock = 1,
					    .first_ns = 1,
					    .last_ns = 1000 * LOCK_MS,
					    .waits = 9,
					    .total_ns = 18 * LOCK_MS,
					    .max_ns = 2 * LOCK_MS,
					    .held = 9,
					    .held_ns = 900,
					    .held_max_ns = 100,
					    .counts = counts};
	const struct pa_store_lock_slow slow = {.lock = 1,
						.thread = 1,
						.holder = 2,
						.stack = 1,
						.start_ns = 1000 * LOCK_MS,
						.end_ns = 1150 * LOCK_MS,
						.address = UINT64_C(0xfffffffffffffff0)};

	counts[pa_latency_bucket(2 * LOCK_MS)] = 9;
	if (pa_store_put_lock(s, &mutex) || pa_store_put_lock(s, &condition) || pa_store_add_lock_chunk(s, &chunk))
		abort();
	counts[pa_latency_bucket(2 * LOCK_MS)] = 0;
	counts[pa_latency_bucket(150 * LOCK_MS)] = 1;
	chunk.first_ns = chunk.last_ns;
	chunk.last_ns = 1150 * LOCK_MS;
	chunk.waits = 1;
	chunk.total_ns = chunk.max_ns = 150 * LOCK_MS;
	chunk.held = chunk.held_ns = chunk.held_max_ns = 0;
	if (pa_store_add_lock_chunk(s, &chunk) || pa_store_add_lock_slow(s, &slow))
		abort();
	others[pa_latency_bucket(40 * LOCK_MS)] = 1;
	chunk = (struct pa_store_lock_chunk){.lock = 2,
					     .first_ns = 1,
					     .last_ns = 40 * LOCK_MS,
					     .waits = 1,
					     .timed_out = 1,
					     .total_ns = 40 * LOCK_MS,
					     .max_ns = 40 * LOCK_MS,
					     .counts = others};
	if (pa_store_add_lock_chunk(s, &chunk))
		abort();
}

#endif
