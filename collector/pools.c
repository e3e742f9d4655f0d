#include "collector/pools.h"

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
	pool->row.id = ++*next_id;
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
		free(pool);
	}
	*pools = (struct pa_pools){0};
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

static void raise_to(uint64_t *max, uint64_t value)
{
	if (value > *max)
		*max = value;
}

void pa_pooled_join(struct pa_pooled *c, struct pa_pool *pool, uint64_t now_ns)
{
	*c = (struct pa_pooled){.pool = pool, .since_ns = now_ns};
	pool->changed = true;
	pool->row.opened++;
	raise_to(&pool->row.open_max, ++pool->row.open);
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
}

void pa_pooled_leave(struct pa_pooled *c, uint64_t now_ns)
{
	if (!c->pool)
		return;
	pa_pooled_turn(c, PA_POOLED_IDLE, now_ns);
	count_up_to(c, now_ns);
	c->pool->row.open--;
	c->pool->row.closed++;
	c->pool = NULL;
}
