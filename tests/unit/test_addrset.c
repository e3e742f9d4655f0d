/* The set of sampled addresses: exact whatever collides, one winner per address, and full without harm. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/addrset_hook.h"
#include "agent/sampler_hook.h"

#define THREADS    4
#define PER_THREAD 20000
#define ROUNDS     20

static int setup(void **state)
{
	return pa_addrset_filter ? 0 : pa_addrset_init_hook();
}

static int teardown(void **state)
{
	pa_addrset_clear_sig();
	return 0;
}

/* Unrelated addresses, all different: the finalizer is a bijection, its lower bits are kept. */
static uintptr_t address(uint64_t i)
{
	return (uintptr_t)(i << 4 | pa_sampler_seed_hook(i) << 40 >> 16) & ~(uintptr_t)15;
}

static bool may_hold(uintptr_t a)
{
	return pa_addrset_may_hold((const void *)a);
}

static bool filter_is_empty(void)
{
	for (size_t i = 0; i < PA_ADDRSET_FILTER; i++) {
		if (pa_load_relaxed(&pa_addrset_filter[i]))
			return false;
	}
	return true;
}

static void test_add_remove(void **state)
{
	uintptr_t a = 0x7f1234567890;

	assert_false(may_hold(a));
	assert_false(pa_addrset_remove_hook(a));
	assert_int_equal(pa_addrset_add_hook(a), 0);
	assert_int_equal(pa_addrset_add_hook(a), -EEXIST);
	assert_true(may_hold(a));
	assert_int_equal(pa_addrset_live_hook(), 1);
	assert_true(pa_addrset_remove_hook(a));
	assert_false(pa_addrset_remove_hook(a));
	assert_false(may_hold(a));
	assert_int_equal(pa_addrset_live_hook(), 0);
	assert_true(filter_is_empty());
}

/* The i-th address whose filter byte is that of 0x1000. */
static uintptr_t same_slot(uint64_t i)
{
	return (uintptr_t)((i + 1) << 28 | 0x1000);
}

static void test_filter_counts(void **state)
{
	uintptr_t first = same_slot(0), second = same_slot(1);

	assert_int_equal(pa_addrset_slot(first), pa_addrset_slot(second));
	assert_int_equal(pa_addrset_add_hook(first), 0);
	assert_true(may_hold(second));
	assert_false(pa_addrset_remove_hook(second));
	assert_int_equal(pa_addrset_add_hook(second), 0);
	assert_true(pa_addrset_remove_hook(first));
	assert_true(may_hold(second));
	assert_true(pa_addrset_remove_hook(second));
	assert_false(may_hold(second));
}

/* A byte that came up to its limit no longer knows how many it stands for, and stays. */
static void test_filter_saturates(void **state)
{
	for (unsigned i = 0; i < 300; i++)
		assert_int_equal(pa_addrset_add_hook(same_slot(i)), 0);
	for (unsigned i = 0; i < 300; i++) {
		assert_true(may_hold(same_slot(i)));
		assert_true(pa_addrset_remove_hook(same_slot(i)));
	}
	assert_true(may_hold(same_slot(0)));
	assert_false(pa_addrset_remove_hook(same_slot(0)));
	assert_int_equal(pa_addrset_live_hook(), 0);
}

/* Up to where the mean is raised hardly any address finds its buckets full. */
static void test_half_full(void **state)
{
	unsigned refused = 0;

	for (uint64_t i = 0; i < 250000; i++)
		refused += pa_addrset_add_hook(address(i)) == -ENOSPC;
	assert_true(refused < 100);
	assert_int_equal(pa_addrset_live_hook(), 250000 - refused);
	for (uint64_t i = 0; i < 250000; i++)
		refused -= !pa_addrset_remove_hook(address(i));
	assert_int_equal(refused, 0);
}

/* None is refused because the table was full before it grew. */
static void test_grow(void **state)
{
	for (uint64_t set = 0; set < 32; set++) {
		for (uint64_t i = 0; i < 80000; i++)
			assert_int_equal(pa_addrset_add_hook(address(set * 80000 + i)), 0);
		assert_int_equal(pa_addrset_live_hook(), 80000);
		pa_addrset_clear_sig();
	}
}

/* Beyond that they are refused, and leave no trace. */
static void test_full(void **state)
{
	const uint64_t capacity = (uint64_t)PA_ADDRSET_BUCKETS * PA_ADDRSET_WAYS;
	bool *refused = calloc(2 * capacity, sizeof(*refused));
	uint64_t nr = 0;

	assert_non_null(refused);
	for (uint64_t i = 0; i < 2 * capacity; i++) {
		refused[i] = pa_addrset_add_hook(address(i)) == -ENOSPC;
		nr += refused[i];
	}
	assert_true(nr >= capacity);
	assert_int_equal(pa_addrset_live_hook(), 2 * capacity - nr);
	for (uint64_t i = 0; i < 2 * capacity; i++)
		assert_int_equal(pa_addrset_remove_hook(address(i)), !refused[i]);
	assert_int_equal(pa_addrset_live_hook(), 0);
	assert_true(filter_is_empty());
	free(refused);
}

static _Atomic uint64_t won;
static pthread_barrier_t barrier;

/* Everybody adds addresses of its own and then takes everybody's out. */
static void *race(void *arg)
{
	uint64_t own = (uint64_t)(uintptr_t)arg;

	for (int round = 0; round < ROUNDS; round++) {
		uint64_t mine = 0;

		for (uint64_t i = 0; i < PER_THREAD; i++) {
			if (pa_addrset_add_hook(address(own * PER_THREAD + i)) != 0)
				abort();
		}
		pthread_barrier_wait(&barrier);
		for (uint64_t i = 0; i < THREADS * PER_THREAD; i++)
			mine += pa_addrset_remove_hook(address(i));
		pa_add_relaxed(&won, mine);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t threads[THREADS];

	pa_store_relaxed(&won, 0);
	assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, race, (void *)i), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(pa_load_relaxed(&won), (uint64_t)THREADS * PER_THREAD * ROUNDS);
	assert_int_equal(pa_addrset_live_hook(), 0);
	assert_true(filter_is_empty());
}

static void test_pass(void **state)
{
	pa_addrset_pass_hook(0x5000f0, 0x120);
	assert_true(may_hold(0x5000f0));
	assert_true(may_hold(0x500200));
	assert_false(may_hold(0x4ffff0));
	assert_false(may_hold(0x500300));
	assert_int_equal(pa_addrset_add_hook(0x5000f0), 0);
	assert_true(pa_addrset_remove_hook(0x5000f0));
	assert_true(may_hold(0x5000f0));
	assert_int_equal(pa_addrset_add_hook(0x500400), 0);
	pa_addrset_clear_sig();
	assert_true(may_hold(0x5000f0));
	assert_true(may_hold(0x500200));
	assert_false(may_hold(0x500400));
	assert_false(pa_addrset_remove_hook(0x500400));
}

/* A forked child forgets; its parent does not. */
static void test_fork(void **state)
{
	int status = -1;
	pid_t pid;

	assert_int_equal(pa_addrset_add_hook(0x7000), 0);
	pid = fork();
	if (pid == 0) {
		pa_addrset_clear_sig();
		_exit(filter_is_empty() && pa_addrset_live_hook() == 0 && !pa_addrset_remove_hook(0x7000) ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(pa_addrset_remove_hook(0x7000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_add_remove, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_filter_counts, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_filter_saturates, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_half_full, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_grow, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_full, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_fork, setup, teardown),
	    /* what it leaves stays */
	    cmocka_unit_test_setup_teardown(test_pass, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
