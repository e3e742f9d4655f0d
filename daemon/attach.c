#include "daemon/attach.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "collector/proc.h"
#include "daemon/daemon.h"
#include "daemon/log.h"
#include "remote/agent.h"

#define LOOK_NS     50000000u
#define BUDGET_NS   2000000u /* of CPU time: a look takes no longer, if a single process does not */
#define SHARE       25       /* and no more than one part of so many of our time */
#define ROUND_NS    UINT64_C(2000000000)
#define RESUME_NS   UINT64_C(60000000000) /* between rounds that only look for those of an earlier daemon */
#define PATIENCE_NS UINT64_C(2000000000)  /* then a request is left behind: it is taken when the target wakes up */
#define TRIES_MAX   10
#define PENDING_MAX 1024
#define KNOWN_MAX   8192
#define BARE_MAX    16384 /* a power of two */
#define BARE_MIN_NS UINT64_C(1000000000)
#define BARE_NS     UINT64_C(30000000000)

/* An agent, for as long as it is the same one: exec moves it. */
struct known {
	uint32_t pid;
	uint64_t start_ticks, command;
};

/* A process without an agent. Another program of the same process is another one; the same program again, with an agent
 * this time, is met when this has become too old. So is one that was looked at before its loader had got to the agent:
 * that is soon, each time it is twice as long. */
struct bare {
	uint32_t pid;
	uint64_t start_ticks, exe;
	uint64_t wait_ns, until_ns;
};

struct pending {
	struct pa_agent agent;
	bool again; /* it had a collector before */
	uint32_t tries;
	bool quiet; /* it changes to another file of ours: nothing to say */
	uint64_t since_ns;
	uint64_t next_ns;
};

struct pa_daemon_attach {
	struct pa_daemon *d;
	struct pa_timer look, step;
	uint32_t *pids; /* of the present round */
	size_t nr_pids, max_pids, at;
	struct pending pending[PENDING_MAX];
	size_t nr_pending;
	struct known known[KNOWN_MAX]; /* asked already; a ring */
	uint32_t back[KNOWN_MAX];      /* whether known[i] was to come back: its pid */
	uint64_t nr_known;
	struct bare bare[BARE_MAX]; /* by pid */
};

/* ---- who was asked ----------------------------------------------------------------------------------------------- */

static bool is_known(const struct pa_daemon_attach *a, const struct pa_agent *agent)
{
	uint64_t nr = a->nr_known < KNOWN_MAX ? a->nr_known : KNOWN_MAX;

	for (uint64_t i = 0; i < nr; i++)
		if (a->known[i].pid == (uint32_t)agent->pid && a->known[i].start_ticks == agent->start_ticks &&
		    a->known[i].command == agent->command)
			return true;
	return false;
}

static void remember(struct pa_daemon_attach *a, const struct pa_agent *agent, bool again)
{
	uint64_t i = a->nr_known++ % KNOWN_MAX;

	a->known[i] = (struct known){(uint32_t)agent->pid, agent->start_ticks, agent->command};
	a->back[i] = again ? (uint32_t)agent->pid : 0;
}

bool pa_daemon_attach_is_back(const struct pa_daemon_attach *a, uint32_t pid)
{
	uint64_t nr = !a ? 0 : a->nr_known < KNOWN_MAX ? a->nr_known : KNOWN_MAX;

	for (uint64_t i = 0; i < nr; i++)
		if (pid && a->back[i] == pid)
			return a->known[i].start_ticks == pa_proc_start_ticks(pid);
	return false;
}

/* ---- requests under way ------------------------------------------------------------------------------------------ */

static void arm_step(struct pa_daemon_attach *a)
{
	uint64_t now = pa_now_ns(), next = UINT64_MAX;

	for (size_t i = 0; i < a->nr_pending; i++)
		next = a->pending[i].next_ns < next ? a->pending[i].next_ns : next;
	if (a->nr_pending)
		pa_loop_arm(a->d->loop, &a->step, next > now ? next - now : 0);
}

