/* Looking into processes from outside: which threads may be made to call, which system calls are begun again, threads
 * that cannot be stopped or have ended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collector/proc.h"
#include "remote/access.h"
#include "remote/safe.h"
#include "remote/snapshot.h"
#include "remote/syscalls.h"

/* ---- the rule of the safe thread ------------------------------------------------------------------------------------
 */

#define PROGRAM   0x400000u
#define LIBC      0x700000u
#define SLEEP     (LIBC + 0x100)
#define LOADER    0x900000u
#define ALLOCATOR 0xb00000u
#define EXACT(pc) ((pc) | PA_FRAME_EXACT)

static const struct pa_safety rule = {
    .loader = {{LOADER, LOADER + 0x1000}},
    .libc = {{LIBC, LIBC + 0x1000}},
    .allocator = {{ALLOCATOR, ALLOCATOR + 0x1000}},
    .nr_loader = 1,
    .nr_libc = 1,
    .nr_allocator = 1,
    .sleeps = {{SLEEP, SLEEP + 0x10}},
    .nr_sleeps = 1,
};

/* Frames from the leaf, ended by 0, of a thread that is in a system call (-1: in none) with this second argument. */
static enum pa_verdict_of_thread judge(long number, uint64_t argument, enum pa_stop stop, const uint64_t *frames)
{
	struct pa_registers registers = {0};
	struct pa_walk walk = {.stop = stop};

#ifdef __x86_64__
	registers.user.orig_rax = (unsigned long long)number;
	registers.user.rax = (unsigned long long)-512;
	registers.user.rsi = argument;
#else
	skip();
#endif
	for (; frames[walk.nr]; walk.nr++)
		walk.frames[walk.nr] = frames[walk.nr];
	return pa_safety_judge(&rule, &registers, &walk);
}

#define FRAMES(...)                                                                                                    \
	(const uint64_t[])                                                                                             \
	{                                                                                                              \
		__VA_ARGS__, 0                                                                                         \
	}
/* what starts a main thread: two frames of libc, and the program's _start */
#define STARTED LIBC + 0x800, LIBC + 0x900, PROGRAM + 0x10

static void a_thread_in_its_own_code_is_safe(void **state)
{
	assert_int_equal(judge(-1, 0, PA_STOP_END, FRAMES(EXACT(PROGRAM + 5), PROGRAM + 9, STARTED)), PA_SAFE);
	/* a thread of pthread_create has no frame of the program below */
	assert_int_equal(judge(-1, 0, PA_STOP_END, FRAMES(EXACT(PROGRAM + 5), LIBC + 0x800, LIBC + 0x900)), PA_SAFE);
}

static void a_thread_in_libc_or_an_allocator_is_not(void **state)
{
	assert_int_equal(judge(-1, 0, PA_STOP_END, FRAMES(EXACT(LIBC + 5), PROGRAM + 9, STARTED)), PA_UNSAFE_LIBC);
	/* a callback of libc's */
	assert_int_equal(judge(-1, 0, PA_STOP_END, FRAMES(EXACT(PROGRAM + 5), LIBC + 5, PROGRAM + 9, STARTED)),
			 PA_UNSAFE_LIBC);
	assert_int_equal(judge(-1, 0, PA_STOP_END, FRAMES(EXACT(PROGRAM + 5), ALLOCATOR + 5, PROGRAM + 9, STARTED)),
			 PA_UNSAFE_ALLOCATOR);
	assert_int_equal(judge(-1, 0, PA_STOP_END, FRAMES(EXACT(LOADER + 5), PROGRAM + 9, STARTED)), PA_UNSAFE_LOADER);
	/* the loader counts even where the walk ends early */
	assert_int_equal(judge(-1, 0, PA_STOP_NO_CFI, FRAMES(EXACT(LOADER + 5))), PA_UNSAFE_LOADER);
}

static void a_thread_that_starts_or_ends_is_not(void **state)
{
	assert_int_equal(judge(-1, 0, PA_STOP_END, FRAMES(EXACT(LIBC + 0x800), LIBC + 0x900)), PA_UNSAFE_LIBC);
	/* exit calls a destructor: three frames of libc above _start */
	assert_int_equal(judge(-1, 0, PA_STOP_END, FRAMES(EXACT(PROGRAM + 5), LIBC + 0x700, STARTED)), PA_UNSAFE_LIBC);
}

