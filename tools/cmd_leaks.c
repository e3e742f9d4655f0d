/* perfagent leaks: what a recorded program did not free, or how its heap grows while it runs. */
#include "report/leaks.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "remote/agent.h"
#include "report/quantity.h"
#include "tools/commands.h"
#include "tools/leaks_attach.h"
#include "tools/quantity.h"
#include "tools/reading.h"
#include "tools/recorders.h"

#define SECOND UINT64_C(1000000000)

/* Collectors write every second. */
#define WRITTEN_WITHIN (5 * SECOND)

#define DURATION_DEFAULT  (3600 * SECOND)
#define INTERVAL_DEFAULT  (60 * SECOND)
#define THRESHOLD_LEAKED  1
#define THRESHOLD_WATCHED (100 << 20)

static const char help[] =
    "usage: perfagent leaks [FILE.pfa | PID] [--threshold SIZE] [--duration T] [--interval T] [--suppressions FILE]\n"
    "                       [--no-default-suppressions] [--format text|json] [-n STACKS] [-o FILE]\n"
    "\n"
    "Of a recording that has ended: what was not freed, by stack, largest first. Of one that is still being written, "
    "or\n"
    "of a process that is being recorded or was started with the agent: how the live heap grows from now on.\n"
    "\n"
    "  -i, --input FILE       the recording; without it and an operand the newest *.pfa of this directory\n"
    "  -t, --threshold SIZE   exit with 1 at so much leaked (default: any) or grown (default 100MB)\n"
    "  -d, --duration T       watch so long, as 3600 or 1h (default)\n"
    "      --interval T       look every T (default 60)\n"
    "  -s, --suppressions F   patterns of stacks that are known, one a line: leak:PATTERN\n"
    "      --no-default-suppressions\n"
    "                         show also what libraries are known to keep until the end\n"
    "  -f, --format FMT       text (default) or json\n"
    "  -n, --rows STACKS      so many stacks at most, 0: all, and whole (text shows 10, json 1000)\n"
    "  -o, --output FILE      write there; -: standard output (default)\n"
    "  -h, --help             -V, --version\n"
    "\n"
    "Exit status: 0 below the threshold, 1 at or over it, 2 error or usage.\n";

enum { OPTION_INTERVAL = PA_OPTION_OWN, OPTION_NO_DEFAULT };
static const struct option longs[] = {
    {"threshold", required_argument, NULL, 't'},
    {"duration", required_argument, NULL, 'd'},
    {"interval", required_argument, NULL, OPTION_INTERVAL},
    {"suppressions", required_argument, NULL, 's'},
    {"no-default-suppressions", no_argument, NULL, OPTION_NO_DEFAULT},
    {"input", required_argument, NULL, 'i'},
    {"format", required_argument, NULL, 'f'},
    {"output", required_argument, NULL, 'o'},
    PA_READING_ROWS,
    PA_OPTION_HELP,
    PA_OPTION_VERSION,
    {NULL, 0, NULL, 0},
};
static const struct pa_command_line line = {"leaks", help, ":i:t:d:s:f:n:o:hV", longs};

struct arguments {
	struct pa_reading read;
	bool json, threshold_given, no_default;
	uint64_t threshold, duration_ns, interval_ns; /* 0: not given */
	const char *suppressions;
	struct pa_suppressions known;
	pid_t pid;   /* 0: a file */
	uint32_t id; /* of the process in the recording */
};

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
	struct timespec t = {.tv_sec = (time_t)(ns / SECOND), .tv_nsec = (long)(ns % SECOND)};
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

static bool take_format(struct arguments *a)
{
	a->json = !strcmp(optarg, "json");
	if (!a->json && strcmp(optarg, "text"))
		return pa_fail("leaks", "unknown format '%s': text or json", optarg), false;
	return true;
}

static bool take_time(const char *option, uint64_t *ns)
{
	if (!pa_parse_time(option, optarg, ns))
		return false;
	return *ns ? true : (pa_fail(option, "must be more than nothing"), false);
}

static bool set(struct arguments *a, int option)
{
	bool fine;
	switch (option) {
	case 't':
		a->threshold_given = true;
		return pa_parse_bytes("--threshold", optarg, &a->threshold);
	case 'd':
		return take_time("--duration", &a->duration_ns);
	case OPTION_INTERVAL:
		return take_time("--interval", &a->interval_ns);
	case 's':
		a->suppressions = optarg;
		return true;
	case OPTION_NO_DEFAULT:
		a->no_default = true;
		return true;
	case 'f':
		return take_format(a);
	default:
		return pa_reading_option(&a->read, option, &fine) && fine;
	}
}