/* On a busy machine our answer may have come later than an agent waits. Errors: false: it is given up. */
static bool ask_again(const struct pa_daemon_attach *a, struct pending *p, uint64_t now)
{
	struct pa_agent_request request = {PA_COMMAND_ATTACH, 0, a->d->settings->socket};
	char why[PA_AGENT_WHY];

	if (p->tries++ == TRIES_MAX || pa_agent_request(&p->agent, &request, why, sizeof(why)))
		return false;
	p->since_ns = now;
	p->next_ns = now + PA_AGENT_STEP_NS;
	return true;
}

/* Whether the request is over, for us. */
static bool step(const struct pa_daemon_attach *a, struct pending *p, uint64_t now)
{
	int err = pa_agent_step(&p->agent);
	char why[PA_AGENT_WHY];

	if (err == -ETIMEDOUT && ask_again(a, p, now))
		return false;

	if (err == -EINPROGRESS) {
		p->next_ns = now + pa_agent_pause_ns(&p->agent);
		return now - p->since_ns > PATIENCE_NS;
	}
	if (!err && !p->quiet) {
		pa_log(PA_LOG_INFO, "process %d: attached%s", (int)p->agent.pid, p->again ? " again" : "");
	} else if (err && err != -ESRCH && err != -ECANCELED) {
		pa_agent_explain(&p->agent, err, why, sizeof(why));
		pa_log(PA_LOG_WARNING, "process %d: not attached: %s", (int)p->agent.pid, why);
	}
	return true;
}

static void on_step(struct pa_timer *timer)
{
	struct pa_daemon_attach *a = timer->arg;
	uint64_t now = pa_now_ns();

	for (size_t i = 0; i < a->nr_pending;) {
		if (a->pending[i].next_ns <= now && step(a, &a->pending[i], now))
			a->pending[i] = a->pending[--a->nr_pending];
		else
			i++;
	}
	arm_step(a);
}

static void ask(struct pa_daemon_attach *a, struct pa_agent *agent, bool again, uint32_t flags)
{
	struct pa_agent_request request = {PA_COMMAND_ATTACH, flags, a->d->settings->socket};
	char why[PA_AGENT_WHY];
	int err;

	if (a->nr_pending == PENDING_MAX)
		return; /* the next round meets it again */
	err = pa_agent_request(agent, &request, why, sizeof(why));
	if (err == -EAGAIN)
		return;
	remember(a, agent, again);
	if (err) {
		pa_log(PA_LOG_WARNING, "process %d: not attached: %s", (int)agent->pid, why);
		return;
	}
	a->pending[a->nr_pending++] = (struct pending){.agent = *agent, .again = again, .since_ns = pa_now_ns()};
	arm_step(a);
}

