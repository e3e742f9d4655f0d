/* Percentiles of lengths of iterations against sorted lists, the blobs they are stored in, and the rows of loops. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/lag.h"
#include "collector/store_loop.h"
#include "common/waitwire.h"
#include "tests/unit/store_util.h"

#define MS UINT64_C(1000000)

static uint64_t seed;

static uint64_t draw(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static int rising(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void buckets_follow_one_another(void **state)
{
	uint32_t last = pa_lag_bucket(PA_LAG_FLOOR_NS);

	for (uint64_t ns = PA_LAG_FLOOR_NS; ns < UINT64_MAX / 2; ns += ns / 100) {
		uint32_t bucket = pa_lag_bucket(ns);
		double off = (double)pa_lag_value(bucket) / (double)ns - 1;

		assert_true(bucket == last || bucket == last + 1);
		assert_true(bucket < PA_LAG_BUCKETS);
		assert_true(off > -0.016 && off < 0.016);
		last = bucket;
	}
	assert_true(pa_lag_bucket(UINT64_MAX) < PA_LAG_BUCKETS);
	assert_int_equal(pa_lag_bucket(0), pa_lag_bucket(PA_LAG_FLOOR_NS));
}

/* Nearest rank of a sorted list: what the quantile is meant to be. */
static uint64_t exact(const uint64_t *sorted, uint64_t nr, uint32_t permille)
{
	uint64_t rank = (nr * permille + 999) / 1000;

	return sorted[(rank ? rank : 1) - 1];
}

static void percentiles_are_those_of_the_sorted_list(void **state)
{
	static const uint32_t permilles[] = {0, 1, 10, 500, 900, 950, 990, 999, 1000};
	static struct pa_lag lag;
	static uint64_t list[5000];

	seed = 20;
	for (unsigned round = 0; round < 200; round++) {
		uint64_t nr = 1 + draw() % 5000;

		memset(&lag, 0, sizeof(lag));
		for (uint64_t i = 0; i < nr; i++) {
			/* from 1 ms to an hour, all magnitudes alike */
			list[i] = (uint64_t)(1e6 * (1 + (double)(draw() % 1000) / 1000)) << draw() % 21;
			lag.counts[pa_lag_bucket(list[i])]++;
			lag.max_ns = list[i] > lag.max_ns ? list[i] : lag.max_ns;
		}
		qsort(list, nr, sizeof(*list), rising);
		for (size_t i = 0; i < sizeof(permilles) / sizeof(permilles[0]); i++) {
			uint64_t want = exact(list, nr, permilles[i]), got = pa_lag_quantile(&lag, permilles[i]);

			assert_true(got <= lag.max_ns);
			assert_true((double)got <= (double)want * 1.03 && (double)got >= (double)want * 0.97);
		}
	}
}

static void short_ones_count_by_their_mean(void **state)
{
	struct pa_lag *lag = calloc(1, sizeof(*lag));

	assert_non_null(lag);
	assert_int_equal(pa_lag_quantile(lag, 500), 0);
	lag->small = 94;
	lag->small_ns = 94 * 20000;
	lag->counts[pa_lag_bucket(100 * MS)] = 6;
	lag->max_ns = 101 * MS;
	assert_int_equal(pa_lag_quantile(lag, 500), 20000);
	assert_int_equal(pa_lag_quantile(lag, 940), 20000);
	assert_true(pa_lag_quantile(lag, 950) > 97 * MS);
	assert_int_equal(pa_lag_from(lag, 50 * MS), 6);
	assert_int_equal(pa_lag_from(lag, 200 * MS), 0);
	free(lag);
}

static void blobs_come_back(void **state)
{
	static uint64_t counts[PA_LAG_BUCKETS], again[PA_LAG_BUCKETS];
	static uint8_t blob[PA_LAG_BLOB_MAX];
	size_t len;

	seed = 7;
	for (unsigned round = 0; round < 100; round++) {
		memset(counts, 0, sizeof(counts));
		memset(again, 0, sizeof(again));
		for (unsigned i = 0; i < round * 20; i++)
			counts[draw() % PA_LAG_BUCKETS] += draw() % (UINT64_C(1) << round % 40);
		len = pa_lag_encode(counts, blob);
		assert_true(len <= sizeof(blob));
		assert_int_equal(pa_lag_decode(blob, len, again), 0);
		assert_memory_equal(counts, again, sizeof(counts));
		if (len > 1 && (blob[len - 1] & 0x80) == 0 && len > 2)
			assert_true(pa_lag_decode(blob, len - 1, again) == -EBADMSG || blob[len - 2] < 0x80);
	}
	assert_int_equal(pa_lag_decode(blob, 0, again), -EBADMSG);
	blob[0] = 9;
	assert_int_equal(pa_lag_decode(blob, 1, again), -EPROTONOSUPPORT);
}

