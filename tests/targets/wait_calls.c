/* What the calls that wait answer: results, errno, remaining times, masks, and who gets out of them by which way. The
 * same with and without the agent. `busy` runs each inside an event loop's iteration, where the agent looks at them.
 *
 *   wait_calls results      timeouts, events, bad descriptors, bad pointers, bad arguments, of every call
 *   wait_calls signals      a handler interrupts each: EINTR, the remaining time; a mask holds it back
 *   wait_calls jumps        siglongjmp out of each, many times over
 *   wait_calls cancel       a thread is cancelled in each, and its cleanup handlers run
 *   wait_calls forks        children of fork and vfork wait on their own
 *   wait_calls handlers     handlers that wait by themselves, inside waits
 *   wait_calls fortified    the names that programs built with _FORTIFY_SOURCE call
 *   wait_calls errnos       errno stays what it was where a call succeeds
 */
#include <dlfcn.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "target.h"

#define MS 1000000l

static int epfd, pipes[2], quiet[2];

/* ---- the calls, each for ms milliseconds on a descriptor that stays silent --------------------------------------- */

static int with_epoll_wait(int ms)
{
	struct epoll_event events[2];

	return epoll_wait(epfd, events, 2, ms);
}

static int with_epoll_pwait(int ms)
{
	struct epoll_event events[2];

	return epoll_pwait(epfd, events, 2, ms, NULL);
}

static int with_epoll_pwait2(int ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * MS};
	struct epoll_event events[2];

	return epoll_pwait2(epfd, events, 2, ms < 0 ? NULL : &ts, NULL);
}

static int with_poll(int ms)
{
	struct pollfd fds[2] = {{.fd = quiet[0], .events = POLLIN}, {.fd = pipes[0], .events = POLLIN}};

	return poll(fds, 2, ms);
}

static int with_poll_one(int ms)
{
	struct pollfd fd = {.fd = quiet[0], .events = POLLIN};

	return poll(&fd, 1, ms);
}

static int with_poll_none(int ms)
{
	return poll(NULL, 0, ms);
}

static int with_ppoll(int ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * MS};
	struct pollfd fds[2] = {{.fd = quiet[0], .events = POLLIN}, {.fd = pipes[0], .events = POLLIN}};

	return ppoll(fds, 2, ms < 0 ? NULL : &ts, NULL);
}

static int with_select(int ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	fd_set in;
	int ret, saved;

	FD_ZERO(&in);
	FD_SET(quiet[0], &in);
	FD_SET(pipes[0], &in);
	ret = select((quiet[0] > pipes[0] ? quiet[0] : pipes[0]) + 1, &in, NULL, NULL, ms < 0 ? NULL : &tv);
	saved = errno;
	/* Linux leaves what was left of the time */
	if (ms >= 0 && ret == 0)
		target_need(tv.tv_sec == 0 && tv.tv_usec == 0, "no time left");
	errno = saved;
	return ret;
}

static int with_pselect(int ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * MS};
	fd_set in;

	FD_ZERO(&in);
	FD_SET(quiet[0], &in);
	FD_SET(pipes[0], &in);
	return pselect((quiet[0] > pipes[0] ? quiet[0] : pipes[0]) + 1, &in, NULL, NULL, ms < 0 ? NULL : &ts, NULL);
}

static int with_nanosleep(int ms)
{
	struct timespec ts = {.tv_sec = ms < 0 ? 1000 : ms / 1000, .tv_nsec = ms < 0 ? 0 : ms % 1000 * MS};

	return nanosleep(&ts, NULL);
}

static int with_clock_nanosleep(int ms)
{
	struct timespec ts = {.tv_sec = ms < 0 ? 1000 : ms / 1000, .tv_nsec = ms < 0 ? 0 : ms % 1000 * MS};

	return clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
}

static int with_usleep(int ms)
{
	return usleep(ms < 0 ? 1000000000u : (unsigned)ms * 1000u);
}

static int with_sleep(int ms)
{
	unsigned left = sleep(ms < 0 ? 1000 : 0);

	return left ? -2 : 0;
}

static const struct call {
	const char *name;
	int (*run)(int ms);
} calls[] = {
    {"epoll_wait", with_epoll_wait},
    {"epoll_pwait", with_epoll_pwait},
    {"epoll_pwait2", with_epoll_pwait2},
    {"poll", with_poll},
    {"poll one", with_poll_one},
    {"poll none", with_poll_none},
    {"ppoll", with_ppoll},
    {"select", with_select},
    {"pselect", with_pselect},
    {"nanosleep", with_nanosleep},
    {"usleep", with_usleep},
    {"clock_nanosleep", with_clock_nanosleep},
    {"sleep", with_sleep},
};

