/* Callers: wait_hook.c. World: hook. */
#include "agent/loop_hook.h"

#include <stddef.h>

static uint32_t waits_needed(uint32_t kind)
{
	return kind == PA_WAIT_EPOLL ? 1 : PA_LOOP_POLL_WAITS - 1;
}

/* The deepest of those at this depth or further down: one further down is the same loop, run from elsewhere. */
struct pa_loop_state *pa_loop_find_hook(struct pa_loops *loops, const struct pa_wait_place *at)
{
	struct pa_loop_state *found = NULL;

	for (uint32_t i = 0; i < loops->nr; i++) {
		struct pa_loop_state *l = &loops->each[i];

		if (l->key != at->key || l->kind != at->kind || l->born != at->born || l->cfa > at->cfa)
			continue;
		if (!found || l->cfa > found->cfa)
			found = l;
	}
	return found;
}

static bool is_worth_less(const struct pa_loop_state *a, const struct pa_loop_state *b)
{
	return a->is_loop != b->is_loop ? !a->is_loop : a->seen_ns < b->seen_ns;
}

struct pa_loop_state *pa_loop_room_hook(struct pa_loops *loops)
{
	struct pa_loop_state *least = &loops->each[0];

	if (loops->nr < PA_LOOPS_EACH)
		return &loops->each[loops->nr++];
	for (uint32_t i = 1; i < PA_LOOPS_EACH; i++) {
		if (is_worth_less(&loops->each[i], least))
			least = &loops->each[i];
	}
	return least;
}

void pa_loop_init_hook(struct pa_loop_state *l, const struct pa_wait_place *at, uint64_t now_ns)
{
	*l = (struct pa_loop_state){
	    .kind = at->kind,
	    .born = at->born,
	    .key = at->key,
	    .pc = at->pc,
	    .cfa = at->cfa,
	    .seen_ns = now_ns,
	    .since_ns = now_ns,
	};
}

/* Where they would wait next is below the stack pointer now. One that waits nowhere but there comes again as a new
 * beginning, whatever the time between. */
static void end_deeper(struct pa_loops *loops, const struct pa_loop_state *own, uint64_t cfa)
{
	for (uint32_t i = 0; i < loops->nr; i++) {
		struct pa_loop_state *l = &loops->each[i];

		if (l != own && l->cfa < cfa)
			l->start_ns = 0;
	}
}

static void end_iteration(struct pa_loop_state *l, uint64_t now_ns, struct pa_loop_turn *turn)
{
	uint64_t busy_ns = now_ns > l->start_ns ? now_ns - l->start_ns : 0;

	l->iterations++;
	l->busy_ns += busy_ns;
	turn->start_ns = l->start_ns;
	/* a handler's wait inside another wait counts twice */
	turn->waited_ns = l->waited_ns < busy_ns ? l->waited_ns : busy_ns;
	turn->ready = l->ready_last;
	l->start_ns = 0;
}

void pa_loop_wait_hook(struct pa_loops *loops, struct pa_loop_state *l, const struct pa_wait_place *at, uint64_t now_ns,
		       struct pa_loop_turn *turn)
{
	bool was_loop = l->is_loop;

	*turn = (struct pa_loop_turn){0};
	l->is_loop = l->waits >= waits_needed(l->kind);
	l->pc = at->pc;
	l->cfa = at->cfa;
	l->watched = at->watched;
	l->seen_ns = now_ns;
	if (l->start_ns && l->is_loop)
		end_iteration(l, now_ns, turn);
	l->start_ns = 0;
	if (!l->is_loop)
		return;
	if (!was_loop && l->kind != PA_WAIT_EPOLL) {
		/* what came before this iteration is not a loop's */
		l->since_ns = turn->start_ns ? turn->start_ns : now_ns;
		l->wait_ns = 0;
		l->ready = turn->ready;
	}
	end_deeper(loops, l, at->cfa);
}

void pa_loop_returned_hook(struct pa_loop_state *l, uint64_t began_ns, uint64_t now_ns, int64_t ready)
{
	uint32_t nr = ready < 0 ? 0 : (uint32_t)ready;

	l->waits += l->waits < PA_LOOP_POLL_WAITS;
	l->wait_ns += now_ns - began_ns;
	l->ready += nr;
	l->ready_last = nr;
	l->waited_ns = 0;
	l->seen_ns = now_ns;
	l->start_ns = now_ns;
}

bool pa_loop_waited_hook(struct pa_loops *loops, const struct pa_loop_state *own, uint64_t began_ns, uint64_t now_ns)
{
	bool any = false;

	for (uint32_t i = 0; i < loops->nr; i++) {
		struct pa_loop_state *l = &loops->each[i];

		if (l == own || !l->start_ns || l->start_ns > began_ns)
			continue;
		l->waited_ns += now_ns - began_ns;
		any |= l->waits >= waits_needed(l->kind);
	}
	return any;
}

bool pa_loop_any_hook(const struct pa_loops *loops)
{
	for (uint32_t i = 0; i < loops->nr; i++) {
		if (loops->each[i].start_ns)
			return true;
	}
	return false;
}

bool pa_loop_due_hook(const struct pa_loop_state *l, uint64_t now_ns)
{
	return l->is_loop && l->iterations && now_ns - l->since_ns >= PA_LOOP_FLUSH_NS;
}

void pa_loop_flushed_hook(struct pa_loop_state *l, uint64_t now_ns)
{
	l->since_ns = now_ns;
	l->iterations = 0;
	l->ready = 0;
	l->busy_ns = 0;
	l->wait_ns = 0;
}
