#include "collector/locks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/recorder_impl.h"
#include "collector/store_lock.h"
#include "collector/store_talk.h"
#include "collector/sums.h"

#define BUCKETS   256
#define OPEN      32   /* waits of a thread whose end may still come: handlers wait inside waits */
#define HOLDS     4096 /* the latest of a process */
#define HOLDS_NOW 64   /* of them that are looked at for every wait */
#define UNSURE    1024 /* slow waits whose holder may still be told of, between two flushes */
#define HOLDERS   4    /* stacks of holders that are compared, of a site */
#define ADDRESSES 4096 /* of a process: counted exactly as far as that goes */
/* A time that long is a liar's. Sums of those still fit. */
#define NS_MAX (UINT64_C(1) << 50)

struct site {
	struct pa_store_lock row;
	bool row_changed, changed;
	struct pa_store_lock_chunk sums; /* since the last flush */
	uint64_t *counts;                /* PA_LAG_BUCKETS */
	struct holder {
		uint32_t stack;
		uint64_t ns;
	} holders[HOLDERS];
	struct site *chain;
};

struct open_wait {
	struct site *site; /* NULL: none */
	uint32_t order, kind;
	uint32_t holder; /* thread */
	uint64_t address;
};

struct pa_thread_locks {
	struct open_wait open[OPEN];
};

/* A thread that had waited for a lock held it then. */
struct hold {
	uint64_t address, got_ns, released_ns;
	uint32_t thread, stack;
};

struct unsure {
	struct site *site;
	struct pa_store_lock_slow row;
};

struct pa_process_locks {
	struct site *sites[BUCKETS];
	uint32_t nr_sites, nr_unsure, nr_addresses;
	uint64_t nr_holds;
	struct hold holds[HOLDS];
	struct unsure unsure[UNSURE];
	uint64_t addresses[2 * ADDRESSES]; /* of (site, address), mixed; open addressing */
};

bool pa_locks_wanted(const struct pa_recorder *r)
{
	return r->options.modes & PA_MODE_LOCK;
}

/* ---- look-ups: NULL: limit or memory ---------------------------------------------------------------------------- */

/* The place of a thread's wait. */
static struct open_wait *open_of(struct pa_process *p, struct pa_thread *t, uint32_t order)
{
	if (!p->locks)
		p->locks = calloc(1, sizeof(*p->locks));
	if (p->locks && !t->locks)
		t->locks = calloc(1, sizeof(*t->locks));
	return p->locks && t->locks ? &t->locks->open[order % OPEN] : NULL;
}

static struct site *site_of(struct pa_process *p, uint32_t kind, uint32_t stack)
{
	struct site **at = &p->locks->sites[(stack * 7 + kind) % BUCKETS], *s;

	for (s = *at; s; s = s->chain)
		if (s->row.stack == stack && s->row.kind == kind)
			return s;
	s = p->locks->nr_sites < PA_LOCK_SITES_MAX ? calloc(1, sizeof(*s)) : NULL;
	if (s && !(s->counts = calloc(PA_LAG_BUCKETS, sizeof(*s->counts)))) {
		free(s);
		s = NULL;
	}
	if (!s) {
		pa_records_loss(p, "waits for locks at sites beyond the limit", 1);
		return NULL;
	}
	p->locks->nr_sites++;
	s->row = (struct pa_store_lock){.id = ++p->recorder->next_lock, .process = p->id, .kind = kind, .stack = stack};
	s->row_changed = true;
	s->chain = *at;
	*at = s;
	return s;
}

/* Counts the address if the site has not met it. Two that mix to the same number count once. */
static void count_address(struct pa_process_locks *l, struct site *s, uint64_t address)
{
	uint64_t key = (address ^ (uint64_t)s->row.id << 40) * UINT64_C(0x9e3779b97f4a7c15) | 1;
	uint64_t at = key >> 40;

	if (l->nr_addresses >= ADDRESSES)
		return;
	for (;; at++) {
		uint64_t *slot = &l->addresses[at % (2 * (uint64_t)ADDRESSES)];

		if (*slot == key)
			return;
		if (*slot)
			continue;
		*slot = key;
		l->nr_addresses++;
		s->row.addresses++;
		s->row_changed = true;
		return;
	}
}

/* ---- who had it ------------------------------------------------------------------------------------------------- */

