/* What a recorded program said to others over sockets, and they to it, within the report's window: queries, endpoints,
 * external services, connections to databases. World: plain. */
#ifndef PA_REPORT_TALKS_H
#define PA_REPORT_TALKS_H

#include "collector/store_pool.h"
#include "collector/store_talk.h"
#include "common/frame.h"
#include "report/json_writer.h"
#include "report/model.h"
#include "report/report.h"

/* Forms that are told apart; the others of a role and protocol count as one. */
#define PA_REPORT_EXCHANGES_MAX 20000

/* Exchanges of one form, over all processes. Texts are numbers of strings, 0: none. */
struct pa_report_exchange {
	uint32_t role;  /* enum pa_talk_role */
	uint32_t proto; /* enum pa_proto */
	uint32_t peer, method, text, error;
	uint32_t process; /* index: the first that had it */
	uint32_t nr_processes;
	uint32_t stack; /* index: of the longest, 0: none */
	uint32_t repeats, repeated;
	uint32_t repeater; /* index of a stack */
	uint64_t count, errors, lost;
	uint64_t rows, sent_bytes, received_bytes;
	uint64_t total_ns, min_ns, max_ns;
	uint64_t slow;         /* as long as the threshold, or longer */
	struct pa_lag latency; /* in picoseconds: pa_exchange_quantile */
};

/* What was asked within requests of a form, or (endpoint 0) within iterations of loops; of the whole recording. */
struct pa_report_within {
	uint32_t exchange; /* index */
	uint32_t endpoint; /* index + 1 */
	uint32_t stack;    /* index: that repeated it, 0: none */
	struct pa_store_exchange_within sums;
};

struct pa_report_slow {
	uint32_t exchange; /* index */
	uint32_t thread;   /* index, 0: not known */
	uint32_t stack;    /* index */
	bool failed;
	uint64_t start_ns, end_ns, rows;
};

/* Connections of a process to a peer; `sums`, `life` and `held` of the whole recording, `use` of the window. */
struct pa_report_pool {
	uint32_t id;
	uint32_t process; /* index */
	uint32_t peer;    /* string */
	struct pa_store_pool sums;
	uint32_t stack;                 /* index */
	uint64_t used_from_ns, span_ns; /* of `use`: when it begins, and how much time it is about */
	struct pa_store_pool_chunk use;
	struct pa_store_pool_life life; /* without counts, which are in */
	struct pa_lag *connect, *lives; /* in picoseconds, as latencies; NULL: not recorded */
	uint64_t nr_held;
};

struct pa_report_pool_point {
	uint32_t pool; /* its id */
	struct pa_store_pool_chunk use;
};

struct pa_report_pool_held {
	uint32_t pool;  /* its id */
	uint32_t stack; /* index */
	enum pa_pool_held kind;
	uint64_t opened_ns, since_ns;
};

struct pa_report_talks {
	uint64_t threshold_ns;
	bool db, http;                         /* what was asked for */
	struct pa_report_exchange **exchanges; /* as they come */
	struct pa_report_within *within;       /* by time */
	struct pa_report_slow *slow;           /* the longest first */
	struct pa_report_pool *pools;          /* databases, by process and peer */
	struct pa_report_pool *peers;          /* whom else it connected to */
	struct pa_report_pool_point *points;   /* by time */
	struct pa_report_pool_held *held;
	size_t nr_exchanges, nr_within, nr_slow, nr_pools, nr_peers, nr_points, nr_held;
};

/* What a section is about. */
enum pa_talk_section { PA_TALK_QUERIES, PA_TALK_ENDPOINTS, PA_TALK_EXTERNAL };

/* After the rows: as the other steps of load.h. */
int pa_load_talks(struct pa_report *r, struct pa_recording *rec);
/* Its part about connections (pools.c). */
int pa_load_pools(struct pa_report *r, struct pa_recording *rec);
void pa_pools_report_free(struct pa_report_talks *t);
void pa_talks_report_free(struct pa_report_talks *t); /* NULL allowed */

enum pa_talk_section pa_exchange_section(const struct pa_report_exchange *e);
/* As pa_lag_quantile, in nanoseconds. */
uint64_t pa_exchange_quantile(const struct pa_report_exchange *e, uint32_t permille);
/* 0: none was answered. */
uint64_t pa_exchange_mean(const struct pa_report_exchange *e);
/* Of the requests, or (loops) iterations, in which something is repeated most; NULL: none is known. */
const struct pa_report_within *pa_exchange_repeats(const struct pa_report *r, const struct pa_report_exchange *e,
						   bool loops);
const char *pa_proto_name(uint32_t proto);
/* "busy", "in_transaction", "unused". */
const char *pa_pool_held_name(enum pa_pool_held kind);
/* As pa_lag_quantile of latencies, in nanoseconds; lag NULL: 0. */
uint64_t pa_latency_quantile(const struct pa_lag *lag, uint32_t permille);
/* How long a request waited for a connection on average while the pool was short of them: by Little's law, from how
 * many waited and how many were answered. 0: none was answered. */
uint64_t pa_pool_wait_ns(const struct pa_report_pool *p);
/* The function nearest to the leaf of a stack that is the program's own, not a library's; else the leaf. String. */
uint32_t pa_stack_caller(const struct pa_report *r, uint32_t process, uint32_t stack);
/* A section's exchanges: endpoints by their mean, the slowest first, the others by total time. To be freed.
 * Errors: -ENOMEM. */
int pa_talks_select(const struct pa_report *r, enum pa_talk_section section, const struct pa_report_exchange ***list,
		    size_t *nr);

/* A list of pools under that key, and how many were left out. */
void pa_pools_json(struct pa_json *j, const char *key, const struct pa_report *r, const struct pa_report_pool *list,
		   size_t nr, size_t limit);
void pa_pools_text(const struct pa_report *r, const struct pa_report_options *o, FILE *out);

/* `database`, `endpoints` and `external`, as far as they were asked for. Shapes: r->talks is there; limit rows of each
 * list. Errors: 0 or -ENOMEM. */
int pa_talks_json(struct pa_json *j, const struct pa_report *r, size_t limit);
/* The sections for a person. */
int pa_talks_text(const struct pa_report *r, const struct pa_report_options *o, FILE *out);

#endif
