/* perfagent flame */
#include <stdlib.h>
#include <string.h>

#include "report/report.h"
#include "tools/commands.h"
#include "tools/options.h"

static const char help[] =
    "usage: perfagent flame [-i FILE.pfa] [--kind cpu] [--format svg|folded] [--invert] [-o FILE]\n"
    "\n"
    "  -i, --input FILE   the recording; without it the newest *.pfa of this directory\n"
    "  -k, --kind KIND    what the widths mean: cpu (time on a CPU)\n"
    "  -f, --format FMT   svg (default: a page for a browser, NAME.svg) or folded (one line per stack, standard "
    "output)\n"
    "      --invert       the leaf is at the bottom, its callers above it\n"
    "      --title TEXT   instead of the recorded command\n"
    "  -o, --output FILE  write there; -: standard output\n"
    "  -h, --help         -V, --version\n"
    "\n"
    "NAME is the base name of the recorded command. The path of a written file is printed.\n"
    "Exit status: 0 done, 2 error or usage.\n";

enum { OPTION_INVERT = 256, OPTION_TITLE };
static const struct option longs[] = {
    {"input", required_argument, NULL, 'i'},
    {"kind", required_argument, NULL, 'k'},
    {"format", required_argument, NULL, 'f'},
    {"invert", no_argument, NULL, OPTION_INVERT},
    {"title", required_argument, NULL, OPTION_TITLE},
    {"output", required_argument, NULL, 'o'},
    PA_OPTION_HELP,
    PA_OPTION_VERSION,
    {NULL, 0, NULL, 0},
};
static const struct pa_command_line line = {"flame", help, ":i:k:f:o:hV", longs};

struct flame_arguments {
	const char *input, *output;
	const struct pa_output *format;
	struct pa_report_options options;
};

static bool set(struct flame_arguments *a, int option)
{
	switch (option) {
	case 'i':
		a->input = optarg;
		return true;
	case 'o':
		a->output = optarg;
		return true;
	case OPTION_INVERT:
		a->options.invert = true;
		return true;
	case OPTION_TITLE:
		a->options.title = optarg;
		return true;
	case 'f':
		a->format = pa_output_find("flame", optarg);
		if (!a->format)
			pa_fail("flame", "unknown format '%s': svg or folded", optarg);
		return a->format;
	default:
		if (strcmp(optarg, "cpu"))
			pa_fail("flame", "unknown kind '%s': cpu is what recordings hold", optarg);
		return !strcmp(optarg, "cpu");
	}
}

static int write_to(const struct flame_arguments *a, const struct pa_report *r, const char *path)
{
	struct pa_outfile f;
	if (!pa_outfile_open(&f, path))
		return PA_EXIT_ERROR;
	int status = pa_outfile_close(&f, a->format->write(r, &a->options, f.stream));
	if (status || !path || !strcmp(path, "-"))
		return status;
	if (!pa_outfile_open(&f, NULL))
		return PA_EXIT_ERROR;
	fprintf(f.stream, "%s\n", path);
	return pa_outfile_close(&f, 0);
}

static int run(struct flame_arguments *a)
{
	struct pa_report *r;
	char err[512] = "", name[128];
	char *newest = NULL;
	const char *path = a->output;

	if (!a->input && !(a->input = newest = pa_newest_recording()))
		return PA_EXIT_ERROR;
	int status = pa_report_load(a->input, &r, err, sizeof(err)) ? pa_fail(a->input, "%s", err) : PA_EXIT_OK;
	if (!status) {
		if (!path && a->format->suffix) {
			snprintf(name, sizeof(name), "%s.%s", pa_report_name(r), a->format->suffix);
			path = name;
		}
		status = write_to(a, r, path);
		pa_report_free(r);
	}
	free(newest);
	return status;
}

int pa_cmd_flame(int argc, char **argv)
{
	struct flame_arguments a = {.format = pa_output_find("flame", NULL)};
	int option, status = PA_EXIT_ERROR;

	while ((option = pa_option_next(&line, argc, argv, &status)) > 0)
		if (!set(&a, option))
			return PA_EXIT_ERROR;
	if (!option)
		return status;
	return pa_no_operands(&line, argc, argv) ? run(&a) : PA_EXIT_ERROR;
}
