/* The only place where the collector waits: an epoll set of watched descriptors and a few timers on CLOCK_MONOTONIC.
 *
 * Single-threaded. A callback may remove and free any watch or timer, its own included, and may stop the loop.
 * Who uses it: listener, recorder, `record`, perfagentd. World: plain. */
#ifndef PA_COLLECTOR_LOOP_H
#define PA_COLLECTOR_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct pa_loop;

/* One watched descriptor, embedded in its owner. */
struct pa_watch {
	int fd;
	void (*fn)(struct pa_watch *watch, uint32_t events);
	void *arg; /* the owner's */
};

/* One timer, embedded in its owner; zeroed before first use. */
struct pa_timer {
	void (*fn)(struct pa_timer *timer);
	void *arg;
	uint64_t at_ns; /* CLOCK_MONOTONIC */
	uint32_t place; /* in the loop's heap */
	bool on;
};

/* CLOCK_MONOTONIC in ns. */
uint64_t pa_now_ns(void);

/* Errors: NULL with errno. */
struct pa_loop *pa_loop_new(void);
void pa_loop_free(struct pa_loop *loop);

/* Watches watch->fd for EPOLL* events; the watch stays the caller's and must be removed before it is freed and before
 * the descriptor is closed. Errors: 0 or -errno. */
int pa_loop_watch(struct pa_loop *loop, struct pa_watch *watch, uint32_t events);
void pa_loop_unwatch(struct pa_loop *loop, struct pa_watch *watch);

/* (Re)arms a timer, once. Units: ns from now. Errors: none where as many timers as now were armed before; without
 * memory for one more the loop stops, and pa_loop_run returns -ENOMEM. */
void pa_loop_arm(struct pa_loop *loop, struct pa_timer *timer, uint64_t in_ns);
void pa_loop_disarm(struct pa_loop *loop, struct pa_timer *timer);

/* Runs until pa_loop_stop. Errors: 0 or -errno of epoll_wait. */
int pa_loop_run(struct pa_loop *loop);
void pa_loop_stop(struct pa_loop *loop);

#endif
