/* Memory in the text report: a line for its header, and a section. World: plain. */
#ifndef PA_REPORT_HEAP_TEXT_H
#define PA_REPORT_HEAP_TEXT_H

#include <stdio.h>

#include "report/text.h"

/* The line of the header. Shapes: r->heap.recorded. */
void pa_heap_text_line(const struct pa_report *r, const struct pa_report_options *o, FILE *out);
/* The section. Errors: -ENOMEM, -EINVAL for options.by and options.sort. */
int pa_heap_text(const struct pa_report *r, const struct pa_report_options *o, FILE *out);
/* Its table. */
int pa_heap_text_table(const struct pa_report *r, const struct pa_report_options *o, FILE *out);

#endif