static void a_sleeping_thread_is_safe_in_what_sleeps_alone(void **state)
{
	assert_int_equal(judge(SYS_nanosleep, 0, PA_STOP_END, FRAMES(EXACT(SLEEP + 4), PROGRAM + 9, STARTED)), PA_SAFE);
	/* the same call from elsewhere in libc */
	assert_int_equal(judge(SYS_nanosleep, 0, PA_STOP_END, FRAMES(EXACT(LIBC + 0x50), PROGRAM + 9, STARTED)),
			 PA_UNSAFE_KERNEL);
	assert_int_equal(
	    judge(SYS_nanosleep, 0, PA_STOP_END, FRAMES(EXACT(SLEEP + 4), LIBC + 0x300, PROGRAM + 9, STARTED)),
	    PA_UNSAFE_KERNEL);
	/* the right function, but a call that is made under locks */
	assert_int_equal(judge(SYS_munmap, 0, PA_STOP_END, FRAMES(EXACT(SLEEP + 4), PROGRAM + 9, STARTED)),
			 PA_UNSAFE_KERNEL);
}

static void of_futexes_only_the_programs_own_are_safe(void **state)
{
	/* FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME: a semaphore; FUTEX_WAIT_PRIVATE: libc's locks
	 */
	assert_int_equal(judge(SYS_futex, 0x189, PA_STOP_END, FRAMES(EXACT(LIBC + 0x50), PROGRAM + 9, STARTED)),
			 PA_SAFE);
	assert_int_equal(judge(SYS_futex, 0x80, PA_STOP_END, FRAMES(EXACT(LIBC + 0x50), PROGRAM + 9, STARTED)),
			 PA_UNSAFE_KERNEL);
}

static void handlers_and_half_walks_are_not_safe(void **state)
{
	assert_int_equal(
	    judge(-1, 0, PA_STOP_END, FRAMES(EXACT(PROGRAM + 5), PROGRAM + 7, EXACT(PROGRAM + 9), STARTED)),
	    PA_UNSAFE_HANDLER);
	assert_int_equal(judge(-1, 0, PA_STOP_MEMORY, FRAMES(EXACT(PROGRAM + 5), STARTED)), PA_UNSAFE_UNKNOWN);
	assert_int_equal(judge(-1, 0, PA_STOP_JIT, FRAMES(EXACT(0x1000000u))), PA_UNSAFE_UNKNOWN);
}

/* ---- system calls ---------------------------------------------------------------------------------------------------
 */

#ifdef __x86_64__
static struct pa_registers stopped_in(long number, long result)
{
	struct pa_registers r = {.user = {.orig_rax = (unsigned long long)number, .rax = (unsigned long long)result}};

	return r;
}

static void an_eintr_of_the_stop_becomes_a_restart(void **state)
{
	struct pa_registers r = stopped_in(SYS_epoll_wait, -EINTR);

	assert_int_equal(pa_registers_syscall(&r), SYS_epoll_wait);
	assert_true(pa_registers_hide_stop(&r));
	assert_int_equal((long)r.user.rax, -514); /* ERESTARTNOHAND: EINTR, if a handler runs */
	assert_int_equal(pa_registers_syscall(&r), SYS_epoll_wait);
	assert_false(pa_registers_hide_stop(&r));
}

static void other_results_are_left_alone(void **state)
{
	struct pa_registers r = stopped_in(SYS_close, -EINTR); /* done already: close must not be called again */

	assert_false(pa_registers_hide_stop(&r));
	assert_int_equal(pa_registers_syscall(&r), -1);
	r = stopped_in(SYS_epoll_wait, 3);
	assert_false(pa_registers_hide_stop(&r));
	assert_int_equal(pa_registers_syscall(&r), -1);
	r = stopped_in(-1, -EINTR); /* in no system call: rax is the program's */
	assert_false(pa_registers_hide_stop(&r));
	assert_int_equal(pa_registers_syscall(&r), -1);
}
#endif

static void names_of_calls(void **state)
{
	assert_string_equal(pa_syscall_name(SYS_futex), "futex");
	assert_string_equal(pa_syscall_name(SYS_epoll_pwait), "epoll_pwait");
	assert_null(pa_syscall_name(-1));
	assert_null(pa_syscall_name(100000));
}

/* ---- threads that do not stop ---------------------------------------------------------------------------------------
 */

