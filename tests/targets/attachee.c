/* Programs that run until the file "stop" lies in their working directory, while a collector attaches to them and
 * detaches. Each says "ready" first and, at its end, what it counted: nothing that an agent may change. */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "tests/targets/target.h"

#define BLOCKS 64

static _Atomic int stop;
static _Atomic unsigned long errors;

static void ready(void)
{
	printf("ready\n");
	fflush(stdout);
}

static int is_over(void)
{
	if (access("stop", F_OK) == 0)
		stop = 1;
	return stop;
}

/* ---- busy ------------------------------------------------------------------------------------------------------- */

/* Blocks that remember their own size: a free or a realloc that went astray is seen. */
static void allocate_once(unsigned *seed)
{
	unsigned *p[BLOCKS];

	for (int i = 0; i < BLOCKS; i++) {
		unsigned size;

		*seed = *seed * 1103515245u + 12345u;
		size = 8 + *seed / 65536u % 4000u;
		p[i] = *seed & 1 ? malloc(size) : calloc(1, size);
		if (p[i] && *seed & 2)
			p[i] = realloc(p[i], size + 64);
		target_need(p[i] != NULL, "memory");
		p[i][0] = size;
		p[i][1] = ~size;
	}
	for (int i = 0; i < BLOCKS; i++) {
		errors += p[i][0] != ~p[i][1];
		free(p[i]);
	}
}

static void *allocate(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	while (!stop)
		allocate_once(&seed);
	return NULL;
}

static void *compute(void *arg)
{
	while (!stop)
		target_spin(20000);
	return arg;
}

static int run_threads(unsigned nr, void *(*work)(void *))
{
	pthread_t threads[256];

	target_need(nr <= 256, "256 threads");
	for (unsigned i = 0; i < nr; i++)
		target_need(pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)(i + 1)) == 0, "thread");
	ready();
	while (!is_over())
		usleep(10000);
	for (unsigned i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
	printf("errors %lu\n", errors);
	return 0;
}

static int mode_alloc(int argc, char **argv)
{
	return run_threads(target_number(argc, argv, 1, 1), allocate);
}

static int mode_spin(int argc, char **argv)
{
	return run_threads(target_number(argc, argv, 1, 1), compute);
}

/* One thread, and no call of libc's between two looks at the clock by the vDSO. */
static TARGET_NOINLINE int mode_loop(int argc, char **argv)
{
	ready();
	do
		target_burn_ms(300);
	while (!is_over());
	printf("over\n");
	return 0;
}

/* Threads come and go all the time, from before any session until after it. */
static void *short_life(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	for (int i = 0; i < 20; i++)
		allocate_once(&seed);
	return NULL;
}

static void *churn(void *arg)
{
	while (!stop) {
		pthread_t threads[4];

		for (uintptr_t i = 0; i < 4; i++)
			target_need(pthread_create(&threads[i], NULL, short_life, (void *)i) == 0, "thread");
		for (int i = 0; i < 4; i++)
			pthread_join(threads[i], NULL);
	}
	return arg;
}

static int mode_churn(int argc, char **argv)
{
	return run_threads(target_number(argc, argv, 1, 2), churn);
}

/* ---- asleep ----------------------------------------------------------------------------------------------------- */

static int quiet_pipe[2], quiet_epoll;

static int wait_poll(void)
{
	struct pollfd p = {.fd = quiet_pipe[0], .events = POLLIN};

	return poll(&p, 1, 700);
}

static int wait_epoll(void)
{
	struct epoll_event event;

	return epoll_wait(quiet_epoll, &event, 1, 700);
}

static int wait_nanosleep(void)
{
	struct timespec ts = {.tv_nsec = 700000000};

	return nanosleep(&ts, NULL);
}

static void *write_later(void *arg)
{
	char byte = 1;

	usleep(700000);
	target_need(write(quiet_pipe[1], &byte, 1) == 1, "write");
	return arg;
}

static int wait_read(void)
{
	pthread_t writer;
	char byte;
	ssize_t got;
	int saved;

	target_need(pthread_create(&writer, NULL, write_later, NULL) == 0, "thread");
	got = read(quiet_pipe[0], &byte, 1);
	saved = errno;
	pthread_join(writer, NULL);
	errno = saved;
	return got == 1 ? 0 : -1;
}

static int wait_futex(void)
{
	static int word;
	struct timespec ts = {.tv_nsec = 700000000};
	long ret = syscall(SYS_futex, &word, FUTEX_WAIT, 0, &ts, NULL, 0);

	return ret < 0 && errno == ETIMEDOUT ? 0 : (int)ret;
}

static const struct {
	const char *name;
	int (*wait)(void);
} waits[] = {{"poll", wait_poll},
	     {"epoll", wait_epoll},
	     {"nanosleep", wait_nanosleep},
	     {"read", wait_read},
	     {"futex", wait_futex}};

static int mode_sleep(int argc, char **argv)
{
	unsigned interrupted = 0, kind = 0, seed = 1;

	while (kind < sizeof waits / sizeof *waits && (argc < 2 || strcmp(waits[kind].name, argv[1])))
		kind++;
	target_need(kind < sizeof waits / sizeof *waits && pipe(quiet_pipe) == 0, "usage: sleep KIND");
	target_need((quiet_epoll = epoll_create1(0)) >= 0, "epoll_create1");
	ready();
	do {
		interrupted += waits[kind].wait() < 0 && errno == EINTR;
		target_burn_ms(20);
		allocate_once(&seed);
	} while (!is_over());
	printf("interrupted %u\n", interrupted);
	return 0;
}

