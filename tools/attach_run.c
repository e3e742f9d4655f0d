#include "tools/attach_run.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "collector/proc.h"
#include "remote/agent.h"
#include "tools/attach_inject.h"
#include "tools/detach.h"
#include "tools/options.h"
#include "tools/private_collector.h"

#define PATIENCE_NS    UINT64_C(300000000)  /* before we say what we are waiting for */
#define LEAVE_NS       UINT64_C(1000000000) /* for a process that runs; one that sleeps detaches when it wakes up */
#define LOOK_NS        UINT64_C(250000000)
#define LATE_NS        UINT64_C(20000000) /* until it is asked again */
#define LATE_MAX       50
#define STATUS_PENDING (-1)

struct attach {
	const struct pa_attach_run *asked;
	struct pa_private private;
	struct pa_attach_inject injected;
	struct pa_agent agent;
	char subject[32]; /* "process 123" */
	char name[64];
	char command[4096];
	struct pa_timer step, duration, look;
	uint64_t asked_ns;
	bool said_waiting;
	bool again;     /* it is to be asked once more */
	uint32_t late;  /* times that it gave up waiting for us */
	bool connected; /* it has, or had, a session of ours */
	bool session;   /* it has one now */
	bool settled;   /* its agent has said so, too */
	int status;     /* of ours, STATUS_PENDING: still busy */
};

static void stop(struct attach *a, int status)
{
	a->status = status;
	pa_loop_disarm(a->private.loop, &a->step);
	pa_loop_disarm(a->private.loop, &a->duration);
	pa_loop_disarm(a->private.loop, &a->look);
	pa_loop_stop(a->private.loop);
}

static int fail(const struct attach *a, const char *why)
{
	return pa_fail(a->subject, "%s", why);
}

/* ---- asking ---------------------------------------------------------------------------------------------------- */

/* Who is in the way. Errors: false, said. flags: of the request. */
static bool may_attach(struct attach *a, uint32_t *flags)
{
	char why[PA_AGENT_WHY];
	struct pa_agent_info info;
	pid_t other;

	*flags = PA_COMMAND_IF_DORMANT;
	if (pa_agent_read(&a->agent, &info)) {
		fail(a, "it has just ended");
		return false;
	}
	if (pa_agent_ready(&info, PA_COMMAND_ATTACH, why, sizeof(why)) == -ENOTSUP) {
		fail(a, why);
		return false;
	}
	if (info.state != PA_AGENT_ATTACHED)
		return true;
	/* its collector may have been killed: nobody is in the way then */
	other = pa_agent_collector(info.session_inode, (pid_t)info.writer);
	*flags = 0;
	if (!other || a->asked->replace)
		return true;
	pa_fail(a->subject, "it is being recorded already, by process %d; --replace takes it over", (int)other);
	return false;
}

static bool ask(struct attach *a)
{
	struct pa_agent_request request = {.kind = PA_COMMAND_ATTACH, .path = a->private.socket};
	char why[PA_AGENT_WHY];

	if (!may_attach(a, &request.flags))
		return false;
	if (pa_agent_request(&a->agent, &request, why, sizeof(why))) {
		fail(a, why);
		return false;
	}
	if (!a->late) {
		a->asked_ns = pa_now_ns();
		pa_recorder_meta_u64(a->private.recorder, "asked_mono_ns", a->asked_ns);
	}
	pa_loop_arm(a->private.loop, &a->step, 0);
	return true;
}

static void say_waiting(struct attach *a)
{
	if (a->said_waiting || a->session || a->asked->quiet || pa_now_ns() - a->asked_ns < PATIENCE_NS)
		return;
	a->said_waiting = true;
	if (isatty(STDERR_FILENO))
		pa_fail(a->subject, "waiting for %s to wake up", a->name);
}

static void on_step(struct pa_timer *timer)
{
	struct attach *a = timer->arg;
	char why[PA_AGENT_WHY];
	int err;

	if (a->again) {
		a->again = false;
		if (!ask(a))
			stop(a, PA_EXIT_ERROR);
		return;
	}
	err = pa_agent_step(&a->agent);
	if (err == -EINPROGRESS) {
		say_waiting(a);
		pa_loop_arm(a->private.loop, timer, pa_agent_pause_ns(&a->agent));
		return;
	}
	a->settled |= !err && a->session;
	if (a->session && (!err || err == -ESRCH))
		return; /* it may have ended since: the recording ends by itself */
	/* it waits for us no longer than a guest may: on a crowded machine we may have come too late */
	if (err == -ETIMEDOUT && a->late < LATE_MAX) {
		a->late++;
		a->again = true;
		pa_loop_arm(a->private.loop, timer, LATE_NS);
		return;
	}
	if (!err)
		snprintf(why, sizeof(why), "its agent says that it is attached, but it never came");
	else
		pa_agent_explain(&a->agent, err, why, sizeof(why));
	fail(a, why);
	stop(a, a->settled ? PA_EXIT_OK : PA_EXIT_ERROR);
}

