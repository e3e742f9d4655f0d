/* What a small program said, for tests of the store: see talk_fill. */
#ifndef PA_TESTS_TALK_UTIL_H
#define PA_TESTS_TALK_UTIL_H

#include "tests/unit/store_util.h"

#include "collector/store_talk.h"
#include "common/frame.h"

#define TALK_MS UINT64_C(1000000)

/* Process 1: a query asked 10 times in two seconds, in 2 to 150 ms, one failed and one unanswered; an endpoint without
 * anything answered; a pool of 4. */
static inline void talk_fill(struct pa_store *s)
{
	static uint64_t counts[PA_LAG_BUCKETS];
	const struct pa_store_exchange query = {.id = 1,
						.process = 1,
						.role = PA_ROLE_CLIENT,
						.proto = PA_PROTO_POSTGRES,
						.stack = 2,
						.repeats = 11,
						.repeated = 3,
						.repeater = 1,
						.peer = "127.0.0.1:5432",
						.text = "select ?",
						.error = "42601"};
	const struct pa_store_exchange endpoint = {
	    .id = 2, .process = 1, .role = PA_ROLE_SERVER, .proto = PA_PROTO_HTTP, .method = "GET", .text = "/{id}"};
	struct pa_store_exchange_chunk chunk = {
	    .exchange = 1, .first_ns = 1, .last_ns = 1000 * TALK_MS, .counts = counts};
	const struct pa_store_exchange_slow slow = {.exchange = 1,
						    .thread = 1,
						    .stack = 2,
						    .failed = 1,
						    .start_ns = 1000 * TALK_MS,
						    .end_ns = 1150 * TALK_MS,
						    .rows = 3};
	const struct pa_store_pool pool = {.id = 1,
					   .process = 1,
					   .proto = PA_PROTO_POSTGRES,
					   .stack = 1,
					   .peer = "127.0.0.1:5432",
					   .opened = 5,
					   .closed = 4,
					   .failed = 1,
					   .errors = 2,
					   .open = 1,
					   .open_max = 4,
					   .active = 1,
					   .active_max = 3,
					   .in_tx_max = 2,
					   .open_ns = 4000 * TALK_MS,
					   .active_ns = 1000 * TALK_MS,
					   .in_tx_ns = 500 * TALK_MS,
					   .connect_ns = 50 * TALK_MS};

	chunk.count = 8;
	chunk.rows = 16;
	chunk.total_ns = 16 * TALK_MS;
	chunk.min_ns = chunk.max_ns = 2 * TALK_MS;
	counts[pa_latency_bucket(2 * TALK_MS)] = 8;
	assert_int_equal(pa_store_put_exchange(s, &query) | pa_store_put_exchange(s, &endpoint), 0);
	assert_int_equal(pa_store_add_exchange_chunk(s, &chunk), 0);
	counts[pa_latency_bucket(2 * TALK_MS)] = 0;
	counts[pa_latency_bucket(150 * TALK_MS)] = 1;
	chunk.first_ns = 1000 * TALK_MS;
	chunk.last_ns = 2000 * TALK_MS;
	chunk.count = 2;
	chunk.errors = chunk.lost = 1;
	chunk.rows = 3;
	chunk.total_ns = chunk.min_ns = chunk.max_ns = 150 * TALK_MS;
	assert_int_equal(pa_store_add_exchange_chunk(s, &chunk), 0);
	assert_int_equal(pa_store_add_exchange_slow(s, &slow), 0);
	assert_int_equal(pa_store_put_pool(s, &pool), 0);
}

#endif
