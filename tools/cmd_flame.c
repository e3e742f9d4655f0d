/* perfagent flame */
#include <string.h>

#include "report/model.h"
#include "report/report.h"
#include "tools/commands.h"
#include "tools/reading.h"

static const char help[] =
    "usage: perfagent flame [-i FILE.pfa] [--kind cpu|wall|alloc|live|peak|temporary] [--unit bytes|calls]\n"
    "                       [--format svg|folded] [--invert] [--endpoint E] [--from T] [--to T] [-o FILE]\n"
    "\n"
    "  -i, --input FILE   the recording; without it the newest *.pfa of this directory\n"
    "  -k, --kind KIND    what the widths mean: cpu (default, time on a CPU); wall (that, and time in waits, where "
    "mode\n"
    "                     wall was recorded); memory that was allocated (alloc), is live at the end (live), was live "
    "at the highest heap (peak); temporary allocations\n"
    "  -u, --unit UNIT    of memory: bytes (default) or calls\n"
    "  -f, --format FMT   svg (default: a page for a browser, NAME.svg) or folded (one line per stack, standard "
    "output)\n"
    "      --invert       the leaf is at the bottom, its callers above it\n"
    "      --endpoint E   only what was certainly done for requests of this method and path, as 'GET /items/{id}'\n"
    "      --title TEXT   instead of the recorded command\n"
    "      --from T       leave out what was before T, as 90 or 1m30s since the recording began\n"
    "      --to T         and what came after\n"
    "  -o, --output FILE  write there; -: standard output\n"
    "  -h, --help         -V, --version\n"
    "\n"
    "NAME is the base name of the recorded command, with the kind if it is memory. The path of a written file is "
    "printed.\n"
    "Exit status: 0 done, 2 error or usage.\n";

enum { OPTION_INVERT = PA_OPTION_OWN, OPTION_TITLE, OPTION_ENDPOINT };
static const struct option longs[] = {
    {"kind", required_argument, NULL, 'k'},
    {"unit", required_argument, NULL, 'u'},
    {"invert", no_argument, NULL, OPTION_INVERT},
    {"title", required_argument, NULL, OPTION_TITLE},
    {"endpoint", required_argument, NULL, OPTION_ENDPOINT},
    PA_READING_LONGS,
    PA_OPTION_HELP,
    PA_OPTION_VERSION,
    {NULL, 0, NULL, 0},
};
static const struct pa_command_line line = {"flame", help, ":i:k:u:f:o:hV", longs};

static bool one_of(const char *word, const char *const *words)
{
	while (*words && strcmp(word, *words))
		words++;
	return *words != NULL;
}

static bool take_kind(struct pa_reading *a)
{
	static const char *const kinds[] = {"cpu", "wall", "alloc", "live", "peak", "temporary", NULL};
	a->options.kind = optarg;
	if (!one_of(optarg, kinds))
		pa_fail("flame", "unknown kind '%s': cpu, wall, alloc, live, peak or temporary", optarg);
	return one_of(optarg, kinds);
}

static bool take_unit(struct pa_reading *a)
{
	static const char *const units[] = {"bytes", "calls", NULL};
	a->options.unit = optarg;
	if (!one_of(optarg, units))
		pa_fail("flame", "unknown unit '%s': bytes or calls", optarg);
	return one_of(optarg, units);
}

static bool set(struct pa_reading *a, int option)
{
	bool fine;
	if (pa_reading_option(a, option, &fine))
		return fine;
	switch (option) {
	case 'k':
		return take_kind(a);
	case 'u':
		return take_unit(a);
	case OPTION_INVERT:
		a->options.invert = true;
		return true;
	case OPTION_ENDPOINT:
		a->window.endpoint = optarg;
		return true;
	default:
		a->options.title = optarg;
		return true;
	}
}

static bool is_wall(const struct pa_reading *a)
{
	return a->options.kind && strcmp(a->options.kind, "wall") == 0;
}

static bool is_heap(const struct pa_reading *a)
{
	return a->options.kind && strcmp(a->options.kind, "cpu") != 0 && !is_wall(a);
}

static bool check(const struct pa_reading *a)
{
	if (a->options.unit && !is_heap(a)) {
		pa_fail("flame", "--unit is for memory: choose a --kind of it");
		return false;
	}
	if (a->window.endpoint && is_heap(a)) {
		pa_fail("flame", "--endpoint is for CPU time: memory is not told apart by requests");
		return false;
	}
	if (is_wall(a) && (a->window.from_ns || a->window.to_ns != UINT64_MAX)) {
		pa_fail("flame",
			"--from and --to do not go with --kind wall: waits are known for the whole recording only");
		return false;
	}
	if (is_wall(a) && a->window.endpoint) {
		pa_fail("flame", "--endpoint and --kind wall do not go together: waits are not told apart by request");
		return false;
	}
	return pa_reading_check(a);
}

static int write_to(const struct pa_reading *a, const struct pa_report *r, const char *path)
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

static int run(struct pa_reading *a)
{
	struct pa_report *r = pa_reading_load(a);
	char name[160];
	const char *path = a->output;
	int status = PA_EXIT_ERROR;

	if (!r)
		return status;
	if (!path && a->format->suffix) {
		snprintf(name, sizeof(name), "%s%s%s.%s", pa_report_name(r), is_heap(a) || is_wall(a) ? "." : "",
			 is_heap(a) || is_wall(a) ? a->options.kind : "", a->format->suffix);
		path = name;
	}
	if (a->window.endpoint && !a->options.title)
		a->options.title = a->window.endpoint;
	if (is_wall(a) && !r->wall) {
		pa_fail("flame", "waits were not recorded: record with --mode cpu,wall");
		pa_report_free(r);
		return status;
	}
	bool temporary = is_heap(a) && !strcmp(a->options.kind, "temporary");
	if ((!a->window.endpoint || pa_reading_wants_requests(a, r)) && (!is_heap(a) || pa_reading_wants_heap(a, r)) &&
	    (!temporary || pa_reading_wants_temporary(a, r)))
		status = write_to(a, r, path);
	pa_report_free(r);
	return status;
}

int pa_cmd_flame(int argc, char **argv)
{
	struct pa_reading a = {
	    .command = "flame", .format = pa_output_find("flame", NULL), .window = {.to_ns = UINT64_MAX}};
	int option, status = PA_EXIT_ERROR;

	while ((option = pa_option_next(&line, argc, argv, &status)) > 0)
		if (!set(&a, option))
			return PA_EXIT_ERROR;
	if (!option)
		return status;
	return pa_no_operands(&line, argc, argv) && check(&a) ? run(&a) : PA_EXIT_ERROR;
}
