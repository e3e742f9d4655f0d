/* The two halves of the text report: what was recorded and how far it can be trusted (text.c), and the table
 * (text_table.c). World: plain. */
#ifndef PA_REPORT_TEXT_H
#define PA_REPORT_TEXT_H

#include <stdio.h>

#include "report/model.h"
#include "report/report.h"

#define PA_TEXT_ROWS      30
#define PA_TEXT_ROWS_BOTH 12

struct pa_style {
	const char *bold, *dim, *plain;
};
void pa_style_get(const struct pa_report_options *o, struct pa_style *s);

/* Errors: -ENOMEM, -EINVAL for options.by. */
int pa_text_table(const struct pa_report *r, const struct pa_report_options *o, FILE *out);

/* How many rows a table has: what was asked for, or as many as leave room for the other table on a terminal. */
size_t pa_text_rows(const struct pa_report *r, const struct pa_report_options *o);

/* part of whole in percent; 0 of 0 is 0. */
double pa_percent(uint64_t part, uint64_t whole);

#endif
