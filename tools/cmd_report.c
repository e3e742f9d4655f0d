/* perfagent report */
#include "report/heap_table.h"
#include "report/model.h"
#include "report/report.h"
#include "tools/commands.h"
#include "tools/reading.h"

#include <string.h>

static const char help[] =
    "usage: perfagent report [-i FILE.pfa] [--format text|json] [--by function|line|module|thread|stack|endpoint]\n"
    "                        [--sort bytes|calls|live|peak|temporary] [--from T] [--to T] [-n ROWS] [-o FILE]\n"
    "\n"
    "  -i, --input FILE   the recording; without it the newest *.pfa of this directory\n"
    "  -f, --format FMT   text (default) or json\n"
    "  -b, --by WHAT      one row per function (default), line, module or thread; of memory also per stack; of CPU\n"
    "                     time also per endpoint, the request that it was used for\n"
    "  -s, --sort WHAT    memory only, by bytes allocated (default), calls, what is live at the end, what was live\n"
    "                     at the peak, or temporary allocations\n"
    "      --from T       leave out what was before T, as 90 or 1m30s since the recording began\n"
    "      --to T         and what came after\n"
    "  -n, --rows ROWS    so many rows at most, 0: all (text shows 30, of stacks 10; json 1000)\n"
    "  -o, --output FILE  write there; -: standard output (default)\n"
    "  -h, --help         -V, --version\n"
    "\n"
    "Exit status: 0 done, 2 error or usage.\n";

static const struct option longs[] = {
    PA_READING_LONGS,
    PA_READING_ROWS,
    {"by", required_argument, NULL, 'b'},
    {"sort", required_argument, NULL, 's'},
    PA_OPTION_HELP,
    PA_OPTION_VERSION,
    {NULL, 0, NULL, 0},
};
static const struct pa_command_line line = {"report", help, ":i:f:b:s:n:o:hV", longs};

static bool take_by(struct pa_reading *a)
{
	enum pa_by by = pa_by_find(optarg);

	a->options.by_endpoint = !strcmp(optarg, "endpoint");
	a->options.by = a->options.by_endpoint ? NULL : optarg;
	if (a->options.by_endpoint)
		return true;
	if (by == PA_BY_BAD)
		pa_fail("report", "cannot report by '%s': function, line, module, thread, stack or endpoint", optarg);
	a->options.memory_only = a->options.memory_only || by == PA_BY_STACK;
	return by != PA_BY_BAD;
}

static bool take_sort(struct pa_reading *a)
{
	a->options.sort = optarg;
	a->options.memory_only = true;
	if (pa_heap_sort_find(optarg) == PA_HEAP_SORT_BAD)
		pa_fail("report", "cannot sort by '%s': bytes, calls, live, peak or temporary", optarg);
	return pa_heap_sort_find(optarg) != PA_HEAP_SORT_BAD;
}

static bool set(struct pa_reading *a, int option)
{
	bool fine;
	if (pa_reading_option(a, option, &fine))
		return fine;
	return option == 'b' ? take_by(a) : take_sort(a);
}

static int run(struct pa_reading *a)
{
	struct pa_report *r = pa_reading_load(a);
	struct pa_outfile f;
	int status = PA_EXIT_ERROR;

	if (!r)
		return status;
	bool temporary = a->options.sort && !strcmp(a->options.sort, "temporary");
	if ((!a->options.by_endpoint || pa_reading_wants_requests(a, r)) &&
	    (!a->options.memory_only || pa_reading_wants_heap(a, r)) &&
	    (!temporary || pa_reading_wants_temporary(a, r)) && pa_outfile_open(&f, a->output))
		status = pa_outfile_close(&f, a->format->write(r, &a->options, f.stream));
	pa_report_free(r);
	return status;
}

int pa_cmd_report(int argc, char **argv)
{
	struct pa_reading a = {
	    .command = "report", .format = pa_output_find("report", "text"), .window = {.to_ns = UINT64_MAX}};
	int option, status = PA_EXIT_ERROR;

	while ((option = pa_option_next(&line, argc, argv, &status)) > 0)
		if (!set(&a, option))
			return PA_EXIT_ERROR;
	if (!option)
		return status;
	if (!pa_no_operands(&line, argc, argv) || !pa_reading_check(&a))
		return PA_EXIT_ERROR;
	pa_reading_fit_terminal(&a);
	return run(&a);
}
