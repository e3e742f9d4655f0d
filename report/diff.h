/* What changed between two recordings, or between two parts of one. World: plain. */
#ifndef PA_REPORT_DIFF_H
#define PA_REPORT_DIFF_H

#include <stdio.h>

#include "report/model.h"
#include "report/report.h"

/* [0] is the base, [1] the new one. Functions are the same when name and module's base name are; stacks when all their
 * functions are. Lines are not compared: another build has others. */
struct pa_diff_row {
	const char *function, *module; /* lent by the diff; of a stack: of who asked for the memory */
	int64_t live[2];
	uint64_t calls[2], bytes[2], peak[2];
	double cpu[2];      /* share of the CPU time, self, percent; functions only */
	uint32_t stack[2];  /* index of one such stack in each, 0: there is none; stacks only */
	double var_live[2]; /* variance */
};

struct pa_diff {
	const struct pa_report *r[2];           /* lent */
	double seconds[2];                      /* of what was loaded */
	struct pa_diff_row *functions, *stacks; /* by growth of live memory, largest first */
	struct pa_diff_row *cpu;                /* the functions again, by change of their share */
	size_t nr_functions, nr_stacks, nr_cpu;
	int64_t growth; /* of live memory, bytes */
	bool heap;      /* both have allocations */
	struct pa_pool *strings;
};

/* Shapes: base and new are lent for the life of d. Errors: -ENOMEM. */
int pa_diff_build(const struct pa_report *base, const struct pa_report *new, struct pa_diff *d);
void pa_diff_fini(struct pa_diff *d);

struct pa_diff_verdict {
	bool asked, over;   /* a threshold was given; growth reached it */
	uint64_t threshold; /* bytes */
	bool parts;         /* of one recording */
};
/* Errors: -EIO. */
int pa_diff_text(const struct pa_diff *d, const struct pa_diff_verdict *v, const struct pa_report_options *o,
		 FILE *out);
int pa_diff_json(const struct pa_diff *d, const struct pa_diff_verdict *v, const struct pa_report_options *o,
		 FILE *out);

#endif
