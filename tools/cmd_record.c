/* `perfagent record`: runs a command with the agent in front of it and a private collector beside it. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/options.h"
#include "common/wire.h"
#include "tools/commands.h"
#include "tools/record_run.h"

static const char usage_text[] =
    "usage: perfagent record [OPTION]... [--] COMMAND [ARGUMENT]...\n"
    "Runs COMMAND and records where it and its children spend CPU time, allocate memory, and keep event loops\n"
    "waiting.\n\n"
    "  -o, --output FILE   the recording (%p: process id, %h: host; default COMMAND.PID.pfa; - is stdout)\n"
    "  -F, --rate HZ       samples per second of CPU time and thread, 1 to 10000 (default 99)\n"
    "      --mode LIST     what is recorded: cpu, memory, loop, db, http, lock, wall (default: the first three)\n"
    "      --heap HOW      sampled[:SIZE] (default: one allocation in 512k bytes) or exact: each one;\n"
    "                      then ,mmap: memory that is mapped, too\n"
    "      --loop-blocked MS  an event loop is blocked by what takes that long (default 50)\n"
    "  -d, --duration SEC  stop recording after SEC seconds; the command runs on\n"
    "  -q, --quiet         no hint at the end\n"
    "      --help, --version\n\n"
    "The exit status is the command's; 127: not found, 126: cannot be executed, 125: perfagent failed before it ran.\n";

enum { OPT_MODE = 256, OPT_HEAP, OPT_LOOP_BLOCKED, OPT_HELP, OPT_VERSION };

static const struct option long_options[] = {
    {"output", required_argument, NULL, 'o'},
    {"rate", required_argument, NULL, 'F'},
    {"mode", required_argument, NULL, OPT_MODE},
    {"duration", required_argument, NULL, 'd'},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {"heap", required_argument, NULL, OPT_HEAP},
    {"loop-blocked", required_argument, NULL, OPT_LOOP_BLOCKED},
    {NULL, 0, NULL, 0},
};

#define FAILED (-2)

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "perfagent: %s: %s\n", what, why);
	return FAILED;
}

static int take_output(struct pa_record_run *run, const char *value)
{
	run->output = value;
	return value[0] ? -1 : complain("-o", "needs a file name");
}

static int take_quiet(struct pa_record_run *run, const char *value)
{
	run->quiet = true;
	return -1;
}

static int take_word(struct pa_record_run *run, const char *name, const char *value)
{
	char err[160];

	return pa_options_set(&run->options, name, value, err, sizeof(err)) ? complain("record", err) : -1;
}

static int take_rate(struct pa_record_run *run, const char *value)
{
	return take_word(run, "rate", value);
}

static int take_mode(struct pa_record_run *run, const char *value)
{
	return take_word(run, "mode", value);
}

static int take_heap(struct pa_record_run *run, const char *value)
{
	return take_word(run, "heap", value);
}

static int take_loop_blocked(struct pa_record_run *run, const char *value)
{
	return take_word(run, "loop-blocked", value);
}

static int take_duration(struct pa_record_run *run, const char *value)
{
	char *end;
	double seconds = strtod(value, &end);

	if (end == value || *end || !(seconds > 0) || seconds > 1e9)
		return complain(value, "the duration must be a number of seconds above 0");
	run->duration_ns = (uint64_t)(seconds * 1e9);
	return -1;
}

static int show_help(struct pa_record_run *run, const char *value)
{
	fputs(usage_text, stdout);
	return 0;
}

static int show_version(struct pa_record_run *run, const char *value)
{
	puts("perfagent " PA_VERSION);
	return 0;
}

/* Each returns -1 to go on, FAILED, or the exit status. */
static const struct row {
	int option;
	int (*take)(struct pa_record_run *run, const char *value);
} rows[] = {
    {'o', take_output},
    {'F', take_rate},
    {OPT_MODE, take_mode},
    {'d', take_duration},
    {OPT_HEAP, take_heap},
    {'q', take_quiet},
    {OPT_HELP, show_help},
    {OPT_VERSION, show_version},
    {OPT_LOOP_BLOCKED, take_loop_blocked},
};

static int take(struct pa_record_run *run, int option, const char *value)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].option == option)
			return rows[i].take(run, value);
	return FAILED;
}

static int environment_options(struct pa_record_run *run)
{
	const char *text = getenv("PERFAGENT_OPTIONS");
	char err[160];

	if (text && pa_options_parse(&run->options, text, strlen(text), err, sizeof(err)))
		return complain("PERFAGENT_OPTIONS", err);
	return -1;
}

int pa_cmd_record(int argc, char **argv)
{
	struct pa_record_run run = {.options = PA_OPTIONS_DEFAULT};
	int option, status = environment_options(&run);

	optind = 0;
	opterr = 0;
	/* "+": options end at the command's name; ":": a missing value is told from an unknown option */
	while (status == -1 && (option = getopt_long(argc, argv, "+:o:F:d:q", long_options, NULL)) != -1) {
		if (option == '?')
			status = complain(argv[optind - 1], "unknown option; see perfagent record --help");
		else if (option == ':')
			status = complain(argv[optind - 1], "needs a value; see perfagent record --help");
		else
			status = take(&run, option, optarg);
	}
	if (status == -1 && optind >= argc)
		status = complain("record", "which command? see perfagent record --help");
	if (status == FAILED)
		return PA_EXIT_TROUBLE;
	if (status != -1)
		return status;
	run.argv = argv + optind;
	return pa_record_run(&run);
}