/* Nobody is to find our request when we are gone. Returns the exit status. */
static int end_asking(struct attach *a, const char *why, int status)
{
	/* what is being taken at this moment finds nobody listening, and is over with that */
	if (!a->session)
		pa_agent_withdraw(&a->agent);
	if (a->connected)
		return PA_EXIT_OK;
	if (a->late)
		pa_fail(a->subject, "it was asked %u times and got no answer from us in time: this machine is too busy",
			a->late);
	else
		fail(a, why);
	return status;
}

static void on_duration(struct pa_timer *timer)
{
	struct attach *a = timer->arg;

	stop(a, end_asking(a, "it did not wake up in time to be attached to: nothing was recorded", PA_EXIT_BAD));
}

/* ---- events ---------------------------------------------------------------------------------------------------- */

static void on_hello(void *arg, const struct pa_hello *hello, struct pa_peer *peer, struct pa_grant *grant)
{
	struct attach *a = arg;

	/* a child that was forked with the request in its memory answers it, too: it was not asked */
	if (peer->pid == (uint32_t)a->asked->pid && !a->session)
		pa_recorder_hello(a->private.recorder, hello, peer, grant);
	else
		grant->status = PA_CONFIG_NOT_WANTED;
}

static void on_answered(void *arg, bool ok)
{
	struct attach *a = arg;

	pa_recorder_answered(a->private.recorder, ok);
	a->session |= ok;
	if (!ok || a->connected)
		return;
	a->connected = true;
	pa_loop_arm(a->private.loop, &a->look, LOOK_NS);
	pa_loop_disarm(a->private.loop, &a->duration);
	if (a->asked->duration_ns)
		pa_loop_arm(a->private.loop, &a->duration, a->asked->duration_ns);
}

/* Whether its agent has left our session: then the recording ends. */
static bool is_lost(struct attach *a, const struct pa_agent_info *info)
{
	pid_t other;

	if (info->seq == a->agent.seq && info->done != info->seq)
		return false; /* it is about to come */
	if (info->state == PA_AGENT_ATTACHED && !strcmp(info->session_path, a->private.socket))
		return false;
	if (info->state == PA_AGENT_ATTACHED) {
		other = pa_agent_collector(info->session_inode, (pid_t)info->writer);
		pa_recorder_note(a->private.recorder,
				 "another collector took the process over: the recording ends there");
		pa_fail(a->subject, "process %d has taken it over: the recording ends there", (int)other);
	} else if (info->state == PA_AGENT_DORMANT) {
		pa_recorder_note(a->private.recorder, "the process was detached: the recording ends there");
	} else {
		return false; /* a sandbox: the recording says so */
	}
	pa_recorder_left(a->private.recorder, (uint32_t)a->asked->pid);
	stop(a, PA_EXIT_OK);
	return true;
}

static void on_look(struct pa_timer *timer)
{
	struct attach *a = timer->arg;
	struct pa_agent_info info;

	if (!a->session || pa_agent_read(&a->agent, &info) || !is_lost(a, &info))
		pa_loop_arm(a->private.loop, timer, LOOK_NS);
}

/* Another program of the same process: its agent is another one, too. Errors: false: there is none. */
static bool follow_exec(struct attach *a)
{
	uint64_t started = a->agent.start_ticks;
	char why[PA_AGENT_WHY];

	if (pa_proc_start_ticks((uint32_t)a->asked->pid) != started ||
	    pa_agent_find(a->asked->pid, &a->agent, why, sizeof(why)))
		return false;
	pa_recorder_note(a->private.recorder, "the process executed another program: it was attached to anew, what it "
					      "did before that is missing");
	return ask(a);
}

/* No process of the recording is left, or none that is still ours. */
static void on_idle(void *arg)
{
	struct attach *a = arg;
	struct pa_agent_info info;
	int err;

	a->session = false;
	err = pa_agent_read(&a->agent, &info);
	if (err && follow_exec(a))
		return;
	if (err || !is_lost(a, &info))
		stop(a, PA_EXIT_OK);
}

