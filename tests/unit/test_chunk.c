/* Sample chunks: what goes in comes out, sizes, and everything that is no chunk is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/store_chunk.h"

struct fixture {
	struct pa_store_sample in[PA_CHUNK_SAMPLES];
	struct pa_store_sample scratch[PA_CHUNK_SAMPLES];
	struct pa_store_sample out[PA_CHUNK_SAMPLES];
	uint8_t blob[PA_CHUNK_BYTES_MAX];
	size_t nr_out;
	size_t where;
};

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct fixture));
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

/* a: as given, b: as read: in whole microseconds. */
static void assert_same(const struct pa_store_sample *a, const struct pa_store_sample *b, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		assert_int_equal(a[i].thread, b[i].thread);
		assert_int_equal(a[i].time_ns / 1000 * 1000, b[i].time_ns);
		assert_int_equal(a[i].stack, b[i].stack);
		assert_int_equal(a[i].weight, b[i].weight);
	}
}

/* Encodes f->in[0..nr) and decodes it again; encode has sorted f->in, so both sides must be equal in order. */
static size_t round_trip(struct fixture *f, size_t nr)
{
	size_t len = pa_chunk_encode(f->in, nr, f->scratch, f->blob);

	assert_int_equal(pa_chunk_decode(f->blob, len, f->out, &f->nr_out, &f->where), 0);
	assert_int_equal(f->nr_out, nr);
	assert_int_equal(f->where, len);
	assert_same(f->in, f->out, nr);
	return len;
}

static uint64_t next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *state >> 33;
}

static void extreme_values_survive(void **state)
{
	struct fixture *f = *state;
	uint64_t last_us = UINT64_MAX / 1000 * 1000;
	const struct pa_store_sample samples[] = {
	    {0, 0, 0, 0},
	    {0, last_us, UINT32_MAX, UINT32_MAX},
	    {UINT32_MAX, last_us, 1, 1},
	};

	memcpy(f->in, samples, sizeof(samples));
	round_trip(f, 3);
	assert_same(f->out, samples, 3);
}

static void order_is_thread_then_time_and_stable(void **state)
{
	struct fixture *f = *state;
	const struct pa_store_sample in[] = {
	    {2, 9000, 1, 1}, {1, 7000, 2, 1}, {2, 3000, 3, 1}, {1, 7000, 4, 1}, {1, 5000, 5, 2}, {1, 7000, 6, 1},
	};
	static const uint32_t expected[] = {5, 2, 4, 6, 3, 1};

	memcpy(f->in, in, sizeof(in));
	round_trip(f, 6);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(f->out[i].stack, expected[i]);
}

static void times_are_rounded_down_to_microseconds(void **state)
{
	struct fixture *f = *state;
	size_t len;

	f->in[0] = (struct pa_store_sample){1, 1999, 1, 1};
	len = pa_chunk_encode(f->in, 1, f->scratch, f->blob);
	assert_int_equal(pa_chunk_decode(f->blob, len, f->out, &f->nr_out, &f->where), 0);
	assert_int_equal(f->out[0].time_ns, 1000);
}

static void full_chunk_of_worst_case_fits_its_buffer(void **state)
{
	struct fixture *f = *state;
	size_t len;

	for (uint32_t i = 0; i < PA_CHUNK_SAMPLES; i++)
		f->in[i] = (struct pa_store_sample){UINT32_MAX - i, UINT64_MAX / 1000 * 1000 * (i & 1), UINT32_MAX,
						    UINT32_MAX};
	len = round_trip(f, PA_CHUNK_SAMPLES);
	assert_in_range(len, 1, PA_CHUNK_BYTES_MAX);
}

/* The promise of at most 6 bytes a sample, where it is hardest: one thread at 99 Hz (long gaps), 1 M stacks. */
static void sample_takes_six_bytes_at_most(void **state)
{
	struct fixture *f = *state;
	uint64_t random = 1, at = 0;

	for (uint32_t i = 0; i < PA_CHUNK_SAMPLES; i++) {
		at += 10101010 + next_random(&random) % 100000;
		f->in[i] = (struct pa_store_sample){3, at, (uint32_t)(1 + next_random(&random) % 1000000), 1};
	}
	assert_in_range(round_trip(f, PA_CHUNK_SAMPLES), 1, 6 * PA_CHUNK_SAMPLES);
}

