/* Every way for a process to end (R43). Each burns first; what it prints before the end, how it ends and how soon must
 * be as without the agent. */
#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "tests/targets/target.h"

/* an address nobody has mapped, which the compiler cannot know */
static volatile uintptr_t nowhere = 8;

static void say(const char *text)
{
	printf("%s\n", text);
	fflush(stdout);
}

static void at_exit(void)
{
	say("atexit");
	target_burn_ms(10);
}

static void at_exit_crash(void)
{
	target_burn_ms(10);
	*(volatile int *)nowhere = 1;
}

static void begin(void)
{
	say("begin");
	target_burn_ms(100);
}

static int mode_return(int argc, char **argv)
{
	atexit(at_exit);
	begin();
	return 3;
}

static int mode_exit(int argc, char **argv)
{
	atexit(at_exit);
	begin();
	exit(4);
}

static int mode__exit(int argc, char **argv)
{
	atexit(at_exit);
	begin();
	_exit(5);
}

static int mode_quick_exit(int argc, char **argv)
{
	atexit(at_exit);
	at_quick_exit(at_exit);
	begin();
	quick_exit(6);
}

static int mode_exit_group(int argc, char **argv)
{
	begin();
	syscall(SYS_exit_group, 7);
	return 0;
}

static int mode_abort(int argc, char **argv)
{
	begin();
	abort();
}

static int mode_segv(int argc, char **argv)
{
	begin();
	*(volatile int *)nowhere = 1;
	return 0;
}

static TARGET_NOINLINE int overflow(int n)
{
	volatile char pad[4096];

	pad[0] = (char)n;
	return n == INT_MAX ? 0 : overflow(n + 1) + pad[0];
}

static int mode_overflow(int argc, char **argv)
{
	begin();
	return overflow(0);
}

static int mode_signal(int argc, char **argv)
{
	begin();
	raise((int)target_number(argc, argv, 1, SIGTERM));
	say("not ended by the signal");
	return 0;
}

static void *exit_thread(void *arg)
{
	target_burn_ms(30);
	exit(8);
}

static void *burning_thread(void *arg)
{
	for (;;)
		target_spin(10000);
	return NULL;
}

static int mode_thread_exit(int argc, char **argv)
{
	pthread_t t;

	atexit(at_exit);
	begin();
	pthread_create(&t, NULL, burning_thread, NULL);
	pthread_create(&t, NULL, exit_thread, NULL);
	burning_thread(NULL);
	return 0;
}

static int mode_threads_running(int argc, char **argv)
{
	pthread_t t;

	for (int i = 0; i < 8; i++)
		pthread_create(&t, NULL, burning_thread, NULL);
	begin();
	return 9;
}

static void exit_handler(int sig)
{
	exit(10);
}

static int mode_exit_in_handler(int argc, char **argv)
{
	signal(SIGALRM, exit_handler);
	atexit(at_exit);
	begin();
	alarm(1);
	burning_thread(NULL);
	return 0;
}

static int mode_atexit_crash(int argc, char **argv)
{
	atexit(at_exit_crash);
	begin();
	return 11;
}

static int mode_cpu_limit(int argc, char **argv)
{
	struct rlimit limit = {.rlim_cur = 1, .rlim_max = 2};

	setrlimit(RLIMIT_CPU, &limit);
	say("limit set");
	burning_thread(NULL);
	return 0;
}

/* What the parent sees of a child that dumps core; the dump goes to the working directory and is removed. */
static int mode_core(int argc, char **argv)
{
	struct rlimit limit = {.rlim_cur = 64u << 20, .rlim_max = 64u << 20};
	int status = -1;
	pid_t pid;

	setrlimit(RLIMIT_CORE, &limit);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		target_burn_ms(50);
		abort();
	}
	target_wait(pid, &status);
	target_print_status("child", status);
	return 0;
}

/* The process kills itself for good in the middle of work: what was written before is in the recording. */
static int mode_kill(int argc, char **argv)
{
	begin();
	kill(getpid(), SIGKILL);
	return 0;
}

static const struct target_mode modes[] = {
    {"return", mode_return},
    {"exit", mode_exit},
    {"_exit", mode__exit},
    {"quick_exit", mode_quick_exit},
    {"exit_group", mode_exit_group},
    {"abort", mode_abort},
    {"segv", mode_segv},
    {"overflow", mode_overflow},
    {"signal", mode_signal},
    {"thread_exit", mode_thread_exit},
    {"threads_running", mode_threads_running},
    {"exit_in_handler", mode_exit_in_handler},
    {"atexit_crash", mode_atexit_crash},
    {"cpu_limit", mode_cpu_limit},
    {"core", mode_core},
    {"kill", mode_kill},
    {0},
};

int main(int argc, char **argv)
{
	return target_main(modes, argc, argv);
}
