/* From a recording to something a person or a tool reads. A report is loaded once (query.c) and printed by one of the
 * outputs; each output is one file and one row of pa_outputs. World: plain. */
#ifndef PA_REPORT_REPORT_H
#define PA_REPORT_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct pa_report; /* query.c: the loaded recording, see report/model.h */

struct pa_report_options {
	const char *by;    /* "function" (default), "line", "module", "thread", "stack" (memory only) */
	bool by_endpoint;  /* CPU time by the request it was used for, instead */
	const char *sort;  /* memory: "bytes" (default), "calls", "live", "peak", "temporary" */
	bool memory_only;  /* leave CPU time out of a text */
	const char *kind;  /* flame: "cpu" (default), "alloc", "live", "peak", "temporary" */
	const char *unit;  /* flame: "bytes" (default), "calls"; of cpu: samples, always */
	size_t limit;      /* rows; 0: the output's own default; SIZE_MAX: all */
	bool invert;       /* flame: leaf at the bottom */
	const char *title; /* flame: NULL: the command */
	bool color;        /* the output is a terminal that wants colour */
	size_t width;      /* columns of the terminal; 0: names are written in full */
};

/* Loads a recording; symbolizes what the collector could not (a killed one) from the files, when they are still the
 * same by build-id. Errors: -errno with a sentence in err. */
int pa_report_load(const char *path, struct pa_report **out, char *err, size_t err_size);
struct pa_report_window; /* report/model.h */
/* The same for a part of it. window NULL: all. */
int pa_report_load_window(const char *path, const struct pa_report_window *window, struct pa_report **out, char *err,
			  size_t err_size);
void pa_report_free(struct pa_report *r);

struct pa_output {
	const char *name;    /* as in --format */
	const char *command; /* "report" or "flame" */
	const char *suffix;  /* NULL: goes to stdout; else the default file is NAME.suffix */
	/* Errors: 0 or -errno (a write error of `out` counts). */
	int (*write)(const struct pa_report *r, const struct pa_report_options *o, FILE *out);
};

extern const struct pa_output pa_outputs[]; /* ends with name == NULL */
const struct pa_output *pa_output_find(const char *command, const char *name);

/* The base name of the recorded command, fit for a file name. Lent. */
const char *pa_report_name(const struct pa_report *r);

int pa_write_text(const struct pa_report *r, const struct pa_report_options *o, FILE *out);
int pa_write_json(const struct pa_report *r, const struct pa_report_options *o, FILE *out);
int pa_write_folded(const struct pa_report *r, const struct pa_report_options *o, FILE *out);
int pa_write_svg(const struct pa_report *r, const struct pa_report_options *o, FILE *out);

#endif
