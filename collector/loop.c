#include "collector/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 64
#define TURN_NS        5000000u /* of timers, before descriptors are looked at again */

struct pa_loop {
	int epoll_fd;
	bool stop;
	struct pa_timer **timers; /* a binary heap: 500 recordings have 1500 */
	uint32_t nr_timers, max_timers;
	int error; /* that stopped it */
	struct epoll_event events[EVENTS_AT_ONCE];
	int nr_events; /* of the batch being delivered */
};

uint64_t pa_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct pa_loop *pa_loop_new(void)
{
	struct pa_loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return NULL;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		free(loop);
		return NULL;
	}
	return loop;
}

void pa_loop_free(struct pa_loop *loop)
{
	if (!loop)
		return;
	close(loop->epoll_fd);
	free(loop->timers);
	free(loop);
}

int pa_loop_watch(struct pa_loop *loop, struct pa_watch *watch, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, watch->fd, &event) ? -errno : 0;
}

void pa_loop_unwatch(struct pa_loop *loop, struct pa_watch *watch)
{
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	/* events of the present batch that are still to be delivered must not reach a freed watch */
	for (int i = 0; i < loop->nr_events; i++)
		if (loop->events[i].data.ptr == watch)
			loop->events[i].data.ptr = NULL;
}

static void put_at(struct pa_loop *loop, struct pa_timer *timer, uint32_t place)
{
	loop->timers[place] = timer;
	timer->place = place;
}

static void rise(struct pa_loop *loop, struct pa_timer *timer, uint32_t place)
{
	while (place && loop->timers[(place - 1) / 2]->at_ns > timer->at_ns) {
		put_at(loop, loop->timers[(place - 1) / 2], place);
		place = (place - 1) / 2;
	}
	put_at(loop, timer, place);
}

static void sink(struct pa_loop *loop, struct pa_timer *timer, uint32_t place)
{
	for (uint32_t child; (child = 2 * place + 1) < loop->nr_timers; place = child) {
		if (child + 1 < loop->nr_timers && loop->timers[child + 1]->at_ns < loop->timers[child]->at_ns)
			child++;
		if (loop->timers[child]->at_ns >= timer->at_ns)
			break;
		put_at(loop, loop->timers[child], place);
	}
	put_at(loop, timer, place);
}

void pa_loop_disarm(struct pa_loop *loop, struct pa_timer *timer)
{
	struct pa_timer *last;

	if (!timer->on)
		return;
	timer->on = false;
	last = loop->timers[--loop->nr_timers];
	if (last == timer)
		return;
	if (timer->place && loop->timers[(timer->place - 1) / 2]->at_ns > last->at_ns)
		rise(loop, last, timer->place);
	else
		sink(loop, last, timer->place);
}

static bool make_room(struct pa_loop *loop)
{
	uint32_t max = loop->max_timers ? loop->max_timers * 2 : 64;
	struct pa_timer **timers;

	if (loop->nr_timers < loop->max_timers)
		return true;
	timers = realloc(loop->timers, max * sizeof(struct pa_timer *));
	if (!timers)
		return false;
	loop->timers = timers;
	loop->max_timers = max;
	return true;
}

void pa_loop_arm(struct pa_loop *loop, struct pa_timer *timer, uint64_t in_ns)
{
	pa_loop_disarm(loop, timer);
	if (!make_room(loop)) {
		loop->error = -ENOMEM;
		loop->stop = true;
		return;
	}
	timer->at_ns = pa_now_ns() + in_ns;
	timer->on = true;
	rise(loop, timer, loop->nr_timers++);
}

void pa_loop_stop(struct pa_loop *loop)
{
	loop->stop = true;
}

static int wait_ms(const struct pa_loop *loop)
{
	uint64_t now = pa_now_ns();

	if (!loop->nr_timers)
		return -1;
	if (loop->timers[0]->at_ns <= now)
		return 0;
	/* rounded up: waking early would only spin */
	return (int)((loop->timers[0]->at_ns - now + 999999) / 1000000);
}

static void run_timers(struct pa_loop *loop)
{
	uint64_t now = pa_now_ns();

	/* a timer that arms itself anew lands behind `now` and waits for the next round; so do those whose time has
	 * come when others took long: who knocks must not wait for all of them */
	while (!loop->stop && loop->nr_timers && loop->timers[0]->at_ns <= now) {
		struct pa_timer *timer = loop->timers[0];

		pa_loop_disarm(loop, timer);
		timer->fn(timer);
		if (pa_now_ns() - now > TURN_NS)
			break;
	}
}

int pa_loop_run(struct pa_loop *loop)
{
	loop->stop = false;
	while (!loop->stop) {
		int nr = epoll_wait(loop->epoll_fd, loop->events, EVENTS_AT_ONCE, wait_ms(loop));

		if (nr < 0 && errno != EINTR)
			return -errno;
		loop->nr_events = nr > 0 ? nr : 0;
		for (int i = 0; i < loop->nr_events && !loop->stop; i++) {
			struct pa_watch *watch = loop->events[i].data.ptr;

			if (watch)
				watch->fn(watch, loop->events[i].events);
		}
		loop->nr_events = 0;
		run_timers(loop);
	}
	return loop->error;
}
