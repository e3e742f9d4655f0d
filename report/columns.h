/* The columns of names in a text table: function, module, place. They follow numbers of fixed width; on a terminal
 * names give way to its width, elsewhere they are whole. World: plain. */
#ifndef PA_REPORT_COLUMNS_H
#define PA_REPORT_COLUMNS_H

#include "report/text.h"

struct pa_columns {
	const struct pa_report *r;
	const struct pa_report_options *o;
	FILE *out;
	enum pa_by by;  /* function, line or module */
	size_t numbers; /* columns taken before the names */
	bool places;    /* lines matter more than modules, also of functions */
	struct pa_style style;
	size_t name, module, place; /* widths */
};

struct pa_named {
	uint32_t function, file, line; /* strings and number */
	uint32_t module;               /* index */
};

/* Once for each row that will be shown, then fit. */
void pa_columns_measure(struct pa_columns *c, const struct pa_named *row);
void pa_columns_fit(struct pa_columns *c);
/* The titles, and the names of a row: both end the line. */
void pa_columns_head(const struct pa_columns *c, const char *place_title);
void pa_columns_write(const struct pa_columns *c, const struct pa_named *row);

#endif
