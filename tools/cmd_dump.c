/* perfagent dump: the stacks of all threads of a process, now. World: plain. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/proc.h"
#include "remote/access.h"
#include "tools/commands.h"
#include "tools/dump.h"
#include "tools/options.h"

#define COMMAND_MAX 4096

static const char help[] =
    "usage: perfagent dump PID [--format text|json] [--no-lines] [-o FILE]\n"
    "Prints the stacks of all threads of a process as they are now. No agent is needed; the process is stopped while\n"
    "its registers and stacks are copied, and runs again before they are made sense of.\n"
    "\n"
    "  -f, --format FMT   text (default) or json\n"
    "      --no-lines     functions only, no files and lines\n"
    "  -o, --output FILE  write there; -: standard output (default)\n"
    "  -h, --help         -V, --version\n"
    "\n"
    "Exit status: 0 done, 2 error or usage.\n";

enum { OPTION_NO_LINES = 256 };
static const struct option longs[] = {
    {"format", required_argument, NULL, 'f'},
    {"no-lines", no_argument, NULL, OPTION_NO_LINES},
    {"output", required_argument, NULL, 'o'},
    PA_OPTION_HELP,
    PA_OPTION_VERSION,
    {NULL, 0, NULL, 0},
};
static const struct pa_command_line line = {"dump", help, ":f:o:hV", longs};

static const struct {
	const char *name;
	void (*write)(const struct pa_dump *d, FILE *out);
} formats[] = {
    {"text", pa_dump_text},
    {"json", pa_dump_json},
};
#define NR_FORMATS (sizeof(formats) / sizeof(formats[0]))

struct dump_arguments {
	size_t format;
	bool no_lines;
	const char *output;
	pid_t pid;
};

static bool set(struct dump_arguments *a, int option)
{
	switch (option) {
	case OPTION_NO_LINES:
		a->no_lines = true;
		return true;
	case 'o':
		a->output = optarg;
		return true;
	default:
		for (a->format = 0; a->format < NR_FORMATS; a->format++)
			if (!strcmp(optarg, formats[a->format].name))
				return true;
		pa_fail("dump", "unknown format '%s': text or json", optarg);
		return false;
	}
}

static bool set_pid(struct dump_arguments *a, int argc, char **argv)
{
	size_t number;

	if (optind == argc) {
		pa_fail("dump", "of which process? (see perfagent dump --help)");
		return false;
	}
	if (!pa_parse_size(argv[optind], argv[optind], &number))
		return false;
	a->pid = (pid_t)number;
	if (number == 0 || (size_t)a->pid != number || a->pid < 0) {
		pa_fail(argv[optind], "no such process");
		return false;
	}
	optind++;
	return pa_no_operands(&line, argc, argv);
}

/* ---- walking
 * ---------------------------------------------------------------------------------------------------------
 */

static bool is_equal(const struct pa_walk *a, const struct pa_walk *b)
{
	return a->nr == b->nr && a->stop == b->stop && a->beyond == b->beyond &&
	       !memcmp(a->frames, b->frames, a->nr * sizeof(a->frames[0]));
}

/* The group of a stack, made when it is the first of its kind. NULL: out of memory. */
static struct pa_dump_group *group_of(struct pa_dump *d, const struct pa_walk *walk)
{
	struct pa_dump_group *groups;

	for (size_t i = 0; i < d->nr_groups; i++)
		if (is_equal(&d->groups[i].walk, walk))
			return &d->groups[i];
	groups = reallocarray(d->groups, d->nr_groups + 1, sizeof(*groups));
	if (!groups)
		return NULL;
	d->groups = groups;
	groups[d->nr_groups].walk = *walk;
	groups[d->nr_groups].nr = 0;
	groups[d->nr_groups].threads = calloc(d->snapshot->nr, sizeof(groups[0].threads[0]));
	return groups[d->nr_groups].threads ? &groups[d->nr_groups++] : NULL;
}

/* Errors: 0 or -ENOMEM. */
static int walk_all(struct pa_dump *d)
{
	const struct pa_snapshot *s = d->snapshot;

	for (size_t i = 0; i < s->nr; i++) {
		const struct pa_snapshot_thread *t = &s->threads[i];
		struct pa_dump_group *group;
		struct pa_walk walk;

		if (t->hold == PA_HOLD_GONE || pa_dump_missing(t))
			continue;
		pa_walker_walk(d->walker, &t->registers, &t->stack, &walk);
		group = group_of(d, &walk);
		if (!group)
			return -ENOMEM;
		group->threads[group->nr++] = t;
	}
	return 0;
}

static int refuse(pid_t pid, int error)
{
	char name[16], why[512];

	snprintf(name, sizeof(name), "%d", (int)pid);
	pa_access_explain(pid, error, why, sizeof(why));
	return pa_fail(name, "%s", why);
}

static int write_dump(const struct dump_arguments *a, const struct pa_dump *d)
{
	struct pa_outfile f;

	if (!pa_outfile_open(&f, a->output))
		return PA_EXIT_ERROR;
	formats[a->format].write(d, f.stream);
	return pa_outfile_close(&f, 0);
}

static void free_groups(struct pa_dump *d)
{
	for (size_t i = 0; i < d->nr_groups; i++)
		free(d->groups[i].threads);
	free(d->groups);
}

static int dump(const struct dump_arguments *a)
{
	struct pa_snapshot snapshot;
	struct pa_proc_status status;
	char command[COMMAND_MAX], why[512], name[16];
	struct pa_dump d = {.snapshot = &snapshot, .command = command, .lines = !a->no_lines, .inner_pid = a->pid};
	int error, exit_status;

	snprintf(name, sizeof(name), "%d", (int)a->pid);
	if (pa_access_check(a->pid, why, sizeof(why)))
		return pa_fail(name, "%s", why);
	/* before the stop: what takes time is done while it runs */
	d.walker = pa_walker_new(a->pid, true);
	if (!d.walker)
		return refuse(a->pid, -errno);
	if (pa_proc_command((uint32_t)a->pid, command, sizeof(command)))
		pa_proc_comm((uint32_t)a->pid, (uint32_t)a->pid, command, sizeof(command));
	if (!pa_proc_status((uint32_t)a->pid, &status))
		d.inner_pid = (pid_t)status.inner_pid;
	error = pa_snapshot_take(&snapshot, a->pid);
	if (!error) {
		pa_walker_rescan(d.walker); /* modules that came in between; that it has ended since does not matter */
		error = walk_all(&d);
	}
	exit_status = error ? refuse(a->pid, error) : write_dump(a, &d);
	free_groups(&d);
	pa_snapshot_free(&snapshot);
	pa_walker_free(d.walker);
	return exit_status;
}

int pa_cmd_dump(int argc, char **argv)
{
	struct dump_arguments a = {0};
	int option, status = PA_EXIT_ERROR;

	while ((option = pa_option_next(&line, argc, argv, &status)) > 0)
		if (!set(&a, option))
			return PA_EXIT_ERROR;
	if (!option)
		return status;
	if (!set_pid(&a, argc, argv))
		return PA_EXIT_ERROR;
	return dump(&a);
}
