#include "remote/agent.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "collector/proc.h"
#include "remote/access.h"
#include "remote/agent_note.h"
#include "remote/nudge.h"

#define QUICK_STEPS     100                 /* of PA_AGENT_STEP_NS; then slower and slower */
#define SLOWEST_NS      UINT64_C(50000000)  /* a target that sleeps wakes up when it likes */
#define PATIENT_STEPS   150                 /* that only a thread is nudged which has not slept between two looks */
#define ACKNOWLEDGED_NS UINT64_C(20000000)  /* a nudge that arrived is being worked off */
#define UNANSWERED_NS   UINT64_C(100000000) /* one that did not is lost */

/* ---- memory of the process ------------------------------------------------------------------------------------- */

static int copy_in(pid_t pid, uint64_t address, void *out, size_t bytes)
{
	struct iovec local = {out, bytes}, remote = {(void *)(uintptr_t)address, bytes};
	ssize_t n = process_vm_readv(pid, &local, 1, &remote, 1, 0);

	return n == (ssize_t)bytes ? 0 : n < 0 ? -errno : -EFAULT;
}

static int copy_out(pid_t pid, uint64_t address, const void *in, size_t bytes)
{
	struct iovec local = {(void *)(uintptr_t)in, bytes}, remote = {(void *)(uintptr_t)address, bytes};
	ssize_t n = process_vm_writev(pid, &local, 1, &remote, 1, 0);

	return n == (ssize_t)bytes ? 0 : n < 0 ? -errno : -EFAULT;
}

/* Errors of the two above, as the header promises them: the place may be gone with an exec. */
static int memory_error(int err)
{
	return err == -EPERM ? -EACCES : err == -EFAULT ? -ESRCH : err;
}

static int put_word(const struct pa_agent *a, uint64_t address, uint32_t value)
{
	return memory_error(copy_out(a->pid, address, &value, sizeof(value)));
}

static int put_seq(const struct pa_agent *a, uint32_t seq)
{
	return put_word(a, a->command + offsetof(struct pa_command, seq), seq);
}

static int get_word(const struct pa_agent *a, uint64_t address, uint32_t *value)
{
	return memory_error(copy_in(a->pid, address, value, sizeof(*value)));
}

/* The struct itself, made sure to be an agent's still. */
static int get_command(const struct pa_agent *a, struct pa_command *c)
{
	int err;

	if (pa_proc_start_ticks((uint32_t)a->pid) != a->start_ticks)
		return -ESRCH;
	err = memory_error(copy_in(a->pid, a->command, c, sizeof(*c)));
	return err ? err : pa_agent_judge(c);
}

int pa_agent_judge(const struct pa_command *c)
{
	if (c->magic == 0 && c->state == PA_AGENT_LOADING)
		return 0;
	if (c->magic != PA_WIRE_MAGIC || c->state > PA_AGENT_DISABLED)
		return -ESRCH; /* another program's memory by now */
	return c->major == PA_COMMAND_MAJOR ? 0 : -EPROTONOSUPPORT;
}

void pa_agent_inform(const struct pa_command *c, uint32_t inner_pid, struct pa_agent_info *out)
{
	memset(out, 0, sizeof(*out));
	out->state = c->state;
	out->seq = c->seq;
	out->done = c->done;
	out->result = c->result;
	out->kind = c->kind;
	out->writer = c->writer;
	/* nothing else is ever sent, whatever number stands there: these two do nothing where nobody waits for them */
	out->nudge = c->nudge == SIGURG || c->nudge == SIGWINCH ? c->nudge : 0;
	out->nudged = c->nudged;
	out->hooked = c->hooked;
	out->session_inode = c->session_inode;
	memcpy(out->session_path, c->session_path, sizeof(out->session_path) - 1);
	out->inner_pid = inner_pid;
	out->copied = c->pid && inner_pid && c->pid != inner_pid;
}

/* ---- finding --------------------------------------------------------------------------------------------------- */

struct search {
	pid_t pid;
	uint64_t cached; /* address of `page`, 0: none */
	unsigned char page[4096];
	struct pa_note_found found;
	int error;
	bool has_libc, has_loader;
};

/* Headers and notes lie in the first page of nearly every library. */
static int read_image(void *arg, uint64_t address, void *out, size_t bytes)
{
	struct search *s = arg;
	int err;

	if (s->cached && address >= s->cached && address - s->cached <= sizeof(s->page) &&
	    bytes <= sizeof(s->page) - (address - s->cached)) {
		memcpy(out, s->page + (address - s->cached), bytes);
		return 0;
	}
	err = copy_in(s->pid, address, out, bytes);
	if (err == -EPERM || err == -ESRCH)
		s->error = err;
	return err;
}

