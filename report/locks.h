/* Waits for locks of a loaded recording, within its window. World: plain. */
#ifndef PA_REPORT_LOCKS_H
#define PA_REPORT_LOCKS_H

#include "collector/lag.h"
#include "collector/store.h"
#include "report/json_writer.h"
#include "report/model.h"
#include "report/report.h"

/* How it is known what the holder did meanwhile. */
enum pa_lock_holder {
	PA_HOLDER_UNKNOWN,
	PA_HOLDER_SAMPLES, /* the stack on which it used the processor in most of the waits of a millisecond and more */
	PA_HOLDER_WAITED,  /* it had waited for the lock itself, there */
};

struct pa_report_lock {
	uint32_t kind;    /* enum pa_lock_kind */
	uint32_t process; /* index: the first one */
	uint32_t nr_processes;
	uint32_t stack; /* index */
	uint64_t addresses, unfinished;
	uint64_t waits, timed_out, total_ns, max_ns;
	uint64_t held, held_ns, held_max_ns;
	uint64_t slow;          /* waits of the threshold or more */
	struct pa_lag latency;  /* in picoseconds */
	uint32_t waited_holder; /* stack: PA_HOLDER_WAITED's */
	uint64_t waited_holder_ns;
	uint32_t sampled_holder; /* PA_HOLDER_SAMPLES' */
	uint64_t sampled_holder_ns;
};

struct pa_report_locks {
	uint64_t threshold_ns;
	struct pa_report_lock **locks; /* by time waited, conditions and joins behind the others */
	size_t nr_locks;
};

/* After the samples: as the other steps of load.h. */
int pa_load_locks(struct pa_report *r, struct pa_recording *rec);
void pa_locks_report_free(struct pa_report_locks *l); /* NULL allowed */

const char *pa_lock_kind_name(uint32_t kind);
/* Whether waiting for it is contention: somebody else has what is wanted. */
bool pa_lock_is_contended(const struct pa_report_lock *l);
uint64_t pa_lock_quantile(const struct pa_report_lock *l, uint32_t permille);
enum pa_lock_holder pa_lock_holder(const struct pa_report_lock *l, uint32_t *stack);

/* `locks` and `locks_omitted`; the section for a person. Shapes: r->locks is there. */
void pa_locks_json(struct pa_json *j, const struct pa_report *r, size_t limit);
void pa_locks_text(const struct pa_report *r, const struct pa_report_options *o, FILE *out);

#endif
