/* Event loops of a loaded recording, within its window. World: plain. */
#ifndef PA_REPORT_LOOPS_H
#define PA_REPORT_LOOPS_H

#include "collector/lag.h"
#include "collector/store.h"
#include "report/json_writer.h"
#include "report/model.h"
#include "report/report.h"

#define PA_BLOCKED_STACKS 2000 /* of the longest blocked iterations: those whose CPU samples are looked at */

/* What kept a loop from its events, for at least half of an iteration. */
enum pa_blocked_by {
	PA_BLOCKED_OTHER, /* neither: in a call that is not watched, or without a processor */
	PA_BLOCKED_CPU,   /* its thread used the processor */
	PA_BLOCKED_WAIT,  /* its thread was in a wait by another call */
};

struct pa_report_blocked {
	uint32_t loop; /* index */
	uint64_t start_ns, end_ns;
	uint64_t waited_ns; /* in waits by other calls */
	uint64_t cpu_ns;    /* samples of its thread in it, times their period */
	uint32_t samples;
	uint32_t stack; /* index, 0: none. By WAIT the longest wait's; else that on the path most samples share */
	uint32_t ready;
	enum pa_blocked_by by;
};

struct pa_report_loop {
	uint32_t id;
	uint32_t thread; /* index */
	uint32_t kind;   /* enum pa_wait_kind: EPOLL, POLL, SELECT */
	uint64_t key;    /* EPOLL: the descriptor */
	uint32_t frame;  /* index: the call of its wait */
	uint32_t watched;
	uint64_t iterations, ready, busy_ns, wait_ns;
	uint64_t waited_ns; /* of busy_ns, in waits by other calls: of iterations of a millisecond and more */
	uint64_t blocked;   /* iterations over the threshold */
	struct pa_lag lag;
};

/* Waits of one stack inside iterations, of the whole recording. */
struct pa_report_loop_wait {
	uint32_t thread; /* index */
	uint32_t kind;
	uint32_t stack; /* index */
	uint64_t waits, total_ns, max_ns;
};

struct pa_report_loops {
	uint64_t threshold_ns;
	struct pa_report_loop **loops;     /* by iterations' time: the busiest first */
	struct pa_report_blocked *blocked; /* the longest first */
	struct pa_report_loop_wait *waits; /* by time */
	size_t nr_loops, nr_blocked, nr_waits;
	struct pa_lag lag; /* of all loops */
};

/* After the samples: as the other steps of load.h. */
int pa_load_loops(struct pa_report *r, struct pa_recording *rec);
void pa_loops_free(struct pa_report_loops *l); /* NULL allowed */

const char *pa_wait_kind_name(uint32_t kind);
const char *pa_blocked_name(enum pa_blocked_by by);

/* How many descriptors of the loops had an event waiting to be handled, on average over the report's time. */
double pa_loops_pending(const struct pa_report *r);

/* The `event_loop` section. Shapes: r->loops is there; limit rows of each list. */
void pa_loops_json(struct pa_json *j, const struct pa_report *r, size_t limit);
/* The section for a person. */
void pa_loops_text(const struct pa_report *r, const struct pa_report_options *o, FILE *out);

#endif
