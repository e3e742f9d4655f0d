#include "collector/pools.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct pa_pool *pa_pools_of(struct pa_pools *pools, uint32_t process, enum pa_proto proto, const char *peer,
			    uint32_t *next_id)
{
	struct pa_pool *pool;

	for (pool = pools->list; pool; pool = pool->next)
		if (pool->row.proto == (uint32_t)proto && strcmp(pool->row.peer, peer) == 0)
			return pool;
	pool = pools->nr < PA_POOLS_MAX ? calloc(1, sizeof(*pool)) : NULL;
	if (!pool)
		return NULL;
	pool->row = (struct pa_store_pool){.process = process, .proto = proto, .peer = strdup(peer)};
	if (!pool->row.peer) {
		free(pool);
		return NULL;
	}
	pool->row.id = pool->life.pool = ++*next_id;
	pool->place = pools->nr;
	pool->next = pools->list;
	pools->list = pool;
	pools->nr++;
	return pool;
}

void pa_pools_free(struct pa_pools *pools)
{
	for (struct pa_pool *pool = pools->list, *next; pool; pool = next) {
		next = pool->next;
		free((char *)(uintptr_t)pool->row.peer);
		pa_pool_use_free(&pool->use);
		free(pool->connect);
		free(pool);
	}
	*pools = (struct pa_pools){0};
}

/* False: no memory. */
static bool histograms(struct pa_pool *pool)
{
	if (!pool->connect && (pool->connect = calloc(2 * PA_LAG_BUCKETS, sizeof(*pool->connect))))
		pool->lives = pool->connect + PA_LAG_BUCKETS;
	return pool->connect;
}

static void raise_to(uint64_t *max, uint64_t value)
{
	if (value > *max)
		*max = value;
}

void pa_pool_connected(struct pa_pool *pool, uint64_t ns)
{
	ns = ns < PA_LATENCY_MAX_NS ? ns : PA_LATENCY_MAX_NS;
	pool->life.connects++;
	pool->life.connect_ns += ns;
	raise_to(&pool->life.connect_max_ns, ns);
	if (histograms(pool))
		pool->connect[pa_latency_bucket(ns > PA_LATENCY_FLOOR_NS ? ns : PA_LATENCY_FLOOR_NS)]++;
	pool->changed = true;
}

void pa_pool_broke(struct pa_pool *pool, int error, bool owing)
{
	pool->life.timeouts += error == ETIMEDOUT;
	pool->life.resets += error == ECONNRESET || error == EPIPE;
	pool->life.abandoned += !error && owing;
	pool->changed = true;
}

void pa_pooled_add(const struct pa_pooled *c, struct pa_store_pool *row, uint64_t now_ns)
{
	uint64_t ns = now_ns > c->since_ns ? now_ns - c->since_ns : 0;

	row->open_ns += ns;
	row->active_ns += c->state == PA_POOLED_ACTIVE ? ns : 0;
	row->in_tx_ns += c->state == PA_POOLED_IN_TX ? ns : 0;
}

static void count_up_to(struct pa_pooled *c, uint64_t now_ns)
{
	pa_pooled_add(c, &c->pool->row, now_ns);
	if (now_ns > c->since_ns)
		c->since_ns = now_ns;
	c->pool->changed = true;
}

static void step(struct pa_pool *pool, uint64_t now_ns, int open, int taken)
{
	pa_pool_use_step(&pool->use, &(struct pa_pool_step){.time_ns = now_ns, .open = open, .taken = taken});
	if (now_ns > PA_POOL_GAP_MAX_NS)
		pa_pool_use_until(&pool->use, now_ns - PA_POOL_GAP_MAX_NS);
}

void pa_pooled_join(struct pa_pooled *c, struct pa_pool *pool, uint64_t now_ns)
{
	*c = (struct pa_pooled){.pool = pool, .since_ns = now_ns, .turned_ns = now_ns, .joined_ns = now_ns};
	pool->changed = true;
	pool->row.opened++;
	pool->life.busy_connects += pool->row.open && pool->row.active + pool->row.in_tx >= pool->row.open;
	raise_to(&pool->row.open_max, ++pool->row.open);
	step(pool, now_ns, 1, 0);
}

