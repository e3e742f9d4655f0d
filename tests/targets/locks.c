/* Threads that wait for locks, each time until the one that has it has seen them asleep and then for MS milliseconds
 * more; in functions of known names. What each wait lasted by the program's own clock is added up in a file "waits" in
 * its working directory: a line "KIND COUNT TOTAL_NS MAX_NS".
 *
 *   locks KIND N MS     mutex, recursive, errorcheck, adaptive, robust, inherit (priorities), timed, clock, reader,
 *                       writer, timedreader, timedwriter, condition, semaphore, join
 *   locks timeout N MS  nobody gives the mutex back: N times for MS milliseconds
 *   locks compute N MS  as mutex; who has it computes
 *   locks chain N MS    three threads in turn: who has it had to wait for it
 *   locks free N        every kind is taken and given back N times, with nobody else there
 *   locks left          a thread is cancelled in a condition's wait, another one never gets its mutex
 */
#include <semaphore.h>
#include <stdbool.h>

#include "target.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static sem_t semaphore;
static pthread_barrier_t barrier;
static volatile pid_t waiter;
static volatile bool arrived;
static unsigned rounds, length_ms;
static uint64_t nr, total_ns, max_ns;

static void note(uint64_t began_ns)
{
	uint64_t ns = target_clock_ns(CLOCK_MONOTONIC) - began_ns;

	nr++;
	total_ns += ns;
	max_ns = ns > max_ns ? ns : max_ns;
}

static void write_books(const char *kind)
{
	FILE *file = fopen("waits", "w");

	target_need(file != NULL, "waits");
	fprintf(file, "%s %llu %llu %llu\n", kind, (unsigned long long)nr, (unsigned long long)total_ns,
		(unsigned long long)max_ns);
	fclose(file);
}

static void pause_ms(unsigned ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l};

	while (nanosleep(&ts, &ts) != 0)
		;
}

static char state_of(pid_t tid)
{
	char path[64], text[512], *at;
	FILE *file;
	size_t len;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	file = fopen(path, "r");
	target_need(file != NULL, path);
	len = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[len] = 0;
	at = strrchr(text, ')');
	return at && at[1] ? at[2] : '?';
}

/* Returns when the other thread has said that it is about to wait, and has fallen asleep since. */
static void see_it_asleep(void)
{
	while (!waiter)
		pause_ms(1);
	while (state_of(waiter) != 'S')
		pause_ms(1);
}

static void begin_to_wait(void)
{
	waiter = gettid();
}

/* ---- kinds --------------------------------------------------------------------------------------------------------
 */

static struct timespec in_an_hour(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	ts.tv_sec += 3600;
	return ts;
}

static int lock_plain(void)
{
	return pthread_mutex_lock(&mutex);
}

static int lock_timed(void)
{
	struct timespec ts = in_an_hour(CLOCK_REALTIME);

	return pthread_mutex_timedlock(&mutex, &ts);
}

static int lock_clock(void)
{
	struct timespec ts = in_an_hour(CLOCK_MONOTONIC);

	return pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &ts);
}

static int unlock_plain(void)
{
	return pthread_mutex_unlock(&mutex);
}

static int lock_read(void)
{
	return pthread_rwlock_rdlock(&rwlock);
}

static int lock_write(void)
{
	return pthread_rwlock_wrlock(&rwlock);
}

static int lock_timedread(void)
{
	struct timespec ts = in_an_hour(CLOCK_REALTIME);

	return pthread_rwlock_timedrdlock(&rwlock, &ts);
}

static int lock_timedwrite(void)
{
	struct timespec ts = in_an_hour(CLOCK_REALTIME);

	return pthread_rwlock_timedwrlock(&rwlock, &ts);
}

static int unlock_rw(void)
{
	return pthread_rwlock_unlock(&rwlock);
}

static int lock_cond(void)
{
	int ret = pthread_mutex_lock(&mutex);

	while (!arrived && ret == 0)
		ret = pthread_cond_wait(&condition, &mutex);
	return ret;
}

static int unlock_cond(void)
{
	arrived = false;
	return pthread_mutex_unlock(&mutex);
}

static int lock_sem(void)
{
	return sem_wait(&semaphore);
}

static int unlock_sem(void)
{
	return sem_post(&semaphore);
}

