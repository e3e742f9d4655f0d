/* Rows of exchanges and pools, written and read. World: plain. */
#include "collector/store_talk.h"

#include <string.h>

#include "collector/store_impl.h"
#include "collector/store_visit.h"
#include "common/frame.h"

#define NR(list) (sizeof(list) / sizeof((list)[0]))

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static void begin(struct pa_store *s, enum pa_row kind, const uint64_t *columns, size_t nr)
{
	pa_batch_begin(&s->batch, kind);
	for (size_t i = 0; i < nr; i++)
		pa_batch_int(&s->batch, columns[i]);
}

int pa_store_put_exchange(struct pa_store *s, const struct pa_store_exchange *e)
{
	const uint64_t columns[] = {e->id,    e->process, e->role,     e->proto,
				    e->stack, e->repeats, e->repeated, e->repeater};

	begin(s, PA_ROW_EXCHANGE, columns, NR(columns));
	pa_batch_text(&s->batch, e->peer);
	pa_batch_text(&s->batch, e->method);
	pa_batch_text(&s->batch, e->text);
	pa_batch_text(&s->batch, e->error);
	return pa_store_end_row(s);
}

int pa_store_add_exchange_chunk(struct pa_store *s, const struct pa_store_exchange_chunk *c)
{
	const uint64_t columns[] = {
	    ++s->nr_exchange_chunks, c->exchange,       c->first_ns, c->last_ns, c->count, c->errors, c->lost, c->rows,
	    c->sent_bytes,           c->received_bytes, c->total_ns, c->min_ns,  c->max_ns};
	uint8_t blob[PA_LAG_BLOB_MAX];
	size_t len = pa_lag_encode(c->counts, blob);

	begin(s, PA_ROW_EXCHANGE_CHUNK, columns, NR(columns));
	pa_batch_blob(&s->batch, blob, len);
	return pa_store_end_row(s);
}

int pa_store_add_exchange_slow(struct pa_store *s, const struct pa_store_exchange_slow *e)
{
	const uint64_t columns[] = {++s->nr_exchange_slow, e->exchange, e->thread, e->stack, e->failed,
				    e->start_ns,           e->end_ns,   e->rows};

	begin(s, PA_ROW_EXCHANGE_SLOW, columns, NR(columns));
	return pa_store_end_row(s);
}

int pa_store_put_pool(struct pa_store *s, const struct pa_store_pool *p)
{
	const uint64_t columns[] = {p->id,     p->process,   p->proto,   p->stack,     p->opened,   p->closed,
				    p->failed, p->errors,    p->open,    p->open_max,  p->active,   p->active_max,
				    p->in_tx,  p->in_tx_max, p->open_ns, p->active_ns, p->in_tx_ns, p->connect_ns};

	begin(s, PA_ROW_POOL, columns, NR(columns));
	pa_batch_text(&s->batch, p->peer);
	return pa_store_end_row(s);
}

int pa_store_put_exchange_within(struct pa_store *s, const struct pa_store_exchange_within *w)
{
	const uint64_t columns[] = {w->id,       w->exchange, w->endpoint, w->repeats,
				    w->repeated, w->repeater, w->count,    w->total_ns};

	begin(s, PA_ROW_EXCHANGE_WITHIN, columns, NR(columns));
	return pa_store_end_row(s);
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

struct visit {
	union {
		int (*exchange)(void *arg, const struct pa_store_exchange *e);
		int (*chunk)(void *arg, const struct pa_store_exchange_chunk *c);
		int (*slow)(void *arg, const struct pa_store_exchange_slow *e);
		int (*pool)(void *arg, const struct pa_store_pool *p);
		int (*within)(void *arg, const struct pa_store_exchange_within *w);
	} fn;
	void *arg;
	uint64_t counts[PA_LAG_BUCKETS];
};

static int each_exchange(struct pa_visited *row, void *arg)
{
	struct visit *v = arg;
	struct pa_store_exchange e = {
	    .id = pa_visited_id(row, 0),
	    .process = pa_visited_id(row, 1),
	    .role = pa_visited_u32(row, 2),
	    .proto = pa_visited_u32(row, 3),
	    .stack = pa_visited_u32(row, 4),
	    .repeats = pa_visited_u32(row, 5),
	    .repeated = pa_visited_u32(row, 6),
	    .repeater = pa_visited_u32(row, 7),
	    .peer = pa_visited_text_or_null(row, 8),
	    .method = pa_visited_text_or_null(row, 9),
	    .text = pa_visited_text(row, 10),
	    .error = pa_visited_text_or_null(row, 11),
	};

	row->bad |= (e.role != PA_ROLE_CLIENT && e.role != PA_ROLE_SERVER) || e.proto >= PA_PROTO_NR;
	return row->bad ? 0 : v->fn.exchange(v->arg, &e);
}

int pa_recording_exchanges(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_exchange *e), void *arg)
{
	struct visit v = {.fn.exchange = fn, .arg = arg};

	return pa_recording_visit(r, "exchange",
				  "SELECT id, process, role, proto, stack, repeats, repeated, repeater, peer, method,"
				  " text, error FROM exchange ORDER BY id",
				  each_exchange, &v);
}