/* The longest hold by somebody else that a wait ran into, among the latest. NULL: not known, or not yet. */
static const struct hold *hold_of(const struct pa_process_locks *l, const struct pa_store_lock_slow *wait,
				  uint64_t back)
{
	uint64_t nr = l->nr_holds < back ? l->nr_holds : back, longest = 0;
	const struct hold *found = NULL;

	for (uint64_t i = 1; i <= nr; i++) {
		const struct hold *h = &l->holds[(l->nr_holds - i) % HOLDS];
		uint64_t from = h->got_ns > wait->start_ns ? h->got_ns : wait->start_ns;
		uint64_t to = h->released_ns < wait->end_ns ? h->released_ns : wait->end_ns;

		if (h->address == wait->address && h->thread != wait->thread && to > from && to - from > longest) {
			longest = to - from;
			found = h;
		}
	}
	return found;
}

static void blame(struct site *s, uint32_t stack, uint64_t ns)
{
	struct holder *least = &s->holders[0], *at = NULL;

	for (unsigned i = 0; i < HOLDERS && !at; i++) {
		if (s->holders[i].stack == stack)
			at = &s->holders[i];
		if (s->holders[i].ns < least->ns)
			least = &s->holders[i];
	}
	if (!at) {
		at = least;
		*at = (struct holder){.stack = stack};
	}
	pa_sum(&at->ns, ns);
	if (at->ns >= s->row.holder_ns) {
		s->row.holder = at->stack;
		s->row.holder_ns = at->ns;
		s->row_changed = true;
	}
}

static void put_slow(struct pa_process *p, const struct pa_store_lock_slow *row)
{
	struct pa_recorder *r = p->recorder;

	if (r->nr_lock_slow++ < PA_LOCK_SLOW_MAX)
		pa_recorder_store(r, pa_store_add_lock_slow(r->store, row));
	else
		pa_records_loss(p, "waits for locks not listed", 1);
}

/* Records of who held it may lie in rings that are read later: of long waits that is found out at the next flush. */
static void find_holder(struct pa_process *p, struct site *s, struct pa_store_lock_slow *row)
{
	struct pa_process_locks *l = p->locks;
	bool slow = row->end_ns - row->start_ns >= PA_LOCK_SLOW_NS;
	const struct hold *h = NULL;

	if (slow && l->nr_unsure < UNSURE)
		l->unsure[l->nr_unsure++] = (struct unsure){s, *row};
	else if (slow)
		put_slow(p, row);
	else
		h = hold_of(l, row, HOLDS_NOW);
	if (h)
		blame(s, h->stack, row->end_ns - row->start_ns);
}

static void settle_unsure(struct pa_process *p)
{
	struct pa_process_locks *l = p->locks;

	for (uint32_t i = 0; i < l->nr_unsure; i++) {
		struct unsure *u = &l->unsure[i];
		const struct hold *h = hold_of(l, &u->row, HOLDS);

		if (h) {
			u->row.stack = h->stack;
			blame(u->site, h->stack, u->row.end_ns - u->row.start_ns);
		}
		put_slow(p, &u->row);
	}
	l->nr_unsure = 0;
}

/* ---- records ---------------------------------------------------------------------------------------------------- */

static void left(struct open_wait *w)
{
	if (!w->site)
		return;
	w->site->row.unfinished++;
	w->site->row_changed = true;
	w->site = NULL;
}

static uint32_t stack_of(struct pa_process *p, const struct pa_lock_wait *wait)
{
	return pa_frames_stack(p, &(struct pa_walked){wait->head.time_ns, wait->frames, wait->nr_frames, wait->stop});
}

void pa_locks_on_wait(void *arg, const struct pa_drain_origin *from, const struct pa_record *record)
{
	const struct pa_lock_wait *wait = (const struct pa_lock_wait *)record;
	struct pa_process *p;
	struct pa_thread *t = pa_locks_wanted(arg) ? pa_records_thread(arg, from, record, wait->tid, &p) : NULL;
	const struct pa_thread *holder;
	struct open_wait *w = t ? open_of(p, t, wait->order) : NULL;

	if (!w)
		return;
	left(w);
	holder = wait->holder ? pa_process_thread(p, wait->holder) : NULL;
	*w = (struct open_wait){
	    .site = site_of(p, wait->kind, stack_of(p, wait)),
	    .order = wait->order,
	    .kind = wait->kind,
	    .holder = holder ? holder->id : 0,
	    .address = wait->address,
	};
}