static const struct kind {
	const char *name;
	int type; /* of the mutex */
	int robust, protocol;
	int (*hold)(void); /* NULL: there is nothing to hold */
	int (*lock)(void);
	int (*unlock)(void);
} kinds[] = {
    {"mutex", PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE, lock_plain, lock_plain, unlock_plain},
    {"compute", PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE, lock_plain, lock_plain, unlock_plain},
    {"recursive", PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE, lock_plain, lock_plain,
     unlock_plain},
    {"errorcheck", PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE, lock_plain, lock_plain,
     unlock_plain},
    {"adaptive", PTHREAD_MUTEX_ADAPTIVE_NP, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE, lock_plain, lock_plain,
     unlock_plain},
    {"robust", PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_NONE, lock_plain, lock_plain, unlock_plain},
    {"inherit", PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_INHERIT, lock_plain, lock_plain,
     unlock_plain},
    {"timed", PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE, lock_plain, lock_timed, unlock_plain},
    {"clock", PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE, lock_plain, lock_clock, unlock_plain},
    {"reader", 0, 0, 0, lock_write, lock_read, unlock_rw},
    {"writer", 0, 0, 0, lock_read, lock_write, unlock_rw},
    {"timedreader", 0, 0, 0, lock_write, lock_timedread, unlock_rw},
    {"timedwriter", 0, 0, 0, lock_read, lock_timedwrite, unlock_rw},
    {"condition", 0, 0, 0, NULL, lock_cond, unlock_cond},
    {"semaphore", 0, 0, 0, NULL, lock_sem, NULL},
    {"join", 0, 0, 0, NULL, NULL, NULL},
};

static const struct kind *kind;

static void make_mutex(void)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	target_need(pthread_mutexattr_settype(&attr, kind->type) == 0 &&
			pthread_mutexattr_setrobust(&attr, kind->robust) == 0 &&
			pthread_mutexattr_setprotocol(&attr, kind->protocol) == 0 &&
			pthread_mutex_init(&mutex, &attr) == 0,
		    "mutex");
	sem_init(&semaphore, 0, 0);
}

/* ---- who has it, and who waits ------------------------------------------------------------------------------------
 */

TARGET_NOINLINE static void hold_on_purpose(void)
{
	see_it_asleep();
	if (strcmp(kind->name, "compute") == 0)
		target_burn_ms(length_ms);
	else
		pause_ms(length_ms);
	target_sink++;
}

static void *holder(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < rounds; i++) {
		if (kind->hold)
			target_need(kind->hold() == 0, "hold");
		pthread_barrier_wait(&barrier);
		hold_on_purpose();
		waiter = 0;
		if (kind->lock == lock_cond) {
			pthread_mutex_lock(&mutex);
			arrived = true;
			pthread_cond_signal(&condition);
			pthread_mutex_unlock(&mutex);
		} else {
			target_need((kind->hold ? kind->unlock() : unlock_sem()) == 0, "give back");
		}
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

TARGET_NOINLINE static void wait_on_purpose(void)
{
	uint64_t began_ns;

	begin_to_wait();
	began_ns = target_clock_ns(CLOCK_MONOTONIC);
	target_need(kind->lock() == 0, "lock");
	note(began_ns);
	if (kind->unlock)
		target_need(kind->unlock() == 0, "unlock");
}

static void *sleeper(void *arg)
{
	hold_on_purpose();
	waiter = 0;
	return arg;
}

TARGET_NOINLINE static void join_on_purpose(pthread_t thread)
{
	uint64_t began_ns;

	begin_to_wait();
	began_ns = target_clock_ns(CLOCK_MONOTONIC);
	target_need(pthread_join(thread, NULL) == 0, "join");
	note(began_ns);
}

static int waits(int argc, char **argv)
{
	pthread_t thread;

	target_need(argc == 3, "N MS");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].name, argv[0]) == 0)
			kind = &kinds[i];
	rounds = (unsigned)atoi(argv[1]);
	length_ms = (unsigned)atoi(argv[2]);
	make_mutex();
	if (!kind->lock) {
		for (unsigned i = 0; i < rounds; i++) {
			target_need(pthread_create(&thread, NULL, sleeper, NULL) == 0, "thread");
			join_on_purpose(thread);
		}
		write_books(argv[0]);
		return 0;
	}
	pthread_barrier_init(&barrier, NULL, 2);
	target_need(pthread_create(&thread, NULL, holder, NULL) == 0, "thread");
	for (unsigned i = 0; i < rounds; i++) {
		pthread_barrier_wait(&barrier);
		wait_on_purpose();
		pthread_barrier_wait(&barrier);
	}
	pthread_detach(thread);
	write_books(argv[0]);
	return 0;
}

