/* The byte sampler: its logarithm, its distribution, and that what it estimates is what was allocated. Seeds are fixed:
 * every bound is met or missed for good. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/sampler_hook.h"

#define DRAWS 400000
#define BINS  64

static void test_log2_is_that_of_libm(void **state)
{
	uint64_t random = 1;
	double worst = 0;

	for (int i = 0; i < 200000; i++) {
		uint64_t r = random = pa_sampler_seed_hook(random) >> i % 63 | 1;
		double expected = 64 - (double)log2l((long double)r);
		double off = fabs(ldexp((double)pa_sampler_log2_hook(r), -32) - expected);

		worst = off > worst ? off : worst;
	}
	assert_true(worst < ldexp(1, -26));
	assert_int_equal(pa_sampler_log2_hook(1), UINT64_C(64) << 32);
	assert_int_equal(pa_sampler_log2_hook(UINT64_C(1) << 63), UINT64_C(1) << 32);
	assert_true(pa_sampler_log2_hook(UINT64_MAX) > 0);
}

static void test_mean(void **state)
{
	static const uint64_t means[] = {1000, 65536, 524288, UINT64_C(1) << 33, PA_SAMPLER_MEAN_MAX};

	for (size_t m = 0; m < sizeof(means) / sizeof(*means); m++) {
		uint64_t random = pa_sampler_seed_hook(m);
		double sum = 0;

		for (int i = 0; i < DRAWS; i++)
			sum += (double)pa_sampler_draw_hook(&random, means[m]);
		/* an exponential's standard deviation is its mean; rounding up adds half a byte */
		assert_true(fabs(sum / DRAWS - 0.5 - (double)means[m]) < 4 * (double)means[m] / sqrt(DRAWS));
	}
}

/* Chi-square over bins of equal probability: with 63 degrees of freedom it has mean 63 and variance 126. */
static void test_distribution(void **state)
{
	static const uint64_t means[] = {100000, 524288, UINT64_C(1) << 40};

	for (size_t m = 0; m < sizeof(means) / sizeof(*means); m++) {
		uint64_t random = pa_sampler_seed_hook(1000 + m);
		unsigned count[BINS] = {0};
		double chi = 0;

		for (int i = 0; i < DRAWS; i++) {
			double u = -expm1(-((double)pa_sampler_draw_hook(&random, means[m]) - 0.5) / (double)means[m]);

			count[(unsigned)(u * BINS)]++;
		}
		for (int b = 0; b < BINS; b++)
			chi += pow(count[b] - (double)DRAWS / BINS, 2) / ((double)DRAWS / BINS);
		assert_true(chi < 63 + 4 * sqrt(126));
		assert_true(chi > 63 - 4 * sqrt(126));
	}
}

/* The smallest means: a draw of k bytes has a probability of exp(-(k-1)/mean) - exp(-k/mean). */
static void test_every_byte(void **state)
{
	for (uint64_t mean = 1; mean <= 3; mean++) {
		uint64_t random = pa_sampler_seed_hook(7 + mean);
		unsigned ones = 0;
		double p = -expm1(-1.0 / (double)mean);

		for (int i = 0; i < DRAWS; i++) {
			uint64_t d = pa_sampler_draw_hook(&random, mean);

			assert_true(d >= 1);
			ones += d == 1;
		}
		assert_true(fabs(ones - p * DRAWS) < 4 * sqrt(DRAWS * p * (1 - p)));
	}
}

/* What a neighbour's seed gives is unrelated: of two states one apart, pairs of draws have no correlation. */
static void test_seeds(void **state)
{
	double sum = 0;

	for (uint64_t i = 0; i < 100000; i++) {
		uint64_t a = pa_sampler_seed_hook(i), b = pa_sampler_seed_hook(i + 1);

		assert_true(a != 0);
		sum += ((double)pa_sampler_draw_hook(&a, 1 << 20) - (1 << 20)) *
		       ((double)pa_sampler_draw_hook(&b, 1 << 20) - (1 << 20));
	}
	assert_true(fabs(sum / ldexp(1, 40)) < 4 * sqrt(100000));
}

/* Sizes of a program, sampled as the hooks do it: the estimate is inside four standard deviations. */
static void test_estimate(void **state)
{
	const uint64_t mean = 65536;
	uint64_t random = pa_sampler_seed_hook(42), left = pa_sampler_draw_hook(&random, mean), sizes = 1;
	double total = 0, estimate = 0, variance = 0;

	for (int i = 0; i < 2000000; i++) {
		uint64_t size = (sizes = pa_sampler_seed_hook(sizes)) % 1000 ? sizes >> 32 & 511
									     : sizes >> 32 & 0xfffff;
		uint64_t weight = size + (size == 0);
		double p = -expm1(-(double)weight / (double)mean);

		total += (double)size;
		variance += (double)size * (double)size * (1 - p) / p;
		if (weight < left) {
			left -= weight;
			continue;
		}
		estimate += (double)size / p;
		left = pa_sampler_draw_hook(&random, mean);
	}
	assert_true(fabs(estimate - total) < 4 * sqrt(variance));
	assert_true(sqrt(variance) < total / 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_log2_is_that_of_libm),
	    cmocka_unit_test(test_mean),
	    cmocka_unit_test(test_distribution),
	    cmocka_unit_test(test_every_byte),
	    cmocka_unit_test(test_seeds),
	    cmocka_unit_test(test_estimate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
