/* Connections of a recording into arrays. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "report/load.h"
#include "report/talks.h"

struct loading {
	struct pa_report *r;
	struct pa_report_talks *to;
	struct pa_span span;
	size_t pool_capacity, peer_capacity, point_capacity, held_capacity;
};

static bool is_database(uint32_t proto)
{
	return proto == PA_PROTO_POSTGRES || proto == PA_PROTO_MYSQL || proto == PA_PROTO_RESP;
}

const char *pa_pool_held_name(enum pa_pool_held kind)
{
	return kind == PA_POOL_HELD_BUSY ? "busy" : kind == PA_POOL_HELD_IN_TX ? "in_transaction" : "unused";
}

uint64_t pa_pool_wait_ns(const struct pa_report_pool *p)
{
	return p->use.answered ? p->use.waiting_ns / p->use.answered : 0;
}

static int on_pool(void *arg, const struct pa_store_pool *from)
{
	struct loading *l = arg;
	struct pa_report *r = l->r;
	bool database = is_database(from->proto);
	struct pa_report_pool **list = database ? &l->to->pools : &l->to->peers;
	size_t *nr = database ? &l->to->nr_pools : &l->to->nr_peers;

	if (!pa_grow((void **)list, database ? &l->pool_capacity : &l->peer_capacity, *nr, sizeof(**list)))
		return -ENOMEM;
	(*list)[*nr] = (struct pa_report_pool){
	    .id = from->id,
	    .process = pa_index_of(r->processes, r->nr_processes, sizeof(*r->processes), from->process),
	    .peer = pa_pool_add(r->strings, from->peer),
	    .sums = *from,
	    .stack = pa_index_of(r->stacks, r->nr_stacks, sizeof(*r->stacks), from->stack),
	};
	(*list)[(*nr)++].sums.peer = NULL; /* was lent */
	return 0;
}

static struct pa_report_pool *find(struct pa_report_pool *list, size_t nr, uint32_t id)
{
	size_t low = 0, high = nr;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (list[middle].id == id)
			return &list[middle];
		if (list[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static struct pa_report_pool *pool_of(const struct loading *l, uint32_t id)
{
	struct pa_report_pool *pool = find(l->to->pools, l->to->nr_pools, id);

	return pool ? pool : find(l->to->peers, l->to->nr_peers, id);
}

static void add(struct pa_report_pool *pool, const struct pa_store_pool_chunk *c)
{
	struct pa_store_pool_chunk *to = &pool->use;
	uint64_t *const sums[] = {&to->open_ns,  &to->taken_ns,   &to->used_ns,     &to->full_ns,
				  &to->short_ns, &to->waiting_ns, &to->short_times, &to->answered};
	const uint64_t values[] = {c->open_ns,  c->taken_ns,   c->used_ns,     c->full_ns,
				   c->short_ns, c->waiting_ns, c->short_times, c->answered};

	for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++)
		*sums[i] += values[i];
	pool->span_ns += c->last_ns - c->first_ns;
}

static int on_chunk(void *arg, const struct pa_store_pool_chunk *c)
{
	struct loading *l = arg;
	struct pa_report_pool *pool = pool_of(l, c->pool);

	if (!pool || c->last_ns <= l->span.from || (c->last_ns > l->span.to && l->span.to != UINT64_MAX))
		return 0;
	add(pool, c);
	if (!is_database(pool->sums.proto))
		return 0;
	if (!pa_grow((void **)&l->to->points, &l->point_capacity, l->to->nr_points, sizeof(*l->to->points)))
		return -ENOMEM;
	l->to->points[l->to->nr_points++] = (struct pa_report_pool_point){.pool = c->pool, .use = *c};
	return 0;
}

static struct pa_lag *lag_of(const uint64_t *counts, uint64_t max_ns)
{
	struct pa_lag *lag = calloc(1, sizeof(*lag));

	if (lag) {
		memcpy(lag->counts, counts, sizeof(lag->counts));
		lag->max_ns = max_ns < PA_LATENCY_MAX_NS ? max_ns * 1000 : PA_LATENCY_MAX_NS * 1000;
	}
	return lag;
}

static int on_life(void *arg, const struct pa_store_pool_life *from)
{
	struct loading *l = arg;
	struct pa_report_pool *pool = pool_of(l, from->pool);

	if (!pool || pool->connect)
		return 0;
	pool->life = *from;
	pool->life.connect = pool->life.life = NULL; /* were lent */
	pool->connect = lag_of(from->connect, from->connect_max_ns);
	pool->lives = lag_of(from->life, from->life_max_ns);
	return pool->connect && pool->lives ? 0 : -ENOMEM;
}

static int on_held(void *arg, const struct pa_store_pool_held *from)
{
	struct loading *l = arg;
	struct pa_report *r = l->r;
	struct pa_report_pool *pool = pool_of(l, from->pool);

	if (!pool || from->kind == PA_POOL_HELD_NOT)
		return 0;
	if (!pa_grow((void **)&l->to->held, &l->held_capacity, l->to->nr_held, sizeof(*l->to->held)))
		return -ENOMEM;
	pool->nr_held++;
	l->to->held[l->to->nr_held++] = (struct pa_report_pool_held){
	    .pool = from->pool,
	    .stack = pa_index_of(r->stacks, r->nr_stacks, sizeof(*r->stacks), from->stack),
	    .kind = from->kind,
	    .opened_ns = from->opened_ns,
	    .since_ns = from->since_ns,
	};
	return 0;
}

int pa_load_pools(struct pa_report *r, struct pa_recording *rec)
{
	struct loading l = {.r = r, .to = r->talks, .span = pa_window_span(r)};
	int err;

	(void)((err = pa_recording_pools(rec, on_pool, &l)) || (err = pa_recording_pool_chunks(rec, on_chunk, &l)) ||
	       (err = pa_recording_pool_lives(rec, on_life, &l)) || (err = pa_recording_pool_held(rec, on_held, &l)));
	return err;
}

static void free_list(struct pa_report_pool *list, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		free(list[i].connect);
		free(list[i].lives);
	}
	free(list);
}

void pa_pools_report_free(struct pa_report_talks *t)
{
	free_list(t->pools, t->nr_pools);
	free_list(t->peers, t->nr_peers);
	free(t->points);
	free(t->held);
}
