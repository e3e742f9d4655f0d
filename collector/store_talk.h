/* What a program says to others over sockets, and they to it, in a recording: what talks.c writes and a report reads.
 * perfagent-recording(5) has the columns. World: plain. */
#ifndef PA_COLLECTOR_STORE_TALK_H
#define PA_COLLECTOR_STORE_TALK_H

#include <stddef.h>
#include <stdint.h>

#include "collector/lag.h"
#include "collector/store.h"

/* Latencies are counted by lag.h in picoseconds, so that its floor is a microsecond: what is shorter counts as that. */
#define PA_LATENCY_FLOOR_NS UINT64_C(1000)
#define PA_LATENCY_MAX_NS   (UINT64_C(1) << 50) /* 13 days: nothing is longer */

static inline uint32_t pa_latency_bucket(uint64_t ns)
{
	return pa_lag_bucket((ns < PA_LATENCY_MAX_NS ? ns : PA_LATENCY_MAX_NS) * 1000);
}

enum pa_talk_role { PA_ROLE_CLIENT = 1, PA_ROLE_SERVER = 2 };

/* Exchanges of one form: a statement, a command, or a method and path. */
struct pa_store_exchange {
	uint32_t id; /* from 1 */
	uint32_t process;
	uint32_t role;      /* enum pa_talk_role */
	uint32_t proto;     /* enum pa_proto */
	uint32_t stack;     /* of the longest, 0: none */
	uint32_t repeats;   /* the most often that it was asked while one request was handled, as far as known */
	uint32_t repeated;  /* requests in which it was asked PA_REPEATS_MANY times or more */
	uint32_t repeater;  /* stack that asked in the worst of them, 0: none */
	const char *peer;   /* NULL: not known, or we are the server */
	const char *method; /* HTTP, else NULL */
	const char *text;   /* normalised */
	const char *error;  /* of the latest that failed: SQLSTATE, first word or status, NULL: none */
};

#define PA_REPEATS_MANY 11

/* What they were between two moments. */
struct pa_store_exchange_chunk {
	uint32_t exchange;
	uint64_t first_ns, last_ns;
	uint64_t count;  /* those below included */
	uint64_t errors; /* failed, or never answered */
	uint64_t lost;   /* their answer was not seen: they are in none of what follows */
	uint64_t rows, sent_bytes, received_bytes;
	uint64_t total_ns, min_ns, max_ns;
	const uint64_t *counts; /* PA_LAG_BUCKETS, by pa_latency_bucket */
};

/* One that took as long as the threshold or longer. */
struct pa_store_exchange_slow {
	uint32_t exchange;
	uint32_t thread; /* that asked or, as the server, read it; 0: not known */
	uint32_t stack;
	uint32_t failed;
	uint64_t start_ns, end_ns;
	uint64_t rows;
};

/* Connections of a process to one peer. */
struct pa_store_pool {
	uint32_t id; /* from 1 */
	uint32_t process;
	uint32_t proto;
	uint32_t stack; /* that opened the first, 0: not known */
	const char *peer;
	uint64_t opened, closed, failed; /* failed: could not be opened */
	uint64_t errors;                 /* logins refused, connections that broke */
	uint64_t open, open_max;         /* now, and the most at once; as the next two */
	uint64_t active, active_max;     /* something is asked and not answered */
	uint64_t in_tx, in_tx_max;       /* nothing is, but a transaction is open */
	uint64_t open_ns, active_ns, in_tx_ns;
	uint64_t connect_ns; /* from the beginning of connecting to being ready */
};

/* Exchanges of one form while requests of another were handled, each the only one of its thread; or (endpoint 0) within
 * iterations of event loops, where only repeats are known. */
struct pa_store_exchange_within {
	uint32_t id; /* from 1 */
	uint32_t exchange;
	uint32_t endpoint;                    /* exchange, 0: iterations */
	uint32_t repeats, repeated, repeater; /* as in an exchange */
	uint64_t count, total_ns;
};

int pa_store_put_exchange_within(struct pa_store *s, const struct pa_store_exchange_within *w);
int pa_recording_exchange_within(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_exchange_within *w),
				 void *arg);

/* As in store.h: exchanges and pools replace the row of the same id. Errors: 0 or -errno. */
int pa_store_put_exchange(struct pa_store *s, const struct pa_store_exchange *e);
int pa_store_add_exchange_chunk(struct pa_store *s, const struct pa_store_exchange_chunk *c);
int pa_store_add_exchange_slow(struct pa_store *s, const struct pa_store_exchange_slow *e);
int pa_store_put_pool(struct pa_store *s, const struct pa_store_pool *p);

/* Visits as in store.h. Texts and `counts` are lent. */
int pa_recording_exchanges(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_exchange *e), void *arg);
int pa_recording_exchange_chunks(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_exchange_chunk *c),
				 void *arg);
int pa_recording_exchange_slow(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_exchange_slow *e),
			       void *arg);
int pa_recording_pools(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_pool *p), void *arg);

#endif
