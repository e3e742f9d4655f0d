/* Connections of a process to its databases, added up by peer: how many are open, at work, or hold a transaction open
 * while nothing is asked. Callers: talks.c. World: plain. */
#ifndef PA_COLLECTOR_POOLS_H
#define PA_COLLECTOR_POOLS_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/pool_use.h"
#include "collector/store_talk.h"
#include "common/frame.h"

#define PA_POOLS_MAX 1024 /* of a process */

#define PA_POOL_HELD_NS     UINT64_C(1000000000) /* whoever is not given back for that long is suspected */
#define PA_POOL_HELD_OPENED 3                    /* so many opened since its last use */
#define PA_POOLS_HELD_MAX   10000                /* connections of a recording that are named */
#define PA_POOLS_COUNTED    8                    /* of a process: who waits for one of these is known */

struct pa_pool {
	struct pa_store_pool row; /* peer is ours */
	struct pa_pool_use use;
	struct pa_store_pool_life life;
	uint64_t *connect, *lives; /* PA_LAG_BUCKETS each, one block; NULL: nothing to count yet */
	uint32_t place;            /* in its list: from 0 */
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
	bool taken;        /* by pool_use.h */
	uint64_t turned_ns, joined_ns;
	uint64_t given_ns; /* of its latest turn to idle, with */
	uint64_t gap_ns;   /* how long its holder may think */
	uint64_t given_step;
	uint64_t given_opened; /* that had been opened by then */
	uint32_t held_id;      /* of its row, 0: none */
	enum pa_pool_held held;
};

/* The pool of a peer, made when there is none. next_id: the last id given. NULL: limit or memory. */
struct pa_pool *pa_pools_of(struct pa_pools *pools, uint32_t process, enum pa_proto proto, const char *peer,
			    uint32_t *next_id);
void pa_pools_free(struct pa_pools *pools);
/* How long connecting took; that it failed, or that a connection ended with an error (errno) or owing an answer. */
void pa_pool_connected(struct pa_pool *pool, uint64_t ns);
void pa_pool_broke(struct pa_pool *pool, int error, bool owing);
/* What the store has of a pool's use and life, up to a moment: nothing older comes. Errors: of the store. */
int pa_pool_flush(struct pa_pool *pool, struct pa_store *s, uint64_t until_ns);
/* Requests that are known to ask this peer: one more, one less (answered or not). */
void pa_pool_request(struct pa_pool *pool, uint64_t now_ns, int change, bool answered);

/* A connection is open. */
void pa_pooled_join(struct pa_pooled *c, struct pa_pool *pool, uint64_t now_ns);
void pa_pooled_turn(struct pa_pooled *c, enum pa_pooled_state state, uint64_t now_ns);
/* It is closed. */
void pa_pooled_leave(struct pa_pooled *c, uint64_t now_ns);
/* Whether it was given back, as far as can be seen. */
enum pa_pool_held pa_pooled_held(const struct pa_pooled *c, uint64_t now_ns);
/* Adds to row what has not been counted up to now. */
void pa_pooled_add(const struct pa_pooled *c, struct pa_store_pool *row, uint64_t now_ns);

#endif
