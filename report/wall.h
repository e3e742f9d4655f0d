/* Where threads waited, of a loaded recording. Of all of it: rows have no time, whatever window was asked for.
 * World: plain. */
#ifndef PA_REPORT_WALL_H
#define PA_REPORT_WALL_H

#include "collector/store.h"
#include "report/json_writer.h"
#include "report/model.h"
#include "report/report.h"

struct pa_report_wait {
	uint32_t process, thread, stack; /* indices */
	uint64_t looks, ns;
};

struct pa_report_wall {
	uint64_t period_ns; /* between two rounds, as it was wanted */
	/* UINT64_MAX: the recording ended early */
	uint64_t rounds, missed, looks, running, walks, moved, put_off, cpu_ns, refused;
	struct pa_report_wait *waits; /* of all threads together by (process, stack), by time; thread: of the first */
	size_t nr_waits;
	uint64_t ns;
};

/* After the samples: as the other steps of load.h. */
int pa_load_wall(struct pa_report *r, struct pa_recording *rec);
void pa_wall_report_free(struct pa_report_wall *w); /* NULL allowed */

/* CPU samples and waits, weights in microseconds. Errors: -ENODATA: not recorded; -ENOMEM. *own is to be freed. */
int pa_wall_entries(const struct pa_report *r, struct pa_report_entry **own, struct pa_entries *entries);

/* The `wall` section, and the one for a person. Shapes: r->wall is there. Errors of text: -ENOMEM. */
void pa_wall_json(struct pa_json *j, const struct pa_report *r, size_t limit);
int pa_wall_text(const struct pa_report *r, const struct pa_report_options *o, FILE *out);

#endif
