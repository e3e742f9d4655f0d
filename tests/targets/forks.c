/* Processes that make processes, in every way there is, while threads burn CPU (rows R27, R31, R32, R41, R42). */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "tests/targets/target.h"

extern char **environ;

/* ---- storms of fork ---- */

static volatile int stop;

static void *burn_until_stop(void *arg)
{
	while (!stop)
		free(malloc((target_spin(500), 100)));
	return NULL;
}

static pid_t fork_raw(void)
{
#ifdef SYS_fork
	return (pid_t)syscall(SYS_fork);
#else
	return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
#endif
}

static pid_t fork_clone(void)
{
	return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

extern pid_t _Fork(void);

TARGET_NOINLINE void child_burns(void);

void child_burns(void)
{
	target_burn_ms(20);
	target_sink++;
}

/* nr children of `make`, one after another; each burns a moment and exits with a status of its own */
static unsigned storm(pid_t (*make)(void), unsigned nr, unsigned every_burns)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < nr; i++) {
		int status = 0;
		pid_t pid = make();

		if (pid == 0) {
			target_spin(1000);
			if (i % every_burns == 0)
				child_burns();
			_exit(i & 63);
		}
		if (pid < 0 || target_wait(pid, &status) != pid || !WIFEXITED(status) ||
		    WEXITSTATUS(status) != (int)(i & 63))
			wrong++;
	}
	return wrong;
}

static int forks(pid_t (*make)(void), int argc, char **argv)
{
	unsigned nr = target_number(argc, argv, 1, 300);
	pthread_t threads[2];
	unsigned wrong;

	for (int i = 0; i < 2; i++)
		target_need(pthread_create(&threads[i], NULL, burn_until_stop, NULL) == 0, "pthread_create");
	wrong = storm(make, nr, nr / 10 ? nr / 10 : 1);
	stop = 1;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	printf("forks wrong %u\n", wrong);
	return 0;
}

static int mode_fork(int argc, char **argv)
{
	return forks(fork, argc, argv);
}

static int mode_raw(int argc, char **argv)
{
	return forks(fork_raw, argc, argv);
}

static int mode_clone(int argc, char **argv)
{
	return forks(fork_clone, argc, argv);
}

