/* What calls on locks answer: results and errno of every kind of mutex, read-write lock, condition, semaphore and join,
 * also where they are used wrongly, by handlers, in children, and by many threads at once. The same with and without
 * the agent.
 *
 *   lock_calls mutexes    every type, robustness and protocol: locked by nobody, by this thread, by another one
 *   lock_calls dead       robust mutexes whose owner has died
 *   lock_calls others     read-write locks, conditions, semaphores, joins; bad times, clocks and arguments
 *   lock_calls cancel     threads are cancelled in conditions, semaphores and joins; with a cancellation due already
 *   lock_calls jumps      siglongjmp out of a semaphore's and a condition's wait
 *   lock_calls handlers   handlers that use semaphores, inside waits
 *   lock_calls forks      children of fork and vfork; a lock that was waited for in the parent, given back in the child
 *   lock_calls storm      8 threads count with mutexes and read-write locks, 20000 times each
 *   lock_calls many       20 locks, each waited for, held at once, and given back in another order
 */
#include <dlfcn.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>

#include "target.h"

static struct timespec in_ms(clockid_t clock, long ms)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	ts.tv_nsec += ms % 1000 * 1000000l;
	ts.tv_sec += ms / 1000 + ts.tv_nsec / 1000000000l;
	ts.tv_nsec %= 1000000000l;
	return ts;
}

static void pause_ms(unsigned ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l};

	while (nanosleep(&ts, &ts) != 0)
		;
}

#define SAY(call)                                                                                                      \
	do {                                                                                                           \
		errno = 77;                                                                                            \
		int said = (call);                                                                                     \
		printf("  %s: %d errno %d\n", #call, said, errno);                                                     \
	} while (0)

/* ---- mutexes ------------------------------------------------------------------------------------------------------
 */

static pthread_mutex_t mutex;

static void make_at(pthread_mutex_t *m, int type, int robust, int protocol, int shared)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, type);
	pthread_mutexattr_setrobust(&attr, robust);
	pthread_mutexattr_setprotocol(&attr, protocol);
	pthread_mutexattr_setpshared(&attr, shared);
	target_need(pthread_mutex_init(m, &attr) == 0, "mutex");
}

static void make(int type, int robust, int protocol, int shared)
{
	make_at(&mutex, type, robust, protocol, shared);
}

static void *from_outside(void *arg)
{
	struct timespec soon = in_ms(CLOCK_REALTIME, 3), past = {.tv_sec = 1}, bad = {.tv_sec = 1, .tv_nsec = -1};

	(void)arg;
	SAY(pthread_mutex_trylock(&mutex));
	SAY(pthread_mutex_timedlock(&mutex, &soon));
	SAY(pthread_mutex_timedlock(&mutex, &past));
	SAY(pthread_mutex_timedlock(&mutex, &bad));
	SAY(pthread_mutex_clocklock(&mutex, CLOCK_REALTIME, &past));
	SAY(pthread_mutex_clocklock(&mutex, CLOCK_PROCESS_CPUTIME_ID, &past));
	return NULL;
}

static void run(void *(*fn)(void *))
{
	pthread_t thread;

	target_need(pthread_create(&thread, NULL, fn, NULL) == 0, "thread");
	pthread_join(thread, NULL);
}

