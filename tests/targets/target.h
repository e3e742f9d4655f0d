/* What the target programs share: a table of modes, CPU burning by the CPU clock, checks that print and count.
 *
 * A target prints only what does not depend on time, pids or addresses: its output with the agent is compared byte for
 * byte with its output without. What it wants to tell the test beside that goes into a file in its working directory.
 */
#ifndef PA_TESTS_TARGET_H
#define PA_TESTS_TARGET_H

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TARGET_NOINLINE __attribute__((noinline, noclone, unused))
#ifdef __clang__
#undef TARGET_NOINLINE
#define TARGET_NOINLINE __attribute__((noinline, unused))
#endif

struct target_mode {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is the mode's name */
};

static volatile uint64_t target_sink;

static inline uint64_t target_clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* A few microseconds of arithmetic that no compiler removes. */
static TARGET_NOINLINE void target_spin(unsigned rounds)
{
	uint64_t x = target_sink + 88172645463325252u;

	for (unsigned i = 0; i < rounds; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
	}
	target_sink = x;
}

/* Uses ms milliseconds of the calling thread's CPU time. */
static TARGET_NOINLINE void target_burn_ms(unsigned ms)
{
	uint64_t end = target_clock_ns(CLOCK_THREAD_CPUTIME_ID) + (uint64_t)ms * 1000000u;

	while (target_clock_ns(CLOCK_THREAD_CPUTIME_ID) < end)
		target_spin(20000);
}

/* Ends the program with status 99 and the reason: a target whose own preconditions fail proves nothing. */
static inline void target_need(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "target: %s: %s\n", what, strerror(errno));
	_exit(99);
}

/* Prints how a child ended. */
static inline void target_print_status(const char *what, int status)
{
	if (WIFEXITED(status))
		printf("%s: exit %d\n", what, WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		printf("%s: signal %d core %d\n", what, WTERMSIG(status), !!WCOREDUMP(status));
	else
		printf("%s: status %#x\n", what, (unsigned)status);
}

static inline pid_t target_wait(pid_t pid, int *status)
{
	pid_t got;

	do
		got = waitpid(pid, status, 0);
	while (got < 0 && errno == EINTR);
	return got;
}

static inline unsigned target_number(int argc, char **argv, int at, unsigned otherwise)
{
	return argc > at ? (unsigned)strtoul(argv[at], NULL, 0) : otherwise;
}

static inline int target_main(const struct target_mode *modes, int argc, char **argv)
{
	for (const struct target_mode *m = modes; m->name && argc > 1; m++)
		if (!strcmp(m->name, argv[1]))
			return m->run(argc - 1, argv + 1);
	fprintf(stderr, "usage: %s MODE, one of:", argv[0]);
	for (const struct target_mode *m = modes; m->name; m++)
		fprintf(stderr, " %s", m->name);
	fprintf(stderr, "\n");
	return 98;
}

#endif
