/* What the commands share: reading options, saying what went wrong, finding the recording, writing the answer.
 * World: plain. */
#ifndef PA_TOOLS_OPTIONS_H
#define PA_TOOLS_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define PA_EXIT_OK    0
#define PA_EXIT_BAD   1 /* done, and the answer is bad: leaks, diff */
#define PA_EXIT_ERROR 2

/* One line on stderr, `perfagent: what: why`; control characters of why are made visible. Returns PA_EXIT_ERROR. */
int pa_fail(const char *what, const char *why, ...) __attribute__((format(printf, 2, 3)));

struct pa_command_line {
	const char *command;        /* "report" */
	const char *help;           /* the whole text of --help */
	const char *shorts;         /* as for getopt, beginning with ":" */
	const struct option *longs; /* "help" and "version" (values 'h' and 'V') included */
};

/* The next option: its value, -1 at the end, 0 when the program is to leave with *status: --help and --version (written
 * to stdout) or an option that is unknown or lacks its value (said on stderr). */
int pa_option_next(const struct pa_command_line *c, int argc, char **argv, int *status);
#define PA_OPTION_HELP                                                                                                 \
	{                                                                                                              \
		"help", no_argument, NULL, 'h'                                                                         \
	}
#define PA_OPTION_VERSION                                                                                              \
	{                                                                                                              \
		"version", no_argument, NULL, 'V'                                                                      \
	}

/* Errors: false when operands are left; said on stderr. */
bool pa_no_operands(const struct pa_command_line *c, int argc, char **argv);

/* A whole number >= 0 in decimal. Errors: false, said on stderr with the name of the option. */
bool pa_parse_size(const char *option, const char *text, size_t *value);

/* The newest *.pfa of the current directory, for the caller to free. Errors: NULL, said on stderr. */
char *pa_newest_recording(void);

/* ---- writing the answer ---------------------------------------------------------------------------------------------
 */

/* A file appears under its name when it is complete, or not at all: it is written beside it and renamed. What is no
 * regular file (a pipe, a device) is written to directly, "-" and NULL are stdout. */
struct pa_outfile {
	FILE *stream;
	const char *path; /* as given; NULL: stdout */
	char *temporary;  /* NULL: written to directly */
	char *target;     /* path with symbolic links followed */
};

/* Errors: false, said on stderr. */
bool pa_outfile_open(struct pa_outfile *f, const char *path);
/* Completes the file, or removes what was written when err (0 or -errno of the writer) or the stream says that it
 * failed. Returns the exit status; failures are said on stderr, but for a reader of stdout that went away (EPIPE). */
int pa_outfile_close(struct pa_outfile *f, int err);

#endif