static int each_chunk(struct pa_visited *row, void *arg)
{
	struct visit *v = arg;
	struct pa_store_exchange_chunk c = {.exchange = pa_visited_id(row, 1), .counts = v->counts};
	uint64_t *const columns[] = {&c.first_ns,   &c.last_ns,        &c.count,    &c.errors, &c.lost,  &c.rows,
				     &c.sent_bytes, &c.received_bytes, &c.total_ns, &c.min_ns, &c.max_ns};
	const void *blob = sqlite3_column_blob(row->stmt, 13);
	size_t len = (size_t)sqlite3_column_bytes(row->stmt, 13);

	for (size_t i = 0; i < NR(columns); i++)
		*columns[i] = pa_visited_u64(row, 2 + (int)i);
	memset(v->counts, 0, sizeof(v->counts));
	if (!blob || pa_lag_decode(blob, len, v->counts))
		row->bad = true;
	row->bad |= c.errors > c.count || c.lost > c.count;
	return row->bad ? 0 : v->fn.chunk(v->arg, &c);
}

int pa_recording_exchange_chunks(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_exchange_chunk *c),
				 void *arg)
{
	struct visit v = {.fn.chunk = fn, .arg = arg};

	return pa_recording_visit(r, "exchange_chunk",
				  "SELECT id, exchange, first_ns, last_ns, count, errors, lost, rows, sent_bytes,"
				  " received_bytes, total_ns, min_ns, max_ns, latency FROM exchange_chunk ORDER BY id",
				  each_chunk, &v);
}

static int each_slow(struct pa_visited *row, void *arg)
{
	struct visit *v = arg;
	struct pa_store_exchange_slow e = {
	    .exchange = pa_visited_id(row, 1),
	    .thread = pa_visited_u32(row, 2),
	    .stack = pa_visited_u32(row, 3),
	    .failed = pa_visited_u32(row, 4),
	    .start_ns = pa_visited_u64(row, 5),
	    .end_ns = pa_visited_u64(row, 6),
	    .rows = pa_visited_u64(row, 7),
	};

	row->bad |= e.end_ns < e.start_ns;
	return row->bad ? 0 : v->fn.slow(v->arg, &e);
}

int pa_recording_exchange_slow(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_exchange_slow *e),
			       void *arg)
{
	struct visit v = {.fn.slow = fn, .arg = arg};

	return pa_recording_visit(r, "exchange_slow",
				  "SELECT id, exchange, thread, stack, failed, start_ns, end_ns, rows"
				  " FROM exchange_slow ORDER BY id",
				  each_slow, &v);
}

static int each_within(struct pa_visited *row, void *arg)
{
	struct visit *v = arg;
	struct pa_store_exchange_within w = {
	    .id = pa_visited_id(row, 0),
	    .exchange = pa_visited_id(row, 1),
	    .endpoint = pa_visited_u32(row, 2),
	    .repeats = pa_visited_u32(row, 3),
	    .repeated = pa_visited_u32(row, 4),
	    .repeater = pa_visited_u32(row, 5),
	    .count = pa_visited_u64(row, 6),
	    .total_ns = pa_visited_u64(row, 7),
	};

	return row->bad ? 0 : v->fn.within(v->arg, &w);
}

int pa_recording_exchange_within(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_exchange_within *w),
				 void *arg)
{
	struct visit v = {.fn.within = fn, .arg = arg};

	return pa_recording_visit(r, "exchange_within",
				  "SELECT id, exchange, endpoint, repeats, repeated, repeater, count, total_ns"
				  " FROM exchange_within ORDER BY id",
				  each_within, &v);
}

static int each_pool(struct pa_visited *row, void *arg)
{
	struct visit *v = arg;
	struct pa_store_pool p = {
	    .id = pa_visited_id(row, 0),
	    .process = pa_visited_id(row, 1),
	    .proto = pa_visited_u32(row, 2),
	    .stack = pa_visited_u32(row, 3),
	    .peer = pa_visited_text(row, 18),
	};
	uint64_t *const columns[] = {&p.opened,   &p.closed,    &p.failed,     &p.errors,    &p.open,
				     &p.open_max, &p.active,    &p.active_max, &p.in_tx,     &p.in_tx_max,
				     &p.open_ns,  &p.active_ns, &p.in_tx_ns,   &p.connect_ns};

	for (size_t i = 0; i < NR(columns); i++)
		*columns[i] = pa_visited_u64(row, 4 + (int)i);
	row->bad |= p.proto >= PA_PROTO_NR;
	return row->bad ? 0 : v->fn.pool(v->arg, &p);
}

int pa_recording_pools(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_pool *p), void *arg)
{
	struct visit v = {.fn.pool = fn, .arg = arg};

	return pa_recording_visit(
	    r, "pool",
	    "SELECT id, process, proto, stack, opened, closed, failed, errors, open, open_max,"
	    " active, active_max, in_tx, in_tx_max, open_ns, active_ns, in_tx_ns, connect_ns, peer"
	    " FROM pool ORDER BY id",
	    each_pool, &v);
}
