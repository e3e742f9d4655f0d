/* Rows of event loops, written and read. World: plain. */
#include "collector/store_loop.h"

#include <string.h>

#include "collector/store_impl.h"
#include "collector/store_visit.h"
#include "common/waitwire.h"

#define NR(list) (sizeof(list) / sizeof((list)[0]))

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static int put_row(struct pa_store *s, enum pa_row kind, const uint64_t *columns, size_t nr)
{
	pa_batch_begin(&s->batch, kind);
	for (size_t i = 0; i < nr; i++)
		pa_batch_int(&s->batch, columns[i]);
	return pa_store_end_row(s);
}

int pa_store_put_loop(struct pa_store *s, const struct pa_store_loop *l)
{
	const uint64_t columns[] = {l->id, l->thread, l->kind, l->key, l->frame, l->watched};

	return put_row(s, PA_ROW_LOOP, columns, NR(columns));
}

int pa_store_add_loop_chunk(struct pa_store *s, const struct pa_store_loop_chunk *c)
{
	const uint64_t columns[] = {++s->nr_loop_chunks, c->loop,    c->first_ns, c->last_ns,   c->iterations, c->ready,
				    c->busy_ns,          c->wait_ns, c->long_ns,  c->waited_ns, c->max_ns};
	uint8_t blob[PA_LAG_BLOB_MAX];
	size_t len = pa_lag_encode(c->counts, blob);

	pa_batch_begin(&s->batch, PA_ROW_LOOP_CHUNK);
	for (size_t i = 0; i < NR(columns); i++)
		pa_batch_int(&s->batch, columns[i]);
	pa_batch_blob(&s->batch, blob, len);
	return pa_store_end_row(s);
}

int pa_store_add_loop_blocked(struct pa_store *s, const struct pa_store_loop_blocked *b)
{
	const uint64_t columns[] = {++s->nr_loop_blocked, b->loop,    b->start_ns, b->end_ns,
				    b->waited_ns,         b->wait_ns, b->stack,    b->ready};

	return put_row(s, PA_ROW_LOOP_BLOCKED, columns, NR(columns));
}

int pa_store_put_loop_wait(struct pa_store *s, const struct pa_store_loop_wait *w)
{
	const uint64_t columns[] = {w->id, w->thread, w->kind, w->stack, w->waits, w->total_ns, w->max_ns};

	return put_row(s, PA_ROW_LOOP_WAIT, columns, NR(columns));
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

struct visit {
	union {
		int (*loop)(void *arg, const struct pa_store_loop *l);
		int (*chunk)(void *arg, const struct pa_store_loop_chunk *c);
		int (*blocked)(void *arg, const struct pa_store_loop_blocked *b);
		int (*wait)(void *arg, const struct pa_store_loop_wait *w);
	} fn;
	void *arg;
	uint64_t counts[PA_LAG_BUCKETS];
};

static int each_loop(struct pa_visited *row, void *arg)
{
	struct visit *v = arg;
	struct pa_store_loop l = {
	    .id = pa_visited_id(row, 0),
	    .thread = pa_visited_id(row, 1),
	    .kind = pa_visited_u32(row, 2),
	    .key = pa_visited_u64(row, 3),
	    .frame = pa_visited_u32(row, 4),
	    .watched = pa_visited_u32(row, 5),
	};

	row->bad |= l.kind != PA_WAIT_EPOLL && l.kind != PA_WAIT_POLL && l.kind != PA_WAIT_SELECT;
	return row->bad ? 0 : v->fn.loop(v->arg, &l);
}

int pa_recording_loops(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_loop *l), void *arg)
{
	struct visit v = {.fn.loop = fn, .arg = arg};

	return pa_recording_visit(r, "loop", "SELECT id, thread, kind, key, frame, watched FROM loop ORDER BY id",
				  each_loop, &v);
}

static int each_chunk(struct pa_visited *row, void *arg)
{
	struct visit *v = arg;
	struct pa_store_loop_chunk c = {.loop = pa_visited_id(row, 1), .counts = v->counts};
	uint64_t *const columns[] = {&c.first_ns, &c.last_ns, &c.iterations, &c.ready, &c.busy_ns,
				     &c.wait_ns,  &c.long_ns, &c.waited_ns,  &c.max_ns};
	const void *blob = sqlite3_column_blob(row->stmt, 11);
	size_t len = (size_t)sqlite3_column_bytes(row->stmt, 11);

	for (size_t i = 0; i < NR(columns); i++)
		*columns[i] = pa_visited_u64(row, 2 + (int)i);
	memset(v->counts, 0, sizeof(v->counts));
	if (!blob || pa_lag_decode(blob, len, v->counts))
		row->bad = true;
	return row->bad ? 0 : v->fn.chunk(v->arg, &c);
}

int pa_recording_loop_chunks(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_loop_chunk *c),
			     void *arg)
{
	struct visit v = {.fn.chunk = fn, .arg = arg};

	return pa_recording_visit(r, "loop_chunk",
				  "SELECT id, loop, first_ns, last_ns, iterations, ready, busy_ns, wait_ns, long_ns,"
				  " waited_ns, max_ns, lag FROM loop_chunk ORDER BY id",
				  each_chunk, &v);
}

static int each_blocked(struct pa_visited *row, void *arg)
{
	struct visit *v = arg;
	struct pa_store_loop_blocked b = {
	    .loop = pa_visited_id(row, 1),
	    .start_ns = pa_visited_u64(row, 2),
	    .end_ns = pa_visited_u64(row, 3),
	    .waited_ns = pa_visited_u64(row, 4),
	    .wait_ns = pa_visited_u64(row, 5),
	    .stack = pa_visited_u32(row, 6),
	    .ready = pa_visited_u32(row, 7),
	};

	row->bad |= b.end_ns < b.start_ns;
	return row->bad ? 0 : v->fn.blocked(v->arg, &b);
}

int pa_recording_loop_blocked(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_loop_blocked *b),
			      void *arg)
{
	struct visit v = {.fn.blocked = fn, .arg = arg};

	return pa_recording_visit(r, "loop_blocked",
				  "SELECT id, loop, start_ns, end_ns, waited_ns, wait_ns, stack, ready"
				  " FROM loop_blocked ORDER BY id",
				  each_blocked, &v);
}

static int each_wait(struct pa_visited *row, void *arg)
{
	struct visit *v = arg;
	struct pa_store_loop_wait w = {
	    .id = pa_visited_id(row, 0),
	    .thread = pa_visited_id(row, 1),
	    .kind = pa_visited_u32(row, 2),
	    .stack = pa_visited_u32(row, 3),
	    .waits = pa_visited_u64(row, 4),
	    .total_ns = pa_visited_u64(row, 5),
	    .max_ns = pa_visited_u64(row, 6),
	};

	row->bad |= w.kind >= PA_WAIT_KINDS;
	return row->bad ? 0 : v->fn.wait(v->arg, &w);
}

int pa_recording_loop_waits(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_loop_wait *w), void *arg)
{
	struct visit v = {.fn.wait = fn, .arg = arg};

	return pa_recording_visit(r, "loop_wait",
				  "SELECT id, thread, kind, stack, waits, total_ns, max_ns FROM loop_wait ORDER BY id",
				  each_wait, &v);
}