static bool load_suppressions(struct arguments *a)
{
	char err[256];
	if (a->suppressions && pa_suppressions_read(&a->known, a->suppressions, err, sizeof(err)))
		return pa_fail(a->suppressions, "%s", err), false;
	if (!a->no_default && pa_suppressions_default(&a->known))
		return pa_fail("leaks", "%s", strerror(ENOMEM)), false;
	return true;
}

static int print(struct arguments *a, const struct pa_report *r, const struct pa_leaks *l,
		 const struct pa_leaks_verdict *v)
{
	struct pa_outfile f;
	if (!pa_outfile_open(&f, a->read.output))
		return PA_EXIT_ERROR;
	int err = (a->json ? pa_leaks_json : pa_leaks_text)(r, l, &a->known, v, &a->read.options, f.stream);
	int status = pa_outfile_close(&f, err);
	return status ? status : v->over ? PA_EXIT_BAD : PA_EXIT_OK;
}

static int finished(struct arguments *a, struct pa_report *r)
{
	const struct pa_leaks_options all = {0};
	struct pa_leaks l;
	struct pa_leaks_verdict v = {.threshold = a->threshold_given ? a->threshold : THRESHOLD_LEAKED};
	if (a->duration_ns || a->interval_ns)
		return pa_fail(a->read.input, "has ended: there is nothing to watch for --duration or --interval");
	if (pa_leaks_find(r, &all, &a->known, &l))
		return pa_fail("leaks", "%s", strerror(ENOMEM));
	v.over = l.bytes > 0 && (uint64_t)l.bytes >= v.threshold;
	int status = print(a, r, &l, &v);
	pa_leaks_fini(&l);
	return status;
}

/* ---- watching -------------------------------------------------------------------------------------------------- */

static bool still_running(const struct arguments *a, const struct pa_report *r)
{
	if (r->clean)
		return false;
	for (size_t i = 1; a->id && i < r->nr_processes; i++)
		if (r->processes[i].id == a->id)
			return !r->processes[i].end_ns;
	return pa_is_being_recorded(a->read.input);
}

static void progress(const struct arguments *a, const struct pa_leaks *l, uint64_t watched_ns)
{
	char time[PA_QUANTITY_MAX], size[PA_QUANTITY_MAX];
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "perfagent: %s: %s in %zu stacks\n", pa_time_text(time, watched_ns),
			pa_change_text(size, l->bytes), l->nr_leaking);
}

struct watch {
	uint64_t start_ns, end_ns; /* CLOCK_MONOTONIC */
	bool done;
};

static int judge(struct arguments *a, struct watch *w, const struct pa_report *r, bool ended)
{
	struct pa_leaks_options growth = {.growth = true};
	struct pa_leaks l;
	uint64_t now = now_ns();
	struct pa_leaks_verdict v = {.growth = true, .watched_ns = now - w->start_ns, .threshold = a->threshold};

	for (uint32_t i = 1; a->id && i < r->nr_processes; i++)
		if (r->processes[i].id == a->id)
			growth.process = i;
	if (pa_leaks_find(r, &growth, &a->known, &l))
		return pa_fail("leaks", "%s", strerror(ENOMEM)); /* and done */
	v.over = l.bytes > 0 && (uint64_t)l.bytes >= v.threshold;
	w->done = v.over || ended || now >= w->end_ns;
	if (ended)
		pa_fail(a->read.input, "the %s has ended", a->pid ? "process" : "recording");
	else
		progress(a, &l, v.watched_ns);
	int status = w->done ? print(a, r, &l, &v) : PA_EXIT_OK;
	pa_leaks_fini(&l);
	return status;
}

/* One look. Returns the exit status once done. */
static int look(struct arguments *a, struct watch *w)
{
	struct pa_report *r = pa_reading_load(&a->read);
	int status = PA_EXIT_ERROR;

	w->done = true;
	if (!r)
		return status;
	bool ended = !still_running(a, r), asked = strstr(pa_text(r, r->mode), "memory");
	/* what has just begun comes into the recording a second later */
	if ((!ended && asked && now_ns() - w->start_ns < WRITTEN_WITHIN) || pa_reading_wants_heap(&a->read, r))
		status = judge(a, w, r, ended);
	pa_report_free(r);
	return status;
}