static void count(struct site *s, const struct pa_lock_done *done, uint64_t ns)
{
	if (!s->changed || done->start_ns < s->sums.first_ns)
		s->sums.first_ns = done->start_ns;
	if (!s->changed || done->got_ns > s->sums.last_ns)
		s->sums.last_ns = done->got_ns;
	s->changed = true;
	s->sums.waits++;
	s->sums.timed_out += done->outcome == PA_LOCK_TIMED_OUT;
	s->counts[pa_latency_bucket(ns > PA_LATENCY_FLOOR_NS ? ns : PA_LATENCY_FLOOR_NS)]++;
	pa_sum(&s->sums.total_ns, ns);
	if (ns > s->sums.max_ns)
		s->sums.max_ns = ns;
	if (done->released_ns) {
		uint64_t held_ns = done->released_ns - done->got_ns;

		s->sums.held++;
		pa_sum(&s->sums.held_ns, held_ns);
		if (held_ns > s->sums.held_max_ns)
			s->sums.held_max_ns = held_ns;
	}
}

void pa_locks_on_done(void *arg, const struct pa_drain_origin *from, const struct pa_record *record)
{
	const struct pa_lock_done *done = (const struct pa_lock_done *)record;
	struct pa_process *p;
	struct pa_thread *t = pa_locks_wanted(arg) ? pa_records_thread(arg, from, record, done->tid, &p) : NULL;
	struct open_wait *open = t ? open_of(p, t, done->order) : NULL, w;
	uint64_t ns = done->got_ns - done->start_ns;

	if (!open || !open->site || open->order != done->order)
		return;
	w = *open;
	open->site = NULL;
	if (done->outcome == PA_LOCK_REFUSED || ns >= NS_MAX || done->got_ns >= PA_SUM_MAX ||
	    (w.kind == PA_LOCK_JOIN && ns < PA_LOCK_JOIN_NS))
		return;
	count(w.site, done, ns);
	count_address(p->locks, w.site, w.address);
	if (done->released_ns && w.kind <= PA_LOCK_WRITE)
		p->locks->holds[p->locks->nr_holds++ % HOLDS] =
		    (struct hold){w.address, done->got_ns, done->released_ns, t->id, w.site->row.stack};
	if (w.kind <= PA_LOCK_WRITE)
		find_holder(p, w.site,
			    &(struct pa_store_lock_slow){.lock = w.site->row.id,
							 .thread = t->id,
							 .holder = w.holder,
							 .start_ns = done->start_ns,
							 .end_ns = done->got_ns,
							 .address = w.address});
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static void flush_site(struct pa_recorder *r, struct site *s)
{
	int err;

	if (s->row_changed && !pa_store_put_lock(r->store, &s->row))
		s->row_changed = false;
	if (!s->changed)
		return;
	s->sums.lock = s->row.id;
	s->sums.counts = s->counts;
	err = pa_store_add_lock_chunk(r->store, &s->sums);
	/* a full disk: the sums go into a later chunk */
	if (err == -ENOSPC)
		return;
	pa_recorder_store(r, err);
	s->changed = false;
	s->sums = (struct pa_store_lock_chunk){0};
	memset(s->counts, 0, PA_LAG_BUCKETS * sizeof(*s->counts));
}

static void flush_process(struct pa_process *p)
{
	if (!p->locks)
		return;
	settle_unsure(p);
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct site *s = p->locks->sites[i]; s; s = s->chain)
			flush_site(p->recorder, s);
}

void pa_locks_flush(struct pa_recording_session *rs)
{
	for (struct pa_process *p = rs->processes; p; p = p->next)
		flush_process(p);
}

void pa_locks_thread_ended(struct pa_thread *t)
{
	for (unsigned k = 0; t->locks && k < OPEN; k++)
		left(&t->locks->open[k]);
	free(t->locks);
	t->locks = NULL;
}

void pa_locks_end(struct pa_process *p)
{
	if (!p->locks)
		return;
	for (unsigned i = 0; i < PA_THREAD_BUCKETS; i++)
		for (struct pa_thread *t = p->threads[i]; t; t = t->chain)
			pa_locks_thread_ended(t);
	flush_process(p);
	for (unsigned i = 0; i < BUCKETS; i++) {
		for (struct site *s = p->locks->sites[i], *next; s; s = next) {
			next = s->chain;
			free(s->counts);
			free(s);
		}
	}
	free(p->locks);
	p->locks = NULL;
}