static void take(struct pa_pooled *c, uint64_t now_ns)
{
	bool again = c->given_ns && now_ns - c->given_ns <= c->gap_ns;

	c->taken = true;
	if (!again || !pa_pool_use_cancel(&c->pool->use, c->given_step))
		step(c->pool, now_ns, 0, 1);
}

static void give(struct pa_pooled *c, uint64_t now_ns)
{
	uint64_t busy_ns = now_ns > c->turned_ns ? now_ns - c->turned_ns : 0;

	c->taken = false;
	c->gap_ns = busy_ns < PA_POOL_GAP_MIN_NS   ? PA_POOL_GAP_MIN_NS
		    : busy_ns > PA_POOL_GAP_MAX_NS ? PA_POOL_GAP_MAX_NS
						   : busy_ns;
	c->given_ns = now_ns;
	c->given_opened = c->pool->row.opened;
	step(c->pool, now_ns, 0, -1);
	c->given_step = c->pool->use.next - 1;
}

void pa_pooled_turn(struct pa_pooled *c, enum pa_pooled_state state, uint64_t now_ns)
{
	struct pa_store_pool *row;

	if (!c->pool || c->state == state)
		return;
	count_up_to(c, now_ns);
	row = &c->pool->row;
	row->active -= c->state == PA_POOLED_ACTIVE;
	row->in_tx -= c->state == PA_POOLED_IN_TX;
	c->state = state;
	row->active += state == PA_POOLED_ACTIVE;
	row->in_tx += state == PA_POOLED_IN_TX;
	raise_to(&row->active_max, row->active);
	raise_to(&row->in_tx_max, row->in_tx);
	if (c->taken != (state != PA_POOLED_IDLE))
		(c->taken ? give : take)(c, now_ns);
	c->turned_ns = now_ns;
}

void pa_pooled_leave(struct pa_pooled *c, uint64_t now_ns)
{
	struct pa_pool *pool = c->pool;
	uint64_t life_ns = now_ns > c->joined_ns ? now_ns - c->joined_ns : 0;

	if (!pool)
		return;
	pa_pooled_turn(c, PA_POOLED_IDLE, now_ns);
	count_up_to(c, now_ns);
	pool->row.open--;
	pool->row.closed++;
	step(pool, now_ns, -1, 0);
	pool->life.lives++;
	raise_to(&pool->life.life_max_ns, life_ns);
	if (histograms(pool))
		pool->lives[pa_latency_bucket(life_ns > PA_LATENCY_FLOOR_NS ? life_ns : PA_LATENCY_FLOOR_NS)]++;
	c->pool = NULL;
}

enum pa_pool_held pa_pooled_held(const struct pa_pooled *c, uint64_t now_ns)
{
	if (!c->pool || now_ns < c->turned_ns + PA_POOL_HELD_NS)
		return PA_POOL_HELD_NOT;
	if (c->state != PA_POOLED_IDLE)
		return c->state == PA_POOLED_IN_TX ? PA_POOL_HELD_IN_TX : PA_POOL_HELD_BUSY;
	return c->given_ns && c->pool->row.opened >= c->given_opened + PA_POOL_HELD_OPENED ? PA_POOL_HELD_UNUSED
											   : PA_POOL_HELD_NOT;
}

void pa_pool_request(struct pa_pool *pool, uint64_t now_ns, int change, bool answered)
{
	pa_pool_use_step(&pool->use,
			 &(struct pa_pool_step){.time_ns = now_ns, .requests = change, .answered = answered});
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

int pa_pool_flush(struct pa_pool *pool, struct pa_store *s, uint64_t until_ns)
{
	struct pa_store_pool_chunk sums;
	int err = 0;

	pa_pool_use_until(&pool->use, until_ns);
	if (pa_pool_use_take(&pool->use, &sums)) {
		sums.pool = pool->row.id;
		sums.active = pool->row.active;
		sums.in_tx = pool->row.in_tx;
		err = pa_store_add_pool_chunk(s, &sums);
	}
	if (!pool->changed || !histograms(pool))
		return err;
	pool->life.connect = pool->connect;
	pool->life.life = pool->lives;
	(void)(err || (err = pa_store_put_pool_life(s, &pool->life)));
	return err;
}