static void one_mutex(int type, int robust, int protocol, int shared)
{
	struct timespec soon = in_ms(CLOCK_REALTIME, 3), bad = {.tv_sec = 1, .tv_nsec = -1};

	printf("type %d robust %d protocol %d shared %d\n", type, robust, protocol, shared);
	make(type, robust, protocol, shared);
	SAY(pthread_mutex_lock(&mutex));
	run(from_outside);
	if (type != PTHREAD_MUTEX_NORMAL && type != PTHREAD_MUTEX_ADAPTIVE_NP)
		SAY(pthread_mutex_lock(&mutex));
	SAY(pthread_mutex_timedlock(&mutex, &soon));
	SAY(pthread_mutex_unlock(&mutex));
	if (type == PTHREAD_MUTEX_RECURSIVE) {
		SAY(pthread_mutex_unlock(&mutex));
		SAY(pthread_mutex_unlock(&mutex));
	}
	run(from_outside);
	if (type == PTHREAD_MUTEX_ERRORCHECK || type == PTHREAD_MUTEX_RECURSIVE)
		SAY(pthread_mutex_unlock(&mutex));
	make(type, robust, protocol, shared);
	SAY(pthread_mutex_timedlock(&mutex, &bad));
	SAY(pthread_mutex_unlock(&mutex));
	SAY(pthread_mutex_clocklock(&mutex, CLOCK_PROCESS_CPUTIME_ID, &soon));
	SAY(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &soon));
	SAY(pthread_mutex_unlock(&mutex));
}

static int mutexes(int argc, char **argv)
{
	static const int types[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK,
				    PTHREAD_MUTEX_ADAPTIVE_NP};

	(void)argc;
	(void)argv;
	for (int t = 0; t < 4; t++)
		for (int robust = 0; robust < 2; robust++)
			for (int protocol = 0; protocol < 2; protocol++)
				for (int shared = 0; shared < 2; shared++)
					one_mutex(types[t], robust, protocol, shared);
	one_mutex(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_PROTECT, PTHREAD_PROCESS_PRIVATE);
	return 0;
}

static sem_t semaphore;

static pthread_mutex_t *dying;

static void *die_with_it(void *arg)
{
	pthread_mutex_lock(dying);
	sem_post(&semaphore);
	pause_ms(5);
	return arg;
}

static int dead(int argc, char **argv)
{
	static pthread_mutex_t all[8]; /* each only once: the kernel may know of the last one's use */
	pthread_t thread;
	int nr = 0;

	(void)argc;
	(void)argv;
	sem_init(&semaphore, 0, 0);
	for (int protocol = 0; protocol < 2; protocol++) {
		for (int kept = 0; kept < 2; kept++) {
			for (int late = 0; late < 2; late++) {
				dying = &all[nr++];
				make_at(dying, PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST, protocol, 0);
				target_need(pthread_create(&thread, NULL, die_with_it, NULL) == 0, "thread");
				while (sem_wait(&semaphore) != 0)
					;
				if (late)
					pthread_join(thread, NULL);
				SAY(pthread_mutex_lock(dying));
				if (kept)
					SAY(pthread_mutex_consistent(dying));
				SAY(pthread_mutex_unlock(dying));
				SAY(pthread_mutex_lock(dying));
				SAY(pthread_mutex_trylock(dying));
				/* it is in this thread's list of those it holds */
				if (kept)
					SAY(pthread_mutex_unlock(dying));
				if (!late)
					pthread_join(thread, NULL);
			}
		}
	}
	return 0;
}

/* ---- others -------------------------------------------------------------------------------------------------------
 */

static pthread_rwlock_t rwlock;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;

static void *rw_outside(void *arg)
{
	struct timespec soon = in_ms(CLOCK_REALTIME, 3), bad = {.tv_sec = 1, .tv_nsec = 1000000000};

	(void)arg;
	SAY(pthread_rwlock_timedrdlock(&rwlock, &soon));
	SAY(pthread_rwlock_timedwrlock(&rwlock, &soon));
	SAY(pthread_rwlock_timedrdlock(&rwlock, &bad));
	SAY(pthread_rwlock_timedwrlock(&rwlock, &bad));
	return NULL;
}