#define NR_CALLS (sizeof(calls) / sizeof(calls[0]))

static void show(const char *what, int ret)
{
	int saved = errno;

	printf("%s: %d%s%s\n", what, ret, ret < 0 ? " " : "", ret < 0 ? strerrorname_np(saved) : "");
}

static void open_all(void)
{
	struct epoll_event event = {.events = EPOLLIN};

	target_need(pipe(pipes) == 0 && pipe(quiet) == 0, "pipe");
	epfd = epoll_create1(EPOLL_CLOEXEC);
	target_need(epfd >= 0, "epoll_create1");
	target_need(epoll_ctl(epfd, EPOLL_CTL_ADD, pipes[0], &event) == 0, "epoll_ctl");
}

/* An event loop: from here on the thread is inside an iteration of it, and other waits in it are looked at. */
static void be_busy(void)
{
	struct epoll_event event;

	for (int i = 0; i < 3; i++)
		epoll_wait(epfd, &event, 1, 0);
}

/* ---- results ------------------------------------------------------------------------------------------------------
 */

static void bad_ones(void)
{
	struct epoll_event event;
	struct pollfd fd = {.fd = quiet[0], .events = POLLIN};
	struct timespec bad = {.tv_nsec = 2000 * MS}, ok = {0};
	struct timeval negative = {.tv_sec = -1};
	void *gone = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	volatile int closed = dup(quiet[0]), none = -1;
	volatile nfds_t many = 1u << 30;
	fd_set in;

	munmap(gone, 4096);
	close(closed);
	show("epoll_wait of none", epoll_wait(none, &event, 1, 0));
	show("epoll_wait of a closed one", epoll_wait(closed, &event, 1, 0));
	show("epoll_wait of a pipe", epoll_wait(quiet[0], &event, 1, 0));
	show("epoll_wait for none", epoll_wait(epfd, &event, 0, 0));
	show("epoll_wait into nowhere", epoll_wait(epfd, gone, 1, 0));
	show("epoll_pwait2 for a bad time", epoll_pwait2(epfd, &event, 1, &bad, NULL));
	show("epoll_create of none", epoll_create(0));
	show("epoll_create1 of bad flags", epoll_create1(-1));
	show("poll of nowhere", poll(gone, 2, 0));
	show("poll of one nowhere", poll(gone, 1, 0));
	show("poll of too many", poll(&fd, many, 0));
	show("ppoll for a bad time", ppoll(&fd, 1, &bad, NULL));
	show("ppoll of nowhere", ppoll(gone, 2, &ok, NULL));
	fd.fd = closed;
	show("poll of a closed one", poll(&fd, 1, 0));
	printf("revents %#x\n", fd.revents);
	FD_ZERO(&in);
	FD_SET(closed, &in);
	FD_SET(quiet[0], &in);
	show("select of a closed one", select(closed + 1, &in, NULL, NULL, NULL));
	show("select of nowhere", select(8, gone, NULL, NULL, NULL));
	show("select of less than none", select(none, NULL, NULL, NULL, NULL));
	show("select for a negative time", select(0, NULL, NULL, NULL, &negative));
	show("pselect for a bad time", pselect(0, NULL, NULL, NULL, &bad, NULL));
	show("pselect of nowhere", pselect(8, NULL, gone, NULL, &ok, NULL));
	show("nanosleep for a bad time", nanosleep(&bad, NULL));
	show("nanosleep of nowhere", nanosleep(gone, NULL));
	printf("clock_nanosleep for a bad time: %d\n", clock_nanosleep(CLOCK_MONOTONIC, 0, &bad, NULL));
	printf("clock_nanosleep by a bad clock: %d\n", clock_nanosleep(77, 0, &ok, NULL));
}

static void all_calls(void)
{
	char byte = 0;

	for (size_t i = 0; i < NR_CALLS; i++)
		show(calls[i].name, calls[i].run(0));
	for (size_t i = 0; i < NR_CALLS; i++)
		show(calls[i].name, calls[i].run(12));
	target_need(write(pipes[1], &byte, 1) == 1, "write");
	for (size_t i = 0; i < 9; i++) {
		if (calls[i].run != with_poll_one && calls[i].run != with_poll_none)
			show(calls[i].name, calls[i].run(-1));
	}
	target_need(read(pipes[0], &byte, 1) == 1, "read");
}

static int results(int argc, char **argv)
{
	open_all();
	all_calls();
	bad_ones();
	be_busy();
	all_calls();
	bad_ones();
	return 0;
}

