/* What a program can see of itself: threads, descriptors, heap, signals, children, environment. Each mode prints it,
 * and the bytes must be the same with the agent. */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/single_threaded.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "tests/targets/smaps.h"
#include "tests/targets/target.h"

extern char **environ;

static int count_entries(const char *dir)
{
	DIR *d = opendir(dir);
	int nr = 0;

	target_need(d != NULL, dir);
	for (struct dirent *e = readdir(d); e; e = readdir(d))
		nr += e->d_name[0] != '.';
	closedir(d);
	return nr;
}

static int mode_threads(int argc, char **argv)
{
	target_burn_ms(200);
	printf("threads %d\n", count_entries("/proc/self/task"));
	printf("single threaded %d\n", (int)__libc_single_threaded);
	return 0;
}

/* Every open descriptor and what kind of file it is; the next free number too. */
static int mode_fds(int argc, char **argv)
{
	target_burn_ms(100);
	for (int fd = 0; fd < 1024; fd++) {
		struct stat st;

		if (fstat(fd, &st) == 0)
			printf("fd %d type %o flags %#x\n", fd, st.st_mode & S_IFMT, fcntl(fd, F_GETFD));
	}
	printf("next %d\n", dup(0));
	return 0;
}

/* With lib_countmalloc.so preloaded: how often the allocator was called, by whomever. */
static int mode_heap(int argc, char **argv)
{
	unsigned long (*calls)(void) = (unsigned long (*)(void))dlsym(RTLD_DEFAULT, "countmalloc_calls");
	unsigned long at_main = calls ? calls() : 0, after;
	struct mallinfo2 before = mallinfo2(), info;

	target_burn_ms(300);
	after = calls ? calls() : 0;
	info = mallinfo2();
	printf("calls at main %lu, while sampled %lu\n", at_main, after - at_main);
	printf("arena %zu used %zu mapped %zu; at main %zu %zu %zu\n", info.arena, info.uordblks, info.hblkhd,
	       before.arena, before.uordblks, before.hblkhd);
	return 0;
}

static void *heap_thread(void *arg)
{
	target_burn_ms(30);
	return NULL;
}

/* The same with threads that come and go: starting one may not allocate more than it does without the agent. */
static int mode_heap_threads(int argc, char **argv)
{
	unsigned long (*calls)(void) = (unsigned long (*)(void))dlsym(RTLD_DEFAULT, "countmalloc_calls");
	unsigned long before = calls ? calls() : 0;

	for (int i = 0; i < 10; i++) {
		pthread_t t;

		target_need(pthread_create(&t, NULL, heap_thread, NULL) == 0, "pthread_create");
		pthread_join(t, NULL);
	}
	printf("calls for ten threads %lu\n", calls ? calls() - before : 0);
	return 0;
}

/* errno keeps whatever the program put there, at every moment. */
static int mode_errno(int argc, char **argv)
{
	uint64_t end = target_clock_ns(CLOCK_THREAD_CPUTIME_ID) + 400000000u;
	unsigned long wrong = 0;

	while (target_clock_ns(CLOCK_THREAD_CPUTIME_ID) < end) {
		for (int i = 1; i < 200; i++) {
			errno = 1000 + i;
			target_spin(200);
			wrong += errno != 1000 + i;
		}
	}
	printf("errno wrong %lu times\n", wrong);
	return 0;
}

static int mode_environ(int argc, char **argv)
{
	for (char **e = environ; *e; e++)
		if (strncmp(*e, "LD_PRELOAD=", 11) && strncmp(*e, "PERFAGENT_", 10) && strncmp(*e, "PWD=", 4) &&
		    strncmp(*e, "OLDPWD=", 7))
			printf("%s\n", *e);
	return 0;
}

/* What the kernel only grants to a process with one thread and a mapping nobody shares. */
static int mode_unshare(int argc, char **argv)
{
	int fd, r;

	target_burn_ms(100);
	errno = 0;
	r = unshare(CLONE_VM | CLONE_SIGHAND | CLONE_THREAD);
	printf("unshare vm %d errno %d\n", r, errno);
	errno = 0;
	r = unshare(CLONE_NEWUSER);
	printf("unshare user %d errno %d\n", r, errno);
	errno = 0;
	r = unshare(CLONE_NEWNS);
	printf("unshare mount %d errno %d\n", r, errno);
	fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	errno = 0;
	r = setns(fd, CLONE_NEWNS);
	printf("setns mount %d errno %d\n", r, errno);
	target_burn_ms(100);
	return 0;
}