static void random_samples_survive(void **state)
{
	struct fixture *f = *state;
	uint64_t random = 42;

	for (size_t round = 0; round < 200; round++) {
		size_t nr = 1 + next_random(&random) % 300;

		for (size_t i = 0; i < nr; i++)
			f->in[i] = (struct pa_store_sample){
			    (uint32_t)(next_random(&random) >> next_random(&random) % 31),
			    (next_random(&random) >> next_random(&random) % 31) * 1000,
			    (uint32_t)(next_random(&random) >> next_random(&random) % 31),
			    (uint32_t)(next_random(&random) % 3),
			};
		round_trip(f, nr);
	}
}

/* Every proper prefix is refused, the samples before the cut are given, and the offset lies within. */
static void cut_chunk_gives_its_whole_samples(void **state)
{
	struct fixture *f = *state;
	size_t len, most = 0;

	for (uint32_t i = 0; i < 20; i++)
		f->in[i] = (struct pa_store_sample){1 + i % 3, 1000000 * i, 1000 + i, 1 + (i == 7)};
	len = pa_chunk_encode(f->in, 20, f->scratch, f->blob);
	for (size_t cut = 0; cut < len; cut++) {
		uint8_t *exact = malloc(cut ? cut : 1); /* so that a sanitizer sees a read behind it */

		memcpy(exact, f->blob, cut);
		assert_int_equal(pa_chunk_decode(exact, cut, f->out, &f->nr_out, &f->where), -EBADMSG);
		assert_in_range(f->where, 0, cut);
		assert_in_range(f->nr_out, most, 19);
		assert_same(f->in, f->out, f->nr_out);
		most = f->nr_out;
		free(exact);
	}
	assert_int_equal(most, 19);
}

static int decode(struct fixture *f, const char *bytes, size_t len)
{
	return pa_chunk_decode((const uint8_t *)bytes, len, f->out, &f->nr_out, &f->where);
}

static void nonsense_is_refused_with_its_offset(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(decode(f, "\x01\x01\x05\x01\x01\x00\x02", 7), 0); /* the smallest: one sample */
	assert_int_equal(decode(f, "", 0), -EBADMSG);
	assert_int_equal(decode(f, "\x02\x01\x05\x01\x01\x00\x02", 7), -EPROTONOSUPPORT);
	assert_int_equal(decode(f, "\x01\x00\x05", 3), -EBADMSG);     /* no samples */
	assert_int_equal(decode(f, "\x01\x81\x20\x05", 4), -EBADMSG); /* 4097 samples */
	assert_int_equal(f->where, 1);
	assert_int_equal(decode(f, "\x01\x01\x05\x01\x00\x00\x02", 7), -EBADMSG); /* group of none: it would loop */
	assert_int_equal(decode(f, "\x01\x01\x05\x01\x02\x00\x02\x00\x02", 9),
			 -EBADMSG);                                                   /* group larger than the rest */
	assert_int_equal(decode(f, "\x01\x01\x05\x01\x01\x00\x02\x00", 8), -EBADMSG); /* a byte too many */
	assert_int_equal(f->where, 7);
	assert_int_equal(decode(f, "\x01\x01\x05\x80\x80\x80\x80\x10\x01\x00\x02", 11), -EBADMSG); /* thread 2^32 */
	assert_int_equal(f->where, 3);
	assert_int_equal(decode(f, "\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02\x01\x01\x00\x02", 16),
			 -EBADMSG); /* base of more than 64 bits */
	assert_int_equal(f->where, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(extreme_values_survive),
	    cmocka_unit_test(order_is_thread_then_time_and_stable),
	    cmocka_unit_test(times_are_rounded_down_to_microseconds),
	    cmocka_unit_test(full_chunk_of_worst_case_fits_its_buffer),
	    cmocka_unit_test(sample_takes_six_bytes_at_most),
	    cmocka_unit_test(random_samples_survive),
	    cmocka_unit_test(cut_chunk_gives_its_whole_samples),
	    cmocka_unit_test(nonsense_is_refused_with_its_offset),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