/* ---- signals ------------------------------------------------------------------------------------------------------
 */

static volatile sig_atomic_t came;
static sigjmp_buf out;
static volatile bool jump;

static void on_alarm(int sig)
{
	came++;
	if (jump)
		siglongjmp(out, 1);
}

static void handle(void)
{
	struct sigaction action = {.sa_handler = on_alarm};

	target_need(sigaction(SIGALRM, &action, NULL) == 0, "sigaction");
}

static void ring_in(long us)
{
	struct itimerval timer = {.it_value = {.tv_usec = us}};

	target_need(setitimer(ITIMER_REAL, &timer, NULL) == 0, "setitimer");
}

/* Again and again: the first may come before the call that it is to interrupt. 0: no more. */
static void ring_every(long us)
{
	struct itimerval timer = {.it_value = {.tv_usec = us}, .it_interval = {.tv_usec = us}};

	target_need(setitimer(ITIMER_REAL, &timer, NULL) == 0, "setitimer");
}

static void masked(void)
{
	struct timespec short_time = {.tv_nsec = 30 * MS};
	struct epoll_event event;
	struct pollfd fds[2] = {{.fd = quiet[0]}, {.fd = pipes[0]}};
	sigset_t alarm, empty;

	sigemptyset(&empty);
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	came = 0;
	ring_in(5000);
	show("epoll_pwait, held back", epoll_pwait(epfd, &event, 1, 30, &alarm));
	printf("came %d\n", came);
	ring_in(5000);
	show("ppoll, held back", ppoll(fds, 2, &short_time, &alarm));
	printf("came %d\n", came);
	ring_in(5000);
	show("pselect, held back", pselect(0, NULL, NULL, NULL, &short_time, &alarm));
	printf("came %d\n", came);
	sigprocmask(SIG_BLOCK, &alarm, NULL);
	ring_in(5000);
	show("epoll_pwait, let in", epoll_pwait(epfd, &event, 1, 5000, &empty));
	ring_in(5000);
	show("ppoll, let in", ppoll(fds, 2, NULL, &empty));
	ring_in(5000);
	show("pselect, let in", pselect(0, NULL, NULL, NULL, NULL, &empty));
	printf("came %d\n", came);
	sigprocmask(SIG_UNBLOCK, &alarm, NULL);
}

static int signals(int argc, char **argv)
{
	struct timespec left = {0}, wanted = {.tv_sec = 100};
	int ret;

	open_all();
	handle();
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < NR_CALLS; i++) {
			int saved;

			came = 0;
			ring_every(4000);
			ret = calls[i].run(-1);
			saved = errno;
			ring_every(0);
			/* the error of this one is its result */
			errno = calls[i].run == with_clock_nanosleep ? ret : saved;
			show(calls[i].name, ret);
			printf("came %d\n", came > 0);
		}
		ring_every(4000);
		ret = nanosleep(&wanted, &left);
		ring_every(0);
		printf("left %d %d\n", ret, left.tv_sec == 99 && left.tv_nsec > 0);
		ring_every(4000);
		ret = (int)sleep(100);
		ring_every(0);
		printf("sleep left %d\n", ret);
		masked();
		be_busy();
	}
	return 0;
}

static int jumps(int argc, char **argv)
{
	static volatile unsigned long left;

	open_all();
	handle();
	for (volatile int round = 0; round < 12; round++) {
		for (volatile size_t i = 0; i < NR_CALLS; i++) {
			came = 0;
			if (sigsetjmp(out, 1) == 0) {
				jump = true;
				ring_every(2500);
				calls[i].run(-1);
				printf("%s came back\n", calls[i].name);
			}
			jump = false;
			ring_every(0);
			left += came > 0;
		}
		be_busy();
	}
	printf("left %lu times\n", left);
	for (size_t i = 0; i < NR_CALLS; i++)
		show(calls[i].name, calls[i].run(1));
	return 0;
}

/* ---- cancellation ---------------------------------------------------------------------------------------------------
 */

static volatile int cleaned;
static volatile int entered;

static void clean(void *arg)
{
	struct pollfd fd = {.fd = quiet[0]};

	cleaned++;
	/* handlers may wait, too */
	poll(&fd, 1, 1);
}

static void *be_cancelled(void *arg)
{
	const struct call *call = arg;

	pthread_cleanup_push(clean, NULL);
	be_busy();
	entered = 1;
	call->run(-1);
	pthread_cleanup_pop(0);
	return NULL;
}

