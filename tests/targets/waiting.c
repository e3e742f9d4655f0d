/* Threads that wait for a known share of their time, in functions of known names. What each has waited by the program's
 * own clock goes to a file "waits" in its working directory: a line "FUNCTION LEAST MOST", in seconds: what it asked
 * for, and what its clock says, which has waits for a processor, too.
 *
 *   waiting share MS     for MS milliseconds: 8 ms of sleep, 2 ms of computing, and again
 *   waiting many N MS    N threads, each in a wait of its own that lasts MS milliseconds
 *   waiting hidden MS    as share; only root may look at it
 */
#include <sys/prctl.h>

#include "target.h"

static uint64_t asleep_ns, asked_ns;

static void pause_us(unsigned us)
{
	struct timespec ts = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000l};

	while (nanosleep(&ts, &ts) != 0)
		;
}

TARGET_NOINLINE static void sleep_on_purpose(unsigned us)
{
	uint64_t began_ns = target_clock_ns(CLOCK_MONOTONIC);

	pause_us(us);
	asleep_ns += target_clock_ns(CLOCK_MONOTONIC) - began_ns;
	asked_ns += us * 1000u;
	target_sink++;
}

TARGET_NOINLINE static void compute_on_purpose(unsigned ms)
{
	target_burn_ms(ms);
	target_sink++;
}

static void book(const char *function, double least, double most)
{
	FILE *file = fopen("waits", "w");

	target_need(file != NULL, "waits");
	fprintf(file, "%s %.6f %.6f\n", function, least, most);
	fclose(file);
}

static int share(int argc, char **argv)
{
	uint64_t end = target_clock_ns(CLOCK_MONOTONIC) + (uint64_t)target_number(argc, argv, 1, 2000) * 1000000u;

	while (target_clock_ns(CLOCK_MONOTONIC) < end) {
		sleep_on_purpose(8000);
		compute_on_purpose(2);
	}
	book("sleep_on_purpose", (double)asked_ns / 1e9, (double)asleep_ns / 1e9);
	return 0;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

TARGET_NOINLINE static void queue_on_purpose(void)
{
	pthread_mutex_lock(&mutex);
	target_sink++;
	pthread_mutex_unlock(&mutex);
}

static void *queue(void *arg)
{
	queue_on_purpose();
	return arg;
}

static int many(int argc, char **argv)
{
	uint64_t began_ns = target_clock_ns(CLOCK_MONOTONIC);
	unsigned nr = target_number(argc, argv, 1, 10), ms = target_number(argc, argv, 2, 1000);
	pthread_t threads[1000];

	target_need(nr <= 1000, "N");
	pthread_mutex_lock(&mutex);
	for (unsigned i = 0; i < nr; i++)
		target_need(pthread_create(&threads[i], NULL, queue, NULL) == 0, "thread");
	pause_us(ms * 1000);
	pthread_mutex_unlock(&mutex);
	for (unsigned i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
	book("queue_on_purpose", 0, (double)nr * (double)(target_clock_ns(CLOCK_MONOTONIC) - began_ns) / 1e9);
	return 0;
}

static int hidden(int argc, char **argv)
{
	target_need(prctl(PR_SET_DUMPABLE, 0) == 0, "PR_SET_DUMPABLE");
	return share(argc, argv);
}

static const struct target_mode modes[] = {{"share", share}, {"many", many}, {"hidden", hidden}, {NULL, NULL}};

int main(int argc, char **argv)
{
	return target_main(modes, argc, argv);
}
