/* Connections of a process, and what is said on them. Everything in a record has another process for its author: what
 * cannot be is counted by the decoders, and bounded. World: plain. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/talks_impl.h"

/* ---- connections ------------------------------------------------------------------------------------------------- */

static struct pa_talk_conn **place_of(struct pa_process_talks *talks, uint32_t number)
{
	struct pa_talk_conn **at = &talks->conns[number % PA_TALK_BUCKETS];

	while (*at && (*at)->number != number)
		at = &(*at)->chain;
	return at;
}

/* The connection of that number, made when there is none, for so many messages. NULL: limit or memory. */
static struct pa_talk_conn *conn_of(struct pa_process *p, uint32_t number, uint32_t messages)
{
	struct pa_process_talks *talks = pa_talks_of(p);
	struct pa_talk_conn **at = talks ? place_of(talks, number) : NULL, *c;

	if (at && *at)
		return *at;
	c = at && talks->nr_conns < PA_TALKS_CONNS_MAX ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		pa_records_loss(p, "exchange messages beyond the limit of connections", messages);
		return NULL;
	}
	c->p = p;
	c->number = number;
	*at = c;
	talks->nr_conns++;
	return c;
}

static void drop_decoder(struct pa_talk_conn *c)
{
	const struct pa_decode_counts *counts;

	if (!c->decode)
		return;
	counts = pa_decode_counts(c->decode);
	pa_records_loss(c->p, "exchanges whose answer was missed", counts->lost);
	pa_records_loss(c->p, "exchange answers to nothing that was seen", counts->unmatched);
	pa_records_loss(c->p, "exchange texts beyond the limit", counts->no_room);
	pa_records_loss(c->p, "exchange messages that make no sense", counts->malformed);
	pa_decode_free(c->decode);
	c->p->recorder->talks->decode_bytes -= c->decode_bytes;
	c->decode_bytes = 0;
	c->decode = NULL;
}

static void end_conn(struct pa_talk_conn **at, uint64_t now_ns)
{
	struct pa_talk_conn *c = *at;

	if (c->decode)
		pa_decode_close(c->decode, now_ns);
	drop_decoder(c);
	pa_talk_scope_end(c->p, c->number, false, now_ns);
	pa_pooled_leave(&c->pooled, now_ns);
	*at = c->chain;
	c->p->talks->nr_conns--;
	free(c);
}

void pa_talk_conns_free(struct pa_process *p)
{
	for (unsigned i = 0; i < PA_TALK_BUCKETS; i++)
		while (p->talks->conns[i])
			end_conn(&p->talks->conns[i], p->end_ns);
}

/* ---- pools ------------------------------------------------------------------------------------------------------- */

static bool is_database(enum pa_proto proto)
{
	return proto == PA_PROTO_POSTGRES || proto == PA_PROTO_MYSQL || proto == PA_PROTO_RESP;
}

static struct pa_pool *pool_of(struct pa_talk_conn *c, enum pa_proto proto)
{
	struct pa_recorder *r = c->p->recorder;
	struct pa_pool *pool;

	if (c->role != PA_ROLE_CLIENT)
		return NULL;
	pool = pa_pools_of(is_database(proto) ? &c->p->talks->pools : &c->p->talks->peers, c->p->id, proto, c->peer,
			   &r->talks->next_pool);
	if (pool && !pool->row.stack)
		pool->row.stack = c->stack;
	return pool;
}

static void join(struct pa_talk_conn *c, enum pa_proto proto, uint64_t now_ns)
{
	bool known = is_database(proto) || proto == PA_PROTO_HTTP;
	struct pa_pool *pool = c->pooled.pool || !known ? NULL : pool_of(c, proto);

	if (!pool)
		return;
	pa_pooled_join(&c->pooled, pool, c->ready_ns ? c->ready_ns : now_ns);
	if (!c->opened_ns || c->ready_ns <= c->opened_ns)
		return;
	pool->row.connect_ns += c->ready_ns - c->opened_ns;
	pa_pool_connected(pool, c->ready_ns - c->opened_ns);
}

