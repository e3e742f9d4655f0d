/* The table of live blocks against a list of what was put in: through growth, deletion and its limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/heap_live.h"

static uint64_t state = 42;

static uint64_t draw(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static struct pa_live_block block(uint64_t address)
{
	return (struct pa_live_block){address, address ^ 0x5555, address * 3, (uint32_t)address, 0};
}

struct tally {
	uint64_t nr, sum;
};

static void count(void *arg, const struct pa_live_block *b)
{
	struct tally *t = arg;

	t->nr++;
	t->sum += b->address;
	assert_true(b->stamp == (b->address ^ 0x5555));
}

#define NR 200000

/* Which of the addresses 16, 32, ... are in, kept beside it as a bit each. */
static void test_holds_what_was_put_in(void **unused)
{
	static bool in[NR + 1];
	struct pa_live_block out, old;
	struct tally want = {0}, got = {0};
	struct pa_live l;

	memset(in, 0, sizeof(in));
	pa_live_init(&l, 1u << 20);
	for (uint64_t step = 0; step < 3000000; step++) {
		/* the share of puts changes, so that it grows and shrinks */
		uint64_t i = 1 + draw() % NR;
		bool put = draw() % 8 < (step / 200000 % 2 ? 3u : 5u);

		if (put && !in[i]) {
			out = block(i * 16);
			assert_int_equal(pa_live_put(&l, &out, &old), PA_LIVE_NEW);
			in[i] = true;
			want.nr++;
		} else if (!put) {
			assert_int_equal(pa_live_take(&l, i * 16, UINT64_MAX, &out), in[i]);
			want.nr -= in[i];
			in[i] = false;
		}
	}
	for (uint64_t i = 1; i <= NR; i++) {
		const struct pa_live_block *b = pa_live_find(&l, i * 16);

		assert_int_equal(b != NULL, in[i]);
		want.sum += in[i] ? i * 16 : 0;
	}
	pa_live_each(&l, count, &got);
	assert_int_equal(got.nr, want.nr);
	assert_int_equal(got.sum, want.sum);
	assert_int_equal(pa_live_nr(&l), want.nr);
	pa_live_fini(&l);
}

static void test_replaces_and_says_what_was_there(void **unused)
{
	struct pa_live_block a = {16, 5, 100, 1, 0}, b = {16, 9, 200, 2, 0}, old, out;
	struct pa_live l;

	pa_live_init(&l, 1024);
	assert_int_equal(pa_live_put(&l, &a, &old), PA_LIVE_NEW);
	assert_int_equal(pa_live_put(&l, &b, &old), PA_LIVE_REPLACED);
	assert_int_equal(old.size, 100);
	assert_false(pa_live_take(&l, 16, 8, &out));
	assert_true(pa_live_take(&l, 16, 9, &out));
	assert_int_equal(out.size, 200);
	assert_int_equal(pa_live_nr(&l), 0);
	pa_live_fini(&l);
}

static void test_is_full_at_seven_eighths(void **unused)
{
	struct pa_live_block old, b;
	struct pa_live l;

	pa_live_init(&l, 1024);
	for (uint64_t i = 1; i <= 896; i++) {
		b = block(i * 16);
		assert_int_equal(pa_live_put(&l, &b, &old), PA_LIVE_NEW);
	}
	b = block(897 * 16);
	assert_int_equal(pa_live_put(&l, &b, &old), PA_LIVE_FULL);
	/* what is there can be replaced all the same */
	b = block(5 * 16);
	assert_int_equal(pa_live_put(&l, &b, &old), PA_LIVE_REPLACED);
	assert_int_equal(pa_live_nr(&l), 896);
	assert_true(pa_live_take(&l, 16, UINT64_MAX, &old));
	b = block(897 * 16);
	assert_int_equal(pa_live_put(&l, &b, &old), PA_LIVE_NEW);
	assert_true(pa_live_bytes(&l) <= 2 * 1024 * sizeof(b));
	pa_live_fini(&l);
}

