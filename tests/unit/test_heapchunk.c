/* Heap chunks: what goes in comes out, sizes, and everything that is no chunk is refused. */
#include <errno.h>
#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/store_heapchunk.h"

struct fixture {
	struct pa_store_heap_delta in[PA_HEAPCHUNK_STACKS], out[PA_HEAPCHUNK_STACKS];
	struct pa_store_heap_held held[PA_HEAPCHUNK_STACKS], back[PA_HEAPCHUNK_STACKS];
	uint8_t blob[PA_HEAPCHUNK_BYTES_MAX];
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

static void assert_same(const struct pa_store_heap_delta *a, const struct pa_store_heap_delta *b, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		assert_int_equal(a[i].stack, b[i].stack);
		assert_int_equal(a[i].calls, b[i].calls);
		assert_int_equal(a[i].bytes, b[i].bytes);
		assert_int_equal(a[i].frees, b[i].frees);
		assert_int_equal(a[i].freed, b[i].freed);
		assert_int_equal(a[i].temporary, b[i].temporary);
		assert_int_equal(a[i].temporary_bytes, b[i].temporary_bytes);
		assert_int_equal(a[i].samples, b[i].samples);
		assert_true((float)a[i].var_bytes == (float)b[i].var_bytes);
		assert_true((float)a[i].var_freed == (float)b[i].var_freed);
	}
}

static size_t round_trip(struct fixture *f, size_t nr)
{
	size_t len = pa_heapchunk_encode(f->in, nr, f->blob);

	assert_int_equal(pa_heapchunk_decode(f->blob, len, f->out, &f->nr_out, &f->where), 0);
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

static struct pa_store_heap_delta delta(uint32_t stack, uint64_t calls, uint64_t bytes, uint64_t frees, uint64_t freed,
					uint64_t temporary)
{
	return (struct pa_store_heap_delta){.stack = stack,
					    .calls = calls,
					    .bytes = bytes,
					    .frees = frees,
					    .freed = freed,
					    .temporary = temporary,
					    .temporary_bytes = temporary ? freed : 0};
}

static void extreme_values_survive(void **state)
{
	struct fixture *f = *state;

	f->in[0] = delta(0, 0, 0, 0, 0, 0);
	f->in[1] = delta(1, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX - 1, UINT64_MAX);
	f->in[1].samples = UINT64_MAX;
	f->in[1].var_bytes = (double)FLT_MAX;
	f->in[2] = delta(UINT32_MAX, 1, 0, 0, 1, 3);
	round_trip(f, 3);
}

static void variances_beyond_a_float_are_its_largest(void **state)
{
	struct fixture *f = *state;
	size_t len;

	f->in[0] = delta(1, 1, 1, 0, 0, 0);
	f->in[0].var_bytes = 1e300;
	f->in[0].var_freed = 123456.789;
	len = pa_heapchunk_encode(f->in, 1, f->blob);
	assert_int_equal(pa_heapchunk_decode(f->blob, len, f->out, &f->nr_out, &f->where), 0);
	assert_true(f->out[0].var_bytes == (double)FLT_MAX);
	assert_true(f->out[0].var_freed > 123456.78 && f->out[0].var_freed < 123456.80);
}

/* Each field alone and all shortcuts: equal frees and freed, equal temporary. */
static void every_mask_survives(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 1024; i++) {
		struct pa_store_heap_delta *d = &f->in[i];

		*d = delta(i * 3, i & 1 ? 7 : 0, i & 2 ? 700 : 0, i & 4 ? 7 : 0, i & 8 ? 700 : 0, i & 16 ? 7 : 0);
		d->temporary += i & 32 ? 5 : 0;
		d->temporary_bytes = (i & 16 ? 700u : 0u) + (i & 32 ? 1u : 0u);
		d->samples = i & 64 ? 3 : 0;
		d->var_bytes = i & 128 ? 0.5 : 0;
		d->var_freed = i & 256 ? 1e20 : 0;
		d->frees += i & 512 ? 1 : 0;
	}
	round_trip(f, 1024);
}