/* ---- signals ---------------------------------------------------------------------------------------------------- */

static _Atomic unsigned got_urg, got_winch;

static void on_signal(int sig)
{
	if (sig == SIGURG)
		got_urg++;
	else
		got_winch++;
}

/* signals urg|both: handlers of its own for what an agent may use. */
static int mode_signals(int argc, char **argv)
{
	struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, was;
	unsigned seed = 1;
	int both = argc > 1 && !strcmp(argv[1], "both");

	target_need(sigaction(SIGURG, NULL, &was) == 0, "sigaction");
	printf("SIGURG was %s\n", was.sa_handler == SIG_DFL ? "default" : "something else");
	target_need(sigaction(SIGURG, &act, &was) == 0, "sigaction");
	printf("SIGURG was %s\n", was.sa_handler == SIG_DFL ? "default" : "something else");
	if (both)
		printf("SIGWINCH was %s\n", signal(SIGWINCH, on_signal) == SIG_DFL ? "default" : "something else");
	raise(SIGURG);
	raise(SIGWINCH);
	ready();
	do {
		target_burn_ms(20);
		allocate_once(&seed);
	} while (!is_over());
	printf("SIGURG %u SIGWINCH %u\n", got_urg, got_winch);
	target_need(sigaction(SIGURG, NULL, &was) == 0, "sigaction");
	printf("SIGURG is %s\n", was.sa_handler == on_signal ? "ours" : "not ours");
	return 0;
}

/* What a program sees of the signals before, while and after something attaches: the default, as it set it. */
static int mode_hidden(int argc, char **argv)
{
	struct sigaction was, act = {.sa_handler = SIG_DFL, .sa_flags = SA_RESTART};
	unsigned looks = 0, wrong = 0;
	uint64_t mask;

	sigemptyset(&act.sa_mask);
	sigaddset(&act.sa_mask, SIGUSR1);
	target_need(sigaction(SIGWINCH, &act, NULL) == 0, "sigaction");
	ready();
	do {
		target_burn_ms(5);
		sigaction(SIGURG, NULL, &was);
		wrong += was.sa_handler != SIG_DFL;
		sigaction(SIGWINCH, NULL, &was);
		wrong += was.sa_handler != SIG_DFL || !sigismember(&was.sa_mask, SIGUSR1);
		sigaction(SIGPROF, NULL, &was);
		wrong += was.sa_handler != SIG_DFL;
		wrong += raise(SIGURG) != 0;
		wrong += raise(SIGWINCH) != 0;
		mask = 0;
		sigprocmask(SIG_BLOCK, NULL, (sigset_t *)&was.sa_mask);
		memcpy(&mask, &was.sa_mask, sizeof mask);
		wrong += mask != 0;
		looks++;
	} while (!is_over());
	printf("looked %d wrong %u\n", looks > 0, wrong);
	return 0;
}

/* ---- processes -------------------------------------------------------------------------------------------------- */

/* Children that are forked while attached, busy like their parent. */
static int mode_fork(int argc, char **argv)
{
	unsigned seed = 1, ended = 0, wrong = 0;
	int status;

	ready();
	do {
		pid_t pid = fork();

		if (pid == 0) {
			for (int i = 0; i < 50; i++)
				allocate_once(&seed);
			target_burn_ms(10);
			_exit(errors ? 1 : 7);
		}
		target_wait(pid, &status);
		wrong += !WIFEXITED(status) || WEXITSTATUS(status) != 7;
		ended++;
		allocate_once(&seed);
	} while (!is_over());
	printf("children %d wrong %u\n", ended > 0, wrong);
	return 0;
}

/* exec once the file "go" is there; the other image runs on as alloc 1. */
static int mode_exec(int argc, char **argv)
{
	unsigned seed = 1;
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	target_need(n > 0, "readlink");
	self[n] = '\0';
	ready();
	while (access("go", F_OK) != 0) {
		target_burn_ms(5);
		allocate_once(&seed);
	}
	execl(self, "attachee", "alloc", "1", (char *)NULL);
	return 97;
}

#define KILL_IF(name)                                                                                                  \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)

/* Whatever an agent could want from now on kills the process. */
static int mode_seccomp(int argc, char **argv)
{
	static struct sock_filter killing[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    KILL_IF(timer_create),
	    KILL_IF(timer_settime),
	    KILL_IF(timer_delete),
	    KILL_IF(getpid),
	    KILL_IF(gettid),
	    KILL_IF(clone),
	    KILL_IF(clone3),
	    KILL_IF(socket),
	    KILL_IF(connect),
	    KILL_IF(rt_sigprocmask),
	    KILL_IF(rt_sigaction),
	    KILL_IF(nanosleep),
	    KILL_IF(mremap),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	static struct sock_fprog program = {.len = sizeof killing / sizeof *killing, .filter = killing};
	unsigned seed = 1;

	target_need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
	target_need(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "seccomp");
	ready();
	while (!is_over()) {
		target_burn_ms(5);
		allocate_once(&seed);
	}
	printf("errors %lu\n", errors);
	return 0;
}

static const struct target_mode modes[] = {
    {"alloc", mode_alloc},     {"spin", mode_spin},   {"loop", mode_loop},
    {"churn", mode_churn},     {"sleep", mode_sleep}, {"signals", mode_signals},
    {"hidden", mode_hidden},   {"fork", mode_fork},   {"exec", mode_exec},
    {"seccomp", mode_seccomp}, {NULL, NULL},
};

int main(int argc, char **argv)
{
	return target_main(modes, argc, argv);
}