static volatile sig_atomic_t nr_chld;

static void on_chld(int sig)
{
	nr_chld++;
}

/* No child of the agent's is ever to be seen, no signal, no resource use of one. */
static int mode_children(int argc, char **argv)
{
	struct rusage use;
	int status;
	pid_t pid;

	signal(SIGCHLD, on_chld);
	target_burn_ms(150);
	errno = 0;
	pid = waitpid(-1, &status, WNOHANG | __WALL);
	printf("wait %d errno %d, SIGCHLD %d\n", (int)pid, errno, (int)nr_chld);
	getrusage(RUSAGE_CHILDREN, &use);
	printf("children cpu %ld.%06ld\n", use.ru_utime.tv_sec + use.ru_stime.tv_sec,
	       use.ru_utime.tv_usec + use.ru_stime.tv_usec);
	return 0;
}

static int mode_signals(int argc, char **argv)
{
	struct sigaction old;
	sigset_t set;
	stack_t alt;

	target_burn_ms(100);
	sigprocmask(SIG_BLOCK, NULL, &set);
	for (int sig = 1; sig < NSIG; sig++) {
		if (sigaction(sig, NULL, &old) == 0 && old.sa_handler != SIG_DFL)
			printf("signal %d: %s\n", sig, old.sa_handler == SIG_IGN ? "ignored" : "handled");
		if (sigismember(&set, sig) == 1)
			printf("signal %d blocked\n", sig);
	}
	sigpending(&set);
	for (int sig = 1; sig < NSIG; sig++)
		if (sigismember(&set, sig) == 1)
			printf("signal %d pending\n", sig);
	sigaltstack(NULL, &alt);
	printf("altstack flags %d size %zu\n", alt.ss_flags, alt.ss_size);
	return 0;
}

/* Waits of all kinds end by their timeout and not by a signal: an idle thread gets none. Returns how many did not. */
static int wait_every_way(int sock, int epoll, sem_t *sem)
{
	struct timespec ts = {.tv_sec = 0, .tv_nsec = 10000000}, until;
	struct timeval tv = {.tv_usec = 10000};
	struct pollfd p = {.fd = sock, .events = POLLIN};
	struct epoll_event event;
	int wrong = 0;
	fd_set set;
	char byte;

	wrong += nanosleep(&ts, NULL) != 0;
	wrong += poll(&p, 1, 10) != 0;
	wrong += ppoll(&p, 1, &ts, NULL) != 0;
	wrong += epoll_wait(epoll, &event, 1, 10) != 0;
	FD_ZERO(&set);
	FD_SET(sock, &set);
	wrong += select(sock + 1, &set, NULL, NULL, &tv) != 0;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 10000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	wrong += sem_timedwait(sem, &until) != -1 || errno != ETIMEDOUT;
	wrong += recv(sock, &byte, 1, 0) != -1 || errno != EAGAIN;
	return wrong;
}

static int mode_idle(int argc, char **argv)
{
	struct timeval tv = {.tv_usec = 10000};
	struct epoll_event event = {.events = EPOLLIN};
	int socks[2], epoll = epoll_create1(0), wrong = 0;
	sem_t sem;

	target_need(socketpair(AF_UNIX, SOCK_STREAM, 0, socks) == 0 && epoll >= 0 && sem_init(&sem, 0, 0) == 0,
		    "socketpair");
	target_need(epoll_ctl(epoll, EPOLL_CTL_ADD, socks[0], &event) == 0, "epoll_ctl");
	setsockopt(socks[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	for (int i = 0; i < 10; i++) {
		target_burn_ms(10);
		wrong += wait_every_way(socks[0], epoll, &sem);
	}
	printf("interrupted %d times, sleep %u\n", wrong, sleep(1));
	return 0;
}

static int mode_memory(int argc, char **argv)
{
	target_burn_ms(300);
	return target_write_memory();
}

static const struct target_mode modes[] = {
    {"threads", mode_threads}, {"fds", mode_fds},
    {"heap", mode_heap},       {"heap_threads", mode_heap_threads},
    {"errno", mode_errno},     {"environ", mode_environ},
    {"unshare", mode_unshare}, {"children", mode_children},
    {"signals", mode_signals}, {"idle", mode_idle},
    {"memory", mode_memory},   {0},
};

int main(int argc, char **argv)
{
	return target_main(modes, argc, argv);
}
