/* Rows of waits for locks, written and read. World: plain. */
#include "collector/store_lock.h"

#include <string.h>

#include "collector/store_impl.h"
#include "collector/store_visit.h"
#include "common/lockwire.h"

#define NR(list) (sizeof(list) / sizeof((list)[0]))

static void begin(struct pa_store *s, enum pa_row kind, const uint64_t *columns, size_t nr)
{
	pa_batch_begin(&s->batch, kind);
	for (size_t i = 0; i < nr; i++)
		pa_batch_int(&s->batch, columns[i]);
}

int pa_store_put_lock(struct pa_store *s, const struct pa_store_lock *l)
{
	const uint64_t columns[] = {l->id,        l->process, l->kind,      l->stack,
				    l->addresses, l->holder,  l->holder_ns, l->unfinished};

	begin(s, PA_ROW_LOCK, columns, NR(columns));
	return pa_store_end_row(s);
}

int pa_store_add_lock_chunk(struct pa_store *s, const struct pa_store_lock_chunk *c)
{
	const uint64_t columns[] = {++s->nr_lock_chunks, c->lock,     c->first_ns, c->last_ns, c->waits,
				    c->timed_out,        c->total_ns, c->max_ns,   c->held,    c->held_ns,
				    c->held_max_ns};
	uint8_t blob[PA_LAG_BLOB_MAX];
	size_t len = pa_lag_encode(c->counts, blob);

	begin(s, PA_ROW_LOCK_CHUNK, columns, NR(columns));
	pa_batch_blob(&s->batch, blob, len);
	return pa_store_end_row(s);
}

int pa_store_add_lock_slow(struct pa_store *s, const struct pa_store_lock_slow *l)
{
	const uint64_t columns[] = {++s->nr_lock_slow, l->lock,     l->thread, l->holder,
				    l->stack,          l->start_ns, l->end_ns, l->address};

	begin(s, PA_ROW_LOCK_SLOW, columns, NR(columns));
	return pa_store_end_row(s);
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

struct visit {
	union {
		int (*lock)(void *arg, const struct pa_store_lock *l);
		int (*chunk)(void *arg, const struct pa_store_lock_chunk *c);
		int (*slow)(void *arg, const struct pa_store_lock_slow *l);
	} fn;
	void *arg;
	uint64_t counts[PA_LAG_BUCKETS];
};

static int each_lock(struct pa_visited *row, void *arg)
{
	struct visit *v = arg;
	struct pa_store_lock l = {
	    .id = pa_visited_id(row, 0),
	    .process = pa_visited_id(row, 1),
	    .kind = pa_visited_u32(row, 2),
	    .stack = pa_visited_u32(row, 3),
	    .addresses = pa_visited_u32(row, 4),
	    .holder = pa_visited_u32(row, 5),
	    .holder_ns = pa_visited_u64(row, 6),
	    .unfinished = pa_visited_u64(row, 7),
	};

	row->bad |= l.kind == PA_LOCK_NONE || l.kind >= PA_LOCK_KINDS;
	return row->bad ? 0 : v->fn.lock(v->arg, &l);
}

int pa_recording_locks(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_lock *l), void *arg)
{
	struct visit v = {.fn.lock = fn, .arg = arg};

	return pa_recording_visit(
	    r, "lock",
	    "SELECT id, process, kind, stack, addresses, holder, holder_ns, unfinished FROM lock ORDER BY id",
	    each_lock, &v);
}

static int each_chunk(struct pa_visited *row, void *arg)
{
	struct visit *v = arg;
	struct pa_store_lock_chunk c = {.lock = pa_visited_id(row, 1), .counts = v->counts};
	uint64_t *const columns[] = {&c.first_ns, &c.last_ns, &c.waits,   &c.timed_out,  &c.total_ns,
				     &c.max_ns,   &c.held,    &c.held_ns, &c.held_max_ns};
	const void *blob = sqlite3_column_blob(row->stmt, 11);
	size_t len = (size_t)sqlite3_column_bytes(row->stmt, 11);

	for (size_t i = 0; i < NR(columns); i++)
		*columns[i] = pa_visited_u64(row, 2 + (int)i);
	memset(v->counts, 0, sizeof(v->counts));
	if (!blob || pa_lag_decode(blob, len, v->counts))
		row->bad = true;
	return row->bad ? 0 : v->fn.chunk(v->arg, &c);
}

int pa_recording_lock_chunks(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_lock_chunk *c),
			     void *arg)
{
	struct visit v = {.fn.chunk = fn, .arg = arg};

	return pa_recording_visit(r, "lock_chunk",
				  "SELECT id, lock, first_ns, last_ns, waits, timed_out, total_ns, max_ns, held,"
				  " held_ns, held_max_ns, latency FROM lock_chunk ORDER BY id",
				  each_chunk, &v);
}

static int each_slow(struct pa_visited *row, void *arg)
{
	struct visit *v = arg;
	struct pa_store_lock_slow l = {
	    .lock = pa_visited_id(row, 1),
	    .thread = pa_visited_u32(row, 2),
	    .holder = pa_visited_u32(row, 3),
	    .stack = pa_visited_u32(row, 4),
	    .start_ns = pa_visited_u64(row, 5),
	    .end_ns = pa_visited_u64(row, 6),
	    .address = pa_visited_u64(row, 7),
	};

	row->bad |= l.end_ns < l.start_ns;
	return row->bad ? 0 : v->fn.slow(v->arg, &l);
}

int pa_recording_lock_slow(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_lock_slow *l), void *arg)
{
	struct visit v = {.fn.slow = fn, .arg = arg};

	return pa_recording_visit(
	    r, "lock_slow",
	    "SELECT id, lock, thread, holder, stack, start_ns, end_ns, address FROM lock_slow ORDER BY id", each_slow,
	    &v);
}
