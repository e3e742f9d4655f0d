#include "collector/loops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/recorder_impl.h"
#include "collector/store_loop.h"
#include "collector/sums.h"
#include "collector/talks.h"
#include "common/atomics.h"

#define BUCKETS      256
#define RECENT_WAITS 64
/* Two years: a time that long is a liar's. Sums of those still fit. */
#define NS_MAX (UINT64_C(1) << 56)

struct event_loop {
	struct pa_store_loop row;
	uint64_t key; /* as on the wire */
	bool row_changed, changed;
	struct pa_store_loop_chunk sums; /* since the last flush */
	uint64_t *counts;                /* PA_LAG_BUCKETS; NULL: none yet */
	struct event_loop *next;         /* of the thread */
};

/* A wait that an iteration, whose record comes later, may have had inside. */
struct recent_wait {
	uint64_t start_ns, end_ns;
	uint32_t stack;
};

/* What waits did on one stack. */
struct wait_sum {
	struct pa_store_loop_wait row;
	bool changed;
	struct wait_sum *chain;
};

struct loop_thread {
	uint32_t id; /* in the store */
	struct event_loop *loops;
	struct recent_wait *recent; /* RECENT_WAITS, the oldest at nr modulo that; NULL: none yet */
	uint64_t nr_recent;
	struct loop_thread *chain;
};

struct pa_process_loops {
	struct loop_thread *threads[BUCKETS];
	struct wait_sum *waits[BUCKETS];
	uint32_t nr_loops, nr_waits;
};

bool pa_loops_wanted(const struct pa_recorder *r)
{
	return r->options.modes & PA_MODE_LOOP;
}

/* ---- look-ups: NULL: limit or memory ---------------------------------------------------------------------------- */

static struct loop_thread *thread_of(struct pa_process *p, uint32_t id)
{
	struct loop_thread **at, *t;

	if (!p->loops)
		p->loops = calloc(1, sizeof(*p->loops));
	if (!p->loops)
		return NULL;
	at = &p->loops->threads[id % BUCKETS];
	for (t = *at; t && t->id != id; t = t->chain)
		;
	if (t)
		return t;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->id = id;
	t->chain = *at;
	*at = t;
	return t;
}

static struct event_loop *loop_of(struct pa_process *p, struct loop_thread *t, uint32_t kind, uint64_t key,
				  uint64_t time_ns)
{
	struct pa_recorder *r = p->recorder;
	struct event_loop *l;

	for (l = t->loops; l; l = l->next)
		if (l->key == key && l->row.kind == kind)
			return l;
	l = p->loops->nr_loops < PA_LOOPS_MAX ? calloc(1, sizeof(*l)) : NULL;
	if (!l)
		return NULL;
	p->loops->nr_loops++;
	l->key = key;
	l->row = (struct pa_store_loop){.id = ++r->next_loop, .thread = t->id, .kind = kind};
	if (kind == PA_WAIT_EPOLL)
		l->row.key = (uint32_t)key;
	else if (key >= PA_FRAME_PSEUDO_MAX)
		l->row.frame = pa_frames_of(p, key, time_ns);
	l->row_changed = true;
	l->next = t->loops;
	t->loops = l;
	return l;
}

static struct wait_sum *wait_of(struct pa_process *p, uint32_t thread, uint32_t kind, uint32_t stack)
{
	struct wait_sum **at = &p->loops->waits[(stack * 31 + thread * 7 + kind) % BUCKETS], *w;

	for (w = *at; w; w = w->chain)
		if (w->row.stack == stack && w->row.thread == thread && w->row.kind == kind)
			return w;
	w = p->loops->nr_waits < PA_LOOP_WAITS_MAX ? calloc(1, sizeof(*w)) : NULL;
	if (!w)
		return NULL;
	p->loops->nr_waits++;
	w->row = (struct pa_store_loop_wait){
	    .id = ++p->recorder->next_loop_wait, .thread = thread, .kind = kind, .stack = stack};
	w->chain = *at;
	*at = w;
	return w;
}

/* ---- records ---------------------------------------------------------------------------------------------------- */

/* Times of another process are believed as far as they can be true. */
static bool is_sane(uint64_t from_ns, uint64_t to_ns)
{
	return from_ns <= to_ns && to_ns - from_ns < NS_MAX && to_ns < PA_SUM_MAX;
}

