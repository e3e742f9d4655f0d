/* Sampled mode: what a sample stands for, that a free takes away what its allocation added, and the order of records
 * from several rings. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "collector/heap_sampled.h"

static struct pa_heap_clock clock_ns;

static struct pa_heap *new_heap(void)
{
	struct pa_heap *h;

	pa_heap_clock_init(&clock_ns, false);
	h = pa_heap_new(PA_HEAP_SAMPLED, 0, &clock_ns, 0, 1u << 16);
	assert_non_null(h);
	return h;
}

static void sample(struct pa_heap_sampled *q, struct pa_heap *h, uint64_t time_ns, uint64_t address, uint64_t size,
		   uint64_t mean, uint32_t stack)
{
	struct pa_heap_sample s = {.head = {.time_ns = time_ns}, .address = address, .size = size, .mean = mean};

	assert_true(pa_heap_sampled_alloc(q, h, &s, stack, 1));
}

static void freed(struct pa_heap_sampled *q, struct pa_heap *h, uint64_t time_ns, uint64_t address)
{
	struct pa_heap_free f = {.head = {.time_ns = time_ns}, .address = address};

	assert_true(pa_heap_sampled_freed(q, h, &f, 1));
}

/* Figures worked out by hand: p = 1 - exp(-1) for a block as large as the mean. */
static void test_what_a_sample_stands_for(void **unused)
{
	double calls, bytes, variance;

	pa_heap_weight(1000, 1000, &calls, &bytes, &variance);
	assert_true(fabs(calls - 1.5819767068693265) < 1e-12);
	assert_true(fabs(bytes - 1581.9767068693265) < 1e-9);
	assert_true(fabs(variance - 1e6 * 0.36787944117144233 / (0.63212055882855767 * 0.63212055882855767)) < 1e-6);
	/* far above the mean every block is hit */
	pa_heap_weight(1e9, 1000, &calls, &bytes, &variance);
	assert_true(calls == 1 && bytes == 1e9 && variance == 0);
	/* no bytes: hit like one byte, and no bytes */
	pa_heap_weight(0, 1000, &calls, &bytes, &variance);
	assert_true(fabs(calls - 1000.5) < 0.01 && bytes == 0 && variance == 0);
}

static void test_a_free_takes_away_exactly_what_was_added(void **unused)
{
	struct pa_heap_sampled *q = pa_heap_sampled_new();
	struct pa_heap *h = new_heap();

	for (uint64_t i = 1; i <= 10000; i++)
		sample(q, h, i, i * 16, i * 37 % 5000, i % 2 ? 4096 : 10007, 100 + i % 5);
	pa_heap_sampled_play(q);
	assert_true(h->bytes > h->freed);
	for (uint64_t i = 1; i <= 10000; i++)
		freed(q, h, 20000 + i, i * 16);
	pa_heap_sampled_play(q);
	assert_int_equal(h->bytes, h->freed);
	assert_int_equal(h->calls, h->frees);
	assert_int_equal(h->nr_means, 2);
	pa_heap_free(h);
	pa_heap_sampled_free(q);
}

/* Blocks of mixed sizes, hit by chance: the estimate is within four of its own standard deviations of the truth, and
 * the variance by stack is that of the formula. */
static void test_the_estimate_is_unbiased(void **unused)
{
	struct pa_heap_sampled *q = pa_heap_sampled_new();
	struct pa_heap *h = new_heap();
	uint32_t row = pa_heap_row(h, 100);
	double truth = 0, mean = 4096, variance;

	srand48(11);
	for (uint64_t i = 1; i <= 200000; i++) {
		uint64_t size = 1 + (uint64_t)(lrand48() % (i % 10 ? 500 : 20000));

		truth += (double)size;
		if (drand48() < 1 - exp(-(double)size / mean))
			sample(q, h, i, i * 16, size, (uint64_t)mean, 100);
	}
	pa_heap_sampled_play(q);
	variance = h->cold[row].var_bytes;
	assert_true(variance > 0);
	assert_true(fabs((double)pa_heap_whole(h, h->bytes) - truth) < 4 * sqrt(variance));
	assert_true(fabs((double)pa_heap_whole(h, h->calls) - 200000) < 20000);
	assert_true(h->cold[row].samples > 10000);
	pa_heap_free(h);
	pa_heap_sampled_free(q);
}

/* The ring of the thread that freed is read before that of the thread that allocated. */
static void test_records_of_several_rings_are_played_in_order(void **unused)
{
	struct pa_heap_sampled *q = pa_heap_sampled_new();
	struct pa_heap *h = new_heap();

	freed(q, h, 20, 4096);
	freed(q, h, 40, 4096);
	sample(q, h, 10, 4096, 1 << 20, 1, 100);
	sample(q, h, 30, 4096, 1 << 20, 1, 200);
	pa_heap_sampled_play(q);
	pa_heap_end_pass(h);
	assert_int_equal(pa_heap_whole(h, h->calls), 2);
	assert_int_equal(pa_heap_whole(h, h->frees), 2);
	/* never two at once */
	assert_int_equal(pa_heap_whole(h, h->peak_bytes), 1 << 20);
	/* a free that is read one pass early */
	freed(q, h, 60, 8192);
	pa_heap_sampled_play(q);
	pa_heap_end_pass(h);
	sample(q, h, 50, 8192, 1 << 20, 1, 100);
	pa_heap_sampled_play(q);
	pa_heap_end(h);
	assert_int_equal(h->bytes, h->freed);
	assert_int_equal(h->unknown_frees, 0);
	pa_heap_free(h);
	pa_heap_sampled_free(q);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_what_a_sample_stands_for),
	    cmocka_unit_test(test_a_free_takes_away_exactly_what_was_added),
	    cmocka_unit_test(test_the_estimate_is_unbiased),
	    cmocka_unit_test(test_records_of_several_rings_are_played_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