static void one_rwlock(int preference)
{
	pthread_rwlockattr_t attr;

	printf("read-write lock %d\n", preference);
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, preference);
	pthread_rwlock_init(&rwlock, &attr);
	SAY(pthread_rwlock_rdlock(&rwlock));
	SAY(pthread_rwlock_rdlock(&rwlock));
	run(rw_outside);
	SAY(pthread_rwlock_unlock(&rwlock));
	SAY(pthread_rwlock_unlock(&rwlock));
	pthread_rwlock_init(&rwlock, &attr);
	SAY(pthread_rwlock_wrlock(&rwlock));
	SAY(pthread_rwlock_wrlock(&rwlock));
	SAY(pthread_rwlock_rdlock(&rwlock));
	run(rw_outside);
	SAY(pthread_rwlock_unlock(&rwlock));
}

static void *nothing(void *arg)
{
	return arg;
}

static int others(int argc, char **argv)
{
	struct timespec soon = in_ms(CLOCK_REALTIME, 5), past = {.tv_sec = 1}, bad = {.tv_sec = 1, .tv_nsec = -1};
	pthread_t thread;
	void *result;

	(void)argc;
	(void)argv;
	for (int preference = 0; preference < 3; preference++)
		one_rwlock(preference);
	puts("conditions");
	make(PTHREAD_MUTEX_ERRORCHECK, 0, 0, 0);
	SAY(pthread_cond_timedwait(&condition, &mutex, &past));
	pthread_mutex_lock(&mutex);
	SAY(pthread_cond_timedwait(&condition, &mutex, &soon));
	SAY(pthread_cond_timedwait(&condition, &mutex, &bad));
	SAY(pthread_cond_clockwait(&condition, &mutex, CLOCK_MONOTONIC, &past));
	SAY(pthread_cond_clockwait(&condition, &mutex, CLOCK_PROCESS_CPUTIME_ID, &past));
	SAY(pthread_mutex_unlock(&mutex));
	SAY(pthread_mutex_unlock(&mutex));
	puts("semaphores");
	sem_init(&semaphore, 0, 1);
	SAY(sem_wait(&semaphore));
	SAY(sem_timedwait(&semaphore, &soon));
	SAY(sem_timedwait(&semaphore, &bad));
	SAY(sem_clockwait(&semaphore, CLOCK_MONOTONIC, &past));
	SAY(sem_clockwait(&semaphore, CLOCK_PROCESS_CPUTIME_ID, &past));
	SAY(sem_post(&semaphore));
	SAY(sem_timedwait(&semaphore, &bad));
	SAY(sem_wait(&semaphore));
	puts("joins");
	SAY(pthread_join(pthread_self(), NULL));
	target_need(pthread_create(&thread, NULL, nothing, (void *)0x1234) == 0, "thread");
	SAY(pthread_join(thread, &result));
	printf("  %p\n", result);
	for (int i = 0; i < 2; i++) {
		static const char *const names[] = {"pthread_cond_wait", "pthread_mutex_lock"};

		printf("%s: %s\n", names[i], dlsym(RTLD_DEFAULT, names[i]) ? "there" : "not there");
	}
	return 0;
}

/* ---- ways out -----------------------------------------------------------------------------------------------------
 */

static void cleaned(void *arg)
{
	printf("  cleanup of %s\n", (const char *)arg);
	if (strcmp(arg, "condition") == 0)
		pthread_mutex_unlock(&mutex);
}

static void *in_condition(void *arg)
{
	pthread_mutex_lock(&mutex);
	pthread_cleanup_push(cleaned, "condition");
	for (;;)
		pthread_cond_wait(&condition, &mutex);
	pthread_cleanup_pop(1);
	return arg;
}

static void *in_semaphore(void *arg)
{
	pthread_cleanup_push(cleaned, "semaphore");
	for (;;)
		sem_wait(&semaphore);
	pthread_cleanup_pop(1);
	return arg;
}

static void *in_join(void *arg)
{
	pthread_t thread;

	target_need(pthread_create(&thread, NULL, in_semaphore, NULL) == 0, "thread");
	pthread_cleanup_push(cleaned, "join");
	pthread_join(thread, NULL);
	pthread_cleanup_pop(1);
	return arg;
}

