/* perfagent diff */
#include "report/diff.h"

#include <errno.h>
#include <string.h>

#include "tools/commands.h"
#include "tools/quantity.h"
#include "tools/reading.h"

static const char help[] =
    "usage: perfagent diff BASE.pfa NEW.pfa [--threshold SIZE] [--format text|json] [-n ROWS] [-o FILE]\n"
    "       perfagent diff FILE.pfa --from T1 [--to T2] ...\n"
    "\n"
    "What changed: live memory by function and by stack, allocations per second, shares of the CPU time. The second "
    "form\n"
    "compares what came before T1 with what came between T1 and T2 in one recording.\n"
    "\n"
    "      --from T       90 or 1m30s since the recording began\n"
    "      --to T         (default: the end)\n"
    "      --threshold S  exit with 1 when live memory grew by S or more: bytes, or as 64k, 100MB, 1.5GiB\n"
    "  -f, --format FMT   text (default) or json\n"
    "  -n, --rows ROWS    so many rows at most, 0: all (text shows 15, and 5 stacks; json 1000)\n"
    "  -o, --output FILE  write there; -: standard output (default)\n"
    "  -h, --help         -V, --version\n"
    "\n"
    "Exit status: 0 done, 1 growth reached the threshold, 2 error or usage.\n";

enum { OPTION_THRESHOLD = PA_OPTION_OWN };
static const struct option longs[] = {
    PA_READING_LONGS, PA_READING_ROWS,   {"threshold", required_argument, NULL, OPTION_THRESHOLD},
    PA_OPTION_HELP,   PA_OPTION_VERSION, {NULL, 0, NULL, 0},
};
static const struct pa_command_line line = {"diff", help, ":i:f:n:o:hV", longs};

struct arguments {
	struct pa_reading base, new;
	bool json;
	struct pa_diff_verdict verdict;
};

static bool set(struct arguments *a, int option)
{
	bool fine;
	if (option == OPTION_THRESHOLD) {
		a->verdict.asked = true;
		return pa_parse_bytes("--threshold", optarg, &a->verdict.threshold);
	}
	if (option == 'f') {
		a->json = !strcmp(optarg, "json");
		if (!a->json && strcmp(optarg, "text"))
			return pa_fail("diff", "unknown format '%s': text or json", optarg), false;
		return true;
	}
	return pa_reading_option(&a->new, option, &fine) && fine;
}

/* Which recordings, or which parts of one. Errors: false, said on stderr. */
static bool choose(struct arguments *a, int argc, char **argv)
{
	struct pa_report_window *w = &a->new.window;
	bool window = w->from_ns || w->to_ns != UINT64_MAX;
	int nr = argc - optind;

	if (a->new.input && nr)
		return pa_fail("diff", "name the recordings without -i"), false;
	if (nr > 2)
		return pa_fail("diff", "more than two recordings: '%s'", argv[optind + 2]), false;
	if (nr == 2 && window)
		return pa_fail("diff", "--from and --to compare two parts of one recording"), false;
	if (nr < 2 && !w->from_ns)
		return pa_fail("diff", "name two recordings, or one and --from a time after its start"), false;
	a->base = a->new;
	a->verdict.parts = nr < 2;
	if (nr == 2) {
		a->base.input = argv[optind];
		a->new.input = argv[optind + 1];
		return true;
	}
	if (nr)
		a->new.input = argv[optind];
	a->base.window = (struct pa_report_window){.to_ns = w->from_ns};
	return pa_reading_check(&a->new);
}

static int compare(struct arguments *a, const struct pa_report *base, const struct pa_report *new)
{
	struct pa_diff d;
	struct pa_outfile f;
	if (a->verdict.asked && (!pa_reading_wants_heap(&a->base, base) || !pa_reading_wants_heap(&a->new, new)))
		return PA_EXIT_ERROR;
	if (pa_diff_build(base, new, &d))
		return pa_fail("diff", "%s", strerror(ENOMEM));
	a->verdict.over = a->verdict.asked && d.growth > 0 && (uint64_t)d.growth >= a->verdict.threshold;
	int status = PA_EXIT_ERROR;
	if (pa_outfile_open(&f, a->new.output)) {
		int (*write)(const struct pa_diff *, const struct pa_diff_verdict *, const struct pa_report_options *,
			     FILE *) = a->json ? pa_diff_json : pa_diff_text;
		status = pa_outfile_close(&f, write(&d, &a->verdict, &a->new.options, f.stream));
	}
	pa_diff_fini(&d);
	return status ? status : a->verdict.over ? PA_EXIT_BAD : PA_EXIT_OK;
}

int pa_cmd_diff(int argc, char **argv)
{
	struct arguments a = {.new = {.command = "diff", .window = {.to_ns = UINT64_MAX}}};
	int option, status = PA_EXIT_ERROR;

	while ((option = pa_option_next(&line, argc, argv, &status)) > 0)
		if (!set(&a, option))
			return PA_EXIT_ERROR;
	if (!option)
		return status;
	if (!choose(&a, argc, argv))
		return PA_EXIT_ERROR;
	pa_reading_fit_terminal(&a.new);
	struct pa_report *new = pa_reading_load(&a.new), *base = NULL;
	if (new && !a.base.input)
		a.base.input = a.new.input;
	if (new)
		base = pa_reading_load(&a.base);
	status = base ? compare(&a, base, new) : PA_EXIT_ERROR;
	pa_report_free(base);
	pa_report_free(new);
	return status;
}
