/* Programs whose CPU time is known: how much of it a recording accounts for. Each writes what getrusage says of the
 * process to cpu.txt: seconds, and how many threads there were. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "tests/targets/target.h"

static int tell(unsigned threads)
{
	struct rusage use;
	FILE *f = fopen("cpu.txt", "w");

	getrusage(RUSAGE_SELF, &use);
	target_need(f &&
			fprintf(f, "%.6f %u\n",
				(double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
				    (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6,
				threads) > 0 &&
			fclose(f) == 0,
		    "cpu.txt");
	printf("done\n");
	return 0;
}

static void *burn(void *arg)
{
	target_burn_ms((unsigned)(uintptr_t)arg);
	return NULL;
}

static void run_threads(unsigned nr, unsigned ms)
{
	pthread_t threads[256];

	for (unsigned i = 0; i < nr; i++)
		target_need(pthread_create(&threads[i], NULL, burn, (void *)(uintptr_t)ms) == 0, "pthread_create");
	for (unsigned i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
}

static int mode_steady(int argc, char **argv)
{
	unsigned nr = target_number(argc, argv, 1, 4);

	run_threads(nr, target_number(argc, argv, 2, 500));
	return tell(nr);
}

/* 1 ms of work at the start of each 4 ms of the clock: in phase with a tick of 250 Hz. */
static int mode_bursts(int argc, char **argv)
{
	unsigned nr = target_number(argc, argv, 1, 500);

	for (unsigned i = 0; i < nr; i++) {
		uint64_t next = (target_clock_ns(CLOCK_MONOTONIC) / 4000000 + 1) * 4000000;
		struct timespec ts = {.tv_sec = (time_t)(next / 1000000000u), .tv_nsec = (long)(next % 1000000000u)};

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
		target_burn_ms(1);
	}
	return tell(1);
}

/* Threads that live 1 to 9 ms of CPU time. */
static int mode_short(int argc, char **argv)
{
	unsigned nr = target_number(argc, argv, 1, 300);

	for (unsigned i = 0; i < nr; i++)
		run_threads(1, 1 + i % 9);
	return tell(nr);
}

/* The system call by an instruction of our own: no hook of a library's sees it. */
static long raw_sigprocmask(int how, const uint64_t *set, uint64_t *old)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = 8;
	long ret;

	__asm__ volatile("mov $14, %%eax\n\tsyscall"
			 : "=a"(ret)
			 : "D"((long)how), "S"(set), "d"(old), "r"(r10)
			 : "rcx", "r11", "memory");
	return ret;
#else
	return syscall(SYS_rt_sigprocmask, how, set, old, 8);
#endif
}

static long libc_sigprocmask(int how, const uint64_t *set, uint64_t *old)
{
	return syscall(SYS_rt_sigprocmask, how, set, old, 8);
}

/* Every signal blocked for a second of CPU time. */
static int blocked(long (*procmask)(int, const uint64_t *, uint64_t *), unsigned ms)
{
	uint64_t all = ~UINT64_C(0), old = 0;

	target_burn_ms(300);
	target_need(procmask(SIG_BLOCK, &all, &old) == 0, "sigprocmask");
	target_burn_ms(ms);
	target_need(procmask(SIG_SETMASK, &old, NULL) == 0, "sigprocmask");
	target_burn_ms(300);
	return tell(1);
}

static int mode_blocked(int argc, char **argv)
{
	return blocked(raw_sigprocmask, target_number(argc, argv, 1, 1000));
}

static int mode_blocked_syscall(int argc, char **argv)
{
	return blocked(libc_sigprocmask, target_number(argc, argv, 1, 1000));
}

static TARGET_NOINLINE void kernel_time(unsigned ms)
{
	uint64_t end = target_clock_ns(CLOCK_THREAD_CPUTIME_ID) + ms * 1000000ull;

	while (target_clock_ns(CLOCK_THREAD_CPUTIME_ID) < end)
		for (int i = 0; i < 100; i++)
			syscall(SYS_getppid);
}

static int mode_kernel(int argc, char **argv)
{
	kernel_time(target_number(argc, argv, 1, 1000));
	return tell(1);
}

static const struct target_mode modes[] = {
    {"steady", mode_steady},
    {"bursts", mode_bursts},
    {"short", mode_short},
    {"blocked", mode_blocked},
    {"blocked_syscall", mode_blocked_syscall},
    {"kernel", mode_kernel},
    {0},
};

int main(int argc, char **argv)
{
	return target_main(modes, argc, argv);
}