static void full_chunk_of_worst_case_fits_its_buffer(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < PA_HEAPCHUNK_STACKS; i++) {
		f->in[i] = delta(UINT32_MAX - 200000000 * (i < 1) - PA_HEAPCHUNK_STACKS + i, UINT64_MAX, UINT64_MAX,
				 UINT64_MAX - 1, UINT64_MAX, UINT64_MAX - 2);
		f->in[i].samples = UINT64_MAX;
		f->in[i].var_bytes = f->in[i].var_freed = 1;
	}
	assert_in_range(round_trip(f, PA_HEAPCHUNK_STACKS), 1, PA_HEAPCHUNK_BYTES_MAX);
}

/* The promises: a stack that frees all it allocates takes 8 bytes a second, any realistic one 64. */
static void stacks_take_few_bytes(void **state)
{
	struct fixture *f = *state;
	uint64_t random = 3, stack = 0;

	for (uint32_t i = 0; i < PA_HEAPCHUNK_STACKS; i++) {
		uint64_t calls = 1 + next_random(&random) % 1000;

		f->in[i] = delta((uint32_t)(stack += 1 + next_random(&random) % 20), calls, calls * 100, calls,
				 calls * 100, calls);
	}
	assert_in_range(round_trip(f, PA_HEAPCHUNK_STACKS), 1, 8 * PA_HEAPCHUNK_STACKS);
	for (uint32_t i = 0; i < PA_HEAPCHUNK_STACKS; i++) {
		f->in[i].calls = next_random(&random);
		f->in[i].bytes = next_random(&random) << 14;
		f->in[i].freed = next_random(&random) << 14;
		f->in[i].temporary = f->in[i].frees / 2;
		f->in[i].samples = next_random(&random) % 100;
		f->in[i].var_bytes = 1e15;
		f->in[i].var_freed = 1e14;
	}
	assert_in_range(round_trip(f, PA_HEAPCHUNK_STACKS), 1, 64 * PA_HEAPCHUNK_STACKS);
}

static void random_deltas_survive(void **state)
{
	struct fixture *f = *state;
	uint64_t random = 42;

	for (size_t round = 0; round < 300; round++) {
		size_t nr = 1 + next_random(&random) % 200;
		uint64_t stack = 0;

		for (size_t i = 0; i < nr; i++) {
			uint64_t n = next_random(&random) >> next_random(&random) % 31;

			stack += 1 + next_random(&random) % 1000;
			f->in[i] = delta((uint32_t)stack, n, n * n, n >> next_random(&random) % 4, n * n, n / 3);
			f->in[i].samples = next_random(&random) % 3;
			f->in[i].var_bytes = (double)(next_random(&random) % 5 * n);
		}
		round_trip(f, nr);
	}
}