/* Of the thread a record is about. Errors: NULL. */
static struct loop_thread *whose(void *arg, const struct pa_drain_origin *from, const struct pa_record *record,
				 uint32_t tid, struct pa_process **p)
{
	struct pa_thread *t = pa_loops_wanted(arg) ? pa_records_thread(arg, from, record, tid, p) : NULL;

	return t ? thread_of(*p, t->id) : NULL;
}

static void spans(struct event_loop *l, uint64_t from_ns, uint64_t to_ns)
{
	if (!l->changed || from_ns < l->sums.first_ns)
		l->sums.first_ns = from_ns;
	if (!l->changed || to_ns > l->sums.last_ns)
		l->sums.last_ns = to_ns;
	l->changed = true;
}

void pa_loops_on_loop(void *arg, const struct pa_drain_origin *from, const struct pa_record *record)
{
	const struct pa_loop *loop = (const struct pa_loop *)record;
	struct pa_process *p;
	struct loop_thread *t = whose(arg, from, record, loop->tid, &p);
	struct event_loop *l = NULL;

	if (t && is_sane(loop->since_ns, record->time_ns) && loop->busy_ns < NS_MAX && loop->wait_ns < NS_MAX)
		l = loop_of(p, t, loop->kind, loop->key, record->time_ns);
	if (!l)
		return;
	spans(l, loop->since_ns, record->time_ns);
	pa_sum(&l->sums.iterations, loop->iterations);
	pa_sum(&l->sums.ready, loop->ready);
	pa_sum(&l->sums.busy_ns, loop->busy_ns);
	pa_sum(&l->sums.wait_ns, loop->wait_ns);
	if (!l->row.frame && loop->pc >= PA_FRAME_PSEUDO_MAX) {
		l->row.frame = pa_frames_of(p, loop->pc, record->time_ns);
		l->row_changed = true;
	}
	if (loop->watched != l->row.watched) {
		l->row.watched = loop->watched;
		l->row_changed = true;
	}
}

/* The longest of the thread's latest waits inside an iteration. NULL: none. */
static const struct recent_wait *longest_inside(const struct loop_thread *t, uint64_t start_ns, uint64_t end_ns)
{
	const struct recent_wait *longest = NULL;
	uint64_t nr = t->nr_recent < RECENT_WAITS ? t->nr_recent : RECENT_WAITS;

	for (uint64_t i = 0; i < nr; i++) {
		const struct recent_wait *w = &t->recent[i];

		if (w->start_ns < start_ns || w->end_ns > end_ns)
			continue;
		if (!longest || w->end_ns - w->start_ns > longest->end_ns - longest->start_ns)
			longest = w;
	}
	return longest;
}

static void put_blocked(struct pa_process *p, const struct loop_thread *t, const struct event_loop *l,
			const struct pa_iteration *it, uint64_t waited_ns)
{
	struct pa_recorder *r = p->recorder;
	const struct recent_wait *w = longest_inside(t, it->start_ns, it->head.time_ns);
	struct pa_store_loop_blocked row = {
	    .loop = l->row.id,
	    .start_ns = it->start_ns,
	    .end_ns = it->head.time_ns,
	    .waited_ns = waited_ns,
	    .wait_ns = w ? w->end_ns - w->start_ns : 0,
	    .stack = w ? w->stack : 0,
	    .ready = it->ready,
	};

	if (r->nr_loop_blocked++ < PA_LOOP_BLOCKED_MAX)
		pa_recorder_store(r, pa_store_add_loop_blocked(r->store, &row));
	else
		pa_records_loss(p, "blocked iterations not listed", 1);
}

void pa_loops_on_iteration(void *arg, const struct pa_drain_origin *from, const struct pa_record *record)
{
	const struct pa_iteration *it = (const struct pa_iteration *)record;
	struct pa_process *p;
	struct loop_thread *t = whose(arg, from, record, it->tid, &p);
	uint64_t length_ns = record->time_ns - it->start_ns;
	uint64_t waited_ns = it->waited_ns < length_ns ? it->waited_ns : length_ns;
	struct event_loop *l = NULL;

	/* what was asked within it is known when connections are looked at */
	if (t && p->talks)
		pa_talks_on_record(arg, from, record);
	if (t && is_sane(it->start_ns, record->time_ns) && length_ns >= PA_LAG_FLOOR_NS)
		l = loop_of(p, t, it->kind, it->key, record->time_ns);
	if (!l)
		return;
	if (!l->counts)
		l->counts = calloc(PA_LAG_BUCKETS, sizeof(*l->counts));
	if (!l->counts)
		return;
	spans(l, it->start_ns, record->time_ns);
	l->counts[pa_lag_bucket(length_ns)]++;
	pa_sum(&l->sums.long_ns, length_ns);
	pa_sum(&l->sums.waited_ns, waited_ns);
	if (length_ns > l->sums.max_ns)
		l->sums.max_ns = length_ns;
	if (length_ns >= p->recorder->options.loop_blocked_ns)
		put_blocked(p, t, l, it, waited_ns);
}

