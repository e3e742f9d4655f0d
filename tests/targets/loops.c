/* Event loops that are kept from their events for known times, by functions of known names. What each iteration lasted
 * by the program's own clock goes to a file "iterations" in its working directory: a line "LOOP KIND NANOSECONDS".
 *
 *   loops epoll|poll|select MS...   one loop, watching two descriptors; for each MS an iteration that computes, one
 * that sleeps, and one that polls a single socket loops nested                    an iteration of a loop runs another
 * one, which waits 5 times for 20 ms loops moved                     one epoll descriptor, waited on by a thread, then
 * by another loops several                   three threads with a loop each; the one of thread i is kept for 60 + 40 i
 * ms loops forked                    made before the fork: parent and child wait on it one after the other loops idle
 * nothing happens: 40 waits of 25 ms loops single                    no loops: polls of one descriptor and of none,
 * selects of one, sleeps loops anew                      an epoll descriptor is made, waited on and closed 5 times; 60
 * ms between
 */
#include <poll.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>

#include "target.h"

static FILE *iterations;

/* Wall time, whatever share of the processor there is. */
TARGET_NOINLINE static void compute_on_purpose(unsigned ms)
{
	uint64_t end = target_clock_ns(CLOCK_MONOTONIC) + (uint64_t)ms * 1000000u;

	while (target_clock_ns(CLOCK_MONOTONIC) < end)
		target_spin(2000);
}

TARGET_NOINLINE static void sleep_on_purpose(unsigned ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l};

	nanosleep(&ts, NULL);
	target_sink++;
}

TARGET_NOINLINE static void ask_on_purpose(unsigned ms)
{
	int pair[2];
	struct pollfd fd = {.events = POLLIN};

	target_need(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
	fd.fd = pair[0];
	target_need(poll(&fd, 1, (int)ms) == 0, "poll");
	close(pair[0]);
	close(pair[1]);
}

static const struct way {
	const char *name;
	void (*run)(unsigned ms);
} ways[] = {{"compute", compute_on_purpose}, {"sleep", sleep_on_purpose}, {"ask", ask_on_purpose}};

/* A loop of its own: a pipe that is written to is what happens in it. */
struct loop {
	const char *kind; /* "epoll", "poll", "select" */
	int epfd;
	int pipe[2], other[2];
	uint64_t returned_ns; /* from its wait; 0: not yet */
	const char *did;      /* since then */
};

static void open_loop(struct loop *l, const char *kind)
{
	*l = (struct loop){.kind = kind, .did = "nothing"};
	target_need(pipe(l->pipe) == 0 && pipe(l->other) == 0, "pipe");
	l->epfd = epoll_create1(0);
	target_need(l->epfd >= 0, "epoll_create1");
	for (int i = 0; i < 2; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.fd = i ? l->other[0] : l->pipe[0]};

		target_need(epoll_ctl(l->epfd, EPOLL_CTL_ADD, event.data.fd, &event) == 0, "epoll_ctl");
	}
}

static int wait_epoll(struct loop *l, int ms)
{
	struct epoll_event events[4];

	return epoll_wait(l->epfd, events, 4, ms);
}

static int wait_poll(struct loop *l, int ms)
{
	struct pollfd fds[2] = {{.fd = l->pipe[0], .events = POLLIN}, {.fd = l->other[0], .events = POLLIN}};

	return poll(fds, 2, ms);
}

static int wait_select(struct loop *l, int ms)
{
	struct timeval timeout = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	fd_set in;

	FD_ZERO(&in);
	FD_SET(l->pipe[0], &in);
	FD_SET(l->other[0], &in);
	return select((l->pipe[0] > l->other[0] ? l->pipe[0] : l->other[0]) + 1, &in, NULL, NULL,
		      ms < 0 ? NULL : &timeout);
}

/* The loop's own wait. The clock is read as close to it as can be. */
TARGET_NOINLINE static int wait_in_loop(struct loop *l, int ms)
{
	uint64_t began = target_clock_ns(CLOCK_MONOTONIC);
	int ready = l->kind[0] == 'e' ? wait_epoll(l, ms) : l->kind[0] == 'p' ? wait_poll(l, ms) : wait_select(l, ms);
	uint64_t now = target_clock_ns(CLOCK_MONOTONIC);

	if (l->returned_ns)
		fprintf(iterations, "%s %s %llu\n", l->kind, l->did, (unsigned long long)(began - l->returned_ns));
	l->returned_ns = now;
	l->did = "nothing";
	return ready;
}

/* An event comes, and is handled by that. */
static void turn(struct loop *l, const struct way *way, unsigned ms)
{
	char byte = 0;

	target_need(write(l->pipe[1], &byte, 1) == 1, "write");
	target_need(wait_in_loop(l, 1000) == 1, "one event");
	target_need(read(l->pipe[0], &byte, 1) == 1, "read");
	if (!way)
		return;
	way->run(ms);
	l->did = way->name;
}

