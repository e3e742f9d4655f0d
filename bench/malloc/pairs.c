/* What a malloc/free pair costs: random 16 to 512 bytes into 10 000 places, each new block after the old one's free,
 * from a stack of chosen depth. Run it plain, behind forward.so, and under whatever is to be compared.
 *
 *   pairs [-d DEPTH] [-t THREADS] [-v] -s SECONDS      goes on for so long
 *   pairs [-d DEPTH] [-t THREADS] [-v] -n PAIRS -r N   N bursts, 100 ms of rest before each; prints one line a burst
 *
 * -v: the four frames nearest to the allocation change from pair to pair.
 * Output, a line: CPU ns per pair and thread, wall ns per pair and thread, pairs in all. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LIVE        10000
#define CHECK_EVERY 1024 /* pairs between two looks at the clock */
#define LEVELS      16
#define MAX_THREADS 64

static unsigned depth = 4, nr_threads = 1, bursts = 1;
static uint64_t pairs_wanted;
static double seconds;
static int varied;

struct work {
	pthread_t thread;
	pthread_barrier_t *barrier;
	void *live[LIVE];
	uint64_t random;
	uint64_t pairs;
	uint64_t cpu_ns, wall_ns; /* of the last burst */
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static inline uint32_t next(struct work *w)
{
	w->random = w->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(w->random >> 33);
}

static inline void pair(struct work *w, uint32_t r)
{
	void **place = &w->live[r % LIVE];

	free(*place);
	*place = malloc(16 + (r >> 8) % 497);
	if (!*place)
		abort();
	*(volatile char *)*place = 1;
}

/* Four levels of four functions: 256 stacks. What `which` says of a level is in its two bits. */
typedef void variant_fn(struct work *w, uint32_t r, uint32_t which);

#define VARIANT(name, next)                                                                                            \
	static __attribute__((noinline)) void name(struct work *w, uint32_t r, uint32_t which)                         \
	{                                                                                                              \
		static const char *const me = #name;                                                                   \
		next;                                                                                                  \
		__asm__ volatile("" ::"r"(me), "r"(which) : "memory"); /* no two alike, and no jump for the call */    \
	}
#define LEVEL(level, below)                                                                                            \
	VARIANT(level##0, below)                                                                                       \
	VARIANT(level##1, below)                                                                                       \
	VARIANT(level##2, below)                                                                                       \
	VARIANT(level##3, below)                                                                                       \
	static variant_fn *const level[4] = {level##0, level##1, level##2, level##3};
LEVEL(nearest, pair(w, r))
LEVEL(second, nearest[which & 3](w, r, which >> 2))
LEVEL(third, second[which & 3](w, r, which >> 2))
LEVEL(fourth, third[which & 3](w, r, which >> 2))

static __attribute__((noinline)) void varied_pair(struct work *w, uint32_t r)
{
	uint32_t which = next(w);

	fourth[which & 3](w, r, which >> 2);
}

static int go_on(uint64_t done, uint64_t end_ns)
{
	if (pairs_wanted)
		return done < pairs_wanted;
	return done % CHECK_EVERY || now_ns(CLOCK_MONOTONIC) < end_ns;
}

static __attribute__((noinline)) void work(struct work *w)
{
	uint64_t wall = now_ns(CLOCK_MONOTONIC), cpu = now_ns(CLOCK_THREAD_CPUTIME_ID);
	uint64_t end = wall + (uint64_t)(seconds * 1e9), done = 0;

	while (go_on(done, end)) {
		if (varied)
			varied_pair(w, next(w));
		else
			pair(w, next(w));
		done++;
	}
	w->cpu_ns = now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
	w->wall_ns = now_ns(CLOCK_MONOTONIC) - wall;
	w->pairs = done;
}

/* The way down: functions with frames of different sizes, each going on to the next. */
static void (*const descents[LEVELS])(struct work *w, unsigned left);

#define DESCENT(n, bytes)                                                                                              \
	static __attribute__((noinline)) void descend##n(struct work *w, unsigned left)                                \
	{                                                                                                              \
		volatile char room[bytes];                                                                             \
		room[0] = (char)left;                                                                                  \
		if (left > 1)                                                                                          \
			descents[(left - 1) % LEVELS](w, left - 1);                                                    \
		else                                                                                                   \
			work(w);                                                                                       \
		(void)room[bytes - 1];                                                                                 \
	}
DESCENT(0, 8)
DESCENT(1, 24)
DESCENT(2, 40) DESCENT(3, 8) DESCENT(4, 200) DESCENT(5, 24) DESCENT(6, 8) DESCENT(7, 72) DESCENT(8, 16) DESCENT(9, 120)
    DESCENT(10, 8) DESCENT(11, 56) DESCENT(12, 8) DESCENT(13, 40) DESCENT(14, 328)
	DESCENT(15, 8) static void (*const descents[LEVELS])(struct work *w, unsigned left) = {
	    descend0, descend1, descend2,  descend3,  descend4,  descend5,  descend6,  descend7,
	    descend8, descend9, descend10, descend11, descend12, descend13, descend14, descend15,
};

static void *run(void *arg)
{
	struct work *w = arg;

	for (int i = 0; i < LIVE; i++) {
		w->live[i] = malloc(16 + next(w) % 497);
		if (!w->live[i])
			abort();
	}
	for (unsigned i = 0; i < bursts; i++) {
		if (pairs_wanted)
			usleep(100000);
		pthread_barrier_wait(w->barrier);
		/* work() itself and a thread's or main's own frames are there in any case */
		descents[(depth - 1) % LEVELS](w, depth);
		pthread_barrier_wait(w->barrier);
		pthread_barrier_wait(w->barrier);
	}
	return NULL;
}

static void options(int argc, char **argv)
{
	for (int c; (c = getopt(argc, argv, "d:t:s:n:r:v")) != -1;) {
		switch (c) {
		case 'd':
			depth = (unsigned)atoi(optarg);
			break;
		case 't':
			nr_threads = (unsigned)atoi(optarg);
			break;
		case 's':
			seconds = atof(optarg);
			break;
		case 'n':
			pairs_wanted = strtoull(optarg, NULL, 10);
			break;
		case 'r':
			bursts = (unsigned)atoi(optarg);
			break;
		case 'v':
			varied = 1;
			break;
		default:
			exit(2);
		}
	}
	if (!depth || !nr_threads || nr_threads > MAX_THREADS || (!pairs_wanted && seconds <= 0)) {
		fprintf(stderr, "usage: pairs [-d DEPTH] [-t THREADS] [-v] -s SECONDS | -n PAIRS [-r BURSTS]\n");
		exit(2);
	}
}

static void print(const struct work *w)
{
	uint64_t cpu = 0, wall = 0, pairs = 0;

	for (unsigned i = 0; i < nr_threads; i++) {
		cpu += w[i].cpu_ns;
		wall += w[i].wall_ns;
		pairs += w[i].pairs;
	}
	printf("%.2f %.2f %llu\n", (double)cpu / (double)pairs, (double)wall / (double)pairs,
	       (unsigned long long)pairs);
}

int main(int argc, char **argv)
{
	static struct work w[MAX_THREADS];
	pthread_barrier_t barrier;

	options(argc, argv);
	pthread_barrier_init(&barrier, NULL, nr_threads);
	for (unsigned i = 0; i < nr_threads; i++) {
		w[i].random = i + 1;
		w[i].barrier = &barrier;
	}
	/* the first one's work is the main thread's: with one thread libc stays on its single-thread paths */
	for (unsigned i = 1; i < nr_threads; i++)
		if (pthread_create(&w[i].thread, NULL, run, &w[i]) != 0)
			return 1;
	for (unsigned i = 0; i < LIVE; i++)
		w[0].live[i] = malloc(16 + next(&w[0]) % 497);
	for (unsigned i = 0; i < bursts; i++) {
		if (pairs_wanted)
			usleep(100000);
		pthread_barrier_wait(&barrier);
		descents[(depth - 1) % LEVELS](&w[0], depth);
		pthread_barrier_wait(&barrier);
		print(w);
		pthread_barrier_wait(&barrier);
	}
	for (unsigned i = 1; i < nr_threads; i++)
		pthread_join(w[i].thread, NULL);
	return 0;
}
