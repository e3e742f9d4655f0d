/* Built plainly and with sanitizers, whose runtimes want to come first, own the signals or stop all threads at the end.
 * `run` and `spawn` start another program, so that the agent meets them by exec as well. */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>

#include "tests/targets/target.h"

extern char **environ;

static volatile sig_atomic_t handled;
static char *volatile lost;

static void on_signal(int sig)
{
	handled++;
}

/* Whether AddressSanitizer's library is in this process: needed, or brought by the environment. */
static void print_runtime(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[4096];
	int loaded = 0;

	while (maps && fgets(line, sizeof line, maps))
		loaded |= strstr(line, "/libasan.so") != NULL;
	if (maps)
		fclose(maps);
	printf("libasan loaded: %d\n", loaded);
}

/* Burns with no variable that threads share: ThreadSanitizer is to find nothing. */
TARGET_NOINLINE void sanitized_burn(unsigned ms)
{
	uint64_t end = target_clock_ns(CLOCK_THREAD_CPUTIME_ID) + (uint64_t)ms * 1000000u;
	volatile uint64_t rounds = 0;

	while (target_clock_ns(CLOCK_THREAD_CPUTIME_ID) < end)
		for (int i = 0; i < 20000; i++)
			rounds = rounds + (uint64_t)i;
}

static pthread_mutex_t baton_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t baton_moved = PTHREAD_COND_INITIALIZER;
static long baton;

/* One after the other, by a condition: a runtime that does not see the wait has the lock taken twice. */
static void *thread(void *arg)
{
	sanitized_burn(100);
	pthread_mutex_lock(&baton_lock);
	while (baton != (long)(uintptr_t)arg)
		pthread_cond_wait(&baton_moved, &baton_lock);
	baton++;
	pthread_cond_broadcast(&baton_moved);
	pthread_mutex_unlock(&baton_lock);
	return arg;
}

/* Threads, a handler, a child; then the end, where leaks are looked for with all threads stopped. */
static int mode_work(int argc, char **argv)
{
	pthread_t threads[3];
	int status;
	pid_t pid;

	signal(SIGUSR1, on_signal);
	for (uintptr_t i = 0; i < 3; i++)
		target_need(pthread_create(&threads[i], NULL, thread, (void *)(2 - i)) == 0, "pthread_create");
	raise(SIGUSR1);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	pid = fork();
	if (pid == 0) {
		sanitized_burn(50);
		_exit(5);
	}
	target_need(target_wait(pid, &status) == pid, "fork");
	target_print_status("child", status);
	sanitized_burn(100);
	printf("handled %d, baton %ld\n", (int)handled, baton);
	print_runtime();
	return 7;
}

/* Loses memory: LeakSanitizer ends such a program with a status of its own. */
static int mode_leak(int argc, char **argv)
{
	for (int i = 0; i < 10; i++)
		lost = malloc(1000);
	lost = NULL;
	sanitized_burn(100);
	printf("lost\n");
	return 0;
}

static int mode_run(int argc, char **argv)
{
	sanitized_burn(50);
	print_runtime();
	fflush(stdout);
	execv(argv[1], argv + 1);
	return 96;
}

/* By a descriptor that can be executed, and not read. */
static int mode_run_fd(int argc, char **argv)
{
	sanitized_burn(50);
	fflush(stdout);
	fexecve(open(argv[1], O_PATH | O_CLOEXEC), argv + 1, environ);
	return 96;
}

static int mode_spawn(int argc, char **argv)
{
	int status;
	pid_t pid;

	sanitized_burn(50);
	print_runtime();
	fflush(stdout);
	target_need(posix_spawn(&pid, argv[1], NULL, NULL, argv + 1, environ) == 0, "posix_spawn");
	target_need(target_wait(pid, &status) == pid, "wait");
	target_print_status("spawned", status);
	return 8;
}

static const struct target_mode modes[] = {
    {"work", mode_work}, {"leak", mode_leak}, {"run", mode_run}, {"run_fd", mode_run_fd}, {"spawn", mode_spawn}, {0},
};

int main(int argc, char **argv)
{
	return target_main(modes, argc, argv);
}
