/* What the heap of a small program did, for tests of the store and of the reports: see heap_fill. */
#ifndef PA_TESTS_HEAP_UTIL_H
#define PA_TESTS_HEAP_UTIL_H

#include "tests/unit/store_util.h"

#include "common/wire.h"

#define HEAP_MB UINT64_C(1048576)

/* Process 1 in exact mode, stacks 1 and 2, times in seconds. Stack 1 allocates and frees all of it in the first chunk,
 * stack 2 keeps 30 of 40 MiB at the end of the second; its peak was 35 MiB. */
static inline void heap_fill(struct pa_store *s)
{
	struct pa_store_heap_delta first[] = {
	    {.stack = 2, .calls = 10, .bytes = 40 * HEAP_MB, .frees = 1, .freed = 5 * HEAP_MB},
	    {.stack = 1, .calls = 1000, .bytes = 16000, .frees = 1000, .freed = 16000, .temporary = 900},
	};
	struct pa_store_heap_delta second[] = {{.stack = 2, .frees = 2, .freed = 5 * HEAP_MB, .temporary = 2}};
	struct pa_store_heap_held held[] = {{.stack = 2, .calls = 9, .bytes = 35 * HEAP_MB}};
	struct pa_store_heap total = {.process = 1,
				      .mode = PA_HEAP_EXACT,
				      .calls = 1010,
				      .bytes = 40 * HEAP_MB + 16000,
				      .frees = 1003,
				      .freed = 10 * HEAP_MB + 16000,
				      .temporary = 902,
				      .unknown_frees = 7,
				      .own_bytes = 65536};
	const struct pa_store_heap_point point = {.process = 1,
						  .time_ns = 1500000000,
						  .live_calls = 9,
						  .live_bytes = 35 * HEAP_MB,
						  .rss_bytes = 50 * HEAP_MB,
						  .libc_arena = UINT64_MAX,
						  .libc_mapped = UINT64_MAX,
						  .libc_used = UINT64_MAX,
						  .libc_unused = 0};

	total.lifetime_calls[0] = 1000;
	total.lifetime_bytes[0] = 16000;
	total.lifetime_calls[PA_HEAP_LIFETIMES - 1] = 3;
	total.lifetime_bytes[PA_HEAP_LIFETIMES - 1] = 10 * HEAP_MB;
	assert_int_equal(pa_store_add_heap_chunk(s, 1, 1000000000, 2000000000, first, 2), 0);
	assert_int_equal(pa_store_add_heap_chunk(s, 1, 2000000000, 3000000000, second, 1), 0);
	assert_int_equal(pa_store_put_heap_peak(s, 1, 1900000000, 9, 35 * HEAP_MB, held, 1), 0);
	assert_int_equal(pa_store_add_heap_point(s, &point), 0);
	assert_int_equal(pa_store_put_heap(s, &total), 0);
	assert_int_equal(pa_store_put_heap_thread(s, &(struct pa_store_heap_thread){1, 1010, 40 * HEAP_MB + 16000, 1003,
										    10 * HEAP_MB + 16000}),
			 0);
}

#endif
