/* Whose a slot is: the process of a number that the target wrote into it. Most are known; a child that was forked since
 * is looked for in /proc, and what is found nowhere may be one that has ended already, or invented. World: plain. */
#include <stdio.h>

#include "collector/proc.h"
#include "collector/recorder_impl.h"

#define SEARCH_NS   20000000u
#define SEARCH_COST 20 /* a search takes no more than one part of so many of our time */
/* An ended process's number may have a new bearer: as often as that it is looked for. */
#define SOUGHT_NS      100000000u
#define IMPOSSIBLE_MAX 64

/* ---- known by number ------------------------------------------------------------------------------------------- */

static struct pa_process **bucket(struct pa_recording_session *rs, uint32_t inner_pid)
{
	return &rs->numbers[inner_pid % PA_NUMBER_BUCKETS];
}

void pa_recorder_number(struct pa_process *p)
{
	struct pa_process **head = bucket(p->session, p->inner_pid);

	p->same = *head;
	*head = p;
	p->session->nr_nested += p->pid != p->inner_pid;
}

void pa_recorder_unnumber(struct pa_process *p)
{
	for (struct pa_process **at = bucket(p->session, p->inner_pid); *at; at = &(*at)->same) {
		if (*at != p)
			continue;
		*at = p->same;
		p->session->nr_nested -= p->pid != p->inner_pid;
		return;
	}
}

/* ---- looked for ------------------------------------------------------------------------------------------------ */

static bool has_pid(const struct pa_recording_session *rs, uint32_t pid)
{
	/* 0: nobody's parent that we can see, and the number of those we cannot see */
	for (const struct pa_process *p = rs->processes; pid && p; p = p->next)
		if (p->pid == pid)
			return true;
	return false;
}

bool pa_recorder_is_older(const struct pa_recording_session *rs, uint32_t pid)
{
	uint64_t ticks = pa_proc_start_ticks(pid);

	return ticks && ticks < rs->start_ticks;
}

struct inner_search {
	struct pa_recording_session *rs;
	uint32_t inner_pid;
	uint32_t pid; /* found */
	uint32_t parent;
};

/* Whether a process is the one that calls itself inner_pid in this session: a child of one we know, or one that maps
 * its memfd. */
static int match_inner(void *arg, uint32_t pid)
{
	struct inner_search *search = arg;
	struct pa_proc_status status;

	if (pa_proc_status(pid, &status) || status.inner_pid != search->inner_pid || status.ns_depth == 0)
		return 0;
	if (!has_pid(search->rs, status.parent) &&
	    !pa_proc_maps_inode(pid, search->rs->s->inode, search->rs->s->maps_as))
		return 0;
	search->pid = pid;
	search->parent = status.parent;
	return 1;
}

/* The outer pid of a forked child: the same number in the same namespace, and then it may be gone already; else it is
 * searched for among all processes, not too often. 0: not found. */
static uint32_t outer_pid(struct pa_recording_session *rs, uint32_t inner_pid, uint32_t *parent_pid)
{
	struct inner_search search = {.rs = rs, .inner_pid = inner_pid};
	struct pa_recorder *r = rs->recorder;
	uint64_t now = pa_now_ns();

	rs->owners.looks++;
	if (!match_inner(&search, inner_pid) && now >= r->search_at_ns &&
	    (rs->nr_nested || pa_recorder_is_older(rs, inner_pid))) {
		uint64_t took;

		pa_proc_all(match_inner, &search);
		took = pa_now_ns() - now;
		r->search_at_ns = now + (took * SEARCH_COST > SEARCH_NS ? took * SEARCH_COST : SEARCH_NS);
	}
	*parent_pid = search.parent;
	return search.pid;
}

/* ---- bounded --------------------------------------------------------------------------------------------------- */

/* Whether one more may be looked for that is perhaps found nowhere. */
static bool may_look(struct pa_owners *o, uint64_t now)
{
	uint64_t more = (now - o->filled_ns) / PA_UNSEEN_NS;

	o->filled_ns += more * PA_UNSEEN_NS;
	o->tokens = o->tokens + more < PA_UNSEEN_BURST ? o->tokens + more : PA_UNSEEN_BURST;
	return o->tokens != 0;
}

/* No kernel gives such a number: the target's memory was overwritten, by itself or by one who means harm. A slot or two
 * may be; a session of them is over. */
static void count_impossible(struct pa_recording_session *rs)
{
	struct pa_recorder *r = rs->recorder;

	rs->owners.nr_refused++;
	if (++rs->owners.nr_impossible < IMPOSSIBLE_MAX || rs->over)
		return;
	rs->over = true;
	pa_session_set_state(rs->s, PA_SESSION_ENDED);
	pa_records_loss(rs->oldest, "bad record", 1);
	pa_recorder_store(r, pa_store_add_note(r->store, rs->oldest->id, pa_now_ns(),
					       "what it shares with the collector names owners that cannot be: the "
					       "rest was not read"));
}

void pa_recorder_say_refused(struct pa_recording_session *rs)
{
	struct pa_owners *o = &rs->owners;
	struct pa_recorder *r = rs->recorder;

	if (o->nr_refused == o->said_refused || !rs->answered)
		return;
	if (!o->said_refused)
		pa_recorder_store(r, pa_store_add_note(r->store, rs->oldest->id, pa_now_ns(),
						       "records came in the name of more processes that nobody has "
						       "seen than can be followed: some were not read"));
	pa_records_loss(rs->oldest, "unknown process", o->nr_refused - o->said_refused);
	o->said_refused = o->nr_refused;
}

struct pa_process *pa_recorder_process(struct pa_recorder *r, uint32_t inner_pid)
{
	struct pa_recording_session *rs = r->draining;
	struct pa_process *p, *ended = NULL;
	uint32_t parent = 0, pid;
	uint64_t now;

	if (r->recent && r->recent->inner_pid == inner_pid)
		return r->recent;
	if (!rs || !inner_pid)
		return NULL;
	for (p = *bucket(rs, inner_pid); p; p = p->same) {
		if (p->inner_pid != inner_pid)
			continue;
		if (!p->ended)
			return r->recent = p;
		ended = ended ? ended : p;
	}
	if (inner_pid > PA_SESSION_PID_MAX) {
		count_impossible(rs);
		return NULL;
	}
	now = pa_now_ns();
	if (ended && now - ended->sought_ns < SOUGHT_NS)
		return ended;
	if (!may_look(&rs->owners, now)) {
		rs->owners.nr_refused += !ended;
		return ended;
	}
	pid = outer_pid(rs, inner_pid, &parent);
	rs->owners.tokens -= pid == 0;
	/* late words of a process that is gone, or a new one that got its number */
	if (ended && !pid) {
		ended->sought_ns = now;
		return ended;
	}
	return r->recent = pa_recorder_adopt(rs, inner_pid, pid, parent);
}
