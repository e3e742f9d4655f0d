/* What was allocated and not freed, by stack. World: plain. */
#ifndef PA_REPORT_LEAKS_H
#define PA_REPORT_LEAKS_H

#include <stdio.h>

#include "report/model.h"
#include "report/report.h"
#include "report/suppress.h"

struct pa_leak {
	uint32_t stack;        /* index */
	int64_t blocks, bytes; /* of growth: may be less than nothing */
	double variance;       /* of bytes; 0: exact */
	uint32_t suppressed;   /* row of the suppressions + 1; 0: not */
};

struct pa_leaks {
	struct pa_leak *rows; /* largest first; suppressed ones and what did not grow come last */
	size_t nr;
	size_t nr_leaking;     /* rows[0 .. nr_leaking - 1] are neither suppressed nor <= 0 */
	int64_t blocks, bytes; /* of all that is not suppressed; of growth: what shrank is taken off */
	double variance;
	uint64_t suppressed_blocks, suppressed_bytes;
	size_t nr_execed; /* processes that became another program: what they held is gone with them, not leaked */
	size_t nr_killed; /* processes that a signal ended: what they held was in use */
};

struct pa_leaks_options {
	bool growth; /* since the start of the window, of processes that still run, instead of what was left at the end
		      */
	uint32_t process; /* index; 0: all */
};

/* Fills in what each suppression held back. Errors: -ENOMEM. */
int pa_leaks_find(const struct pa_report *r, const struct pa_leaks_options *o, struct pa_suppressions *s,
		  struct pa_leaks *out);
void pa_leaks_fini(struct pa_leaks *l);

/* What `perfagent leaks` prints. verdict: the sentence about the threshold, NULL: none.
 * Errors: -EIO, -ENOMEM. */
struct pa_leaks_verdict {
	bool growth, over;
	uint64_t threshold, watched_ns; /* bytes; ns, 0: a finished recording */
};
int pa_leaks_text(const struct pa_report *r, const struct pa_leaks *l, const struct pa_suppressions *s,
		  const struct pa_leaks_verdict *v, const struct pa_report_options *o, FILE *out);
int pa_leaks_json(const struct pa_report *r, const struct pa_leaks *l, const struct pa_suppressions *s,
		  const struct pa_leaks_verdict *v, const struct pa_report_options *o, FILE *out);

#endif
