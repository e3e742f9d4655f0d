/* Threads that write: every job is done once, a slow one holds up nobody, a forked child has threads of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "collector/writers.h"

#define JOBS 200

static void count(void *arg)
{
	++*(unsigned *)arg;
}

static void do_many(void)
{
	static struct pa_writers_job jobs[JOBS];
	static unsigned counts[JOBS];

	for (unsigned round = 1; round <= 20; round++) {
		for (unsigned i = 0; i < JOBS; i++) {
			jobs[i] = (struct pa_writers_job){.run = count, .arg = &counts[i]};
			assert_true(pa_writers_start(&jobs[i]));
		}
		for (unsigned i = 0; i < JOBS; i++) {
			pa_writers_wait(&jobs[i]);
			assert_true(pa_writers_done(&jobs[i]));
			assert_int_equal(counts[i], round);
		}
	}
	for (unsigned i = 0; i < JOBS; i++)
		counts[i] = 0;
}

static void test_all_are_done(void **state)
{
	do_many();
}

static void wait_for_byte(void *arg)
{
	char byte;

	assert_int_equal(read(((int *)arg)[0], &byte, 1), 1);
}

static void test_a_slow_one(void **state)
{
	int gate[2];
	unsigned n = 0;
	struct pa_writers_job slow = {.run = wait_for_byte, .arg = gate}, quick = {.run = count, .arg = &n};

	assert_int_equal(pipe(gate), 0);
	assert_true(pa_writers_start(&slow));
	do_many();
	assert_true(pa_writers_start(&quick));
	pa_writers_wait(&quick);
	assert_int_equal(n, 1);
	assert_false(pa_writers_done(&slow));
	assert_int_equal(write(gate[1], "x", 1), 1);
	pa_writers_wait(&slow);
	close(gate[0]);
	close(gate[1]);
}

static void test_fork(void **state)
{
	int gate[2], status = -1;
	struct pa_writers_job slow = {.run = wait_for_byte, .arg = gate};
	pid_t pid;

	assert_int_equal(pipe(gate), 0);
	assert_true(pa_writers_start(&slow));
	pid = fork();
	if (pid == 0) {
		alarm(20);
		do_many();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(write(gate[1], "x", 1), 1);
	pa_writers_wait(&slow);
	close(gate[0]);
	close(gate[1]);
	do_many();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_all_are_done),
	    cmocka_unit_test(test_a_slow_one),
	    cmocka_unit_test(test_fork),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
