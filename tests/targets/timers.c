/* Programs with timers and signals of their own, and with very many threads (R17-R22, R25, R28-R30). */
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>

#include "tests/targets/target.h"

static volatile sig_atomic_t ticks;

static void on_tick(int sig)
{
	ticks++;
}

static void profile(long usec)
{
	struct itimerval it = {.it_interval = {0, usec}, .it_value = {0, usec}};

	setitimer(ITIMER_PROF, &it, NULL);
}

/* Its own profiler: handler and ITIMER_PROF, 100 Hz for half a second of CPU. */
static int mode_itimer(int argc, char **argv)
{
	struct sigaction act = {.sa_handler = on_tick, .sa_flags = SA_RESTART}, old;
	struct itimerval it;

	target_burn_ms(100);
	sigaction(SIGPROF, &act, &old);
	printf("before: default %d\n", old.sa_handler == SIG_DFL);
	profile(10000);
	target_burn_ms(500);
	getitimer(ITIMER_PROF, &it);
	profile(0);
	sigaction(SIGPROF, NULL, &old);
	printf("own handler %d, interval %ld, ticks %s\n", old.sa_handler == on_tick, (long)it.it_interval.tv_usec,
	       ticks >= 5 && ticks <= 60 ? "as many as asked for" : "wrong");
	if (ticks < 5 || ticks > 60) /* 50 were asked for; a crowded machine joins some */
		fprintf(stderr, "ticks %d\n", (int)ticks);
	signal(SIGPROF, SIG_DFL);
	target_burn_ms(200);
	return 0;
}

/* The handler is replaced again and again, also by SIG_IGN and SIG_DFL, while ticks come. */
static int mode_replace(int argc, char **argv)
{
	void (*const handlers[])(int) = {on_tick, SIG_IGN, SIG_DFL, on_tick};
	int wrong = 0;

	target_burn_ms(50);
	for (int i = 0; i < 40; i++) {
		void (*before)(int) = signal(SIGPROF, handlers[i % 4]);

		wrong += i > 0 && before != handlers[(i - 1) % 4];
		target_burn_ms(10);
	}
	printf("handlers read back wrong %d\n", wrong);
	return 0;
}

/* All signals blocked in all threads, and one thread that takes every signal there is by sigwait. */
static sigset_t full;
static volatile int taken_usr1, taken_other;

static void *waiting_thread(void *arg)
{
	for (;;) {
		int sig = 0;

		if (sigwait(&full, &sig))
			continue;
		if (sig == SIGTERM)
			return NULL;
		if (sig == SIGUSR1)
			taken_usr1++;
		else
			taken_other++;
	}
}

static void *burning_thread(void *arg)
{
	target_burn_ms(10);
	return NULL;
}

static void *blocked_thread(void *arg)
{
	target_burn_ms(300);
	return NULL;
}

static int mode_sigwait(int argc, char **argv)
{
	pthread_t waiter, burners[2];

	target_burn_ms(50);
	sigfillset(&full);
	pthread_sigmask(SIG_SETMASK, &full, NULL);
	pthread_create(&waiter, NULL, waiting_thread, NULL);
	for (int i = 0; i < 2; i++)
		pthread_create(&burners[i], NULL, blocked_thread, NULL);
	for (int i = 0; i < 10; i++) {
		int seen = taken_usr1;

		kill(getpid(), SIGUSR1);
		for (int tries = 0; taken_usr1 == seen && tries < 5000; tries++)
			usleep(1000);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(burners[i], NULL);
	kill(getpid(), SIGTERM);
	pthread_join(waiter, NULL);
	printf("SIGUSR1 %d, others %d\n", taken_usr1, taken_other);
	return 0;
}

/* signalfd on the full set: what is read from it is the program's own. */
static int mode_signalfd(int argc, char **argv)
{
	struct signalfd_siginfo info;
	int fd, own = 0, other = 0;

	target_burn_ms(50);
	sigfillset(&full);
	sigprocmask(SIG_SETMASK, &full, NULL);
	fd = signalfd(-1, &full, SFD_NONBLOCK | SFD_CLOEXEC);
	for (int i = 0; i < 20; i++) {
		kill(getpid(), SIGUSR1);
		target_burn_ms(10);
		while (read(fd, &info, sizeof info) == sizeof info)
			info.ssi_signo == SIGUSR1 ? own++ : other++;
	}
	printf("signalfd %d: own %d, others %d\n", fd, own, other);
	return 0;
}

/* A handler that itself burns and allocates, on SIGSEGV: ticks come inside it. */
static volatile int segv_seen;
static void *fault_page;

static void on_segv(int sig, siginfo_t *info, void *context)
{
	free(malloc(1000));
	target_burn_ms(15);
	segv_seen++;
	mprotect(fault_page, 4096, PROT_READ | PROT_WRITE);
}

static int mode_segv_handler(int argc, char **argv)
{
	struct sigaction act = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO};

	fault_page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sigaction(SIGSEGV, &act, NULL);
	for (int i = 0; i < 20; i++) {
		mprotect(fault_page, 4096, PROT_NONE);
		*(volatile char *)fault_page = 1;
		target_burn_ms(2);
	}
	printf("faults handled %d\n", segv_seen);
	return 0;
}

