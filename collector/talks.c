#include "collector/talks.h"

#include <stdlib.h>
#include <string.h>

#include "collector/talks_impl.h"

/* Two years: a time beyond is a liar's. */
#define TIME_MAX (UINT64_C(1) << 62)

bool pa_talks_wanted(const struct pa_recorder *r)
{
	return r->options.modes & (PA_MODE_DB | PA_MODE_HTTP);
}

struct pa_process_talks *pa_talks_of(struct pa_process *p)
{
	if (!p->talks)
		p->talks = calloc(1, sizeof(*p->talks));
	return p->talks;
}

uint32_t pa_talk_stack(struct pa_process *p, uint64_t time_ns, const uint64_t *frames, uint16_t nr, uint16_t stop)
{
	return nr ? pa_frames_stack(p, &(struct pa_walked){time_ns, frames, nr, stop}) : 0;
}

/* ---- in the order of time ---------------------------------------------------------------------------------------- */

static int by_time(const void *left, const void *right)
{
	const struct pa_talk *a = left, *b = right;

	if (a->record->time_ns != b->record->time_ns)
		return a->record->time_ns < b->record->time_ns ? -1 : 1;
	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

static void play_one(const struct pa_talk *talk)
{
	switch (talk->record->type) {
	case PA_REC_CONNECTION:
		pa_talk_connection(talk->p, (const struct pa_connection *)talk->record);
		break;
	case PA_REC_ITERATION:
		pa_talk_loop_iteration(talk->p, (const struct pa_iteration *)talk->record);
		break;
	case PA_REC_STATEMENT:
		pa_talk_statement(talk->p, (const struct pa_statement *)talk->record);
		break;
	case PA_REC_STATEMENT_TEXT:
		pa_talk_statement_text(talk->p, (const struct pa_statement_text *)talk->record);
		break;
	default:
		pa_talk_messages(talk->p, (const struct pa_conn_messages *)talk->record);
	}
}

/* What a record costs to play is in its messages, of which a repetition takes no bytes. */
static size_t weight_of(const struct pa_record *record)
{
	const struct pa_conn_messages *m = (const struct pa_conn_messages *)record;

	return record->size + (record->type == PA_REC_MESSAGES ? m->nr * (size_t)PA_TALK_WEIGHT : 0);
}

/* Of a session, or (p) of a process: what is no younger than until_ns, or has waited for a look already. */
static void play(struct pa_talks *t, const struct pa_recording_session *rs, const struct pa_process *p,
		 uint64_t until_ns)
{
	size_t kept = 0;

	if (t->nr > 1)
		qsort(t->list, t->nr, sizeof(*t->list), by_time);
	for (size_t i = 0; i < t->nr; i++) {
		struct pa_talk talk = t->list[i];

		if (talk.p->session != rs || (p && talk.p != p)) {
			t->list[kept++] = talk;
		} else if (talk.record->time_ns > until_ns && !talk.waited) {
			talk.waited = true;
			t->list[kept++] = talk;
		} else {
			play_one(&talk);
			t->bytes -= weight_of(talk.record);
			free(talk.record);
		}
	}
	t->nr = kept;
}

void pa_talks_pass(struct pa_recording_session *rs, uint64_t began_ns)
{
	if (rs->recorder->talks)
		play(rs->recorder->talks, rs, NULL, began_ns);
}

static bool make_room(struct pa_recorder *r)
{
	struct pa_talks *t = r->talks;
	struct pa_talk *list;
	size_t size;

	if (!t)
		t = r->talks = calloc(1, sizeof(*t));
	if (!t)
		return false;
	if (t->bytes >= PA_TALKS_BYTES_MAX)
		for (struct pa_recording_session *rs = r->sessions; rs; rs = rs->next)
			play(t, rs, NULL, UINT64_MAX);
	if (t->nr < t->size)
		return true;
	size = t->size ? t->size * 2 : 256;
	list = realloc(t->list, size * sizeof(*list));
	if (!list)
		return false;
	t->list = list;
	t->size = size;
	return true;
}

void pa_talks_on_record(void *arg, const struct pa_drain_origin *from, const struct pa_record *record)
{
	struct pa_recorder *r = arg;
	struct pa_process *p = pa_talks_wanted(r) ? pa_records_process(r, from, record) : NULL;
	struct pa_record *copy;

	if (!p || p->ended || record->time_ns >= TIME_MAX)
		return;
	copy = make_room(r) ? malloc(record->size) : NULL;
	if (!copy) {
		pa_records_loss(p, "exchange messages without memory", 1);
		return;
	}
	memcpy(copy, record, record->size);
	r->talks->bytes += weight_of(copy);
	r->talks->list[r->talks->nr++] = (struct pa_talk){.p = p, .seq = r->talks->seq++, .record = copy};
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void put_pool(struct pa_process *p, struct pa_pool *pool, uint64_t now_ns)
{
	struct pa_store_pool row = pool->row;

	for (unsigned i = 0; i < PA_TALK_BUCKETS && row.open; i++)
		for (const struct pa_talk_conn *c = p->talks->conns[i]; c; c = c->chain)
			if (c->pooled.pool == pool)
				pa_pooled_add(&c->pooled, &row, now_ns);
	pa_recorder_store(p->recorder, pa_store_put_pool(p->recorder->store, &row));
}

/* What a look at the rings may still find is no older than that. */
#define SETTLED_NS UINT64_C(2000000000)

static void put_pools(struct pa_process *p, struct pa_pools *pools, uint64_t now_ns, uint64_t until_ns)
{
	for (struct pa_pool *pool = pools->list; pool; pool = pool->next) {
		if (pool->changed || pool->row.open)
			put_pool(p, pool, now_ns);
		pa_recorder_store(p->recorder, pa_pool_flush(pool, p->recorder->store, until_ns));
		pool->changed = false;
	}
}

void pa_talk_held(struct pa_talk_conn *c, enum pa_pool_held held)
{
	struct pa_recorder *r = c->p->recorder;
	struct pa_store_pool_held row;

	if (held == c->pooled.held || (!c->pooled.held_id && r->talks->next_held >= PA_POOLS_HELD_MAX))
		return;
	c->pooled.held = held;
	if (!c->pooled.held_id)
		c->pooled.held_id = ++r->talks->next_held;
	row = (struct pa_store_pool_held){.id = c->pooled.held_id,
					  .pool = c->pooled.pool->row.id,
					  .kind = held,
					  .stack = c->stack,
					  .opened_ns = c->opened_ns ? c->opened_ns : c->pooled.joined_ns,
					  .since_ns = c->pooled.turned_ns};
	pa_recorder_store(r, pa_store_put_pool_held(r->store, &row));
}

static void put_all_held(struct pa_process *p, uint64_t now_ns)
{
	for (unsigned i = 0; i < PA_TALK_BUCKETS && p->talks->pools.list; i++)
		for (struct pa_talk_conn *c = p->talks->conns[i]; c; c = c->chain)
			if (c->pooled.pool && c->pooled.pool->row.proto != PA_PROTO_HTTP)
				pa_talk_held(c, pa_pooled_held(&c->pooled, now_ns));
}

static void flush_process(struct pa_process *p, uint64_t now_ns, uint64_t until_ns)
{
	if (!p->talks)
		return;
	pa_recorder_store(p->recorder, pa_forms_flush(&p->talks->forms, p->recorder->store));
	put_pools(p, &p->talks->pools, now_ns, until_ns);
	put_pools(p, &p->talks->peers, now_ns, until_ns);
	put_all_held(p, now_ns);
	pa_talk_within_flush(p);
}

void pa_talks_flush(struct pa_recording_session *rs)
{
	uint64_t now_ns = pa_now_ns();

	for (struct pa_process *p = rs->processes; p; p = p->next)
		flush_process(p, now_ns, now_ns - SETTLED_NS);
	pa_talk_requests_flush(rs->recorder);
}

void pa_talks_end(struct pa_process *p)
{
	if (p->recorder->talks)
		play(p->recorder->talks, p->session, p, UINT64_MAX);
	if (!p->talks)
		return;
	/* what its end cuts off counts as unanswered, but a connection that was open then stays open in the figures */
	flush_process(p, p->end_ns, p->end_ns);
	pa_talk_conns_free(p);
	pa_talk_requests_flush(p->recorder);
	pa_talk_within_flush(p);
	pa_recorder_store(p->recorder, pa_forms_flush(&p->talks->forms, p->recorder->store));
	pa_forms_free(&p->talks->forms);
	pa_pools_free(&p->talks->pools);
	pa_talk_stacks_free(p->talks);
	pa_pools_free(&p->talks->peers);
	free(p->talks->endpoints);
	pa_talk_within_free(p->talks);
	free(p->talks->scopes);
	pa_talk_statements_free(p->talks->statements);
	free(p->talks);
	p->talks = NULL;
}

void pa_talks_free(struct pa_talks *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->nr; i++)
		free(t->list[i].record);
	free(t->list);
	free(t->requests);
	free(t);
}
