/* What a report found wrong, in a sentence each: at its top, before any table. A finding is only there when figures
 * support it; the bounds are here, and say what "wrong" means. World: plain. */
#ifndef PA_REPORT_FINDINGS_H
#define PA_REPORT_FINDINGS_H

#include "report/json_writer.h"
#include "report/model.h"
#include "report/report.h"

#define PA_FIND_EACH_MAX 3 /* of a kind */

/* An endpoint is slow whose median is that long, of so many answered at least. */
#define PA_FIND_SLOW_MEDIAN_NS UINT64_C(100000000)
#define PA_FIND_SLOW_COUNT     5
/* A statement is repeated in so many requests (or iterations) PA_REPEATS_MANY times or more. */
#define PA_FIND_REPEATED 2
/* A loop is blocked by one function so often: once may be its start. */
#define PA_FIND_BLOCKED_COUNT 3
/* A pool is too small when it was short of connections for that part of its time, and that long, ... */
#define PA_FIND_SHORT_PCT 10
#define PA_FIND_SHORT_NS  UINT64_C(200000000)
/* ... and as many requests were answered meanwhile, on average each time: else it was one request that asks much. */
#define PA_FIND_SHORT_ANSWERED 10
#define PA_FIND_SHORT_EACH     2

enum pa_finding_kind {
	PA_FIND_SLOW_ENDPOINT,
	PA_FIND_N_PLUS_ONE,
	PA_FIND_BLOCKED_LOOP,
	PA_FIND_SMALL_POOL,
	PA_FIND_KINDS
};

/* Texts are ours, and raw: whatever the target called itself. */
struct pa_finding {
	enum pa_finding_kind kind;
	char *what;   /* an endpoint, a statement, a thread, a peer */
	char *place;  /* where in the program, "": not known */
	char *figure; /* in words */
	uint64_t count;
	double ms;  /* median, longest blocked, wait; 0: none */
	double pct; /* of the time; 0: none */
};

struct pa_findings {
	struct pa_finding list[PA_FIND_KINDS * PA_FIND_EACH_MAX];
	size_t nr;
};

/* The worst of each kind first. Errors: -ENOMEM. */
int pa_findings_get(const struct pa_report *r, struct pa_findings *f);
void pa_findings_fini(struct pa_findings *f);

/* "findings": []. Errors: -ENOMEM. */
int pa_findings_json(struct pa_json *j, const struct pa_report *r);
/* The section, nothing where there is none. Errors: -ENOMEM. */
int pa_findings_text(const struct pa_report *r, const struct pa_report_options *o, FILE *out);

#endif
