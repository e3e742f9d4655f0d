/* doctor: what a running process allows. World: plain. */
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "collector/proc.h"
#include "remote/agent.h"
#include "tools/doctor.h"

static void check_state(const struct pa_subject *s, struct pa_finding *f)
{
	struct pa_proc_status st;
	int ret = pa_proc_status((uint32_t)s->pid, &st);

	if (ret < 0)
		pa_finding_set(f, PA_BROKEN, "%s",
			       ret == -ENOENT || ret == -ESRCH ? "it has just ended" : strerror(-ret));
	else if (st.state == 'Z' || st.state == 'X')
		pa_finding_set(f, PA_BROKEN, "it has ended and waits for its parent to notice");
	else if (st.state == 'T' || st.state == 't')
		pa_finding_set(f, PA_LIMITED, "it is stopped: nothing happens until it continues");
	else
		pa_finding_set(f, PA_FINE, "it runs as uid %" PRIu32 "%s", st.uid,
			       st.uid != getuid() && getuid() != 0 ? ", not yours: run doctor as that user or as root"
								   : "");
}

struct loaded {
	char agent[512];
};

static int note_agent(void *arg, const struct pa_proc_map *map)
{
	struct loaded *l = arg;
	const char *base = strrchr(map->path, '/');

	if (!base || strcmp(base, "/libperfagent.so"))
		return 0;
	snprintf(l->agent, sizeof(l->agent), "%s", map->path);
	return 1;
}

static void tell_state(const struct pa_agent_info *info, const char *library, struct pa_finding *f)
{
	pid_t collector = pa_agent_collector(info->session_inode, (pid_t)info->writer);
	char why[PA_AGENT_WHY];

	switch (info->state) {
	case PA_AGENT_DORMANT:
		pa_finding_set(f, PA_FINE, "loaded: %s, dormant: `perfagent attach` records it", library);
		break;
	case PA_AGENT_ATTACHED:
		if (collector)
			pa_finding_set(f, PA_FINE, "loaded: %s, it records for process %d", library, (int)collector);
		else
			pa_finding_set(f, PA_LIMITED,
				       "loaded: %s, its collector has gone: `perfagent attach` or `perfagent detach`",
				       library);
		break;
	default:
		pa_agent_ready(info, PA_COMMAND_ATTACH, why, sizeof(why));
		pa_finding_set(f, info->state == PA_AGENT_LOADING ? PA_LIMITED : PA_BROKEN, "loaded: %s, but %s",
			       library, why);
	}
}

static void check_loaded(const struct pa_subject *s, struct pa_finding *f)
{
	struct loaded l = {""};
	char why[PA_AGENT_WHY];
	struct pa_agent_info info;
	struct pa_agent agent;
	int ret = pa_proc_maps((uint32_t)s->pid, note_agent, &l);

	if (ret < 0) {
		pa_finding_set(f, PA_BROKEN, "cannot be seen: its mappings are not readable (%s)", strerror(-ret));
		return;
	}
	ret = pa_agent_find(s->pid, &agent, why, sizeof(why));
	if (!ret)
		ret = pa_agent_read(&agent, &info);
	if (!ret)
		tell_state(&info, l.agent[0] ? l.agent : "under another name", f);
	else if (l.agent[0])
		pa_finding_set(f, PA_LIMITED, "loaded: %s, but nobody can attach to it: %s", l.agent, why);
	else
		pa_finding_set(f, PA_BROKEN, "not loaded: start the program with `perfagent record`");
}

static void check_seccomp(const struct pa_subject *s, struct pa_finding *f)
{
	struct pa_proc_status st;

	if (pa_proc_status((uint32_t)s->pid, &st) < 0 || st.seccomp == 0)
		f->verdict = PA_SILENT;
	else if (st.seccomp == 1)
		pa_finding_set(f, PA_BROKEN, "strict mode: not one system call of the agent is allowed");
	else
		pa_finding_set(f, PA_LIMITED, "a filter is in force: the agent goes quiet before one is installed");
}

/* A mask of /proc/PID/status, by the name of its line. */
static bool signal_mask(pid_t pid, const char *name, uint64_t *mask)
{
	char path[64], line[128];
	bool found = false;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	in = fopen(path, "re");
	while (in && !found && fgets(line, sizeof(line), in))
		found = !strncmp(line, name, strlen(name)) && sscanf(line + strlen(name), ": %" SCNx64, mask) == 1;
	if (in)
		fclose(in);
	return found;
}

static void check_sigprof(const struct pa_subject *s, struct pa_finding *f)
{
	uint64_t caught = 0, ignored = 0, bit = UINT64_C(1) << (SIGPROF - 1);
	struct loaded l = {""};

	pa_proc_maps((uint32_t)s->pid, note_agent, &l);
	if (!signal_mask(s->pid, "SigCgt", &caught) || !signal_mask(s->pid, "SigIgn", &ignored))
		f->verdict = PA_SILENT;
	else if (caught & bit && l.agent[0])
		pa_finding_set(f, PA_FINE, "caught: by the agent, or by the program and the agent uses another signal");
	else if (caught & bit)
		pa_finding_set(f, PA_LIMITED,
			       "the program has a handler of its own: the agent would take a real-time signal");
	else if (ignored & bit)
		pa_finding_set(f, PA_LIMITED, "ignored: the agent would take a real-time signal");
	else
		pa_finding_set(f, PA_FINE, "free");
}

/* The loader's own note of secure mode. Source: getauxval(3); /proc/PID/auxv holds pairs of words. */
static void check_secure_mode(const struct pa_subject *s, struct pa_finding *f)
{
	unsigned long pair[2];
	char path[64];
	FILE *in;

	f->verdict = PA_SILENT;
	snprintf(path, sizeof(path), "/proc/%d/auxv", (int)s->pid);
	in = fopen(path, "re");
	while (in && fread(pair, sizeof(pair), 1, in) == 1)
		if (pair[0] == AT_SECURE && pair[1])
			pa_finding_set(f, PA_BROKEN,
				       "it was started with rights its caller had not: LD_PRELOAD was ignored");
	if (in)
		fclose(in);
}

static int note_libc(void *arg, const struct pa_proc_map *map)
{
	const char *base = strrchr(map->path, '/');

	return base && (!strncmp(base, "/libc.so.6", 10) || !strncmp(base, "/libc-2.", 8));
}

static void check_its_libc(const struct pa_subject *s, struct pa_finding *f)
{
	int ret = pa_proc_maps((uint32_t)s->pid, note_libc, NULL);

	if (ret > 0)
		f->verdict = PA_SILENT;
	else if (ret == 0)
		pa_finding_set(f, PA_BROKEN, "it has no glibc loaded");
	else
		f->verdict = PA_SILENT; /* "agent" has said that the mappings cannot be read */
}

const struct pa_check pa_doctor_process[] = {
    {"state", check_state},
    {"agent", check_loaded},
    {"its C library", check_its_libc},
    {"secure mode", check_secure_mode},
    {"seccomp", check_seccomp},
    {"SIGPROF", check_sigprof},
    {NULL, NULL},
};
