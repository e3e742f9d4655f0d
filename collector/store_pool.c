/* Rows of pools beyond their sums, written and read. World: plain. */
#include "collector/store_pool.h"

#include <string.h>

#include "collector/store_impl.h"
#include "collector/store_visit.h"

#define NR(list) (sizeof(list) / sizeof((list)[0]))

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static void begin(struct pa_store *s, enum pa_row kind, const uint64_t *columns, size_t nr)
{
	pa_batch_begin(&s->batch, kind);
	for (size_t i = 0; i < nr; i++)
		pa_batch_int(&s->batch, columns[i]);
}

int pa_store_add_pool_chunk(struct pa_store *s, const struct pa_store_pool_chunk *c)
{
	const uint64_t columns[] = {++s->nr_pool_chunks, c->pool,     c->first_ns,   c->last_ns,     c->open,
				    c->active,           c->in_tx,    c->open_ns,    c->taken_ns,    c->used_ns,
				    c->full_ns,          c->short_ns, c->waiting_ns, c->short_times, c->answered};

	begin(s, PA_ROW_POOL_CHUNK, columns, NR(columns));
	return pa_store_end_row(s);
}

static void put_counts(struct pa_store *s, const uint64_t *counts)
{
	uint8_t blob[PA_LAG_BLOB_MAX];

	pa_batch_blob(&s->batch, blob, pa_lag_encode(counts, blob));
}

int pa_store_put_pool_life(struct pa_store *s, const struct pa_store_pool_life *l)
{
	const uint64_t columns[] = {l->pool,        l->shared,         l->known,         l->connects,
				    l->connect_ns,  l->connect_max_ns, l->busy_connects, l->lives,
				    l->life_max_ns, l->timeouts,       l->resets,        l->abandoned};

	begin(s, PA_ROW_POOL_LIFE, columns, NR(columns));
	put_counts(s, l->connect);
	put_counts(s, l->life);
	return pa_store_end_row(s);
}

int pa_store_put_pool_held(struct pa_store *s, const struct pa_store_pool_held *h)
{
	const uint64_t columns[] = {h->id, h->pool, h->kind, h->stack, h->opened_ns, h->since_ns};

	begin(s, PA_ROW_POOL_HELD, columns, NR(columns));
	return pa_store_end_row(s);
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

struct visit {
	union {
		int (*chunk)(void *arg, const struct pa_store_pool_chunk *c);
		int (*life)(void *arg, const struct pa_store_pool_life *l);
		int (*held)(void *arg, const struct pa_store_pool_held *h);
	} fn;
	void *arg;
	uint64_t connect[PA_LAG_BUCKETS], life[PA_LAG_BUCKETS];
};

static int each_chunk(struct pa_visited *row, void *arg)
{
	struct visit *v = arg;
	struct pa_store_pool_chunk c = {.pool = pa_visited_id(row, 1)};
	uint64_t *const columns[] = {&c.first_ns,   &c.last_ns,     &c.open,    &c.active,  &c.in_tx,
				     &c.open_ns,    &c.taken_ns,    &c.used_ns, &c.full_ns, &c.short_ns,
				     &c.waiting_ns, &c.short_times, &c.answered};

	for (size_t i = 0; i < NR(columns); i++)
		*columns[i] = pa_visited_u64(row, 2 + (int)i);
	row->bad |= c.last_ns < c.first_ns || c.full_ns > c.used_ns || c.short_ns > c.full_ns;
	return row->bad ? 0 : v->fn.chunk(v->arg, &c);
}

int pa_recording_pool_chunks(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_pool_chunk *c),
			     void *arg)
{
	struct visit v = {.fn.chunk = fn, .arg = arg};

	return pa_recording_visit(r, "pool_chunk",
				  "SELECT id, pool, first_ns, last_ns, open, active, in_tx, open_ns, taken_ns, used_ns,"
				  " full_ns, short_ns, waiting_ns, short_times, answered FROM pool_chunk ORDER BY id",
				  each_chunk, &v);
}

static void read_counts(struct pa_visited *row, int column, uint64_t *counts)
{
	const void *blob = sqlite3_column_blob(row->stmt, column);
	size_t len = (size_t)sqlite3_column_bytes(row->stmt, column);

	memset(counts, 0, PA_LAG_BUCKETS * sizeof(*counts));
	if (!blob || pa_lag_decode(blob, len, counts))
		row->bad = true;
}

static int each_life(struct pa_visited *row, void *arg)
{
	struct visit *v = arg;
	struct pa_store_pool_life l = {
	    .pool = pa_visited_id(row, 0),
	    .shared = pa_visited_u32(row, 1),
	    .known = pa_visited_u32(row, 2),
	    .connect = v->connect,
	    .life = v->life,
	};
	uint64_t *const columns[] = {&l.connects,    &l.connect_ns, &l.connect_max_ns, &l.busy_connects, &l.lives,
				     &l.life_max_ns, &l.timeouts,   &l.resets,         &l.abandoned};

	for (size_t i = 0; i < NR(columns); i++)
		*columns[i] = pa_visited_u64(row, 3 + (int)i);
	read_counts(row, 12, v->connect);
	read_counts(row, 13, v->life);
	return row->bad ? 0 : v->fn.life(v->arg, &l);
}

int pa_recording_pool_lives(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_pool_life *l), void *arg)
{
	struct visit v = {.fn.life = fn, .arg = arg};

	return pa_recording_visit(
	    r, "pool_life",
	    "SELECT pool, shared, known, connects, connect_ns, connect_max_ns, busy_connects, lives,"
	    " life_max_ns, timeouts, resets, abandoned, connect, life FROM pool_life ORDER BY pool",
	    each_life, &v);
}

static int each_held(struct pa_visited *row, void *arg)
{
	struct visit *v = arg;
	struct pa_store_pool_held h = {
	    .id = pa_visited_id(row, 0),
	    .pool = pa_visited_id(row, 1),
	    .kind = pa_visited_u32(row, 2),
	    .stack = pa_visited_u32(row, 3),
	    .opened_ns = pa_visited_u64(row, 4),
	    .since_ns = pa_visited_u64(row, 5),
	};

	row->bad |= h.kind >= PA_POOL_HELD_KINDS;
	return row->bad ? 0 : v->fn.held(v->arg, &h);
}

int pa_recording_pool_held(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_pool_held *h), void *arg)
{
	struct visit v = {.fn.held = fn, .arg = arg};

	return pa_recording_visit(r, "pool_held",
				  "SELECT id, pool, kind, stack, opened_ns, since_ns FROM pool_held ORDER BY id",
				  each_held, &v);
}