/* A cancellation is due before the call: it acts even though the semaphore is free. */
static void *due_already(void *arg)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_cancel(pthread_self());
	pthread_cleanup_push(cleaned, "one that was due");
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	sem_wait(&semaphore);
	puts("  not cancelled");
	pthread_cleanup_pop(0);
	return arg;
}

static int cancel(int argc, char **argv)
{
	static void *(*const fns[])(void *) = {in_condition, in_semaphore, in_join};
	void *result;
	pthread_t thread;

	(void)argc;
	(void)argv;
	make(PTHREAD_MUTEX_NORMAL, 0, 0, 0);
	sem_init(&semaphore, 0, 0);
	for (int i = 0; i < 3; i++) {
		target_need(pthread_create(&thread, NULL, fns[i], NULL) == 0, "thread");
		pause_ms(10);
		pthread_cancel(thread);
		pthread_join(thread, &result);
		printf("%d\n", result == PTHREAD_CANCELED);
	}
	SAY(pthread_mutex_lock(&mutex));
	sem_init(&semaphore, 0, 1);
	target_need(pthread_create(&thread, NULL, due_already, NULL) == 0, "thread");
	pthread_join(thread, &result);
	printf("%d\n", result == PTHREAD_CANCELED);
	return 0;
}

static sigjmp_buf out;

static void jump(int sig)
{
	siglongjmp(out, sig);
}

static void alarm_ms(unsigned ms)
{
	timer_t timer;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
	struct itimerspec at = {.it_value = {.tv_nsec = ms * 1000000l}};

	target_need(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 && timer_settime(timer, 0, &at, NULL) == 0,
		    "timer");
}

static int jumps(int argc, char **argv)
{
	volatile int jumped = 0;

	(void)argc;
	(void)argv;
	signal(SIGUSR2, jump);
	sem_init(&semaphore, 0, 0);
	for (volatile int i = 0; i < 10; i++) {
		if (sigsetjmp(out, 1)) {
			jumped++;
			continue;
		}
		alarm_ms(2);
		sem_wait(&semaphore);
	}
	printf("%d\n", jumped);
	make(PTHREAD_MUTEX_NORMAL, 0, 0, 0);
	for (int i = 0; i < 3; i++) {
		SAY(pthread_mutex_lock(&mutex));
		SAY(pthread_mutex_unlock(&mutex));
	}
	return 0;
}

static void post(int sig)
{
	int before = errno;
	sem_t own;

	sem_init(&own, 0, 0);
	while (sem_timedwait(&own, &(struct timespec){.tv_sec = sig}) != 0 && errno != ETIMEDOUT)
		;
	sem_post(&semaphore);
	errno = before;
}

static int handlers(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	signal(SIGUSR2, post);
	sem_init(&semaphore, 0, 0);
	for (int i = 0; i < 20; i++) {
		int ret;

		alarm_ms(2);
		do
			ret = sem_wait(&semaphore);
		while (ret != 0 && errno == EINTR);
		printf("%d", ret);
	}
	struct sigaction action = {.sa_handler = post};

	sigaction(SIGUSR2, &action, NULL);
	alarm_ms(2);
	puts("");
	SAY(sem_wait(&semaphore));
	return 0;
}

/* ---- children, and many -------------------------------------------------------------------------------------------
 */

static void *keep_it(void *arg)
{
	pthread_mutex_lock(&mutex);
	sem_post(&semaphore);
	pause_ms(10);
	pthread_mutex_unlock(&mutex);
	return arg;
}