TARGET_NOINLINE static void time_out_on_purpose(void)
{
	struct timespec ts;
	uint64_t began_ns;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += length_ms * 1000000l;
	ts.tv_sec += ts.tv_nsec / 1000000000l;
	ts.tv_nsec %= 1000000000l;
	began_ns = target_clock_ns(CLOCK_MONOTONIC);
	target_need(pthread_mutex_timedlock(&mutex, &ts) == ETIMEDOUT, "timed out");
	note(began_ns);
}

static int timeout(int argc, char **argv)
{
	rounds = target_number(argc, argv, 1, 3);
	length_ms = target_number(argc, argv, 2, 20);
	pthread_mutex_lock(&mutex);
	for (unsigned i = 0; i < rounds; i++)
		time_out_on_purpose();
	pthread_mutex_unlock(&mutex);
	write_books(argv[0]);
	return 0;
}

static void *turn_of_one(void *arg)
{
	waiter = gettid();
	pthread_mutex_lock(&mutex);
	pause_ms(length_ms);
	pthread_mutex_unlock(&mutex);
	return arg;
}

/* Both wait for the first; one of them then for the other. */
static int chain(int argc, char **argv)
{
	pthread_t threads[2];

	rounds = target_number(argc, argv, 1, 3);
	length_ms = target_number(argc, argv, 2, 20);
	for (unsigned i = 0; i < rounds; i++) {
		pthread_mutex_lock(&mutex);
		for (int k = 0; k < 2; k++) {
			waiter = 0;
			target_need(pthread_create(&threads[k], NULL, turn_of_one, NULL) == 0, "thread");
			see_it_asleep();
		}
		pause_ms(1);
		pthread_mutex_unlock(&mutex);
		for (int k = 0; k < 2; k++)
			pthread_join(threads[k], NULL);
	}
	return 0;
}

static int all_free(int argc, char **argv)
{
	unsigned times = target_number(argc, argv, 1, 10000);

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		kind = &kinds[i];
		if (!kind->hold)
			continue;
		make_mutex();
		for (unsigned k = 0; k < times; k++)
			target_need(kind->lock() == 0 && kind->unlock() == 0, kind->name);
	}
	for (unsigned k = 0; k < times; k++)
		target_need(sem_post(&semaphore) == 0 && sem_wait(&semaphore) == 0, "semaphore");
	return 0;
}

static void give_back(void *arg)
{
	pthread_mutex_unlock(arg);
}

static void *wait_for_ever(void *arg)
{
	pthread_mutex_lock(&mutex);
	pthread_cleanup_push(give_back, &mutex);
	waiter = gettid();
	while (arg)
		pthread_cond_wait(&condition, &mutex);
	pthread_cleanup_pop(1);
	return NULL;
}

static int left(int argc, char **argv)
{
	pthread_t thread;

	(void)argc;
	target_need(pthread_create(&thread, NULL, wait_for_ever, argv) == 0, "thread");
	see_it_asleep();
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	waiter = 0;
	pthread_mutex_lock(&mutex);
	target_need(pthread_create(&thread, NULL, turn_of_one, NULL) == 0, "thread");
	see_it_asleep();
	return 0;
}

static const struct target_mode modes[] = {
    {"mutex", waits},  {"compute", waits},     {"recursive", waits},   {"errorcheck", waits}, {"adaptive", waits},
    {"robust", waits}, {"inherit", waits},     {"timed", waits},       {"clock", waits},      {"reader", waits},
    {"writer", waits}, {"timedreader", waits}, {"timedwriter", waits}, {"condition", waits},  {"semaphore", waits},
    {"join", waits},   {"timeout", timeout},   {"chain", chain},       {"free", all_free},    {"left", left},
    {NULL, NULL},
};

int main(int argc, char **argv)
{
	return target_main(modes, argc, argv);
}