static void damaged_blobs_are_refused_or_harmless(void **state)
{
	static uint64_t counts[PA_LAG_BUCKETS];
	uint8_t blob[64];

	seed = 99;
	for (unsigned i = 0; i < 20000; i++) {
		size_t len = draw() % sizeof(blob);

		for (size_t k = 0; k < len; k++)
			blob[k] = k ? (uint8_t)draw() : 1;
		pa_lag_decode(blob, len, counts);
	}
	/* a gap past the last bucket */
	memcpy(blob, (uint8_t[]){1, 0xff, 0x0b, 1}, 4);
	assert_int_equal(pa_lag_decode(blob, 4, counts), -EBADMSG);
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

static int see_loop(void *arg, const struct pa_store_loop *l)
{
	assert_int_equal(l->id, 1);
	assert_int_equal(l->thread, 1);
	assert_int_equal(l->kind, PA_WAIT_EPOLL);
	assert_int_equal(l->key, 7);
	assert_int_equal(l->frame, 2);
	assert_int_equal(l->watched, 3);
	++*(int *)arg;
	return 0;
}

static int see_chunk(void *arg, const struct pa_store_loop_chunk *c)
{
	assert_int_equal(c->loop, 1);
	assert_int_equal(c->iterations, 100);
	assert_int_equal(c->max_ns, 60 * MS);
	assert_int_equal(c->counts[pa_lag_bucket(60 * MS)], 2);
	++*(int *)arg;
	return 0;
}

static int see_blocked(void *arg, const struct pa_store_loop_blocked *b)
{
	assert_int_equal(b->end_ns - b->start_ns, 60 * MS);
	assert_int_equal(b->stack, 4);
	++*(int *)arg;
	return 0;
}

static int see_wait(void *arg, const struct pa_store_loop_wait *w)
{
	assert_int_equal(w->kind, PA_WAIT_SLEEP);
	assert_int_equal(w->waits, 5);
	++*(int *)arg;
	return 0;
}

static void rows_of_loops_come_back(void **state)
{
	static uint64_t counts[PA_LAG_BUCKETS];
	const struct pa_store_loop loop = {
	    .id = 1, .thread = 1, .kind = PA_WAIT_EPOLL, .key = 7, .frame = 2, .watched = 3};
	const struct pa_store_loop_chunk chunk = {.loop = 1,
						  .first_ns = 1,
						  .last_ns = 2,
						  .iterations = 100,
						  .ready = 9,
						  .busy_ns = 200 * MS,
						  .wait_ns = 5,
						  .long_ns = 120 * MS,
						  .waited_ns = 3,
						  .max_ns = 60 * MS,
						  .counts = counts};
	const struct pa_store_loop_blocked blocked = {
	    .loop = 1, .start_ns = 10, .end_ns = 10 + 60 * MS, .waited_ns = 3, .wait_ns = 3, .stack = 4, .ready = 1};
	const struct pa_store_loop_wait wait = {
	    .id = 1, .thread = 1, .kind = PA_WAIT_SLEEP, .stack = 4, .waits = 5, .total_ns = 6, .max_ns = 2};
	char path[] = "/tmp/pa-lag.XXXXXX", file[sizeof(path) + 8], err[300];
	struct pa_recording *r;
	struct pa_store *s;
	int seen = 0;

	counts[pa_lag_bucket(60 * MS)] = 2;
	assert_non_null(mkdtemp(path));
	snprintf(file, sizeof(file), "%s/t.pfa", path);
	assert_int_equal(pa_store_create(file, &s, err, sizeof(err)), 0);
	assert_int_equal(pa_store_put_loop(s, &loop), 0);
	assert_int_equal(pa_store_add_loop_chunk(s, &chunk), 0);
	assert_int_equal(pa_store_add_loop_blocked(s, &blocked), 0);
	assert_int_equal(pa_store_put_loop_wait(s, &wait), 0);
	assert_int_equal(pa_store_close(s, true), 0);
	assert_int_equal(pa_recording_open(file, &r, err, sizeof(err)), 0);
	assert_int_equal(pa_recording_loops(r, see_loop, &seen), 0);
	assert_int_equal(pa_recording_loop_chunks(r, see_chunk, &seen), 0);
	assert_int_equal(pa_recording_loop_blocked(r, see_blocked, &seen), 0);
	assert_int_equal(pa_recording_loop_waits(r, see_wait, &seen), 0);
	assert_int_equal(seen, 4);
	pa_recording_close(r);
	assert_int_equal(unlink(file) | rmdir(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(buckets_follow_one_another),
	    cmocka_unit_test(percentiles_are_those_of_the_sorted_list),
	    cmocka_unit_test(short_ones_count_by_their_mean),
	    cmocka_unit_test(blobs_come_back),
	    cmocka_unit_test(damaged_blobs_are_refused_or_harmless),
	    cmocka_unit_test(rows_of_loops_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