static pid_t fork_clone3(void)
{
	/* struct clone_args of the first version */
	struct {
		uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
	} args = {.exit_signal = SIGCHLD};

	return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

static int mode_clone3(int argc, char **argv)
{
	return forks(fork_clone3, argc, argv);
}

static int mode_async_fork(int argc, char **argv)
{
	return forks(_Fork, argc, argv);
}

/* A tree: each child forks on, some threaded; all burn. */
static int tree(int depth)
{
	pid_t pids[2];
	int wrong = 0;

	target_burn_ms(8);
	for (int i = 0; i < 2 && depth > 0; i++) {
		pids[i] = i ? fork_raw() : fork();
		if (pids[i] == 0)
			_exit(tree(depth - 1) ? 1 : 0);
	}
	for (int i = 0; i < 2 && depth > 0; i++) {
		int status = -1;

		wrong += target_wait(pids[i], &status) != pids[i] || status != 0;
	}
	return wrong;
}

static int mode_tree(int argc, char **argv)
{
	printf("tree wrong %d\n", tree(4));
	return 0;
}

/* fork of a process with much memory at the full rate: it has to return although ticks come */
static int mode_big(int argc, char **argv)
{
	size_t size = (size_t)target_number(argc, argv, 1, 512) << 20;
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	target_need(memory != MAP_FAILED && madvise(memory, size, MADV_NOHUGEPAGE) == 0, "mmap");
	for (size_t i = 0; i < size; i += 4096)
		memory[i] = (char)(i >> 12);
	printf("big forks wrong %u\n", storm(fork, 5, 5));
	return 0;
}

/* ---- vfork, posix_spawn, clone(CLONE_VM) ---- */

static char *const true_argv[] = {"true", NULL};
static char *const none_argv[] = {"/nonexistent/program", NULL};

static int mode_vfork(int argc, char **argv)
{
	volatile int wrong = 0;

	for (volatile int i = 0; i < 100; i++) {
		int status = -1;
		pid_t pid = vfork();

		if (pid == 0) {
			free(malloc(100));
			for (int fd = 3; fd < 64; fd++)
				close(fd);
			if (i % 3 == 0)
				execv(none_argv[0], none_argv);
			else if (i % 3 == 1)
				execvp("true", true_argv);
			_exit(9);
		}
		wrong += target_wait(pid, &status) != pid || status != (i % 3 == 1 ? 0 : 9 << 8);
		target_burn_ms(2);
	}
	printf("vfork wrong %d\n", wrong);
	return 0;
}

static int mode_spawn(int argc, char **argv)
{
	int wrong = 0;

	for (int i = 0; i < 100; i++) {
		posix_spawnattr_t attr;
		sigset_t mask;
		int status = -1, r;
		pid_t pid;

		posix_spawnattr_init(&attr);
		sigfillset(&mask);
		posix_spawnattr_setsigmask(&attr, &mask);
		posix_spawnattr_setflags(&attr, i & 1 ? POSIX_SPAWN_SETSIGMASK : 0);
		r = posix_spawnp(&pid, i % 3 ? "true" : none_argv[0], NULL, &attr, true_argv, environ);
		if (i % 3 == 0)
			wrong += r != ENOENT;
		else
			wrong += r != 0 || target_wait(pid, &status) != pid || status != 0;
		target_burn_ms(2);
		posix_spawnattr_destroy(&attr);
	}
	printf("spawn wrong %d\n", wrong);
	return 0;
}

static int vm_child(void *arg)
{
	volatile int *cell = arg;

	target_spin(200000);
	*cell += 1;
	syscall(SYS_exit, 3); /* this thread of control only, no handlers */
	return 0;
}

/* A child that shares the memory, not the process: burns CPU and is no thread of ours. */
static int mode_clone_vm(int argc, char **argv)
{
	char *stack = mmap(NULL, 1 << 18, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	volatile int cell = 0;
	int wrong = 0;

	target_need(stack != MAP_FAILED, "mmap");
	for (int i = 0; i < 50; i++) {
		int status = -1;
		pid_t pid = clone(vm_child, stack + (1 << 18), CLONE_VM | SIGCHLD, (void *)&cell);

		wrong += pid < 0 || target_wait(pid, &status) != pid || status != 3 << 8;
		target_burn_ms(4);
	}
	printf("clone wrong %d cell %d\n", wrong, cell);
	return 0;
}

/* ---- a server that forks its workers first ---- */

static void worker(int nr)
{
	char name[16];

	snprintf(name, sizeof name, "worker-%d", nr);
	prctl(PR_SET_NAME, name);
	target_burn_ms(150);
	if (nr == 2)
		raise(SIGKILL);
	exit(nr);
}

static int mode_prefork(int argc, char **argv)
{
	pid_t pids[4];

	target_burn_ms(100);
	for (int i = 0; i < 4; i++) {
		fflush(stdout);
		pids[i] = fork();
		if (pids[i] == 0)
			worker(i);
	}
	for (int i = 0; i < 4; i++) {
		char what[32];
		int status = -1;

		target_wait(pids[i], &status);
		snprintf(what, sizeof what, "worker %d", i);
		target_print_status(what, status);
	}
	return 0;
}

/* ---- a process number that is used again while its first owner is still to be symbolized (R41) ---- */

TARGET_NOINLINE void first_owner(void);
TARGET_NOINLINE void second_owner(void);

void first_owner(void)
{
	target_burn_ms(120);
	target_sink++;
}

void second_owner(void)
{
	target_burn_ms(120);
	target_sink += 2;
}

/* The next fork gets the number after the last one; others may be quicker. */
static void next_number(pid_t number)
{
	FILE *f = fopen("/proc/sys/kernel/ns_last_pid", "w");

	if (!f)
		return;
	fprintf(f, "%d", (int)number - 1);
	fclose(f);
}

static int mode_pid_reuse(int argc, char **argv)
{
	int status = -1;
	pid_t first = fork(), second;

	if (first == 0) {
		first_owner();
		_exit(1);
	}
	target_wait(first, &status);
	target_print_status("first", status);
	usleep(300000); /* numbers are not given again at once: whoever records has had time to see the first one end */
	for (int tries = 0; tries < 50; tries++) {
		next_number(first);
		second = fork();
		if (second == 0) {
			if (getpid() == first)
				second_owner();
			_exit(2);
		}
		target_wait(second, &status);
		if (second == first)
			break;
	}
	printf("same number %d\n", first == second);
	target_print_status("second", status);
	return 0;
}

static const struct target_mode modes[] = {
    {"pid_reuse", mode_pid_reuse},
    {"fork", mode_fork},
    {"raw", mode_raw},
    {"clone", mode_clone},
    {"_Fork", mode_async_fork},
    {"clone3", mode_clone3},
    {"tree", mode_tree},
    {"big", mode_big},
    {"vfork", mode_vfork},
    {"spawn", mode_spawn},
    {"clone_vm", mode_clone_vm},
    {"prefork", mode_prefork},
    {0},
};

int main(int argc, char **argv)
{
	return target_main(modes, argc, argv);
}