/* Handlers on an alternate stack of the smallest useful size that use most of it while ticks come (R23). */
static void on_alt(int sig)
{
	volatile char pad[3000];

	for (size_t i = 0; i < sizeof pad; i++)
		pad[i] = (char)i;
	target_burn_ms(12);
	ticks += pad[7] == 7;
}

static int mode_altstack(int argc, char **argv)
{
	size_t size = target_number(argc, argv, 1, 8192);
	struct sigaction act = {.sa_handler = on_alt, .sa_flags = SA_ONSTACK};
	stack_t ss = {.ss_sp = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		      .ss_size = size};

	target_need(ss.ss_sp != MAP_FAILED && sigaltstack(&ss, NULL) == 0, "sigaltstack");
	sigaction(SIGUSR1, &act, NULL);
	for (int i = 0; i < 20; i++) {
		raise(SIGUSR1);
		target_burn_ms(5);
	}
	printf("handlers on the alternate stack %d\n", (int)ticks);
	return 0;
}

/* ---- threads in numbers ---- */

static void *wait_thread(void *arg)
{
	pthread_barrier_wait(arg);
	target_spin(2000);
	pthread_barrier_wait(arg);
	return NULL;
}

static int mode_many(int argc, char **argv)
{
	unsigned nr = target_number(argc, argv, 1, 1000), made = 0;
	pthread_t *threads = calloc(nr, sizeof *threads);
	pthread_barrier_t barrier;
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 * 1024);
	pthread_barrier_init(&barrier, NULL, nr + 1);
	for (; made < nr; made++)
		target_need(pthread_create(&threads[made], &attr, wait_thread, &barrier) == 0, "pthread_create");
	pthread_barrier_wait(&barrier);
	target_burn_ms(100);
	pthread_barrier_wait(&barrier);
	for (unsigned i = 0; i < made; i++)
		pthread_join(threads[i], NULL);
	printf("threads at once %u\n", made);
	free(threads);
	return 0;
}

static void *short_thread(void *arg)
{
	target_spin(500);
	return arg;
}

static int mode_short(int argc, char **argv)
{
	unsigned nr = target_number(argc, argv, 1, 5000), wrong = 0;

	for (unsigned i = 0; i < nr; i += 4) {
		pthread_t threads[4];

		for (uintptr_t k = 0; k < 4; k++)
			target_need(pthread_create(&threads[k], NULL, short_thread, (void *)(i + k)) == 0,
				    "pthread_create");
		for (uintptr_t k = 0; k < 4; k++) {
			void *result = NULL;

			pthread_join(threads[k], &result);
			wrong += result != (void *)(i + k);
		}
	}
	printf("short threads wrong %u\n", wrong);
	return 0;
}

/* Detached threads whose stacks go away while they may still be due a tick */
static int mode_detached(int argc, char **argv)
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	for (int i = 0; i < 2000; i++) {
		while (pthread_create(&t, &attr, short_thread, NULL))
			usleep(1000);
		target_spin(2000);
	}
	printf("detached\n");
	return 0;
}

static int c11_thread(void *arg)
{
	target_burn_ms(60);
	return 23;
}

static int raw_thread(void *arg)
{
	target_burn_ms(120);
	return 0;
}

