/* What a call that does not have to wait costs: nanoseconds of CPU time a call, the least of some rounds, one line
 * each. poll of two descriptors and epoll_wait are an event loop's own waits; poll of one is a driver's, inside its
 * iteration.
 */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define CALLS  50000
#define ROUNDS 20

static int epfd, fds[2];

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void call_epoll(void)
{
	struct epoll_event event;

	epoll_wait(epfd, &event, 1, 0);
}

static void call_poll(void)
{
	struct pollfd two[2] = {{.fd = fds[0], .events = POLLIN}, {.fd = fds[0], .events = POLLIN}};

	poll(two, 2, 0);
}

static void call_poll_one(void)
{
	struct pollfd one = {.fd = fds[0], .events = POLLIN};

	poll(&one, 1, 0);
}

static double measure(void (*call)(void))
{
	uint64_t least = UINT64_MAX;

	for (int round = 0; round < ROUNDS; round++) {
		uint64_t began = cpu_ns(), took;

		for (int i = 0; i < CALLS; i++)
			call();
		took = cpu_ns() - began;
		if (took < least)
			least = took;
	}
	return (double)least / CALLS;
}

int main(void)
{
	epfd = epoll_create1(0);
	if (epfd < 0 || pipe(fds) != 0)
		return 1;
	printf("epoll_wait %.1f\n", measure(call_epoll));
	printf("poll %.1f\n", measure(call_poll));
	printf("poll-one %.1f\n", measure(call_poll_one));
	return 0;
}