/* At work is a connection with something unanswered; of PostgreSQL also between the messages that make up a request. */
static void turn(struct pa_talk_conn *c, const struct pa_conn_messages *m, const struct pa_frame_event *e)
{
	bool asking = m->way == PA_TO_SERVER && m->proto == PA_PROTO_POSTGRES && e->kind != PA_FRAME_PG_TERMINATE;
	char tx = pa_decode_tx(c->decode);
	size_t pending = pa_decode_pending(c->decode);

	if (c->pooled.pool && m->proto == PA_PROTO_RESP && pending > 1)
		c->pooled.pool->life.shared = 1;
	/* a database where something else was expected is in nobody's pool of databases: places are of those */
	if (c->pooled.state != PA_POOLED_ACTIVE && m->way == PA_TO_SERVER && is_database(m->proto) && c->pooled.pool &&
	    is_database(c->pooled.pool->row.proto))
		pa_talk_scope_ask(c->p->talks, m->tid, c->pooled.pool);
	pa_pooled_turn(&c->pooled,
		       pending || asking        ? PA_POOLED_ACTIVE
		       : tx == 'T' || tx == 'E' ? PA_POOLED_IN_TX
						: PA_POOLED_IDLE,
		       m->head.time_ns);
}

/* ---- exchanges --------------------------------------------------------------------------------------------------- */

/* Who asked what began then: the latest call that began no later. */
static const struct pa_asked *asker(const struct pa_talk_conn *c, uint64_t start_ns)
{
	uint64_t oldest = c->nr_asked > PA_TALK_ASKED ? c->nr_asked - PA_TALK_ASKED : 0;

	for (uint64_t i = c->nr_asked; i > oldest; i--)
		if (c->asked[(i - 1) % PA_TALK_ASKED].start_ns <= start_ns)
			return &c->asked[(i - 1) % PA_TALK_ASKED];
	return NULL;
}

static void put_slow(struct pa_process *p, const struct pa_form *f, const struct pa_exchange *x, uint32_t tid,
		     uint32_t stack, uint64_t ns)
{
	struct pa_recorder *r = p->recorder;
	struct pa_store_exchange_slow row = {
	    .exchange = f->row.id,
	    .thread = tid ? pa_recorder_thread_at(p, tid, x->end_ns - ns) : 0,
	    .stack = stack,
	    .failed = !!(x->flags & PA_EXCHANGE_FAILED),
	    .start_ns = x->end_ns - ns,
	    .end_ns = x->end_ns,
	    .rows = x->rows,
	};

	if (r->talks->nr_slow++ < PA_EXCHANGE_SLOW_MAX)
		pa_recorder_store(r, pa_store_add_exchange_slow(r->store, &row));
	else
		pa_records_loss(p, "exchanges slow but not listed", 1);
}

void pa_talk_exchange(struct pa_process *p, const struct pa_exchange *x, const struct pa_party *party, uint32_t tid)
{
	struct pa_form *f = pa_forms_of(&p->talks->forms, x, party, &p->recorder->talks->next_exchange);
	uint64_t ns = 0;

	if (!f)
		return;
	if (pa_form_add(f, x, party, &ns) && ns >= PA_EXCHANGE_SLOW_NS)
		put_slow(p, f, x, tid, party->stack, ns);
	if (tid && party->role == PA_ROLE_SERVER && x->kind == PA_EXCHANGE_HTTP)
		pa_talk_request(p, f, x, tid);
	if (tid && party->role == PA_ROLE_CLIENT && x->kind != PA_EXCHANGE_HTTP) {
		pa_talk_scope_count(p, tid, x->start_ns, f, party->stack, ns);
		pa_talk_loop_count(p, tid, x, f, party->stack);
	}
}