static int blocked(int argc, char **argv)
{
	struct loop l;

	open_loop(&l, argv[0]);
	for (int i = 0; i < 4; i++)
		turn(&l, NULL, 0);
	for (int i = 1; i < argc; i++) {
		for (int k = 0; k < 3; k++)
			turn(&l, &ways[k], (unsigned)atoi(argv[i]));
	}
	turn(&l, NULL, 0);
	wait_in_loop(&l, 0);
	return 0;
}

TARGET_NOINLINE static void run_inner(void)
{
	struct loop inner;

	open_loop(&inner, "epoll");
	for (int i = 0; i < 5; i++)
		target_need(wait_in_loop(&inner, 20) == 0, "no event");
	target_sink++;
}

static int nested(int argc, char **argv)
{
	struct loop l;

	open_loop(&l, "epoll");
	for (int i = 0; i < 3; i++)
		turn(&l, NULL, 0);
	turn(&l, NULL, 0);
	run_inner();
	l.did = "inner";
	for (int i = 0; i < 3; i++)
		turn(&l, NULL, 0);
	return 0;
}

static void *move(void *arg)
{
	struct loop *l = arg;

	l->returned_ns = 0;
	for (int i = 0; i < 3; i++)
		turn(l, NULL, 0);
	turn(l, &ways[1], 80);
	turn(l, NULL, 0);
	return NULL;
}

static int moved(int argc, char **argv)
{
	struct loop l;
	pthread_t thread;

	open_loop(&l, "epoll");
	for (int i = 0; i < 2; i++) {
		target_need(pthread_create(&thread, NULL, move, &l) == 0, "pthread_create");
		pthread_join(thread, NULL);
	}
	return 0;
}

static void *one_of_several(void *arg)
{
	struct loop l;

	open_loop(&l, "epoll");
	for (int i = 0; i < 3; i++)
		turn(&l, NULL, 0);
	turn(&l, &ways[1], 60 + 40 * *(unsigned *)arg);
	turn(&l, NULL, 0);
	return NULL;
}

static int several(int argc, char **argv)
{
	static unsigned numbers[3] = {0, 1, 2};
	pthread_t threads[3];

	for (int i = 0; i < 3; i++)
		target_need(pthread_create(&threads[i], NULL, one_of_several, &numbers[i]) == 0, "pthread_create");
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

static int forked(int argc, char **argv)
{
	struct loop l;
	int status;
	pid_t pid;

	open_loop(&l, "epoll");
	for (int i = 0; i < 3; i++)
		turn(&l, NULL, 0);
	fflush(iterations);
	pid = fork();
	target_need(pid >= 0, "fork");
	if (pid == 0) {
		l.returned_ns = 0;
		for (int i = 0; i < 3; i++)
			turn(&l, NULL, 0);
		turn(&l, &ways[1], 120);
		turn(&l, NULL, 0);
		fflush(iterations);
		_exit(0);
	}
	/* not an iteration of interest: the parent's clock starts anew */
	target_need(waitpid(pid, &status, 0) == pid && status == 0, "waitpid");
	l.did = "child";
	turn(&l, NULL, 0);
	return 0;
}

static int idle(int argc, char **argv)
{
	struct loop l;

	open_loop(&l, "epoll");
	for (int i = 0; i < 40; i++)
		target_need(wait_in_loop(&l, 25) == 0, "no event");
	return 0;
}

static int single(int argc, char **argv)
{
	int fds[2];
	struct timespec ts = {.tv_nsec = 10000000};

	target_need(pipe(fds) == 0, "pipe");
	for (int i = 0; i < 20; i++) {
		struct pollfd fd = {.fd = fds[0], .events = POLLIN};
		struct timeval timeout = {.tv_usec = 10000};
		fd_set in;

		poll(&fd, 1, 10);
		poll(NULL, 0, 10);
		FD_ZERO(&in);
		FD_SET(fds[0], &in);
		select(fds[0] + 1, &in, NULL, NULL, &timeout);
		nanosleep(&ts, NULL);
	}
	return 0;
}

static int anew(int argc, char **argv)
{
	for (int i = 0; i < 5; i++) {
		struct loop l;

		open_loop(&l, "epoll");
		for (int k = 0; k < 3; k++)
			turn(&l, NULL, 0);
		close(l.epfd);
		close(l.pipe[0]);
		close(l.pipe[1]);
		close(l.other[0]);
		close(l.other[1]);
		sleep_on_purpose(60);
	}
	return 0;
}

static const struct target_mode modes[] = {
    {"epoll", blocked}, {"poll", blocked},    {"select", blocked}, {"nested", nested},
    {"moved", moved},   {"several", several}, {"forked", forked},  {"idle", idle},
    {"single", single}, {"anew", anew},       {NULL, NULL},
};

int main(int argc, char **argv)
{
	int ret;

	iterations = fopen("iterations", "a");
	target_need(iterations != NULL, "a file for the iterations");
	ret = target_main(modes, argc, argv);
	fclose(iterations);
	return ret;
}
