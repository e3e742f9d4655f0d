/* How fast a recording takes samples and rows, how many bytes of file a sample costs in several kinds of programs, how
 * fast it is read, and how fast the tables of frames and stacks are. Prints a table.
 * Usage: bench_store [DIRECTORY]   World: plain. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "collector/stacks.h"
#include "collector/store.h"

static char file[512];

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t next_random(void)
{
	static uint64_t state = 1;

	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return state >> 33;
}

static void must(int err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "bench_store: %s: %s\n", what, strerror(-err));
	unlink(file);
	exit(1);
}

static struct pa_store *begin(void)
{
	struct pa_store *s;
	char err[300];

	if (!pa_store_create(file, &s, err, sizeof(err)))
		return s;
	fprintf(stderr, "bench_store: %s\n", err);
	exit(1);
}

static off_t finish(struct pa_store *s)
{
	struct stat st;

	must(pa_store_close(s, true), "close");
	if (stat(file, &st)) {
		perror(file);
		exit(1);
	}
	return st.st_size;
}

static int count(void *arg, const struct pa_store_sample *s)
{
	(*(uint64_t *)arg)++;
	return 0;
}

static double read_all(uint64_t expected)
{
	struct pa_recording *r;
	char err[300];
	uint64_t nr = 0;
	double start = now_s();

	must(pa_recording_open(file, &r, err, sizeof(err)), err);
	must(pa_recording_samples(r, count, &nr), "read");
	pa_recording_close(r);
	must(nr == expected ? 0 : -EIO, "samples are missing");
	return now_s() - start;
}

/* A program: threads that run all the time, stacks of which few are hot. */
struct program {
	const char *name;
	uint32_t threads;
	uint32_t hz; /* per thread */
	uint32_t seconds;
	uint32_t stacks; /* 0: each sample has a stack of its own, the worst there is */
	bool uniform;    /* every stack as likely as the next: nothing to save by short ids */
};

static uint32_t pick_stack(const struct program *p, uint64_t nr)
{
	uint32_t range = p->stacks;

	if (range == 0)
		return (uint32_t)nr + 1;

	/* halving the range again and again makes a long tail, as profiles have */
	while (!p->uniform && range > 16 && next_random() % 3)
		range /= 2;
	return 1 + (uint32_t)(next_random() % range);
}

static void run_program(const struct program *p, off_t empty)
{
	uint64_t period = 1000000000 / p->hz, nr = 0;
	struct pa_store *s = begin();
	double start = now_s(), written, read;
	off_t bytes;

	for (uint32_t second = 0; second < p->seconds; second++) {
		for (uint32_t tick = 0; tick < p->hz; tick++)
			for (uint32_t t = 0; t < p->threads; t++, nr++)
				must(pa_store_add_sample(s, 1 + t,
							 second * UINT64_C(1000000000) + tick * period +
							     next_random() % (period / 10),
							 pick_stack(p, nr), 1),
				     "sample");
		must(pa_store_commit(s), "commit");
	}
	bytes = finish(s) - empty;
	written = now_s() - start;
	read = read_all(nr);
	printf("%-44s %9" PRIu64 " %7.2f %10.2f %10.2f\n", p->name, nr, (double)bytes / (double)nr,
	       (double)nr / written / 1e6, (double)nr / read / 1e6);
}

static void run_rows(uint32_t nr)
{
	struct pa_store *s = begin();
	double start = now_s();

	for (uint32_t i = 1; i <= nr; i++) {
		must(pa_store_put_frame(s, i, 1 + i % 50, 0x1000 + i * UINT64_C(24), NULL), "frame");
		must(pa_store_put_stack(s, i, i - i % 32, i), "stack");
		if (i % 50000 == 0)
			must(pa_store_commit(s), "commit");
	}
	finish(s);
	printf("%-44s %9u %7s %10.2f\n", "rows of frame and stack", 2 * nr, "", 2 * nr / (now_s() - start) / 1e6);
}

#define DEPTH  32
#define STACKS 10000

/* 10 000 stacks of 32 frames, as the drain sees them. */
static void run_stacks(uint32_t rounds)
{
	static uint64_t frames[STACKS][DEPTH];
	struct pa_stacks *s = pa_stacks_new(1 << 20);
	struct pa_stackmemo *m = pa_stackmemo_new(4 * STACKS, 512);
	double start;
	uint64_t hits = 0;

	for (size_t i = 0; i < STACKS; i++)
		for (size_t d = 0; d < DEPTH; d++)
			frames[i][d] = 0x400000 + (next_random() % (d < 20 ? 10 : 2000)) * 24 + (d << 32);
	start = now_s();
	for (uint32_t r = 0; r < rounds; r++)
		for (size_t i = 0; i < STACKS; i++) {
			uint32_t at = 0;

			for (size_t d = 0; d < DEPTH; d++)
				at = pa_stacks_push(s, at, pa_stacks_frame(s, 1, frames[i][d], NULL), NULL);
			if (r == 0)
				pa_stackmemo_put(m, 1, frames[i], DEPTH, at);
		}
	printf("%-44s %9u %7s %10.2f\n", "stacks of 32 frames, frame by frame", rounds * STACKS, "",
	       rounds * STACKS / (now_s() - start) / 1e6);
	start = now_s();
	for (uint32_t r = 0; r < 10 * rounds; r++)
		for (size_t i = 0; i < STACKS; i++)
			hits += pa_stackmemo_find(m, 1, frames[next_random() % STACKS], DEPTH) != 0;
	printf("%-44s %9u %6.1f%% %10.2f\n", "the same by the memo (share found)", 10 * rounds * STACKS,
	       100.0 * (double)hits / (10.0 * rounds * STACKS), 10 * rounds * STACKS / (now_s() - start) / 1e6);
	pa_stackmemo_free(m);
	pa_stacks_free(s);
}

int main(int argc, char **argv)
{
	static const struct program programs[] = {
	    {"1 thread, 99 Hz, 10 min, 2 000 stacks", 1, 99, 600, 2000, false},
	    {"1 thread, 99 Hz, 10 min, every stack new", 1, 99, 600, 0, true},
	    {"8 threads, 250 Hz, 2 min, 20 000 stacks", 8, 250, 120, 20000, false},
	    {"200 threads, 5 Hz each, 2 min, 20 000 stacks", 200, 5, 120, 20000, false},
	    {"8 threads, 100 kHz, 5 s, 10 000 stacks", 8, 100000, 5, 10000, true},
	};
	off_t empty;

	snprintf(file, sizeof(file), "%s/bench_store.%d.pfa", argc > 1 ? argv[1] : "/tmp", (int)getpid());
	empty = finish(begin());
	printf("%-44s %9s %7s %10s %10s\n", "", "number", "B each", "M/s in", "M/s out");
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		run_program(&programs[i], empty);
	run_rows(500000);
	run_stacks(20);
	unlink(file);
	return 0;
}