static void *wait_for_ever(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

/* A thread that waits for its vfork child can be woken by nothing but the child. */
static void *wait_in_vfork(void *arg)
{
	if (vfork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return NULL;
}

static pid_t start(void (*run)(void))
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run();
		_exit(99);
	}
	usleep(200000);
	return pid;
}

static void stop_child(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void run_vfork(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, wait_in_vfork, NULL);
	wait_for_ever(NULL);
}

static void a_thread_in_vfork_is_given_up_and_named(void **state)
{
	pid_t pid = start(run_vfork);
	struct pa_proc_status status;
	struct pa_snapshot s;
	unsigned lost = 0, held = 0;

	assert_int_equal(pa_snapshot_take(&s, pid), 0);
	assert_int_equal(s.nr, 2);
	for (size_t i = 0; i < s.nr; i++) {
		lost += s.threads[i].hold == PA_HOLD_LOST && s.threads[i].state == 'D';
		held += s.threads[i].hold == PA_HOLD_STOPPED;
	}
	assert_int_equal(lost, 1);
	assert_int_equal(held, 1);
	assert_true(s.stopped_ns < 1000000000u);
	pa_snapshot_free(&s);
	usleep(50000);
	assert_int_equal(pa_proc_status((uint32_t)pid, &status), 0);
	assert_int_equal(status.state, 'S'); /* not 't' */
	stop_child(pid);
}

static void *outlive(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

static bool named(struct pa_walker *w, const struct pa_walk *walk, const char *name)
{
	struct pa_symbol levels[8];

	for (size_t i = 0; i < walk->nr; i++)
		for (size_t k = 0, nr = pa_walker_name(w, walk->frames[i], levels, 8); k < nr; k++)
			if (!strcmp(levels[k].function, name))
				return true;
	return false;
}

static void run_leaderless(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, outlive, NULL);
	syscall(SYS_exit, 0); /* the main thread alone */
}

static void a_process_whose_main_thread_ended_is_looked_at(void **state)
{
	pid_t pid = start(run_leaderless);
	struct pa_snapshot s;
	struct pa_walker *w;
	struct pa_walk walk;
	unsigned held = 0;
	char why[512];

	assert_int_equal(pa_access_check(pid, why, sizeof(why)), 0);
	assert_int_equal(pa_snapshot_take(&s, pid), 0);
	for (size_t i = 0; i < s.nr; i++)
		held += s.threads[i].hold == PA_HOLD_STOPPED && s.threads[i].stack.len > 0;
	assert_int_equal(held, 1);
	w = pa_walker_new(pid, true);
	assert_non_null(w);
	pa_walker_walk(w, &s.threads[s.nr - 1].registers, &s.threads[s.nr - 1].stack, &walk);
	assert_int_equal(walk.stop, PA_STOP_END);
	assert_true(named(w, &walk, "outlive"));
	pa_walker_free(w);
	pa_snapshot_free(&s);
	stop_child(pid);
}

static void a_process_that_is_gone(void **state)
{
	pid_t pid = fork();
	struct pa_snapshot s;
	char why[512];

	if (pid == 0)
		_exit(0);
	usleep(100000);
	assert_int_equal(pa_access_check(pid, why, sizeof(why)), -ESRCH);
	assert_non_null(strstr(why, "zombie"));
	assert_true(pa_snapshot_take(&s, pid) < 0);
	pa_snapshot_free(&s);
	waitpid(pid, NULL, 0);
	assert_int_equal(pa_access_check(pid, why, sizeof(why)), -ESRCH);
	assert_int_equal(pa_snapshot_take(&s, pid), -ESRCH);
	pa_snapshot_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_thread_in_its_own_code_is_safe),
	    cmocka_unit_test(a_thread_in_libc_or_an_allocator_is_not),
	    cmocka_unit_test(a_thread_that_starts_or_ends_is_not),
	    cmocka_unit_test(a_sleeping_thread_is_safe_in_what_sleeps_alone),
	    cmocka_unit_test(of_futexes_only_the_programs_own_are_safe),
	    cmocka_unit_test(handlers_and_half_walks_are_not_safe),
#ifdef __x86_64__
	    cmocka_unit_test(an_eintr_of_the_stop_becomes_a_restart),
	    cmocka_unit_test(other_results_are_left_alone),
#endif
	    cmocka_unit_test(names_of_calls),
	    cmocka_unit_test(a_thread_in_vfork_is_given_up_and_named),
	    cmocka_unit_test(a_process_whose_main_thread_ended_is_looked_at),
	    cmocka_unit_test(a_process_that_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
