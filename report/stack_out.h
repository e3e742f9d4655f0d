/* One stack, written out: leaf first, inlined functions as frames of their own. World: plain. */
#ifndef PA_REPORT_STACK_OUT_H
#define PA_REPORT_STACK_OUT_H

#include <stdio.h>

#include "report/json_writer.h"
#include "report/model.h"
#include "report/report.h"

struct pa_stack_style {
	unsigned indent;
	size_t max; /* frames, the root last; 0: all */
	bool asker; /* begin with who asked for the memory (pa_heap_owner) */
};
/* A line per frame: function, and file and line, or the module. */
void pa_stack_text(const struct pa_report *r, const struct pa_report_options *o, uint32_t stack,
		   const struct pa_stack_style *style, FILE *out);
/* "stack": [{function, module, file, line}], all of it. */
void pa_stack_json(struct pa_json *j, const char *key, const struct pa_report *r, uint32_t stack);

#endif