static int look_into(void *arg, const struct pa_proc_map *map)
{
	struct search *s = arg;
	const char *base = strrchr(map->path, '/');
	int err;

	s->has_libc |= base && (!strncmp(base, "/libc.so.6", 10) || !strncmp(base, "/libc-2.", 8));
	s->has_loader |= base && (!strncmp(base, "/ld-linux", 9) || !strncmp(base, "/ld-2.", 6));
	if (!map->inode || map->offset || map->end - map->start < sizeof(s->page))
		return 0;
	err = copy_in(s->pid, map->start, s->page, sizeof(s->page));
	s->cached = err ? 0 : map->start;
	if (!err)
		err = pa_note_find(map->start, read_image, s, &s->found);
	if (err == -EPERM || err == -ESRCH)
		s->error = err;
	else if (err == -EBADMSG || err == -EPROTONOSUPPORT)
		s->error = err; /* another library may do better */
	else if (!err)
		s->error = 0;
	return !err || err == -EPERM || err == -ESRCH;
}

static int explain_absence(pid_t pid, const struct search *s, char *why, size_t size)
{
	char exe[8];

	if (pa_access_check_program(pid, why, size))
		return -ENOENT;
	if (pa_proc_exe((uint32_t)pid, exe, sizeof(exe)))
		snprintf(why, size, "it has just ended");
	else if (!s->has_libc && !s->has_loader)
		snprintf(why, size,
			 "it runs without the C library that the agent needs: statically linked, or built "
			 "for another one");
	else
		snprintf(why, size, "it was started without the agent: no libperfagent.so in its LD_PRELOAD");
	return -ENOENT;
}

static int explain_failure(pid_t pid, const struct search *s, char *why, size_t size)
{
	switch (s->error) {
	case -EPROTONOSUPPORT:
		snprintf(why, size, "its agent is of another version (%u, we know %u): one of the two is out of date",
			 s->found.major, PA_COMMAND_MAJOR);
		break;
	case -EBADMSG:
		snprintf(why, size, "what its agent says of itself makes no sense: nothing is done");
		break;
	case -EPERM:
	case -EACCES:
		pa_access_explain(pid, s->error, why, size);
		return -EACCES;
	default:
		pa_access_explain(pid, s->error, why, size);
		return -ESRCH;
	}
	return s->error;
}

/* Without a word about why: what finds nothing in most processes must be cheap. */
static int find(pid_t pid, struct search *s, struct pa_agent *out)
{
	struct pa_command c;
	int ret;

	*s = (struct search){.pid = pid};
	*out = (struct pa_agent){.pid = pid, .start_ticks = pa_proc_start_ticks((uint32_t)pid)};
	ret = pa_proc_maps((uint32_t)pid, look_into, s);
	if (ret < 0)
		s->error = ret;
	if (s->error)
		return s->error;
	if (ret != 1)
		return -ENOENT;
	out->command = s->found.command;
	out->data_start = s->found.data_start;
	out->data_end = s->found.data_end;
	s->error = get_command(out, &c);
	/* the trigger is told by the constructor */
	if (!s->error && c.state != PA_AGENT_LOADING && !pa_note_holds(&s->found, c.trigger, sizeof(uint32_t)))
		s->error = -EBADMSG;
	if (!s->error && c.state != PA_AGENT_LOADING)
		out->trigger = c.trigger;
	return s->error;
}

