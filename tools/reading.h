/* What the commands that read a recording share: -i, --from, --to, -o, -f, -n, and the way from the file to the answer.
 * World: plain. */
#ifndef PA_TOOLS_READING_H
#define PA_TOOLS_READING_H

#include "report/model.h"
#include "report/report.h"
#include "tools/options.h"

struct pa_reading {
	const char *command; /* "report" */
	const char *input, *output;
	const struct pa_output *format; /* of report and flame */
	struct pa_report_window window;
	bool growing; /* the recording is being written: the window may begin after what is there */
	struct pa_report_options options;
};

/* Values of the long options that have no letter. */
enum { PA_OPTION_FROM = 512, PA_OPTION_TO, PA_OPTION_OWN };
#define PA_READING_LONGS                                                                                               \
	{"input", required_argument, NULL, 'i'}, {"format", required_argument, NULL, 'f'},                             \
	    {"output", required_argument, NULL, 'o'}, {"from", required_argument, NULL, PA_OPTION_FROM},               \
	{                                                                                                              \
		"to", required_argument, NULL, PA_OPTION_TO                                                            \
	}
/* Beside -n. */
#define PA_READING_ROWS                                                                                                \
	{                                                                                                              \
		"rows", required_argument, NULL, 'n'                                                                   \
	}

/* Takes i, o, n, f (when format is set), --from and --to.
 * Returns whether it was one of these; *fine is false when its value was wrong, which was said on stderr. */
bool pa_reading_option(struct pa_reading *a, int option, bool *fine);
/* Times that contradict each other. Errors: false, said on stderr. */
bool pa_reading_check(const struct pa_reading *a);

/* Loads the recording, which without -i is the newest here (a->input is then set, for the life of the process).
 * Errors: NULL, said on stderr. */
struct pa_report *pa_reading_load(struct pa_reading *a);
/* Says that there are no allocations in it and how to have some. Errors: false. */
bool pa_reading_wants_heap(const struct pa_reading *a, const struct pa_report *r);

/* Says that temporary allocations are counted in exact mode only. Errors: false. */
bool pa_reading_wants_temporary(const struct pa_reading *a, const struct pa_report *r);

/* Says that no request of a server is in it and how to have some; or which there are, if the one that is wanted is none
 * of them. Errors: false. */
bool pa_reading_wants_requests(const struct pa_reading *a, const struct pa_report *r);

/* Names are cut and headings are bold only where a person reads them: an answer to a terminal. */
void pa_reading_fit_terminal(struct pa_reading *a);

#endif