static void on_login(struct pa_talk_conn *c, const struct pa_exchange *x)
{
	struct pa_pool *pool = c->pooled.pool;

	if (!pool)
		return;
	pool->changed = true;
	if (x->flags & (PA_EXCHANGE_FAILED | PA_EXCHANGE_UNANSWERED))
		pool->row.errors++;
	else if (x->end_ns > x->start_ns && !(x->flags & PA_EXCHANGE_LOST))
		pool->row.connect_ns += x->end_ns - x->start_ns;
}

/* Something was asked of a database or a server: what only prepares it, and what was not run, does not count. */
static bool counts(const struct pa_exchange *x)
{
	if (x->flags & PA_EXCHANGE_SKIPPED)
		return false;
	return x->kind != PA_EXCHANGE_PREPARE || (x->flags & PA_EXCHANGE_FAILED);
}

static void on_exchange(void *arg, const struct pa_exchange *x)
{
	struct pa_talk_conn *c = arg;
	const struct pa_asked *by = asker(c, x->start_ns);
	struct pa_party party = {.process = c->p->id,
				 .role = c->role,
				 .peer = x->host && *x->host ? x->host : c->peer,
				 .stack = by ? by->stack : 0};

	if (x->kind == PA_EXCHANGE_CONNECT)
		on_login(c, x);
	else if (counts(x))
		pa_talk_exchange(c->p, x, &party, by ? by->tid : 0);
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

static void on_open(struct pa_process *p, const struct pa_connection *record)
{
	enum pa_proto hint = record->proto;
	struct pa_talk_conn *c = conn_of(p, record->connection, 1);
	struct pa_pool *pool;

	if (!c)
		return;
	c->role = record->flags & PA_CONNECTION_CLIENT ? PA_ROLE_CLIENT : PA_ROLE_SERVER;
	c->stack = pa_talk_stack(p, record->head.time_ns, record->frames, record->nr_frames, record->stop);
	c->ready_ns = record->head.time_ns;
	c->opened_ns = record->event == PA_CONNECTION_CONNECT && record->start_ns <= c->ready_ns ? record->start_ns : 0;
	pa_talk_peer(record->address, record->address_len, c->peer);
	if (!is_database(hint))
		hint = pa_frame_hint(pa_talk_port(record->address, record->address_len), c->peer);
	if (record->event != PA_CONNECTION_CONNECT || !record->error) {
		join(c, hint, c->ready_ns);
		return;
	}
	pool = pool_of(c, hint);
	if (pool) {
		pool->row.failed++;
		pa_pool_broke(pool, record->error, false);
	}
	end_conn(place_of(p->talks, c->number), c->ready_ns);
}

static void on_close(struct pa_process *p, const struct pa_connection *record)
{
	struct pa_talk_conn **at = p->talks ? place_of(p->talks, record->connection) : NULL;

	if (!at || !*at)
		return;
	if ((*at)->pooled.pool && record->error)
		(*at)->pooled.pool->row.errors++;
	if ((*at)->pooled.pool)
		pa_pool_broke((*at)->pooled.pool, record->error, (*at)->decode && pa_decode_pending((*at)->decode));
	if ((*at)->pooled.pool)
		pa_talk_held(*at, PA_POOL_HELD_NOT);
	end_conn(at, record->head.time_ns);
}

/* What comes now is the text inside: it begins anew. */
static void on_tls(struct pa_process *p, const struct pa_connection *record)
{
	struct pa_talk_conn **at = p->talks ? place_of(p->talks, record->connection) : NULL;

	if (at && *at)
		drop_decoder(*at);
}

void pa_talk_connection(struct pa_process *p, const struct pa_connection *record)
{
	if (record->event == PA_CONNECTION_CLOSE)
		on_close(p, record);
	else if (record->event == PA_CONNECTION_TLS)
		on_tls(p, record);
	else
		on_open(p, record);
}

/* A decoder that grows beyond what all may have is begun anew. */
static void weigh(struct pa_talk_conn *c)
{
	struct pa_talks *t = c->p->recorder->talks;
	size_t bytes = pa_decode_bytes(c->decode);

	t->decode_bytes = t->decode_bytes - c->decode_bytes + bytes;
	c->decode_bytes = bytes;
	if (t->decode_bytes <= PA_TALKS_DECODE_MAX)
		return;
	pa_records_loss(c->p, "exchanges begun anew", 1);
	drop_decoder(c);
}

/* Who sent, or read, what began then. */
static void note_asker(struct pa_talk_conn *c, const struct pa_conn_messages *m, uint64_t start_ns, uint32_t stack)
{
	const struct pa_asked *last = c->nr_asked ? &c->asked[(c->nr_asked - 1) % PA_TALK_ASKED] : NULL;

	if (m->way != PA_TO_SERVER || (last && last->start_ns == start_ns && (!stack || last->stack == stack)))
		return;
	c->asked[c->nr_asked++ % PA_TALK_ASKED] =
	    (struct pa_asked){.start_ns = start_ns, .stack = stack, .tid = m->tid};
}

static void begin_request(struct pa_talk_conn *c, const struct pa_conn_messages *m, const struct pa_frame_event *e)
{
	pa_talk_scope_begin(c->p->talks, c->number, m->tid, m->head.time_ns);
	if (e->flags & PA_FRAME_FIRST)
		pa_talk_scope_line(c->p, c->number, e->bytes, e->nr_bytes, m->head.time_ns);
}

static bool have_decoder(struct pa_talk_conn *c)
{
	if (!c->decode)
		c->decode = pa_decode_new(on_exchange, c);
	return c->decode;
}

/* A final response, or the switch to something that has no requests. */
static bool ends_request(const struct pa_frame_event *e)
{
	return e->kind == PA_FRAME_OPAQUE || (e->kind == PA_FRAME_HTTP_RESPONSE && e->value >= 200);
}

static void on_message(struct pa_talk_conn *c, const struct pa_conn_messages *m, const struct pa_frame_event *e,
		       uint32_t stack)
{
	note_asker(c, m, e->first_ns, stack);
	if (c->role == PA_ROLE_SERVER && e->kind == PA_FRAME_HTTP_REQUEST && !(e->flags & PA_FRAME_MORE))
		begin_request(c, m, e);
	else if (c->role == PA_ROLE_SERVER && ends_request(e))
		pa_talk_scope_end(c->p, c->number, true, m->head.time_ns);
	pa_decode_event(c->decode, m->way, e);
	turn(c, m, e);
	weigh(c);
}

/* What the record says is in it, and what is. */
static void on_entries(struct pa_talk_conn *c, const struct pa_conn_messages *m, uint32_t stack)
{
	const uint8_t *entries = (const uint8_t *)(m->frames + m->nr_frames);
	struct pa_message_cursor cursor = {
	    .at = entries, .end = entries + m->nr_bytes, .now_ns = m->head.time_ns, .left = m->nr};
	struct pa_frame_event e;

	while (have_decoder(c) && pa_message_next(&cursor, &e))
		on_message(c, m, &e, stack);
	if (!cursor.left)
		return;
	pa_records_loss(c->p, "exchange messages that make no sense", cursor.left);
	if (c->decode)
		pa_decode_lost(c->decode);
}

void pa_talk_messages(struct pa_process *p, const struct pa_conn_messages *m)
{
	struct pa_talk_conn *c;
	uint32_t stack;

	if (!pa_talks_of(p))
		return;
	stack = pa_talk_stack_of(p, m); /* other records may refer to it */
	c = conn_of(p, m->connection, m->nr);
	if (!c || !have_decoder(c))
		return;
	/* its beginning was lost: only who sends requests has a stack to show */
	if (!c->role)
		c->role = m->way == PA_TO_SERVER && (m->stack || m->nr_frames) ? PA_ROLE_CLIENT : PA_ROLE_SERVER;
	p->talks->last_ns = m->head.time_ns;
	join(c, m->proto, m->head.time_ns);
	/* numbers that are missing were lost */
	if (m->order != c->next_order[m->way])
		pa_decode_lost(c->decode);
	c->next_order[m->way] = m->order + m->nr;
	on_entries(c, m, stack);
}