int pa_agent_find(pid_t pid, struct pa_agent *out, char *why, size_t size)
{
	struct search s;
	int err = pa_access_check_process(pid, why, size);

	if (err)
		return err;
	err = find(pid, &s, out);
	if (!err)
		return 0;
	return err == -ENOENT ? explain_absence(pid, &s, why, size) : explain_failure(pid, &s, why, size);
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

static void take(const struct pa_agent *a, const struct pa_command *c, struct pa_agent_info *out)
{
	struct pa_proc_status status;
	int err = pa_proc_status((uint32_t)a->pid, &status);

	pa_agent_inform(c, err ? 0 : status.inner_pid, out);
	out->uid = err ? (uint32_t)-1 : status.uid;
}

int pa_agent_read(const struct pa_agent *a, struct pa_agent_info *out)
{
	struct pa_command c;
	int err = get_command(a, &c);

	if (!err)
		take(a, &c, out);
	return err;
}

const char *pa_agent_state_name(uint32_t state)
{
	static const char *const names[] = {
	    [PA_AGENT_LOADING] = "loading", [PA_AGENT_DORMANT] = "dormant",   [PA_AGENT_ATTACHED] = "attached",
	    [PA_AGENT_QUIET] = "quiet",     [PA_AGENT_DISABLED] = "disabled",
	};

	return state < sizeof(names) / sizeof(names[0]) ? names[state] : "unknown";
}

/* Whether somebody else still waits for what he asked for: a perfagent, as far as we can tell. */
static bool is_waited_for(const struct pa_agent_info *info)
{
	char exe[PATH_MAX];
	const char *base;
	int err;

	if (info->seq == info->done || info->writer == (uint32_t)getpid())
		return false;
	err = pa_proc_exe(info->writer, exe, sizeof(exe));
	base = strrchr(exe, '/');
	return err ? err == -EACCES : base && (!strcmp(base, "/perfagent") || !strcmp(base, "/perfagentd"));
}

int pa_agent_ready(const struct pa_agent_info *info, uint32_t kind, char *why, size_t size)
{
	switch (info->state) {
	case PA_AGENT_LOADING:
		snprintf(why, size, "it is still being loaded");
		return -EAGAIN;
	case PA_AGENT_QUIET:
		snprintf(why, size,
			 "it has entered a sandbox (seccomp), where its agent makes no system call any more");
		return -ENOTSUP;
	case PA_AGENT_DISABLED:
		snprintf(why, size,
			 "its agent is switched off: PERFAGENT_DISABLE was set, or it started in a sandbox "
			 "that leaves it no way to work");
		return -ENOTSUP;
	default:
		break;
	}
	if (is_waited_for(info)) {
		snprintf(why, size, "process %u has asked it for something already, and waits for it to wake up",
			 info->writer);
		return -EAGAIN;
	}
	/* one that was injected has its hooks to take out */
	if (kind == PA_COMMAND_DETACH && info->state != PA_AGENT_ATTACHED && !info->hooked) {
		snprintf(why, size, "it is not attached to");
		return -EALREADY;
	}
	return 0;
}

/* ---- asking ---------------------------------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Where the hooks look. It stands there from the constructor on; learnt late, when the agent was found too early. */
static int learn_trigger(struct pa_agent *a, const struct pa_command *c)
{
	struct pa_note_found data = {.data_start = a->data_start, .data_end = a->data_end};

	if (a->trigger)
		return 0;
	if (!pa_note_holds(&data, c->trigger, sizeof(uint32_t)))
		return -EBADMSG;
	a->trigger = c->trigger;
	return 0;
}

/* Pulls the trigger, unless it is still as we left it. */
static int pull(struct pa_agent *a, bool first)
{
	uint32_t word;
	int err = get_word(a, a->trigger, &word);

	if (err || word == PA_TRIGGER_COMMAND)
		return err;
	if (first)
		a->old_trigger = word;
	return put_word(a, a->trigger, PA_TRIGGER_COMMAND);
}

/* The fields first, then their number, then the trigger: each a system call, none overtakes another. */
static int write_request(struct pa_agent *a, const struct pa_agent_request *request, uint32_t seq)
{
	const size_t from = offsetof(struct pa_command, kind), to = offsetof(struct pa_command, reserved1);
	struct pa_command c = {.kind = request->kind, .flags = request->flags, .writer = (uint32_t)getpid()};
	int err;

	if (request->path)
		memcpy(c.path, request->path, strlen(request->path));
	err = memory_error(copy_out(a->pid, a->command + from, (char *)&c + from, to - from));
	if (!err)
		err = put_seq(a, seq);
	if (err)
		return err;
	a->seq = seq;
	a->kind = request->kind;
	a->steps = a->nudges = a->nr_runners = a->looked = 0;
	a->nudged_ns = 0;
	a->old_trigger = 0;
	return pull(a, true);
}

int pa_agent_withdraw(struct pa_agent *a)
{
	struct pa_agent_info info;
	uint32_t word, seq = a->seq;
	int err = pa_agent_read(a, &info);

	if (err)
		return err;
	if (!seq || info.seq != seq)
		return 0;
	if (info.done == seq)
		return -EALREADY;
	/* whoever reads it from now on finds nothing to do */
	err = put_word(a, a->command + offsetof(struct pa_command, kind), PA_COMMAND_NONE);
	if (!err)
		err = put_seq(a, info.done);
	if (!err)
		err = get_word(a, a->trigger, &word);
	if (!err && word == PA_TRIGGER_COMMAND)
		err = put_word(a, a->trigger, a->old_trigger);
	if (!err)
		err = pa_agent_read(a, &info);
	if (err || info.done != seq)
		return err;
	/* it was being worked off meanwhile: that its number stands, and that the agent looks at its word once more */
	err = put_seq(a, seq);
	if (!err)
		err = put_word(a, a->trigger, PA_TRIGGER_COMMAND);
	return err ? err : -EALREADY;
}

static int try_request(struct pa_agent *a, const struct pa_agent_request *request, char *why, size_t size)
{
	struct pa_agent_info info;
	struct pa_command c;
	uint32_t seq;
	int err = get_command(a, &c);

	if (err)
		return err;
	take(a, &c, &info);
	err = pa_agent_ready(&info, request->kind, why, size);
	if (!err)
		err = learn_trigger(a, &c);
	if (err)
		return err;
	if (c.seq != c.done) {
		/* of somebody who is gone */
		a->seq = c.seq;
		err = pa_agent_withdraw(a);
		if (err)
			return err == -EALREADY ? -EAGAIN : err;
	}
	seq = c.done + 1 ? c.done + 1 : 1;
	return write_request(a, request, seq);
}

int pa_agent_request(struct pa_agent *a, const struct pa_agent_request *request, char *why, size_t size)
{
	int err;

	why[0] = 0;
	if (request->path && strlen(request->path) >= PA_COMMAND_PATH_MAX) {
		snprintf(why, size, "the name of the socket is too long: %s", request->path);
		return -ENAMETOOLONG;
	}
	err = try_request(a, request, why, size);
	if (err && !why[0])
		pa_agent_explain(a, err, why, size);
	return err;
}

static void nudge(struct pa_agent *a, const struct pa_agent_info *info)
{
	uint64_t now = now_ns();
	bool arrived = a->nudges && info->nudged != a->nudged;

	if (!info->nudge || (a->nudged_ns && now - a->nudged_ns < (arrived ? ACKNOWLEDGED_NS : UNANSWERED_NS)))
		return;
	if (!pa_nudge_look(a, (int)info->nudge, a->steps < PATIENT_STEPS))
		return;
	a->nudges++;
	a->nudged = info->nudged;
	a->nudged_ns = now;
}

int pa_agent_step(struct pa_agent *a)
{
	struct pa_agent_info info;
	int err = pa_agent_read(a, &info);

	if (err)
		return err;
	if (info.seq != a->seq || info.writer != (uint32_t)getpid())
		return -ECANCELED;
	if (info.done == a->seq && info.result != -EAGAIN)
		return info.result > 0 ? -EBADMSG : info.result;
	if (info.state == PA_AGENT_QUIET || info.state == PA_AGENT_DISABLED)
		return -ENOTSUP;
	a->steps++;
	if (info.done == a->seq) {
		/* the old session is not left yet: the same again; its fields stand there still */
		if (a->steps % 4)
			return -EINPROGRESS;
		a->seq = a->seq + 1 ? a->seq + 1 : 1;
		err = put_seq(a, a->seq);
	}
	/* a word that the agent has just set by itself hides the request */
	if (!err)
		err = pull(a, false);
	if (!err)
		nudge(a, &info);
	return err ? err : -EINPROGRESS;
}

uint64_t pa_agent_pause_ns(const struct pa_agent *a)
{
	uint64_t ns = PA_AGENT_STEP_NS;

	for (uint32_t steps = QUICK_STEPS; steps < a->steps && ns < SLOWEST_NS; steps += QUICK_STEPS)
		ns *= 2;
	return ns < SLOWEST_NS ? ns : SLOWEST_NS;
}

void pa_agent_explain(const struct pa_agent *a, int error, char *why, size_t size)
{
	switch (-error) {
	case EINPROGRESS:
		snprintf(why, size, "it has not come to it yet: it sleeps, or is stopped");
		break;
	case ECANCELED:
		snprintf(why, size, "another perfagent has asked it for something else meanwhile");
		break;
	case ECONNREFUSED:
		snprintf(why, size, "its agent could not reach the collector, or was turned away by it");
		break;
	case ETIMEDOUT:
		snprintf(why, size, "its agent got no answer in time");
		break;
	case EBUSY:
		snprintf(why, size, "it is attached to already");
		break;
	case ENOTSUP:
		snprintf(why, size,
			 "it has entered a sandbox (seccomp), where its agent makes no system call any more");
		break;
	case EPROTONOSUPPORT:
		snprintf(why, size, "its agent is of another version");
		break;
	case EBADMSG:
		snprintf(why, size, "what its agent says of itself makes no sense: nothing is done");
		break;
	case ESRCH:
		snprintf(why, size, "it has just ended, or executed another program");
		break;
	case EACCES:
		pa_access_explain(a->pid, error, why, size);
		break;
	default:
		snprintf(why, size, "its agent says: %s", strerror(-error));
	}
}