bool pa_daemon_attach_anew(struct pa_daemon_attach *a, uint32_t pid)
{
	struct pa_agent_request request = {PA_COMMAND_ATTACH, 0, a->d->settings->socket};
	char why[PA_AGENT_WHY];
	struct pa_agent agent;
	int err;

	if (a->nr_pending == PENDING_MAX)
		return false;
	err = pa_agent_find((pid_t)pid, &agent, why, sizeof(why));
	if (!err)
		err = pa_agent_request(&agent, &request, why, sizeof(why));
	if (!err) {
		a->pending[a->nr_pending++] = (struct pending){.agent = agent, .quiet = true, .since_ns = pa_now_ns()};
		arm_step(a);
	}
	/* gone, or asked already and still asleep: it comes or it does not */
	return !err || err == -ESRCH || err == -EAGAIN;
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

/* Whether an agent had its session from an earlier daemon on our socket. */
static bool was_ours(const struct pa_daemon_attach *a, const struct pa_agent_info *info)
{
	if (strcmp(info->session_path, a->d->settings->socket) != 0)
		return false;
	if (info->state == PA_AGENT_ATTACHED)
		return !pa_agent_collector(info->session_inode, getpid());
	return info->state == PA_AGENT_DORMANT && info->kind != PA_COMMAND_DETACH;
}

static bool is_recorded(const struct pa_daemon *d, uint32_t pid)
{
	for (const struct pa_tree *t = d->trees; t; t = t->next)
		if (pa_recorder_has(t->recorder, pid))
			return true;
	return false;
}

static uint64_t exe_of(uint32_t pid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	return stat(path, &st) ? 0 : (uint64_t)st.st_ino;
}

/* Errors: false: it has no agent, or none that can be asked. */
static bool find(struct pa_daemon_attach *a, uint32_t pid, struct pa_agent *agent, struct pa_agent_info *info)
{
	struct bare *b = &a->bare[pid & (BARE_MAX - 1)];
	struct bare now = {pid, pa_proc_start_ticks(pid), exe_of(pid), BARE_MIN_NS, 0};
	bool met = b->pid == pid && b->start_ticks == now.start_ticks && b->exe == now.exe;
	char why[PA_AGENT_WHY];

	/* a thread of the kernel has no program */
	if (!now.exe || (met && b->until_ns > pa_now_ns()))
		return false;
	if (pa_agent_find((pid_t)pid, agent, why, sizeof(why))) {
		if (met)
			now.wait_ns = b->wait_ns * 2 < BARE_NS ? b->wait_ns * 2 : BARE_NS;
		now.until_ns = pa_now_ns() + now.wait_ns;
		*b = now;
		return false;
	}
	return !pa_agent_read(agent, info) && !info->copied;
}

static void consider(struct pa_daemon_attach *a, uint32_t pid)
{
	struct pa_daemon *d = a->d;
	uint32_t uid = pa_proc_uid(pid);
	struct pa_agent_info info;
	struct pa_agent agent;
	bool again;

	if (pid == (uint32_t)getpid() || (d->uid != 0 && uid != d->uid) || is_recorded(d, pid) ||
	    !find(a, pid, &agent, &info) || is_known(a, &agent))
		return;
	again = was_ours(a, &info);
	if (!again && !(d->settings->attach && info.state == PA_AGENT_DORMANT))
		return;
	if (pa_daemon_judge(d, pid, uid) == PA_CONFIG_OK)
		ask(a, &agent, again, info.state == PA_AGENT_DORMANT ? PA_COMMAND_IF_DORMANT : 0);
}

static int add_pid(void *arg, uint32_t pid)
{
	struct pa_daemon_attach *a = arg;

	if (a->nr_pids == a->max_pids) {
		size_t max = a->max_pids ? a->max_pids * 2 : 512;
		uint32_t *pids = realloc(a->pids, max * sizeof(*pids));

		if (!pids)
			return -ENOMEM;
		a->pids = pids;
		a->max_pids = max;
	}
	a->pids[a->nr_pids++] = pid;
	return 0;
}

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void on_look(struct pa_timer *timer)
{
	struct pa_daemon_attach *a = timer->arg;
	uint64_t start = cpu_ns(), took = 0;

	if (a->at == a->nr_pids) {
		a->at = a->nr_pids = 0;
		pa_proc_all(add_pid, a);
	}
	while (a->at < a->nr_pids && took < BUDGET_NS) {
		consider(a, a->pids[a->at++]);
		took = cpu_ns() - start;
	}
	if (a->at == a->nr_pids)
		pa_loop_arm(a->d->loop, timer, a->d->settings->attach ? ROUND_NS : RESUME_NS);
	else
		pa_loop_arm(a->d->loop, timer, took * SHARE > LOOK_NS ? took * SHARE : LOOK_NS);
}

struct pa_daemon_attach *pa_daemon_attach_new(struct pa_daemon *d)
{
	struct pa_daemon_attach *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->d = d;
	a->look = (struct pa_timer){.fn = on_look, .arg = a};
	a->step = (struct pa_timer){.fn = on_step, .arg = a};
	pa_loop_arm(d->loop, &a->look, 0);
	return a;
}

void pa_daemon_attach_free(struct pa_daemon_attach *a)
{
	if (!a)
		return;
	/* nobody is to find our request when we are gone */
	for (size_t i = 0; i < a->nr_pending; i++)
		pa_agent_withdraw(&a->pending[i].agent);
	pa_loop_disarm(a->d->loop, &a->look);
	pa_loop_disarm(a->d->loop, &a->step);
	free(a->pids);
	free(a);
}
