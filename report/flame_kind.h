/* What the widths of a flame graph are: CPU samples, or a figure of the heap. World: plain. */
#ifndef PA_REPORT_FLAME_KIND_H
#define PA_REPORT_FLAME_KIND_H

#include "report/model.h"
#include "report/report.h"

struct pa_flame {
	struct pa_entries entries;
	struct pa_report_entry *own; /* NULL: lent by the report */
	bool heap;
	bool wall; /* CPU samples and waits, in microseconds */
	enum pa_heap_kind kind; /* of heap */
	const char *title;      /* "CPU time", "allocated", "live at the end", ... */
	const char *noun;       /* of a number of calls: "calls", "blocks" */
};

/* By options.kind and options.unit.
 * Errors: -EINVAL: no such kind or unit, or not together; -ENODATA: no allocations were recorded; -ENOMEM. */
int pa_flame_init(const struct pa_report *r, const struct pa_report_options *o, struct pa_flame *f);
void pa_flame_fini(struct pa_flame *f);

/* "12.3 MiB (12897280 bytes)", "1234 calls", "31 samples". Shapes: `to` has PA_FLAME_VALUE_MAX bytes and is returned.
 */
#define PA_FLAME_VALUE_MAX 80
char *pa_flame_value(const struct pa_flame *f, char *to, uint64_t value);

#endif