static int forks(int argc, char **argv)
{
	pthread_t thread;
	int status;
	pid_t pid;

	(void)argc;
	(void)argv;
	make(PTHREAD_MUTEX_NORMAL, 0, 0, 0);
	sem_init(&semaphore, 0, 0);
	target_need(pthread_create(&thread, NULL, keep_it, NULL) == 0, "thread");
	sem_wait(&semaphore);
	SAY(pthread_mutex_lock(&mutex));
	pid = fork();
	if (pid == 0) {
		struct timespec soon = in_ms(CLOCK_REALTIME, 3);

		SAY(pthread_mutex_unlock(&mutex));
		SAY(pthread_mutex_lock(&mutex));
		SAY(pthread_mutex_timedlock(&mutex, &soon));
		fflush(stdout);
		_exit(3);
	}
	target_wait(pid, &status);
	target_print_status("fork", status);
	pid = vfork();
	if (pid == 0) {
		pthread_mutex_unlock(&mutex);
		pthread_mutex_lock(&mutex);
		_exit(4);
	}
	target_wait(pid, &status);
	target_print_status("vfork", status);
	SAY(pthread_mutex_unlock(&mutex));
	pthread_join(thread, NULL);
	return 0;
}

static pthread_mutex_t counted[3] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP,
				     PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP};
static unsigned counts[4];

static void *count_up(void *arg)
{
	for (int i = 0; i < 20000; i++) {
		int m = i % 3;

		pthread_mutex_lock(&counted[m]);
		counts[m]++;
		if (m == 1) {
			pthread_mutex_lock(&counted[m]);
			pthread_mutex_unlock(&counted[m]);
		}
		pthread_mutex_unlock(&counted[m]);
		if (i % 4 == 0) {
			pthread_rwlock_wrlock(&rwlock);
			counts[3]++;
			pthread_rwlock_unlock(&rwlock);
		} else {
			pthread_rwlock_rdlock(&rwlock);
			target_sink += counts[3];
			pthread_rwlock_unlock(&rwlock);
		}
	}
	return arg;
}

static int storm(int argc, char **argv)
{
	pthread_t threads[8];

	(void)argc;
	(void)argv;
	pthread_rwlock_init(&rwlock, NULL);
	for (int i = 0; i < 8; i++)
		target_need(pthread_create(&threads[i], NULL, count_up, NULL) == 0, "thread");
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	printf("%u %u %u %u\n", counts[0], counts[1], counts[2], counts[3]);
	return 0;
}

#define MANY 20
static pthread_mutex_t lots[MANY];

static volatile int wanted = -1;

/* Whether the main thread sleeps. */
static bool is_asleep(void)
{
	char path[64], text[512], *at;
	FILE *file;
	size_t len;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", getpid());
	file = fopen(path, "r");
	target_need(file != NULL, path);
	len = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[len] = 0;
	at = strrchr(text, ')');
	return at && at[1] && at[2] == 'S';
}

static void *keep_lots(void *arg)
{
	for (int i = 0; i < MANY; i++)
		pthread_mutex_lock(&lots[i]);
	sem_post(&semaphore);
	for (int i = 0; i < MANY; i++) {
		while (wanted != i || !is_asleep())
			pause_ms(1);
		pthread_mutex_unlock(&lots[i]);
	}
	return arg;
}

static int many(int argc, char **argv)
{
	pthread_t thread;

	(void)argc;
	(void)argv;
	sem_init(&semaphore, 0, 0);
	for (int i = 0; i < MANY; i++)
		pthread_mutex_init(&lots[i], NULL);
	target_need(pthread_create(&thread, NULL, keep_lots, NULL) == 0, "thread");
	sem_wait(&semaphore);
	for (int i = 0; i < MANY; i++) {
		wanted = i;
		target_need(pthread_mutex_lock(&lots[i]) == 0, "lock");
	}
	for (int i = 0; i < MANY; i++)
		SAY(pthread_mutex_unlock(&lots[(i * 7) % MANY]));
	pthread_join(thread, NULL);
	return 0;
}

static const struct target_mode modes[] = {
    {"mutexes", mutexes},   {"dead", dead},   {"others", others}, {"cancel", cancel}, {"jumps", jumps},
    {"handlers", handlers}, {"forks", forks}, {"storm", storm},   {"many", many},     {NULL, NULL},
};

int main(int argc, char **argv)
{
	return target_main(modes, argc, argv);
}
