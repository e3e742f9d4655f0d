/* The `memory` section of the JSON report. World: plain. */
#ifndef PA_REPORT_HEAP_JSON_H
#define PA_REPORT_HEAP_JSON_H

#include "report/json_writer.h"
#include "report/model.h"
#include "report/report.h"

/* Shapes: r->heap.recorded; limit rows of each table. Errors: -ENOMEM, -EINVAL for options.by and options.sort. */
int pa_heap_json(struct pa_json *j, const struct pa_report *r, const struct pa_report_options *o, size_t limit);

#endif