static int cancel(int argc, char **argv)
{
	open_all();
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < NR_CALLS; i++) {
			pthread_t thread;
			void *result;

			entered = 0;
			target_need(pthread_create(&thread, NULL, be_cancelled, (void *)&calls[i]) == 0,
				    "pthread_create");
			while (round && !entered)
				usleep(500);
			pthread_cancel(thread);
			pthread_join(thread, &result);
			printf("%s: %s\n", calls[i].name, result == PTHREAD_CANCELED ? "cancelled" : "not cancelled");
		}
	}
	printf("cleaned at least %d\n", cleaned >= 2 * (int)NR_CALLS);
	return 0;
}

/* ---- processes ------------------------------------------------------------------------------------------------------
 */

static void wait_in_child(const char *what)
{
	for (size_t i = 0; i < NR_CALLS; i++)
		show(calls[i].name, calls[i].run(1));
	be_busy();
	for (size_t i = 0; i < NR_CALLS; i++)
		show(calls[i].name, calls[i].run(6));
	printf("%s\n", what);
	fflush(stdout);
}

static int forks(int argc, char **argv)
{
	int status;
	pid_t pid;

	open_all();
	be_busy();
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		wait_in_child("child");
		_exit(3);
	}
	target_wait(pid, &status);
	target_print_status("fork", status);
	fflush(stdout);
	pid = vfork();
	if (pid == 0) {
		for (size_t i = 0; i < NR_CALLS; i++)
			calls[i].run(6);
		_exit(4);
	}
	target_wait(pid, &status);
	target_print_status("vfork", status);
	fflush(stdout);
	wait_in_child("parent");
	return 0;
}

/* ---- handlers that wait
 * ------------------------------------------------------------------------------------------------ */

static void wait_in_handler(int sig)
{
	int saved = errno;

	for (size_t i = 0; i < NR_CALLS; i++)
		calls[i].run(1);
	came++;
	errno = saved;
}

static int handlers(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = wait_in_handler};

	open_all();
	be_busy();
	target_need(sigaction(SIGALRM, &action, NULL) == 0, "sigaction");
	for (size_t i = 0; i < NR_CALLS; i++) {
		came = 0;
		ring_every(50000);
		calls[i].run(calls[i].run == with_sleep ? -1 : 120);
		while (!came)
			target_spin(1000);
		ring_every(0);
		printf("%s: came %d\n", calls[i].name, came > 0);
	}
	be_busy();
	for (size_t i = 0; i < NR_CALLS; i++)
		show(calls[i].name, calls[i].run(1));
	return 0;
}

/* ---- others
 * ----------------------------------------------------------------------------------------------------------------- */

int __poll_chk(struct pollfd *fds, nfds_t nr, int timeout, size_t bytes);
int __ppoll_chk(struct pollfd *fds, nfds_t nr, const struct timespec *timeout, const sigset_t *mask, size_t bytes);

static int fortified(int argc, char **argv)
{
	struct pollfd fds[2] = {{.events = POLLIN}, {.events = POLLIN}};
	struct timespec ts = {.tv_nsec = 6 * MS};
	int status;
	pid_t pid;

	open_all();
	fds[0].fd = quiet[0];
	fds[1].fd = pipes[0];
	for (int i = 0; i < 4; i++) {
		show("__poll_chk", __poll_chk(fds, 2, 6, sizeof(fds)));
		show("__ppoll_chk", __ppoll_chk(fds, 2, &ts, NULL, sizeof(fds)));
		be_busy();
	}
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		/* its message goes to the terminal, or here */
		freopen("message", "w", stderr);
		__poll_chk(fds, 2, 0, sizeof(fds[0]));
		_exit(5);
	}
	target_wait(pid, &status);
	printf("overflow: %s\n", WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? "aborted" : "not aborted");
	printf("asked for: %d %d %d\n", !!dlsym(RTLD_DEFAULT, "epoll_wait"), !!dlsym(RTLD_DEFAULT, "__poll_chk"),
	       !!dlsym(RTLD_DEFAULT, "epoll_pwait2"));
	return 0;
}

static int errnos(int argc, char **argv)
{
	open_all();
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < NR_CALLS; i++) {
			errno = 4242;
			calls[i].run(6);
			printf("%s: %d\n", calls[i].name, errno);
		}
		be_busy();
	}
	return 0;
}

static const struct target_mode modes[] = {
    {"results", results},   {"signals", signals},     {"jumps", jumps},   {"cancel", cancel}, {"forks", forks},
    {"handlers", handlers}, {"fortified", fortified}, {"errnos", errnos}, {NULL, NULL},
};

int main(int argc, char **argv)
{
	return target_main(modes, argc, argv);
}
