/* How the connections to a peer were used over time, how long they lived, and which were never given back, in a
 * recording: what talks.c writes and a report reads. perfagent-recording(5) has the columns. World: plain. */
#ifndef PA_COLLECTOR_STORE_POOL_H
#define PA_COLLECTOR_STORE_POOL_H

#include <stdint.h>

#include "collector/store_talk.h"

/* A pool between two moments. Taken is a connection at work, in a transaction, or between two requests that follow each
 * other closely (pool_use.h). Times but open_ns and taken_ns are of the pool, not of its connections added up. */
struct pa_store_pool_chunk {
	uint32_t pool;
	uint64_t first_ns, last_ns;
	uint64_t open, active, in_tx; /* at its end */
	uint64_t open_ns, taken_ns;
	uint64_t used_ns;     /* while one was taken at least */
	uint64_t full_ns;     /* while all that were open were taken */
	uint64_t short_ns;    /* of that, while more requests that ask this peer were being handled */
	uint64_t waiting_ns;  /* how many more, times how long */
	uint64_t short_times; /* how often that began */
	uint64_t answered;    /* requests that were answered meanwhile */
};

/* The rest of a pool's sums; the latest row counts. */
struct pa_store_pool_life {
	uint32_t pool;
	uint32_t shared; /* several requests were asked at once on one connection: nobody waits for a free one */
	uint32_t known;  /* forms of requests that are known to ask this peer: of others it is not known who waits */
	uint64_t connects, connect_ns, connect_max_ns; /* whose time is known */
	uint64_t busy_connects;                        /* while all others were taken */
	uint64_t lives, life_max_ns;                   /* of those that were closed */
	uint64_t timeouts, resets;                     /* by the system: connecting included */
	uint64_t abandoned;                            /* closed by the program while it was owed an answer */
	const uint64_t *connect, *life;                /* PA_LAG_BUCKETS, by pa_latency_bucket */
};

enum pa_pool_held {
	PA_POOL_HELD_NOT,    /* not any more */
	PA_POOL_HELD_BUSY,   /* at work since then */
	PA_POOL_HELD_IN_TX,  /* in a transaction since then */
	PA_POOL_HELD_UNUSED, /* idle since then, while others were opened */
	PA_POOL_HELD_KINDS
};

/* A connection that was not given back, or so it seems; the latest row of the same id counts. */
struct pa_store_pool_held {
	uint32_t id; /* from 1 */
	uint32_t pool;
	uint32_t kind;  /* enum pa_pool_held */
	uint32_t stack; /* that opened it, 0: not known */
	uint64_t opened_ns, since_ns;
};

int pa_store_add_pool_chunk(struct pa_store *s, const struct pa_store_pool_chunk *c);
int pa_store_put_pool_life(struct pa_store *s, const struct pa_store_pool_life *l);
int pa_store_put_pool_held(struct pa_store *s, const struct pa_store_pool_held *h);

int pa_recording_pool_chunks(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_pool_chunk *c),
			     void *arg);
int pa_recording_pool_lives(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_pool_life *l),
			    void *arg);
int pa_recording_pool_held(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_pool_held *h), void *arg);

#endif
