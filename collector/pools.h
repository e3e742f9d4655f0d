/* Connections of a process to its databases, added up by peer: how many are open, at work, or hold a transaction open
 * while nothing is asked. Callers: talks.c. World: plain. */
#ifndef PA_COLLECTOR_POOLS_H
#define PA_COLLECTOR_POOLS_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/store_talk.h"
#include "common/frame.h"

#define PA_POOLS_MAX 1024 /* of a process */

struct pa_pool {
	struct pa_store_pool row; /* peer is ours */
	bool changed;
	struct pa_pool *next;
};

struct pa_pools {
	struct pa_pool *list;
	uint32_t nr;
};

enum pa_pooled_state { PA_POOLED_IDLE, PA_POOLED_ACTIVE, PA_POOLED_IN_TX };

/* One connection's place in a pool. */
struct pa_pooled {
	struct pa_pool *pool; /* NULL: in none */
	enum pa_pooled_state state;
	uint64_t since_ns; /* counted up to there */
};

/* The pool of a peer, made when there is none. next_id: the last id given. NULL: limit or memory. */
struct pa_pool *pa_pools_of(struct pa_pools *pools, uint32_t process, enum pa_proto proto, const char *peer,
			    uint32_t *next_id);
void pa_pools_free(struct pa_pools *pools);

/* A connection is open. */
void pa_pooled_join(struct pa_pooled *c, struct pa_pool *pool, uint64_t now_ns);
void pa_pooled_turn(struct pa_pooled *c, enum pa_pooled_state state, uint64_t now_ns);
/* It is closed. */
void pa_pooled_leave(struct pa_pooled *c, uint64_t now_ns);
/* Adds to row what has not been counted up to now. */
void pa_pooled_add(const struct pa_pooled *c, struct pa_store_pool *row, uint64_t now_ns);

#endif
