/* perfagent report */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "report/model.h"
#include "report/report.h"
#include "tools/commands.h"
#include "tools/options.h"

#define TERMINAL_WIDTH 100 /* when the terminal does not say */

static const char help[] = "usage: perfagent report [-i FILE.pfa] [--format text|json] [--by "
			   "function|line|module|thread] [-n ROWS] [-o FILE]\n"
			   "\n"
			   "  -i, --input FILE   the recording; without it the newest *.pfa of this directory\n"
			   "  -f, --format FMT   text (default) or json\n"
			   "  -b, --by WHAT      one row per function (default), line, module or thread\n"
			   "  -n, --rows ROWS    so many rows at most, 0: all (text shows 30, json 1000)\n"
			   "  -o, --output FILE  write there; -: standard output (default)\n"
			   "  -h, --help         -V, --version\n"
			   "\n"
			   "Exit status: 0 done, 2 error or usage.\n";

static const struct option longs[] = {
    {"input", required_argument, NULL, 'i'},
    {"format", required_argument, NULL, 'f'},
    {"by", required_argument, NULL, 'b'},
    {"rows", required_argument, NULL, 'n'},
    {"output", required_argument, NULL, 'o'},
    PA_OPTION_HELP,
    PA_OPTION_VERSION,
    {NULL, 0, NULL, 0},
};
static const struct pa_command_line line = {"report", help, ":i:f:b:n:o:hV", longs};

struct report_arguments {
	const char *input, *output;
	const struct pa_output *format;
	struct pa_report_options options;
};

static bool set(struct report_arguments *a, int option)
{
	switch (option) {
	case 'i':
		a->input = optarg;
		return true;
	case 'o':
		a->output = optarg;
		return true;
	case 'f':
		a->format = pa_output_find("report", optarg);
		if (!a->format)
			pa_fail("report", "unknown format '%s': text or json", optarg);
		return a->format;
	case 'b':
		a->options.by = optarg;
		if (pa_by_find(optarg) == PA_BY_BAD)
			pa_fail("report", "cannot report by '%s': function, line, module or thread", optarg);
		return pa_by_find(optarg) != PA_BY_BAD;
	default:
		if (!pa_parse_size("-n", optarg, &a->options.limit))
			return false;
		if (!a->options.limit)
			a->options.limit = SIZE_MAX;
		return true;
	}
}

/* Names are cut and headings are bold only where a person reads them. */
static void fit_terminal(struct report_arguments *a)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	struct winsize size;
	if ((a->output && strcmp(a->output, "-")) || !isatty(STDOUT_FILENO))
		return;
	a->options.width = !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col ? size.ws_col : TERMINAL_WIDTH;
	a->options.color = !(no_color && *no_color) && term && strcmp(term, "dumb");
}

static int run(struct report_arguments *a)
{
	struct pa_report *r;
	struct pa_outfile f;
	char err[512] = "";
	char *newest = NULL;

	if (!a->input && !(a->input = newest = pa_newest_recording()))
		return PA_EXIT_ERROR;
	int status = pa_report_load(a->input, &r, err, sizeof(err)) ? pa_fail(a->input, "%s", err) : PA_EXIT_OK;
	if (!status) {
		status = PA_EXIT_ERROR;
		if (pa_outfile_open(&f, a->output))
			status = pa_outfile_close(&f, a->format->write(r, &a->options, f.stream));
		pa_report_free(r);
	}
	free(newest);
	return status;
}

int pa_cmd_report(int argc, char **argv)
{
	struct report_arguments a = {.format = pa_output_find("report", "text")};
	int option, status = PA_EXIT_ERROR;

	while ((option = pa_option_next(&line, argc, argv, &status)) > 0)
		if (!set(&a, option))
			return PA_EXIT_ERROR;
	if (!option)
		return status;
	if (!pa_no_operands(&line, argc, argv))
		return PA_EXIT_ERROR;
	fit_terminal(&a);
	return run(&a);
}
