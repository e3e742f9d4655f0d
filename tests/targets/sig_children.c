/* What children get and what fork and exec answer: masks and ignored signals that go on, variable argument lists,
 * environments that just fit, system calls made through syscall(). The same with and without the agent.
 *
 * The program executes itself as `inherited`, which prints what it got. */
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "target.h"

extern char **environ;

static const char *self;

static void print_inherited(const char *what)
{
	struct sigaction action;
	sigset_t mask;

	sigemptyset(&mask);
	sigprocmask(SIG_SETMASK, NULL, &mask);
	printf("%s: blocked", what);
	for (int sig = 1; sig <= 64; sig++)
		if (sigismember(&mask, sig) == 1)
			printf(" %d", sig);
	printf("; ignored");
	for (int sig = 1; sig <= 64; sig++)
		if (sigaction(sig, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
			printf(" %d", sig);
	printf("\n");
	fflush(stdout);
}

static int run_inherited(int argc, char **argv)
{
	print_inherited(argc > 1 ? argv[1] : "inherited");
	target_burn_ms(20);
	for (int i = 2; i < argc; i++)
		printf("word %s\n", argv[i]);
	return 0;
}

static void block(int how, int sig, int sig2)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	if (sig2)
		sigaddset(&set, sig2);
	target_need(pthread_sigmask(how, &set, NULL) == 0, "pthread_sigmask");
}

static void finish(const char *what, pid_t pid)
{
	int status = -1;

	target_need(pid > 0, what);
	target_wait(pid, &status);
	target_print_status(what, status);
	fflush(stdout);
}

/* ---- exec, every form ---- */

static void exec_form(unsigned form)
{
	char *const argv[] = {(char *)self, "inherited", "array", "one", "two", NULL};
	int fd = open(self, O_RDONLY | O_CLOEXEC);

	switch (form) {
	case 0:
		execve(self, argv, environ);
		break;
	case 1:
		execv(self, argv);
		break;
	case 2:
		execvp(self, argv);
		break;
	case 3:
		execvpe(self, argv, environ);
		break;
	case 4:
		execl(self, self, "inherited", "list", "one", "two", "three", "four", "five", "six", "seven", "eight",
		      NULL);
		break;
	case 5:
		execlp(self, self, "inherited", "list", "one", NULL);
		break;
	case 6:
		execle(self, self, "inherited", "list", "one", "two", "three", "four", NULL, environ);
		break;
	case 7:
		fexecve(fd, argv, environ);
		break;
	case 8:
		execveat(AT_FDCWD, self, argv, environ, 0);
		break;
	case 9:
		execveat(fd, "", argv, environ, AT_EMPTY_PATH);
		break;
	default:
		break;
	}
	_exit(77);
}

static int run_exec(int argc, char **argv)
{
	(void)argc, (void)argv;
	signal(SIGPROF, SIG_IGN);
	block(SIG_BLOCK, SIGRTMAX - 3, SIGUSR1);
	for (unsigned form = 0; form < 10; form++) {
		pid_t pid;

		if (form == 5) {
			signal(SIGPROF, SIG_DFL);
			block(SIG_BLOCK, SIGPROF, 0);
		}
		fflush(stdout);
		pid = fork();
		if (pid == 0) {
			target_burn_ms(10);
			exec_form(form);
		}
		finish("exec", pid);
	}
	print_inherited("parent");
	return 0;
}

static void print_failure(int ret)
{
	int err = errno;

	printf("%d %s\n", ret, strerror(err));
}

static int run_fails(int argc, char **argv)
{
	const char *volatile no_path = NULL, *volatile bad_path = (const char *)8;
	char *const none[] = {NULL};

	(void)argc, (void)argv;
	block(SIG_BLOCK, SIGPROF, SIGUSR1);
	print_failure(execl("/nonexistent", "x", NULL));
	print_failure(execlp("no such program", "x", NULL));
	print_failure(execve("/", none, none));
	print_failure(execve(no_path, none, none));
	print_failure(execve(bad_path, none, none));
	print_failure(execvp("", none));
	print_failure(fexecve(-1, none, none));
	print_failure(execveat(-1, "", none, none, AT_EMPTY_PATH));
	print_inherited("after");
	target_burn_ms(40);
	block(SIG_UNBLOCK, SIGPROF, 0);
	target_burn_ms(40);
	print_inherited("after");
	return 0;
}

/* ---- vfork: the child has its parent's memory and its own signals ---- */

static void quiet_handler(int sig)
{
	(void)sig;
}

/* What a runtime does in its children, in all combinations: default actions, the mask from before, one ignored. */
static TARGET_NOINLINE void vfork_child(unsigned form)
{
	sigset_t all, before;
	pid_t pid;

	sigfillset(&all);
	target_burn_ms(10);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = vfork();
	if (pid == 0) {
		if (form & 1)
			for (int sig = 1; sig <= 64; sig++)
				signal(sig, SIG_DFL);
		if (form & 2)
			pthread_sigmask(SIG_SETMASK, &before, NULL);
		if (form & 4)
			signal(SIGPROF, SIG_IGN);
		execl(self, self, "inherited", "vfork child", NULL);
		_exit(78);
	}
	finish("vfork", pid);
	print_inherited("parent, everything blocked");
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	print_inherited("parent");
}

static int run_vfork(int argc, char **argv)
{
	struct sigaction action;

	(void)argc, (void)argv;
	for (unsigned form = 0; form < 8; form++) {
		vfork_child(form);
		sigaction(SIGPROF, NULL, &action);
		printf("action %s\n", action.sa_handler == SIG_DFL ? "default" : "other");
		fflush(stdout);
	}
	signal(SIGPROF, quiet_handler);
	vfork_child(0);
	return 0;
}

/* ---- posix_spawn ---- */

static void spawn(const char *what, const posix_spawnattr_t *attr, bool search)
{
	char *const argv[] = {(char *)self, "inherited", (char *)what, NULL};
	pid_t pid = -1;
	int err = search ? posix_spawnp(&pid, self, NULL, attr, argv, environ)
			 : posix_spawn(&pid, self, NULL, attr, argv, environ);

	if (err == 0)
		finish(what, pid);
	printf("%s: %s\n", what, strerror(err));
	print_inherited("parent");
}

static int run_spawn(int argc, char **argv)
{
	char *const none[] = {NULL};
	posix_spawnattr_t attr;
	sigset_t set;

	(void)argc, (void)argv;
	spawn("plain", NULL, false);
	block(SIG_BLOCK, SIGPROF, SIGRTMAX - 3);
	spawn("blocked", NULL, true);
	posix_spawnattr_init(&attr);
	sigemptyset(&set);
	posix_spawnattr_setsigmask(&attr, &set);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	spawn("empty mask", &attr, false);
	block(SIG_UNBLOCK, SIGPROF, 0);
	sigfillset(&set);
	posix_spawnattr_setsigmask(&attr, &set);
	spawn("full mask", &attr, false);
	errno = 0;
	printf("%s, ", strerror(posix_spawn(NULL, "/nonexistent", NULL, NULL, none, environ)));
	printf("%s\n", strerror(posix_spawnp(NULL, "no such program", NULL, NULL, none, NULL)));
	return 0;
}

/* ---- an environment that just fits ---- */

#define FILLERS 24

/* The program with `last` bytes in the last variable, beside everything it already had. Returns whether it ran. */
static bool fits(char **env, size_t nr, char *last, size_t len, bool by_spawn)
{
	char *const argv[] = {(char *)self, "nothing", NULL};
	char kept = last[len];
	int status = 1;
	pid_t pid = -1;

	(void)nr;
	last[len] = '\0';
	if (by_spawn) {
		if (posix_spawn(&pid, self, NULL, NULL, argv, env) != 0)
			pid = -1;
	} else {
		pid = fork();
		if (pid == 0) {
			execve(self, argv, env);
			_exit(errno == E2BIG ? 7 : 8);
		}
	}
	if (pid > 0)
		target_wait(pid, &status);
	last[len] = kept;
	return pid > 0 && status == 0;
}

static bool is_agents(const char *variable)
{
	return !strncmp(variable, "LD_PRELOAD=", 11) || !strncmp(variable, "PERFAGENT_", 10);
}

/* Writes the most bytes that fit beside the variables that are not the agent's, less a few that may differ. */
static size_t most(bool by_spawn)
{
	static char *env[FILLERS + 8];
	size_t nr = 0, low = 16, high;
	char *last;

	/* the agent's own variables go along: it has to give them up when they do not fit */
	for (char **entry = environ; *entry && nr < 6; entry++)
		if (is_agents(*entry))
			env[nr++] = *entry;
	for (unsigned i = 0; i < FILLERS; i++) {
		high = 120000;
		env[nr] = malloc(high + 1);
		target_need(env[nr] != NULL, "malloc");
		memset(env[nr], 'x', high);
		memcpy(env[nr], "FILLER=", 7);
		env[nr][high] = '\0';
		last = env[nr++];
		env[nr] = NULL;
		if (!fits(env, nr, last, high, by_spawn))
			break;
		target_need(i + 1 < FILLERS, "the limit is too high for this test");
	}
	while (low + 1 < high) {
		size_t middle = (low + high) / 2;

		if (fits(env, nr, last, middle, by_spawn))
			low = middle;
		else
			high = middle;
	}
	return nr * 1000000 + low;
}

static int run_e2big(int argc, char **argv)
{
	(void)argc, (void)argv;
	/* with the agent its variables are tried, given up, and leave as much room as there is without them */
	size_t agents = 0;

	for (char **entry = environ; *entry; entry++)
		agents += is_agents(*entry);
	printf("by exec %zu\n", most(false) - agents * 1000000);
	printf("by spawn %zu\n", most(true) - agents * 1000000);
	return 0;
}

static int run_nothing(int argc, char **argv)
{
	(void)argc, (void)argv;
	return 0;
}

/* ---- syscall() ---- */

static TARGET_NOINLINE long guarded_call(long number, long a, long b)
{
	volatile uint64_t guard[16];
	long ret;

	for (unsigned i = 0; i < 16; i++)
		guard[i] = 0x6775617264000000u + i;
	ret = syscall(number, a, b);
	for (unsigned i = 0; i < 16; i++)
		if (guard[i] != 0x6775617264000000u + i)
			printf("the caller's stack was written to\n");
	return ret;
}

static int run_syscall(int argc, char **argv)
{
	char *page;
	int status;
	pid_t pid;

	(void)argc, (void)argv;
	page = (char *)syscall(SYS_mmap, NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);
	page[8191] = 1;
	print_failure((int)syscall(SYS_close, -1));
	print_failure((int)syscall(100000));
	printf("munmap %ld\n", syscall(SYS_munmap, page, 8192));
	printf("getppid %d\n", syscall(SYS_getppid) == getppid());
	for (int i = 0; i < 3; i++) {
		fflush(stdout);
#ifdef SYS_fork
		pid = (pid_t)guarded_call(i == 0 ? SYS_fork : SYS_clone, i == 0 ? 0 : SIGCHLD, 0);
#else
		pid = (pid_t)guarded_call(SYS_clone, SIGCHLD, 0);
#endif
		if (pid == 0) {
			target_burn_ms(30);
			syscall(SYS_exit_group, 10 + i);
		}
		target_wait(pid, &status);
		target_print_status("raw child", status);
		target_burn_ms(20);
	}
	return 0;
}

static const struct target_mode modes[] = {
    {"exec", run_exec},           {"fails", run_fails},     {"vfork", run_vfork},
    {"spawn", run_spawn},         {"e2big", run_e2big},     {"nothing", run_nothing},
    {"inherited", run_inherited}, {"syscall", run_syscall}, {NULL, NULL},
};

int main(int argc, char **argv)
{
	static char path[4096];

	target_need(readlink("/proc/self/exe", path, sizeof(path) - 1) > 0, "readlink");
	self = path;
	return target_main(modes, argc, argv);
}
