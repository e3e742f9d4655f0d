/* perfagent attach: records a process that runs already, under a private collector. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"
#include "tools/attach_run.h"
#include "tools/commands.h"
#include "tools/options.h"
#include "tools/pid.h"
#include "tools/quantity.h"

static const char help[] =
    "usage: perfagent attach PID [-d T] [-o FILE.pfa] [-F HZ] [--mode LIST] [--heap HOW]\n"
    "                         [--loop-blocked MS] [--inject] [--replace] [-q]\n"
    "\n"
    "Records a process that was started with the agent (LD_PRELOAD=libperfagent.so) and runs: until it ends, for T,\n"
    "until `perfagent detach PID`, or until Ctrl-C. Children that it forks meanwhile are recorded, too.\n"
    "\n"
    "  -d, --duration T       so long, as 10 or 5m\n"
    "  -o, --output FILE      the recording (%p: process id, %h: host; default NAME.PID.pfa; - is stdout)\n"
    "  -F, --rate HZ          samples per second of CPU time and thread, 1 to 10000 (default 99)\n"
    "      --mode LIST        what is recorded: cpu, memory, loop, db, http, lock, wall (default: the first three)\n"
    "      --heap HOW         sampled[:SIZE] (default: one allocation in 512k bytes) or exact: each one;\n"
    "                         then ,mmap: memory that is mapped, too\n"
    "      --loop-blocked MS  an event loop is blocked by what takes that long (default 50)\n"
    "      --inject           load the agent into a process that was not started with it, at a safe moment\n"
    "      --replace          take it over from the collector it is attached to\n"
    "  -q, --quiet            no hints\n"
    "  -h, --help             -V, --version\n"
    "\n"
    "A process that sleeps is not disturbed: it is attached to when it wakes up by itself.\n"
    "Exit status: 0 recorded, 1 it did not wake up within T or before Ctrl-C, 2 error or usage.\n";

enum { OPTION_MODE = 256, OPTION_HEAP, OPTION_LOOP_BLOCKED, OPTION_INJECT, OPTION_REPLACE };
static const struct option longs[] = {
    {"duration", required_argument, NULL, 'd'},
    {"output", required_argument, NULL, 'o'},
    {"rate", required_argument, NULL, 'F'},
    {"mode", required_argument, NULL, OPTION_MODE},
    {"heap", required_argument, NULL, OPTION_HEAP},
    {"loop-blocked", required_argument, NULL, OPTION_LOOP_BLOCKED},
    {"inject", no_argument, NULL, OPTION_INJECT},
    {"replace", no_argument, NULL, OPTION_REPLACE},
    {"quiet", no_argument, NULL, 'q'},
    PA_OPTION_HELP,
    PA_OPTION_VERSION,
    {NULL, 0, NULL, 0},
};
static const struct pa_command_line line = {"attach", help, ":d:o:F:qhV", longs};

static bool set_word(struct pa_attach_run *run, const char *name)
{
	char err[160];
	return pa_options_set(&run->options, name, optarg, err, sizeof(err)) ? (pa_fail("attach", "%s", err), false)
									     : true;
}

static bool set_duration(struct pa_attach_run *run)
{
	if (!pa_parse_time("--duration", optarg, &run->duration_ns))
		return false;
	return run->duration_ns ? true : (pa_fail("--duration", "must be more than nothing"), false);
}

static bool set(struct pa_attach_run *run, int option)
{
	switch (option) {
	case 'd':
		return set_duration(run);
	case 'o':
		run->output = optarg;
		return optarg[0] ? true : (pa_fail("-o", "needs a file name"), false);
	case 'F':
		return set_word(run, "rate");
	case OPTION_MODE:
		return set_word(run, "mode");
	case OPTION_HEAP:
		return set_word(run, "heap");
	case OPTION_LOOP_BLOCKED:
		return set_word(run, "loop-blocked");
	case OPTION_INJECT:
		run->inject = true;
		return true;
	case OPTION_REPLACE:
		run->replace = true;
		return true;
	default:
		run->quiet = true;
		return true;
	}
}

static bool environment_options(struct pa_attach_run *run)
{
	const char *text = getenv("PERFAGENT_OPTIONS");
	char err[160];
	if (!text || !pa_options_parse(&run->options, text, strlen(text), err, sizeof(err)))
		return true;
	pa_fail("PERFAGENT_OPTIONS", "%s", err);
	return false;
}

int pa_cmd_attach(int argc, char **argv)
{
	struct pa_attach_run run = {.options = PA_OPTIONS_DEFAULT};
	int option, status = PA_EXIT_ERROR;

	if (!environment_options(&run))
		return PA_EXIT_ERROR;
	while ((option = pa_option_next(&line, argc, argv, &status)) > 0)
		if (!set(&run, option))
			return PA_EXIT_ERROR;
	if (!option)
		return status;
	if (!pa_pid_operand(&line, argc, argv, &run.pid))
		return PA_EXIT_ERROR;
	return pa_attach_run(&run);
}