static uint32_t stack_of(struct pa_process *p, const struct pa_wait *wait)
{
	return pa_frames_stack(p, &(struct pa_walked){wait->head.time_ns, wait->frames, wait->nr_frames, wait->stop});
}

void pa_loops_on_wait(void *arg, const struct pa_drain_origin *from, const struct pa_record *record)
{
	const struct pa_wait *wait = (const struct pa_wait *)record;
	struct pa_process *p;
	struct loop_thread *t = wait->flags & PA_WAIT_IN_LOOP ? whose(arg, from, record, wait->tid, &p) : NULL;
	struct wait_sum *sum;
	uint32_t stack;

	if (!t || !is_sane(wait->start_ns, record->time_ns))
		return;
	if (!t->recent)
		t->recent = calloc(RECENT_WAITS, sizeof(*t->recent));
	if (!t->recent)
		return;
	stack = stack_of(p, wait);
	t->recent[t->nr_recent++ % RECENT_WAITS] = (struct recent_wait){wait->start_ns, record->time_ns, stack};
	sum = wait_of(p, t->id, wait->kind, stack);
	if (!sum)
		return;
	sum->changed = true;
	sum->row.waits++;
	pa_sum(&sum->row.total_ns, record->time_ns - wait->start_ns);
	if (record->time_ns - wait->start_ns > sum->row.max_ns)
		sum->row.max_ns = record->time_ns - wait->start_ns;
}

void pa_loops_losses(struct pa_recording_session *rs)
{
	uint64_t lost = pa_load_relaxed(&rs->s->control->waits_lost);

	if (lost > rs->waits_lost && rs->processes)
		pa_records_loss(rs->processes, "loop and connection records", lost - rs->waits_lost);
	rs->waits_lost = lost;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static void flush_loop(struct pa_recorder *r, struct event_loop *l)
{
	static const uint64_t none[PA_LAG_BUCKETS];
	int err;

	if (l->row_changed && !pa_store_put_loop(r->store, &l->row))
		l->row_changed = false;
	if (!l->changed)
		return;
	l->sums.loop = l->row.id;
	l->sums.counts = l->counts ? l->counts : none;
	err = pa_store_add_loop_chunk(r->store, &l->sums);
	/* a full disk: the sums go into a later chunk */
	if (err == -ENOSPC)
		return;
	pa_recorder_store(r, err);
	l->changed = false;
	l->sums = (struct pa_store_loop_chunk){0};
	if (l->counts)
		memset(l->counts, 0, PA_LAG_BUCKETS * sizeof(*l->counts));
}

static void flush_process(struct pa_process *p)
{
	struct pa_recorder *r = p->recorder;

	for (unsigned i = 0; p->loops && i < BUCKETS; i++) {
		for (struct loop_thread *t = p->loops->threads[i]; t; t = t->chain)
			for (struct event_loop *l = t->loops; l; l = l->next)
				flush_loop(r, l);
		for (struct wait_sum *w = p->loops->waits[i]; w; w = w->chain) {
			if (!w->changed)
				continue;
			w->changed = false;
			pa_recorder_store(r, pa_store_put_loop_wait(r->store, &w->row));
		}
	}
}

void pa_loops_flush(struct pa_recording_session *rs)
{
	for (struct pa_process *p = rs->processes; p; p = p->next)
		flush_process(p);
}

static void free_thread(struct loop_thread *t)
{
	for (struct event_loop *l = t->loops, *next; l; l = next) {
		next = l->next;
		free(l->counts);
		free(l);
	}
	free(t->recent);
	free(t);
}

void pa_loops_end(struct pa_process *p)
{
	if (!p->loops)
		return;
	flush_process(p);
	for (unsigned i = 0; i < BUCKETS; i++) {
		for (struct loop_thread *t = p->loops->threads[i], *next; t; t = next) {
			next = t->chain;
			free_thread(t);
		}
		for (struct wait_sum *w = p->loops->waits[i], *next; w; w = next) {
			next = w->chain;
			free(w);
		}
	}
	free(p->loops);
	p->loops = NULL;
}