/* Every proper prefix is refused, the deltas before the cut are given, and the offset lies within. */
static void cut_chunk_gives_its_whole_deltas(void **state)
{
	struct fixture *f = *state;
	size_t len, most = 0;

	for (uint32_t i = 0; i < 20; i++) {
		f->in[i] = delta(7 + i * 1000, i * 100, i * 10000, i, i * 5000, i / 2);
		f->in[i].var_bytes = i % 3;
	}
	len = pa_heapchunk_encode(f->in, 20, f->blob);
	for (size_t cut = 0; cut < len; cut++) {
		uint8_t *exact = malloc(cut ? cut : 1); /* so that a sanitizer sees a read behind it */

		assert_non_null(exact);
		memcpy(exact, f->blob, cut);
		assert_int_equal(pa_heapchunk_decode(exact, cut, f->out, &f->nr_out, &f->where), -EBADMSG);
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
	return pa_heapchunk_decode((const uint8_t *)bytes, len, f->out, &f->nr_out, &f->where);
}

static void nonsense_is_refused_with_its_offset(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(decode(f, "\x01\x01\x05\x05\x02\x09", 6), 0); /* stack 5: 2 calls, 9 bytes, all freed */
	assert_same(&(struct pa_store_heap_delta){.stack = 5, .calls = 2, .bytes = 9, .frees = 2, .freed = 9}, f->out,
		    1);
	assert_int_equal(decode(f, "", 0), -EBADMSG);
	assert_int_equal(decode(f, "\x02\x01\x05\x00", 4), -EPROTONOSUPPORT);
	assert_int_equal(f->where, 0);
	assert_int_equal(decode(f, "\x01\x00\x05\x00", 4), -EBADMSG); /* no stacks */
	assert_int_equal(f->where, 1);
	assert_int_equal(decode(f, "\x01\x81\x10\x05\x00", 5), -EBADMSG); /* 2049 stacks */
	assert_int_equal(f->where, 1);
	assert_int_equal(decode(f, "\x01\x01\x80\x80\x80\x80\x10\x00", 8), -EBADMSG); /* stack 2^32 */
	assert_int_equal(f->where, 2);
	assert_int_equal(decode(f, "\x01\x02\xff\xff\xff\xff\x0f\x00\x00\x00", 10), -EBADMSG); /* one after the last */
	assert_int_equal(f->where, 8);
	assert_int_equal(f->nr_out, 1);
	assert_int_equal(decode(f, "\x01\x01\x05\x06\x01\x01", 6), -EBADMSG); /* freed and all freed */
	assert_int_equal(f->where, 3);
	assert_int_equal(decode(f, "\x01\x01\x05\x18\x01", 5), -EBADMSG); /* temporary and all temporary */
	assert_int_equal(f->where, 3);
	assert_int_equal(decode(f, "\x01\x01\x05\x00\x00", 5), -EBADMSG); /* a byte too many */
	assert_int_equal(f->where, 4);
	assert_int_equal(f->nr_out, 1);
	assert_int_equal(decode(f, "\x01\x01\x05\x40\x00\x00\x80\x7f", 8), -EBADMSG); /* an infinite variance */
	assert_int_equal(f->where, 4);
	assert_int_equal(decode(f, "\x01\x01\x05\x40\x00\x00\xc0\x7f", 8), -EBADMSG); /* none at all */
	assert_int_equal(decode(f, "\x01\x01\x05\x80\x00\x00\x80\xbf", 8), -EBADMSG); /* a negative one */
	assert_int_equal(decode(f, "\x01\x01\x05\x80\x00\x00\x80", 7), -EBADMSG);     /* three bytes of one */
	assert_int_equal(f->where, 4);
}

/* ---- peaks ------------------------------------------------------------------------------------------------------- */

static void peaks_survive_and_cuts_give_what_is_whole(void **state)
{
	struct fixture *f = *state;
	size_t len;

	for (uint32_t i = 0; i < PA_HEAPCHUNK_STACKS; i++)
		f->held[i] = (struct pa_store_heap_held){i ? UINT32_MAX - PA_HEAPCHUNK_STACKS + i : 0, UINT64_MAX - i,
							 UINT64_C(1) << i % 64};
	len = pa_heapheld_encode(f->held, PA_HEAPCHUNK_STACKS, f->blob);
	assert_in_range(len, 1, PA_HEAPCHUNK_BYTES_MAX);
	assert_int_equal(pa_heapheld_decode(f->blob, len, f->back, &f->nr_out, &f->where), 0);
	assert_int_equal(f->nr_out, PA_HEAPCHUNK_STACKS);
	for (size_t i = 0; i < f->nr_out; i++) {
		assert_int_equal(f->back[i].stack, f->held[i].stack);
		assert_int_equal(f->back[i].calls, f->held[i].calls);
		assert_int_equal(f->back[i].bytes, f->held[i].bytes);
	}
	assert_int_equal(pa_heapheld_decode(f->blob, len - 1, f->back, &f->nr_out, &f->where), -EBADMSG);
	assert_int_equal(f->nr_out, PA_HEAPCHUNK_STACKS - 1);
	f->blob[len] = 0;
	assert_int_equal(pa_heapheld_decode(f->blob, len + 1, f->back, &f->nr_out, &f->where), -EBADMSG);
	assert_int_equal(f->where, len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(extreme_values_survive),
	    cmocka_unit_test(variances_beyond_a_float_are_its_largest),
	    cmocka_unit_test(every_mask_survives),
	    cmocka_unit_test(full_chunk_of_worst_case_fits_its_buffer),
	    cmocka_unit_test(stacks_take_few_bytes),
	    cmocka_unit_test(random_deltas_survive),
	    cmocka_unit_test(cut_chunk_gives_its_whole_deltas),
	    cmocka_unit_test(nonsense_is_refused_with_its_offset),
	    cmocka_unit_test(peaks_survive_and_cuts_give_what_is_whole),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
