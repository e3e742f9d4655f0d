/* Which request a thread was at, at any moment of a loaded recording.
 *
 * A request is its thread's from the first byte that was read of it to the last that was written of its answer. While
 * exactly one is open on a thread, what the thread does is that one's; while several are, it is not known whose, and
 * counted as theirs together. What other threads do for a request is not seen as its. World: plain. */
#ifndef PA_REPORT_REQUESTS_H
#define PA_REPORT_REQUESTS_H

#include "report/json_writer.h"
#include "report/model.h"
#include "report/report.h"

/* Forms that are told apart, and requests that are looked at. */
#define PA_REPORT_ENDPOINTS_MAX 4096

/* Labels: places in pa_report_requests.labels. */
enum { PA_LABEL_NONE, PA_LABEL_SEVERAL, PA_LABEL_FIRST };

struct pa_report_label {
	uint32_t method, text; /* strings; 0 of the first two */
	uint64_t requests, unsure;
	uint64_t time_ns;             /* on its thread alone */
	uint64_t blocked, blocked_ns; /* iterations of a loop, as long as the threshold or longer, while it was alone */
	struct pa_sum cpu;
};

struct pa_report_moment {
	uint32_t thread; /* index */
	uint32_t label;  /* from here on, up to the next of the thread */
	uint64_t time_ns;
};

struct pa_report_requests {
	struct pa_report_label *labels;
	struct pa_report_moment *moments; /* by thread and time */
	size_t nr_labels, nr_moments;
	uint32_t wanted; /* label of window.endpoint; 0: there is none */
};

/* After the rows, before the samples: as the other steps of load.h. */
int pa_load_requests(struct pa_report *r, struct pa_recording *rec);
void pa_requests_free(struct pa_report_requests *q); /* NULL allowed */
/* Blocked iterations to their labels, after the loops are loaded. */
void pa_requests_blocked(struct pa_report *r);

/* The label of a moment of a thread. Shapes: r->requests is there. */
uint32_t pa_requests_label(const struct pa_report *r, uint32_t thread, uint64_t time_ns);
/* That of all of a time: NONE unless one holds throughout. */
uint32_t pa_requests_label_of(const struct pa_report *r, uint32_t thread, uint64_t from_ns, uint64_t to_ns);

/* What of the CPU time within requests is certainly one form's, in percent; 100 where there is none. */
double pa_requests_certain_pct(const struct pa_report *r);

/* "METHOD /path". Shapes: label >= PA_LABEL_FIRST; false: it does not fit. */
bool pa_requests_name(const struct pa_report *r, uint32_t label, char *out, size_t size);

/* `requests`. Errors: -ENOMEM. */
int pa_requests_json(struct pa_json *j, const struct pa_report *r, size_t limit);
/* The table by endpoint. Errors: -ENOMEM; -ENODATA: no request was recorded. */
int pa_requests_text(const struct pa_report *r, const struct pa_report_options *o, FILE *out);

#endif
