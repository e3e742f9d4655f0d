/* Which levels of all frames share a row of a table by function, line or module. Callers: table.c (CPU), heap_table.c.
 * World: plain. */
#ifndef PA_REPORT_LEVEL_ROWS_H
#define PA_REPORT_LEVEL_ROWS_H

#include "report/model.h"

/* What a row is called: texts, the index of the module; 0 where `by` does not tell them apart. */
struct pa_level_row {
	uint32_t function, file, line;
	uint32_t module;
};

struct pa_level_rows {
	struct pa_level_row *rows; /* in the order of the levels */
	size_t nr;
	uint32_t *of; /* per level of the report: its row */
};

/* by: function, line or module. Errors: -ENOMEM; fini is allowed after it. */
int pa_level_rows_init(const struct pa_report *r, enum pa_by by, struct pa_level_rows *rows);
void pa_level_rows_fini(struct pa_level_rows *rows);

#endif