static int watch(struct arguments *a, const struct pa_report *first)
{
	struct watch w = {.start_ns = now_ns()};
	int status = PA_EXIT_OK;

	a->duration_ns = a->duration_ns ? a->duration_ns : DURATION_DEFAULT;
	a->interval_ns = a->interval_ns ? a->interval_ns : INTERVAL_DEFAULT;
	a->threshold = a->threshold_given ? a->threshold : THRESHOLD_WATCHED;
	a->read.growing = true;
	w.end_ns = w.start_ns + a->duration_ns;
	/* the recording's time, which is the monotonic clock of this machine */
	a->read.window.from_ns = w.start_ns > first->started_mono_ns ? w.start_ns - first->started_mono_ns : 0;
	for (uint64_t at = w.start_ns; !w.done;) {
		at = at + a->interval_ns < w.end_ns ? at + a->interval_ns : w.end_ns;
		sleep_until(at);
		status = look(a, &w);
	}
	return status;
}

/* ---- which recording ------------------------------------------------------------------------------------------- */

/* The recording that has the process, also one that has just begun, or that we are about to make. */
static char *search(struct arguments *a)
{
	for (uint64_t until = now_ns() + WRITTEN_WITHIN;; sleep_until(now_ns() + SECOND / 4)) {
		bool attaching = pa_leaks_attaching(), some;
		char *path = pa_recording_of(a->pid, &a->id, &some);
		if (path || !(some || attaching) || now_ns() > until)
			return path;
	}
}

static bool find_process(struct arguments *a, const char *text)
{
	char *end;
	long pid = strtol(text, &end, 10);
	if (pid <= 0 || pid > INT32_MAX || kill((pid_t)pid, 0) == -1)
		return pa_fail(text, "there is no such file, and no process of that number"), false;
	a->pid = (pid_t)pid;
	char why[PA_AGENT_WHY], *path = search(a);
	if (!path && !pa_leaks_attach(a->pid, why, sizeof(why)))
		return pa_fail(text, "it is not being recorded (`perfagent record -- COMMAND` would), and %s", why),
		       false;
	path = path ? path : search(a);
	if (!path)
		return pa_fail(text, "it is not being recorded, and did not wake up to be attached to"), false;
	a->read.input = path;
	return true;
}

static bool choose(struct arguments *a, int argc, char **argv)
{
	const char *operand = optind < argc ? argv[optind] : NULL;
	if (operand && (a->read.input || argc - optind > 1))
		return pa_fail("leaks", "unexpected argument '%s' (see perfagent leaks --help)", argv[argc - 1]), false;
	if (!operand)
		return true;
	if (strspn(operand, "0123456789") == strlen(operand) && *operand && access(operand, F_OK))
		return find_process(a, operand);
	a->read.input = operand;
	return true;
}

/* A recording that has just begun is empty for its first second. */
static struct pa_report *load(struct arguments *a)
{
	struct pa_report *r = pa_reading_load(&a->read);
	uint64_t until = now_ns() + WRITTEN_WITHIN;
	while (r && !r->started_mono_ns && now_ns() < until && still_running(a, r)) {
		pa_report_free(r);
		sleep_until(now_ns() + SECOND / 4);
		r = pa_reading_load(&a->read);
	}
	return r;
}

int pa_cmd_leaks(int argc, char **argv)
{
	struct arguments a = {.read = {.command = "leaks", .window = {.to_ns = UINT64_MAX}}};
	int option, status = PA_EXIT_ERROR;

	while ((option = pa_option_next(&line, argc, argv, &status)) > 0)
		if (!set(&a, option))
			return PA_EXIT_ERROR;
	if (!option)
		return status;
	if (!choose(&a, argc, argv) || !load_suppressions(&a))
		goto out;
	pa_reading_fit_terminal(&a.read);
	struct pa_report *r = load(&a);
	if (r && still_running(&a, r))
		status = watch(&a, r);
	else if (r && pa_reading_wants_heap(&a.read, r))
		status = finished(&a, r);
	pa_report_free(r);
out:
	pa_leaks_detach();
	pa_suppressions_fini(&a.known);
	return status;
}
