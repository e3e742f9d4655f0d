/* perfagent list: which processes have an agent, and what it does. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "collector/proc.h"
#include "remote/agent.h"
#include "report/escape.h"
#include "report/json_writer.h"
#include "tools/commands.h"
#include "tools/options.h"
#include "tools/pid.h"

static const char help[] = "usage: perfagent list [--format text|json] [-o FILE] [PID...]\n"
			   "\n"
			   "Which processes were started with the agent, and what it does there:\n"
			   "  dormant   nothing: perfagent attach PID\n"
			   "  attached  it records, for the collector whose process id is shown\n"
			   "  waiting   a collector has asked for it, and the process has not woken up since\n"
			   "  quiet     nothing any more: the process has entered a sandbox\n"
			   "  disabled  nothing: PERFAGENT_DISABLE was set, or the process started in a sandbox\n"
			   "\n"
			   "  -f, --format FMT       text (default) or json\n"
			   "  -o, --output FILE      write there; -: standard output (default)\n"
			   "  -h, --help             -V, --version\n"
			   "\n"
			   "Exit status: 0; 2 error or usage, or a PID without an agent.\n";

static const struct option longs[] = {
    {"format", required_argument, NULL, 'f'},
    {"output", required_argument, NULL, 'o'},
    PA_OPTION_HELP,
    PA_OPTION_VERSION,
    {NULL, 0, NULL, 0},
};
static const struct pa_command_line line = {"list", help, ":f:o:hV", longs};

struct entry {
	pid_t pid;
	uint32_t uid;
	const char *state;
	pid_t collector; /* 0: none */
	char name[64];
	char *command;
};

struct listing {
	bool json;
	const char *output;
	struct entry *entries;
	size_t nr;
	uint32_t unreadable;
	bool failed;
};

static pid_t collector_of(const struct pa_agent_info *info, bool waiting)
{
	if (waiting)
		return (pid_t)info->writer;
	return info->state == PA_AGENT_ATTACHED ? pa_agent_collector(info->session_inode, (pid_t)info->writer) : 0;
}

static int add(void *arg, const struct pa_agent *a, const struct pa_agent_info *info)
{
	bool waiting = info->state == PA_AGENT_DORMANT && info->seq != info->done;
	struct listing *l = arg;
	struct entry *entries = reallocarray(l->entries, l->nr + 1, sizeof(*entries)), *e;
	char command[4096];

	if (!entries)
		return -1;
	l->entries = entries;
	e = &entries[l->nr];
	*e = (struct entry){.pid = a->pid,
			    .uid = info->uid,
			    .state = waiting ? "waiting" : pa_agent_state_name(info->state),
			    .collector = collector_of(info, waiting)};
	pa_proc_comm((uint32_t)a->pid, (uint32_t)a->pid, e->name, sizeof(e->name));
	if (pa_proc_command((uint32_t)a->pid, command, sizeof(command)))
		command[0] = 0;
	e->command = strdup(command);
	if (!e->command)
		return -1;
	l->nr++;
	return 0;
}

static void add_named(struct listing *l, const char *operand)
{
	char why[PA_AGENT_WHY], name[32];
	struct pa_agent_info info;
	struct pa_agent agent;
	pid_t pid;

	if (!pa_parse_pid(operand, &pid)) {
		l->failed = true;
		return;
	}
	snprintf(name, sizeof(name), "process %d", (int)pid);
	if (!pa_agent_find(pid, &agent, why, sizeof(why)) && !pa_agent_read(&agent, &info)) {
		l->failed |= add(l, &agent, &info) != 0;
		return;
	}
	pa_fail(name, "%s", why);
	l->failed = true;
}

static void write_text(const struct listing *l, FILE *out)
{
	fprintf(out, "%8s %6s  %-9s %9s  %s\n", "PID", "UID", "STATE", "COLLECTOR", "COMMAND");
	for (size_t i = 0; i < l->nr; i++) {
		const struct entry *e = &l->entries[i];

		fprintf(out, "%8d %6" PRIu32 "  %-9s ", (int)e->pid, e->uid, e->state);
		if (e->collector)
			fprintf(out, "%9d  ", (int)e->collector);
		else
			fprintf(out, "%9s  ", "-");
		pa_escape(out, PA_PLAIN, e->command[0] ? e->command : e->name);
		fputc('\n', out);
	}
	if (l->unreadable)
		fprintf(out, "%" PRIu32 " process%s that we may not look into %s not shown\n", l->unreadable,
			l->unreadable == 1 ? "" : "es", l->unreadable == 1 ? "is" : "are");
}

static void write_json(const struct listing *l, FILE *out)
{
	struct pa_json j = {.out = out};

	pa_json_object(&j, NULL);
	pa_json_text(&j, "schema", "perfagent.list/1");
	pa_json_array(&j, "processes");
	for (size_t i = 0; i < l->nr; i++) {
		const struct entry *e = &l->entries[i];

		pa_json_row(&j, NULL);
		pa_json_u64(&j, "pid", (uint64_t)e->pid);
		pa_json_u64(&j, "uid", e->uid);
		pa_json_text(&j, "state", e->state);
		if (e->collector)
			pa_json_u64(&j, "collector", (uint64_t)e->collector);
		pa_json_text(&j, "name", e->name);
		pa_json_text(&j, "command", e->command);
		pa_json_end_object(&j);
	}
	pa_json_end_array(&j);
	pa_json_u64(&j, "unreadable", l->unreadable);
	pa_json_end_object(&j);
	fputc('\n', out);
}

static bool set(struct listing *l, int option)
{
	if (option == 'o') {
		l->output = optarg;
		return true;
	}
	l->json = !strcmp(optarg, "json");
	if (!l->json && strcmp(optarg, "text"))
		return pa_fail("list", "unknown format '%s': text or json", optarg), false;
	return true;
}

static int show(struct listing *l)
{
	struct pa_outfile f;
	int status;

	if (!pa_outfile_open(&f, l->output))
		return PA_EXIT_ERROR;
	(l->json ? write_json : write_text)(l, f.stream);
	status = pa_outfile_close(&f, 0);
	return l->failed ? PA_EXIT_ERROR : status;
}

int pa_cmd_list(int argc, char **argv)
{
	struct listing l = {0};
	int option, status = PA_EXIT_ERROR;

	while ((option = pa_option_next(&line, argc, argv, &status)) > 0)
		if (!set(&l, option))
			return PA_EXIT_ERROR;
	if (!option)
		return status;
	for (int i = optind; i < argc; i++)
		add_named(&l, argv[i]);
	if (optind == argc && pa_agent_each(add, &l, &l.unreadable)) {
		pa_fail("list", "the processes cannot be listed");
		l.failed = true;
	}
	/* all that was named has no agent: that has been said */
	status = l.failed && !l.nr ? PA_EXIT_ERROR : show(&l);
	for (size_t i = 0; i < l.nr; i++)
		free(l.entries[i].command);
	free(l.entries);
	return status;
}
