/* What a stack walk costs: by depth and temperature, on a known and on a foreign stack, for pcs nobody has seen, and as
 * a handler that writes one record compared with an empty handler. Prints a table; the best of several runs, which
 * others on the machine disturb least. Usage: bench_walk   World: plain. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "agent/rules_sig.h"
#include "agent/memo_sig.h"
#include "agent/walk_sig.h"
#include "common/ring.h"

#define RUNS    9
#define LOOPS   20000
#define SIGNALS 20000

extern void *__libc_stack_end;

static uint64_t frames[PA_FRAMES_LEAF];
static uint64_t memo[4096 / sizeof(uint64_t)]; /* a page, as each thread has one */
static struct pa_walk_info info;
static volatile int sink;
static void (*work)(void);

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* 32 functions with frames of different sizes; call(depth) goes through depth of them. */
typedef void fn(int depth);
static fn *const chain[33];

#define FUNCTION(n)                                                                                                    \
	static __attribute__((noinline)) void f##n(int depth)                                                          \
	{                                                                                                              \
		volatile char pad[16 * (n % 7 + 1)];                                                                   \
		pad[depth & 15] = 1;                                                                                   \
		if (depth)                                                                                             \
			chain[n + 1](depth - 1);                                                                       \
		else                                                                                                   \
			work();                                                                                        \
		sink += pad[0];                                                                                        \
	}
#define FUNCTIONS(X)                                                                                                   \
	X(0)                                                                                                           \
	X(1)                                                                                                           \
	X(2)                                                                                                           \
	X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20) X(21)     \
	    X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)
FUNCTIONS(FUNCTION)
#define ENTRY(n) f##n,
static fn *const chain[33] = {FUNCTIONS(ENTRY) f0};

static struct pa_stack_bounds known(void)
{
	uint64_t top = (uint64_t)(uintptr_t)__libc_stack_end;

	return (struct pa_stack_bounds){top - (UINT64_C(8) << 20), top};
}

static double results[RUNS];
static struct pa_stack_bounds bounds;
static bool flush;

static void walk_loop(void)
{
	ucontext_t uc;
	int loops = flush ? 200 : LOOPS;

	getcontext(&uc);
	for (int r = 0; r < RUNS; r++) {
		double start = now_ns();

		for (int i = 0; i < loops; i++) {
			if (flush)
				pa_walk_flush_sig();
			pa_walk_sig(&uc, &bounds, frames, PA_FRAMES_LEAF, &info);
		}
		results[r] = (now_ns() - start) / loops;
	}
	qsort(results, RUNS, sizeof(results[0]), compare);
}

static void cold_loop(void)
{
	static char other[4 << 20];
	ucontext_t uc;

	getcontext(&uc);
	for (int r = 0; r < RUNS; r++) {
		double start;

		for (size_t i = 0; i < sizeof(other); i += 64)
			other[i]++;
		start = now_ns();
		pa_walk_sig(&uc, &bounds, frames, PA_FRAMES_LEAF, &info);
		results[r] = now_ns() - start;
	}
	qsort(results, RUNS, sizeof(results[0]), compare);
}

static double run(void (*what)(void), int depth)
{
	work = what;
	f0(depth - 1);
	return results[0];
}

/* ---- as a handler ----------------------------------------------------------------------------------------------- */

static struct pa_ring_producer out;
static struct pa_ring_consumer in;
static struct pa_ring ring = {.out = &out, .in = &in, .size = 65536};

static void on_empty(int sig, siginfo_t *si, void *uc)
{
	sink++;
}

static void on_walk(int sig, siginfo_t *si, void *uc)
{
	size_t n = pa_walk_sig(uc, &bounds, frames, PA_FRAMES_LEAF, &info);
	struct pa_sample *sample;

	pa_store_release(&in.tail, ring.head); /* a collector that is always there */
	sample = pa_ring_reserve(&ring, (uint32_t)(sizeof(*sample) + 8 * n));
	if (!sample)
		return;
	sample->head = (struct pa_record){.size = (uint32_t)(sizeof(*sample) + 8 * n), .type = PA_REC_SAMPLE};
	sample->nr_frames = (uint16_t)n;
	memcpy(sample->frames, frames, 8 * n);
	pa_ring_commit(&ring);
}

static void signal_loop(void)
{
	long pid = getpid(), tid = syscall(SYS_gettid);

	for (int r = 0; r < RUNS; r++) {
		double start = now_ns();

		for (int i = 0; i < SIGNALS; i++)
			syscall(SYS_tgkill, pid, tid, SIGUSR1);
		results[r] = (now_ns() - start) / SIGNALS;
	}
	qsort(results, RUNS, sizeof(results[0]), compare);
}

static double with_handler(void (*handler)(int, siginfo_t *, void *), int depth)
{
	struct sigaction act = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};

	sigaction(SIGUSR1, &act, NULL);
	return run(signal_loop, depth);
}

static void handlers(void)
{
	double empty = with_handler(on_empty, 29), walk, foreign;

	bounds = known();
	info.memo = (struct pa_memo *)memo; /* as in the agent */
	walk = with_handler(on_walk, 29);
	info.memo = NULL;
	printf("empty handler                          %8.0f ns\n", empty);
	printf("walk + 1 record above it, %3d frames   %8.0f ns\n", info.nr_frames, walk - empty);
	bounds = (struct pa_stack_bounds){0, 0};
	foreign = with_handler(on_walk, 29);
	printf("  on a foreign stack                   %8.0f ns\n", foreign - empty);
}

/* ---- new pcs ---------------------------------------------------------------------------------------------------- */

static void new_pcs(void)
{
	uint64_t start = (uint64_t)(uintptr_t)&printf & ~UINT64_C(0xffff), seed = 1;
	struct pa_rules rules = {.info = &info, .generation = pa_rules_generation_sig()};
	struct pa_rule rule;
	double t = now_ns();

	for (int i = 0; i < LOOPS; i++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		rules.start = rules.end = 0; /* each as the first of its walk */
		rules.pages = (struct pa_pages){0, 0};
		info.nr_modules = 0;
		pa_rules_work_out_sig(&rules, start + (seed >> 33) % 0x40000, true, &rule);
	}
	printf("new pc in libc, alone in its walk      %8.0f ns\n", (now_ns() - t) / LOOPS);
}

int main(void)
{
	static const int depths[] = {8, 28, 32};

	if (pa_walk_init()) {
		fprintf(stderr, "bench_walk: this C library has no _dl_find_object\n");
		return 1;
	}
	pa_walk_set_quiet_sig(false);
	ring.data = calloc(1, ring.size);
	for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
		double warm, cold, warm_memo, cold_memo, unknown, fresh;

		flush = false;
		bounds = known();
		warm = run(walk_loop, depths[i]);
		cold = run(cold_loop, depths[i]);
		info.memo = (struct pa_memo *)memo;
		warm_memo = run(walk_loop, depths[i]);
		cold_memo = run(cold_loop, depths[i]);
		info.memo = NULL;
		bounds = (struct pa_stack_bounds){0, 0};
		unknown = run(walk_loop, depths[i]);
		bounds = known();
		flush = true;
		fresh = run(walk_loop, depths[i]);
		printf("%3d frames: warm %5.0f ns (remembered %4.0f), cold %5.0f (remembered %4.0f), foreign %5.0f, "
		       "all pcs new %6.0f (%.0f each)\n",
		       info.nr_frames, warm, warm_memo, cold, cold_memo, unknown, fresh, fresh / info.nr_frames);
	}
	handlers();
	new_pcs();
	return 0;
}
