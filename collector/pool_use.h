/* How much of a pool is taken, over time, and whether requests wait for a connection.
 *
 * From outside a connection that was given back looks like one whose holder thinks between two statements. What is used
 * again within the time that it was at work just before (PA_POOL_GAP_MIN_NS at least, PA_POOL_GAP_MAX_NS at most) was
 * therefore taken meanwhile, by its holder or by whom it was handed to. What happens is kept for that long before it
 * counts. A pool is short of connections while all that are open are taken and more requests of forms that are known to
 * ask this peer (talk_scope.c) are being handled: those beyond wait. Callers: pools.c, talk_scope.c. World: plain. */
#ifndef PA_COLLECTOR_POOL_USE_H
#define PA_COLLECTOR_POOL_USE_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/store_pool.h"

#define PA_POOL_GAP_MIN_NS UINT64_C(200000)
#define PA_POOL_GAP_MAX_NS UINT64_C(5000000)
#define PA_POOL_STEPS      1024 /* changes that wait; of more the oldest count as they are */

/* A change of how many are open, taken and being handled; `answered` requests end with it. */
struct pa_pool_step {
	uint64_t time_ns;
	int32_t open, taken, requests, answered;
};

struct pa_pool_use {
	struct pa_pool_step *steps; /* PA_POOL_STEPS in a ring; NULL: none yet */
	uint64_t first, next;       /* numbers of the oldest that waits and of the next */
	uint64_t until_ns;          /* counted up to there */
	int64_t open, taken, requests;
	bool is_short;
	struct pa_store_pool_chunk sums; /* since the last that was taken */
};

/* Adds a change, behind those of before. Returns its number. */
uint64_t pa_pool_use_step(struct pa_pool_use *u, const struct pa_pool_step *step);
/* A connection that was given up by that step is used again: it never was, if that still waits. Returns whether. */
bool pa_pool_use_cancel(struct pa_pool_use *u, uint64_t number);
/* Counts what is older than that. */
void pa_pool_use_until(struct pa_pool_use *u, uint64_t until_ns);
/* What was counted since the last time. False: nothing. */
bool pa_pool_use_take(struct pa_pool_use *u, struct pa_store_pool_chunk *sums);
void pa_pool_use_free(struct pa_pool_use *u);

#endif
