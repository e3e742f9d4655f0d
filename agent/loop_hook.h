/* What a thread's waits say of its event loops: which waits are a loop's own, where an iteration begins and ends, and
 * how much of it went to other waits. Pure decisions over a small table per thread; the records are wait_hook.c's.
 *
 * A loop is an epoll descriptor that is waited on again, or a call of poll or select for more than one descriptor that
 * comes again and again. Its iteration lasts from the return of its wait to its next wait, whatever other waits are in
 * between: a driver's poll for one socket, a sleep, a loop inside a callback. The same wait from further down the stack
 * is another one. As soon as a loop waits, those that wait further down are over: their frames are gone. World: hook.
 */
#ifndef PA_AGENT_LOOP_HOOK_H
#define PA_AGENT_LOOP_HOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/waitwire.h"

#define PA_LOOPS_EACH      4 /* of a thread; the one not seen for longest makes room */
#define PA_LOOP_POLL_WAITS 3 /* poll and select: calls of one place are a loop from this one on */

/* A wait that is about to begin. */
struct pa_wait_place {
	uint32_t kind;    /* enum pa_wait_kind */
	uint32_t born;    /* EPOLL: tells descriptors of the same number apart */
	uint64_t key;     /* as in struct pa_loop */
	uint64_t pc;      /* return address of the call */
	uint64_t cfa;     /* the caller's stack pointer, as it is after the return */
	uint32_t watched; /* 0: not known */
};

struct pa_loop_state {
	uint32_t kind; /* PA_WAIT_NONE: free */
	uint32_t born;
	uint64_t key;
	uint64_t pc;
	uint64_t cfa;
	uint32_t waits; /* that have returned; counts up to what makes a loop */
	uint32_t watched;
	uint32_t ready_last; /* events that its latest wait returned */
	bool is_loop;        /* repeated as often as its kind has to */
	uint64_t seen_ns;
	uint64_t start_ns;  /* the iteration under way; 0: none */
	uint64_t waited_ns; /* of it, in other waits */
	/* since the last record */
	uint64_t since_ns;
	uint64_t iterations;
	uint64_t ready;
	uint64_t busy_ns;
	uint64_t wait_ns;
};

struct pa_loops {
	uint32_t nr; /* in use: the first ones */
	uint32_t reserved;
	struct pa_loop_state each[PA_LOOPS_EACH];
};

/* An iteration that has ended. */
struct pa_loop_turn {
	uint64_t start_ns; /* 0: none has */
	uint64_t waited_ns;
	uint32_t ready;
};

/* The loop, or what may become one, whose wait this is. NULL: none so far. */
struct pa_loop_state *pa_loop_find_hook(struct pa_loops *loops, const struct pa_wait_place *at);

/* Room for one more: a free place, else the one to give up, whose sums the caller writes first. Then
 * pa_loop_init_hook makes it what the place says. */
struct pa_loop_state *pa_loop_room_hook(struct pa_loops *loops);
void pa_loop_init_hook(struct pa_loop_state *l, const struct pa_wait_place *at, uint64_t now_ns);

/* Its own wait begins: the iteration ends, and those of loops further down are void. Units: ns. */
void pa_loop_wait_hook(struct pa_loops *loops, struct pa_loop_state *l, const struct pa_wait_place *at, uint64_t now_ns,
		       struct pa_loop_turn *turn);
/* It has returned: the next iteration begins. ready: what it returned, -1: interrupted. Other errors: not called. */
void pa_loop_returned_hook(struct pa_loop_state *l, uint64_t began_ns, uint64_t now_ns, int64_t ready);

/* A wait of the thread that is not `own`'s is over: time of the iterations under way. Returns whether there was one, of
 * a loop or of what may become one by its next wait. */
bool pa_loop_waited_hook(struct pa_loops *loops, const struct pa_loop_state *own, uint64_t began_ns, uint64_t now_ns);

/* Whether any iteration is under way. */
bool pa_loop_any_hook(const struct pa_loops *loops);

/* Whether its sums are due to be written; after that pa_loop_flushed_hook. */
bool pa_loop_due_hook(const struct pa_loop_state *l, uint64_t now_ns);
void pa_loop_flushed_hook(struct pa_loop_state *l, uint64_t now_ns);

#endif