/* Blocks of one size class lie at equal distances: no distance may make long searches. */
static void test_spreads_regular_addresses(void **unused)
{
	static const uint64_t distances[] = {16, 32, 48, 64, 320, 512, 4096, 65536, 1 << 20, 16 << 20};

	for (size_t d = 0; d < sizeof(distances) / sizeof(distances[0]); d++) {
		uint64_t moved = 0;
		struct pa_live l;

		pa_live_init(&l, 1u << 20);
		for (uint64_t i = 1; i <= 10000; i++) {
			struct pa_live_block b = block(UINT64_C(0x7f0000000000) + i * distances[d]), old;

			assert_int_equal(pa_live_put(&l, &b, &old), PA_LIVE_NEW);
		}
		for (size_t i = 0; i < l.now.size; i++) {
			size_t home = pa_live_hash(&l, l.now.slots[i].address) >> l.now.shift;

			if (l.now.slots[i].address)
				moved += (i - home) & (l.now.size - 1);
		}
		/* linear probing at a load of 0.31 moves a random key by 0.2 slots on average */
		assert_true(l.now.size == 32768 && moved < 10000);
		pa_live_fini(&l);
	}
}

static void sum_sizes(void *arg, const struct pa_live_block *b)
{
	*(uint64_t *)arg += b->size;
}

/* Sizes on both sides of the largest that a slot holds, among others, through growth and replacement. */
static void test_keeps_sizes_of_any_block(void **unused)
{
	static const uint64_t sizes[] = {
	    0, 1, PA_LIVE_LARGE - 1, PA_LIVE_LARGE, PA_LIVE_LARGE + 1, UINT64_C(1) << 48, 77,
	};
	const uint64_t nr_sizes = sizeof(sizes) / sizeof(sizes[0]), nr = 7000;
	uint64_t want = 0, got = 0;
	struct pa_live_block out;
	struct pa_live l;

	pa_live_init(&l, 1u << 16);
	for (uint64_t turn = 0; turn < 2; turn++) {
		for (uint64_t i = 1; i <= nr; i++) {
			struct pa_live_block b = {i * 16, turn, sizes[(i + turn) % nr_sizes], PA_LIVE_ROWS - 1, 63};

			assert_int_equal(pa_live_put(&l, &b, &out), turn ? PA_LIVE_REPLACED : PA_LIVE_NEW);
			assert_true(!turn || out.size == sizes[i % nr_sizes]);
			want += turn ? b.size : 0;
		}
	}
	pa_live_each(&l, sum_sizes, &got);
	assert_true(got == want);
	for (uint64_t i = 1; i <= nr; i++) {
		assert_true(pa_live_find(&l, i * 16)->size == sizes[(i + 1) % nr_sizes]);
		assert_true(pa_live_take(&l, i * 16, 1, &out));
		assert_true(out.size == sizes[(i + 1) % nr_sizes]);
		assert_true(out.row == PA_LIVE_ROWS - 1 && out.mean == 63);
	}
	assert_int_equal(pa_live_nr(&l), 0);
	assert_int_equal(pa_live_nr(l.large), 0);
	pa_live_fini(&l);
}

static void test_clear_forgets_all(void **unused)
{
	struct pa_live_block b, old;
	struct pa_live l;

	pa_live_init(&l, 1u << 16);
	for (uint64_t i = 1; i <= 20000; i++) {
		b = block(i * 16);
		pa_live_put(&l, &b, &old);
	}
	pa_live_clear(&l);
	assert_int_equal(pa_live_nr(&l), 0);
	assert_null(pa_live_find(&l, 16));
	b = block(16);
	assert_int_equal(pa_live_put(&l, &b, &old), PA_LIVE_NEW);
	pa_live_clear(&l);
	assert_null(pa_live_find(&l, 16));
	pa_live_fini(&l);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_holds_what_was_put_in),    cmocka_unit_test(test_replaces_and_says_what_was_there),
	    cmocka_unit_test(test_is_full_at_seven_eighths), cmocka_unit_test(test_spreads_regular_addresses),
	    cmocka_unit_test(test_keeps_sizes_of_any_block), cmocka_unit_test(test_clear_forgets_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