static void on_signal(struct pa_watch *watch, uint32_t events)
{
	struct attach *a = watch->arg;
	struct signalfd_siginfo info;

	while (read(watch->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		if (a->status == STATUS_PENDING)
			stop(a, end_asking(a, "it had not been attached to yet: nothing was recorded", PA_EXIT_BAD));
}

/* ---- beginning and end ----------------------------------------------------------------------------------------- */

/* What stands in a file's name: of the program's own name its plain signs. */
static void tame(char *name)
{
	for (char *c = name; *c; c++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+.", *c))
			*c = '_';
	if (name[0] == '.' || name[0] == '-')
		name[0] = '_';
}

static void look_at(struct attach *a)
{
	uint32_t pid = (uint32_t)a->asked->pid;

	pa_proc_comm(pid, pid, a->name, sizeof(a->name));
	tame(a->name);
	if (!a->name[0])
		strcpy(a->name, "unknown");
	if (pa_proc_command(pid, a->command, sizeof(a->command)))
		snprintf(a->command, sizeof(a->command), "%s", a->name);
}

/* Finds the agent that is to be told. Errors: false, said. */
static bool find(struct attach *a)
{
	char why[PA_AGENT_WHY];
	uint32_t flags;

	if (pa_agent_find(a->asked->pid, &a->agent, why, sizeof(why))) {
		fail(a, why);
		return false;
	}
	return may_attach(a, &flags);
}

/* Everything that can fail does so before the process is touched. */
static bool prepare(struct attach *a)
{
	const struct pa_listener_ops ops = {on_hello, on_answered, a};
	const struct pa_private_recording what = {.output = a->asked->output,
						  .program = a->name,
						  .command = a->command,
						  .pid = (uint32_t)a->asked->pid,
						  .options = &a->asked->options,
						  .idle = on_idle,
						  .arg = a};

	if (!a->asked->inject && !find(a))
		return false;
	look_at(a);
	if (!pa_private_begin(&a->private, on_signal, a) || !pa_private_listen(&a->private, a->asked->pid, &ops) ||
	    !pa_private_record(&a->private, &what))
		return false;
	if (!a->asked->inject)
		return true;
	if (!pa_attach_inject(&a->injected, a->asked->pid, a->subject))
		return false;
	pa_attach_inject_tell(&a->injected, a->private.recorder, a->asked->quiet);
	return find(a);
}

struct leaving {
	struct pa_detaching detaching;
	const char *path;
};

static void ask_to_leave(void *arg, uint32_t pid)
{
	struct leaving *l = arg;
	char why[PA_AGENT_WHY];

	/* what cannot be asked has ended; what has lost its collector looks at the state of its session */
	pa_detaching_add(&l->detaching, (pid_t)pid, l->path, why, sizeof(why));
}

/* First nothing runs any more, then the recording is written, then we see to it that the timers are gone. */
static void leave(struct attach *a)
{
	struct leaving l = {.path = a->private.socket};

	pa_recorder_silence(a->private.recorder);
	pa_recorder_each(a->private.recorder, ask_to_leave, &l);
	if (pa_private_finish(&a->private, 0))
		a->status = PA_EXIT_ERROR;
	pa_detaching_wait(&l.detaching, LEAVE_NS);
	pa_detaching_fini(&l.detaching);
}

static void last_words(const struct attach *a)
{
	if (a->status == PA_EXIT_OK && !a->asked->quiet && isatty(STDERR_FILENO))
		fprintf(stderr, "perfagent: %" PRIu64 " samples in %s, now run: perfagent report -i %s\n",
			a->private.samples, a->private.path, a->private.path);
}

int pa_attach_run(const struct pa_attach_run *asked)
{
	struct attach a = {.asked = asked, .private = PA_PRIVATE_INIT, .status = STATUS_PENDING};

	a.step = (struct pa_timer){.fn = on_step, .arg = &a};
	a.look = (struct pa_timer){.fn = on_look, .arg = &a};
	a.duration = (struct pa_timer){.fn = on_duration, .arg = &a};
	snprintf(a.subject, sizeof(a.subject), "process %d", (int)asked->pid);
	if (!prepare(&a) || !ask(&a)) {
		pa_attach_inject_undo(&a.injected);
		pa_private_close(&a.private);
		return PA_EXIT_ERROR;
	}
	if (asked->duration_ns)
		pa_loop_arm(a.private.loop, &a.duration, asked->duration_ns);
	pa_loop_run(a.private.loop);
	if (a.connected)
		leave(&a);
	pa_attach_inject_undo(&a.injected);
	last_words(&a);
	pa_private_close(&a.private);
	return a.status;
}
