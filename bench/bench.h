/* What the benchmarks of the collector have in common. World: plain. */
#ifndef PA_BENCH_H
#define PA_BENCH_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* CPU time of this process so far, in s. */
static inline double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* For a recorder whose loop never runs. */
static inline void on_idle(void *arg)
{
}

static inline void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
	exit(1);
}

#endif
