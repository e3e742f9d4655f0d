/* The bootstrap arena: distinct, aligned, zeroed, recognised, and more of it when it is used up. */
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/bootstrap_hook.h"

#define THREADS 4
#define BLOCKS  2000

static void test_blocks(void **state)
{
	unsigned char *last = NULL;

	for (size_t align = 1; align <= 4096; align *= 2) {
		unsigned char *p = pa_bootstrap_alloc_hook(align, 24);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % (align < 16 ? 16 : align), 0);
		assert_int_equal(pa_bootstrap_size_hook(p), 24);
		for (int i = 0; i < 24; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xff, 24);
		assert_true(!last || p >= last + 24 + 16 || p + 24 + 16 <= last);
		assert_true(pa_bootstrap_owns_hook(p));
		last = p;
	}
	assert_null(pa_bootstrap_alloc_hook(8192, 1));
	assert_null(pa_bootstrap_alloc_hook(16, PTRDIFF_MAX));
	assert_null(pa_bootstrap_alloc_hook(16, SIZE_MAX));
}

/* libc's own function answers for them; the sanitizers' would not. */
static void test_usable_size(void **state)
{
#ifdef __SANITIZE_ADDRESS__
	skip();
#else
	for (size_t bytes = 0; bytes < 5000; bytes += bytes / 8 + 1) {
		unsigned char *p = pa_bootstrap_alloc_hook(bytes % 64 ? 16 : 256, bytes);
		size_t usable = malloc_usable_size(p);

		assert_true(usable >= bytes && usable <= bytes + 8);
		memset(p, 0xff, usable);
		assert_int_equal(pa_bootstrap_size_hook(p), bytes);
	}
#endif
}

static void test_strangers(void **state)
{
	void *heap = calloc(1, 100);
	int local;

	assert_false(pa_bootstrap_owns_hook(heap));
	assert_false(pa_bootstrap_owns_hook(&local));
	assert_false(pa_bootstrap_owns_hook(NULL));
	assert_false(pa_bootstrap_owns_hook((void *)-1));
	free(heap);
}

/* The last block of an arena may have no bytes: it is owned all the same. */
static void test_empty_blocks(void **state)
{
	char *a = pa_bootstrap_alloc_hook(0, 0), *b = pa_bootstrap_alloc_hook(0, 0);

	assert_non_null(a);
	assert_true(a != b);
	assert_true(pa_bootstrap_owns_hook(a));
	assert_true(pa_bootstrap_owns_hook(b));
	assert_int_equal(pa_bootstrap_size_hook(b), 0);
}

static unsigned ranges;
static size_t handed_out;

static void count_range(uintptr_t start, size_t bytes)
{
	assert_true(pa_bootstrap_owns_hook((void *)start));
	assert_true(pa_bootstrap_owns_hook((void *)(start + bytes - 1)));
	assert_false(pa_bootstrap_owns_hook((void *)(start + bytes)));
	ranges++;
	handed_out += bytes;
}

static void test_used_up(void **state)
{
	unsigned char *big = pa_bootstrap_alloc_hook(0, 3 << 20), *p[40];

	assert_non_null(big);
	assert_true(pa_bootstrap_owns_hook(big));
	assert_true(pa_bootstrap_owns_hook(big + (3 << 20) - 1));
	for (unsigned i = 0; i < 40; i++) {
		p[i] = pa_bootstrap_alloc_hook(0, 100000);
		assert_non_null(p[i]);
		assert_true(pa_bootstrap_owns_hook(p[i]));
		memset(p[i], 1 + (int)i, 100000);
	}
	for (unsigned i = 0; i < 40; i++) {
		assert_int_equal(p[i][0], 1 + i);
		assert_int_equal(p[i][99999], 1 + i);
	}
	pa_bootstrap_each_hook(count_range);
	assert_true(ranges >= 3);
	assert_true(handed_out >= (3 << 20) + 40 * 100000);
}

static void *worker(void *arg)
{
	unsigned char **blocks = arg;

	for (unsigned i = 0; i < BLOCKS; i++) {
		blocks[i] = pa_bootstrap_alloc_hook(16, 64);
		if (!blocks[i])
			abort();
		memset(blocks[i], (int)(uintptr_t)arg >> 8, 64);
	}
	return NULL;
}

static void test_threads(void **state)
{
	static unsigned char *blocks[THREADS][BLOCKS];
	pthread_t threads[THREADS];

	for (unsigned t = 0; t < THREADS; t++)
		assert_int_equal(pthread_create(&threads[t], NULL, worker, blocks[t]), 0);
	for (unsigned t = 0; t < THREADS; t++)
		pthread_join(threads[t], NULL);
	for (unsigned t = 0; t < THREADS; t++) {
		for (unsigned i = 0; i < BLOCKS; i++) {
			assert_true(pa_bootstrap_owns_hook(blocks[t][i]));
			assert_int_equal(pa_bootstrap_size_hook(blocks[t][i]), 64);
			assert_int_equal(blocks[t][i][0], (unsigned char)((uintptr_t)blocks[t] >> 8));
			assert_memory_equal(blocks[t][i], blocks[t][i] + 32, 32);
		}
	}
}

static void test_live(void **state)
{
	void *p;

	assert_true(pa_bootstrap_live_sig());
	p = pa_bootstrap_alloc_hook(0, 1);
	pa_bootstrap_free_hook(p);
	assert_true(pa_bootstrap_owns_hook(p));
}

static void test_real(void **state)
{
	pa_bootstrap_hold_hook(true);
	assert_null(pa_bootstrap_real_hook(PA_REAL_malloc));
	pa_bootstrap_hold_hook(false);
	assert_non_null(pa_bootstrap_real_hook(PA_REAL_malloc));
	pa_bootstrap_hold_hook(true);
	assert_non_null(pa_bootstrap_real_hook(PA_REAL_malloc));
	pa_bootstrap_hold_hook(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_blocks),       cmocka_unit_test(test_usable_size), cmocka_unit_test(test_strangers),
	    cmocka_unit_test(test_empty_blocks), cmocka_unit_test(test_used_up),     cmocka_unit_test(test_threads),
	    cmocka_unit_test(test_live),         cmocka_unit_test(test_real),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