/* Threads that an interposed pthread_create does not see: C11's, and raw clone with a TLS of its own absent. */
static int mode_other_threads(int argc, char **argv)
{
	char *stack = mmap(NULL, 1 << 18, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	volatile int tid = 1;
	int result = 0;
	thrd_t t;

	thrd_create(&t, c11_thread, NULL);
	thrd_join(t, &result);
	target_need(clone(raw_thread, stack + (1 << 18),
			  CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
			      CLONE_CHILD_CLEARTID,
			  NULL, NULL, NULL, (void *)&tid) > 0,
		    "clone");
	for (int i = 0; tid && i < 10000; i++)
		usleep(1000);
	printf("C11 %d, raw thread %s\n", result, tid ? "lives" : "ended");
	return 0;
}

/* 64 threads where eight signals may be queued: most timers are refused, none of the program's own is. */
static int with_few_signals(void)
{
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	pthread_t threads[64];
	timer_t timer;
	int own;

	for (int i = 0; i < 64; i++)
		target_need(pthread_create(&threads[i], NULL, burning_thread, NULL) == 0, "pthread_create");
	own = timer_create(CLOCK_MONOTONIC, &ev, &timer);
	printf("own timer %d\n", own);
	for (int i = 0; i < 64; i++)
		pthread_join(threads[i], NULL);
	printf("64 threads\n");
	return 0;
}

static int mode_sigpending(int argc, char **argv)
{
	return with_few_signals();
}

static int mode_sigpending_later(int argc, char **argv)
{
	struct rlimit limit = {8, 8};

	target_burn_ms(20);
	/* the limit counts per user and namespace: in one of its own other processes do not matter; refused is fine too
	 */
	if (unshare(CLONE_NEWUSER))
		errno = 0;
	setrlimit(RLIMIT_SIGPENDING, &limit);
	return with_few_signals();
}

/* A call on the limit and what came of it. */
static void try_limit(const char *what, int ret)
{
	struct rlimit now;

	printf("%s: %d", what, ret);
	if (ret)
		printf(" errno %d", errno);
	getrlimit(RLIMIT_SIGPENDING, &now);
	printf(", now %ld %ld\n", (long)now.rlim_cur, (long)now.rlim_max);
	errno = 0;
}

static void own_timers(const char *when)
{
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	timer_t timers[64];
	int nr = 0;

	while (nr < 64 && timer_create(CLOCK_MONOTONIC, &ev, &timers[nr]) == 0)
		nr++;
	printf("%s: at least three timers %d\n", when, nr >= 3);
	while (nr-- > 0)
		timer_delete(timers[nr]);
	errno = 0;
}

/* 32 threads have their timers before the limit is lowered, step by step and by each of the four functions. */
static int mode_sigpending_lower(int argc, char **argv)
{
	struct rlimit limit = {40, 40}, old;
	struct rlimit64 limit64 = {12, 40}, wrong = {4, 2};
	pthread_t threads[32];
	pthread_barrier_t barrier;
	pid_t child;

	/* in the user's own namespace the timers of other processes would count */
	target_need(unshare(CLONE_NEWUSER) == 0, "unshare");
	pthread_barrier_init(&barrier, NULL, 33);
	for (int i = 0; i < 32; i++)
		target_need(pthread_create(&threads[i], NULL, wait_thread, &barrier) == 0, "pthread_create");
	pthread_barrier_wait(&barrier);
	try_limit("no limit", prlimit(0, RLIMIT_SIGPENDING, NULL, &old));
	try_limit("unreadable", setrlimit(RLIMIT_SIGPENDING, (void *)16));
	try_limit("wrong", setrlimit64(RLIMIT_SIGPENDING, &wrong));
	try_limit("setrlimit", setrlimit(RLIMIT_SIGPENDING, &limit));
	own_timers("40");
	try_limit("setrlimit64", setrlimit64(RLIMIT_SIGPENDING, &limit64));
	own_timers("12");
	child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	limit.rlim_cur = 2;
	try_limit("another's", prlimit(child, RLIMIT_SIGPENDING, &limit, NULL));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	limit.rlim_cur = 8;
	try_limit("prlimit", prlimit(getpid(), RLIMIT_SIGPENDING, &limit, NULL));
	own_timers("8");
	limit64.rlim_cur = 6;
	try_limit("prlimit64", prlimit64(0, RLIMIT_SIGPENDING, &limit64, (void *)&old));
	printf("before %ld\n", (long)old.rlim_cur);
	own_timers("6");
	target_burn_ms(200);
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 32; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

/* The wall clock steps by a day in both directions (root): nothing may depend on it. */
static int mode_clock(int argc, char **argv)
{
	struct timespec now;
	int wrong = 0;

	target_burn_ms(50);
	for (int i = 0; i < 6; i++) {
		clock_gettime(CLOCK_REALTIME, &now);
		now.tv_sec += i & 1 ? -86400 : 86400;
		wrong += clock_settime(CLOCK_REALTIME, &now) != 0;
		target_burn_ms(60);
	}
	printf("clock stepped, refused %d\n", wrong);
	return 0;
}

static const struct target_mode modes[] = {
    {"itimer", mode_itimer},
    {"replace", mode_replace},
    {"sigwait", mode_sigwait},
    {"signalfd", mode_signalfd},
    {"segv_handler", mode_segv_handler},
    {"altstack", mode_altstack},
    {"many", mode_many},
    {"short", mode_short},
    {"detached", mode_detached},
    {"other_threads", mode_other_threads},
    {"sigpending", mode_sigpending},
    {"sigpending_later", mode_sigpending_later},
    {"sigpending_lower", mode_sigpending_lower},
    {"clock", mode_clock},
    {0},
};

int main(int argc, char **argv)
{
	return target_main(modes, argc, argv);
}
