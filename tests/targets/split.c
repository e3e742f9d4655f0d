/* Two functions that share the CPU time of each thread 70 to 30, by construction and exactly: whoever is behind its
 * share of the thread's CPU clock runs next. Turns are of random length: a program whose turns repeat with a period of
 * its own is in lock-step with the kernel's tick, and what that does is another question (docs/SAMPLING.md). split
 * THREADS MILLISECONDS; the achieved split goes to split.txt. */
#include "tests/targets/target.h"

#define SLICE_ROUNDS_MIN  10000
#define SLICE_ROUNDS_MORE 60000

struct share {
	uint64_t limit_ns;
	uint64_t seventy_ns, thirty_ns;
};

TARGET_NOINLINE void hot_seventy(unsigned rounds);
TARGET_NOINLINE void hot_thirty(unsigned rounds);

/* each spins in its own code: a leaf of the profile names the function itself */
#define HOT(name, add)                                                                                                 \
	TARGET_NOINLINE void name(unsigned rounds)                                                                     \
	{                                                                                                              \
		volatile uint64_t x = add;                                                                             \
		for (unsigned i = 0; i < rounds; i++)                                                                  \
			x = x * 6364136223846793005u + add;                                                            \
	}
HOT(hot_seventy, 1442695040888963407u)
HOT(hot_thirty, 3037000493u)

static void *share_thread(void *arg)
{
	struct share *s = arg;
	uint64_t start = target_clock_ns(CLOCK_THREAD_CPUTIME_ID), before = start, after;
	uint64_t random = start | 1;

	while (before - start < s->limit_ns) {
		/* 3 * seventy < 7 * thirty: the first is behind */
		int seventy = 3 * s->seventy_ns <= 7 * s->thirty_ns;
		unsigned rounds;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		rounds = SLICE_ROUNDS_MIN + (unsigned)(random % SLICE_ROUNDS_MORE);
		if (seventy)
			hot_seventy(rounds);
		else
			hot_thirty(rounds);
		after = target_clock_ns(CLOCK_THREAD_CPUTIME_ID);
		*(seventy ? &s->seventy_ns : &s->thirty_ns) += after - before;
		before = after;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned nr = target_number(argc, argv, 1, 1), ms = target_number(argc, argv, 2, 1000);
	struct share shares[64] = {0};
	uint64_t seventy = 0, thirty = 0;
	pthread_t threads[64];
	FILE *f;

	target_need(nr >= 1 && nr <= 64, "1 to 64 threads");
	for (unsigned i = 0; i < nr; i++) {
		shares[i].limit_ns = ms * 1000000ull / nr;
		target_need(pthread_create(&threads[i], NULL, share_thread, &shares[i]) == 0, "pthread_create");
	}
	for (unsigned i = 0; i < nr; i++) {
		pthread_join(threads[i], NULL);
		seventy += shares[i].seventy_ns;
		thirty += shares[i].thirty_ns;
	}
	f = fopen("split.txt", "w");
	target_need(f && fprintf(f, "%.6f\n", (double)seventy / (double)(seventy + thirty)) > 0 && fclose(f) == 0,
		    "split.txt");
	printf("split over %u threads\n", nr);
	return 0;
}
