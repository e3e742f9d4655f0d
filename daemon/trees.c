/* Agents that come, and the recordings they go to; see daemon.h. World: plain. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/proc.h"
#include "common/wire.h"
#include "daemon/attach.h"
#include "daemon/daemon.h"
#include "daemon/datadir.h"
#include "daemon/log.h"
#include "daemon/service.h"

/* ---- who may ----------------------------------------------------------------------------------------------------- */

uint32_t pa_daemon_judge(const struct pa_daemon *d, uint32_t pid, uint32_t uid)
{
	const struct pa_rules *rules = &d->settings->rules;
	char exe[PATH_MAX] = "", command[4096] = "", service[PA_SERVICE_MAX] = "";
	struct pa_candidate who = {uid, exe, command, service};

	if (uid != d->uid && d->uid != 0)
		return PA_CONFIG_REFUSED_UID;
	if (!rules->nr)
		return PA_CONFIG_OK;
	if (!pa_rules_may_match(rules, uid))
		return uid == d->uid ? PA_CONFIG_NOT_WANTED : PA_CONFIG_REFUSED_UID;
	if (pid) {
		pa_proc_exe(pid, exe, sizeof(exe));
		pa_proc_command(pid, command, sizeof(command));
		pa_proc_service(pid, service);
	}
	return pa_rules_match(rules, &who) ? PA_CONFIG_OK : PA_CONFIG_NOT_WANTED;
}

/* ---- recordings -------------------------------------------------------------------------------------------------- */

static void free_tree(struct pa_tree *t)
{
	free(t->path);
	free(t->command);
	free(t->name);
	free(t->before);
	free(t->expected);
	free(t->service);
	free(t);
}

static void forget(struct pa_tree *t)
{
	struct pa_daemon *d = t->d;

	for (struct pa_tree **at = &d->trees; *at; at = &(*at)->next) {
		if (*at == t) {
			*at = t->next;
			d->nr_trees--;
			break;
		}
	}
	free_tree(t);
}

void pa_daemon_finish(struct pa_tree *t)
{
	int err = pa_recorder_finish(t->recorder, 0);

	if (err) {
		pa_log(PA_LOG_ERROR, "%s: %s", t->path, strerror(-err));
		t->d->status = 2;
	} else if (!t->d->settings->output[0]) {
		pa_log(PA_LOG_INFO, "%s: ended", t->path);
	}
	forget(t);
}

static void on_idle(void *arg)
{
	struct pa_tree *t = arg;

	if (!t->d->settings->output[0])
		pa_daemon_finish(t);
}

/* A tree with copies of what `as` refers to. Errors: NULL: out of memory. */
static struct pa_tree *copy_tree(struct pa_daemon *d, const struct pa_tree *as)
{
	struct pa_tree *t = malloc(sizeof(*t));

	if (!t)
		return NULL;
	*t = *as;
	t->d = d;
	t->path = strdup(as->path);
	t->command = strdup(as->command);
	t->name = strdup(as->name);
	t->before = strdup(as->before);
	t->service = strdup(as->service);
	t->opened_ns = pa_now_ns();
	if (t->path && t->command && t->name && t->before && t->service)
		return t;
	free_tree(t);
	return NULL;
}

static struct pa_tree *open_tree(struct pa_daemon *d, const struct pa_tree *as, const struct pa_options *asked)
{
	struct pa_tree *t = copy_tree(d, as);
	struct pa_recorder_options options = {.period_ns = 1000000000u / asked->rate_hz,
					      .modes = asked->modes,
					      .heap_mode = asked->heap_mode,
					      .heap_flags = asked->heap_flags,
					      .heap_mean = asked->heap_mean,
					      .loop_blocked_ns = asked->loop_blocked_ns,
					      .owner = as->owner,
					      .file_later = !d->settings->output[0],
					      .idle = on_idle,
					      .arg = t};
	char err[512];

	if (!t)
		return NULL;
	t->modes = asked->modes;
	options.path = t->path;
	options.command = t->command;
	if (pa_recorder_open(d->loop, &options, &t->recorder, err, sizeof(err))) {
		pa_log(PA_LOG_ERROR, "recording: %s", err); /* the sentence names the file */
		free_tree(t);
		return NULL;
	}
	t->next = d->trees;
	d->trees = t;
	d->nr_trees++;
	return t;
}

bool pa_daemon_open_output(struct pa_daemon *d)
{
	static char none[] = "", command[] = "perfagentd";
	struct pa_tree as = {
	    .path = d->settings->output, .command = command, .name = none, .before = none, .service = none};

	return open_tree(d, &as, &d->settings->options) != NULL;
}

/* ---- which recording --------------------------------------------------------------------------------------------- */

/* Fills pids with a process and its ancestors; returns how many. Root's and the kernel's first processes are nobody's.
 */
static size_t ancestors_of(uint32_t pid, uint32_t *pids, size_t max)
{
	struct pa_proc_status status;
	size_t nr = 0;

	while (nr < max && pid > 1) {
		pids[nr++] = pid;
		if (pa_proc_status(pid, &status))
			break;
		pid = status.parent;
	}
	return nr;
}

static bool expects(const struct pa_tree *t, uint32_t pid)
{
	for (size_t i = 0; i < t->nr_expected; i++)
		if (t->expected[i] == pid)
			return true;
	return false;
}

static bool has_any(const struct pa_tree *t, const uint32_t *pids, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (pa_recorder_has(t->recorder, pids[i]) || expects(t, pids[i]))
			return true;
	return false;
}

/* The recording a process belongs to, NULL: a new one. Another user's is none: its reader would see ours. */
static struct pa_tree *tree_of(struct pa_daemon *d, const struct pa_peer *peer, const char *service)
{
	uint32_t pids[PA_DAEMON_ANCESTORS];
	size_t nr = peer->pid ? ancestors_of(peer->pid, pids, PA_DAEMON_ANCESTORS) : 0;

	if (d->settings->output[0])
		return d->trees;
	for (struct pa_tree *t = d->trees; t; t = t->next) {
		if (t->leaving_ns || (t->owner.other ? t->owner.uid : d->uid) != peer->uid)
			continue;
		if (service[0] ? !strcmp(t->service, service) : has_any(t, pids, nr))
			return t;
	}
	return NULL;
}

static void describe(const struct pa_peer *peer, const char *service, char *command, size_t command_size, char *name,
		     size_t name_size)
{
	static const char suffix[] = ".service";
	size_t len = strlen(service);

	if (len > strlen(suffix)) {
		snprintf(command, command_size, "%s", service);
		snprintf(name, name_size, "%.*s", (int)(len - strlen(suffix)), service);
	} else {
		pa_proc_command(peer->pid, command, command_size);
		pa_proc_comm(peer->pid, peer->pid, name, name_size);
	}
}

/* The recording that a process is about to leave for the next one, NULL: none. */
static struct pa_tree *tree_before(const struct pa_daemon *d, uint32_t pid)
{
	for (struct pa_tree *t = d->trees; t; t = t->next)
		if (t->leaving_ns && pid && (pa_recorder_has(t->recorder, pid) || expects(t, pid)))
			return t;
	return NULL;
}

static const char *file_of(const struct pa_tree *t)
{
	const char *slash = strrchr(t->path, '/');

	return slash ? slash + 1 : t->path;
}

/* The next file goes on for all of the last one's processes, in whatever order they come. */
static void succeed(struct pa_tree *t, struct pa_tree *old)
{
	t->expected = old->expected;
	t->nr_expected = old->nr_expected;
	old->expected = NULL;
	old->nr_expected = 0;
	old->succeeded = true;
	old->leaving_ns = pa_now_ns();
	pa_recorder_meta(old->recorder, "continued", file_of(t));
}

static struct pa_tree *new_tree(struct pa_daemon *d, const struct pa_hello *hello, const struct pa_peer *peer,
				char *service)
{
	struct pa_options options = d->settings->options;
	char path[PATH_MAX], command[1024] = "unknown", name[64] = "", before[NAME_MAX + 1] = "", err[160];
	struct pa_tree *old = tree_before(d, peer->pid), *t;
	struct pa_tree as = {.owner = {peer->uid != d->uid, peer->uid, peer->gid},
			     .path = path,
			     .command = command,
			     .name = name,
			     .before = before,
			     .service = service,
			     .pid = old ? old->pid : peer->pid};
	int ret = d->nr_trees < PA_DAEMON_TREES_MAX ? pa_datadir_user(d->data_fd, &as.owner) : -EMFILE;

	/* what the daemon was told wins */
	options.fixed = options.given;
	if (pa_options_parse(&options, hello->options, hello->options_len, err, sizeof(err)))
		pa_log(PA_LOG_WARNING, "PERFAGENT_OPTIONS of process %u: %s", peer->pid, err);
	if (old) {
		snprintf(before, sizeof(before), "%s", file_of(old));
		snprintf(command, sizeof(command), "%s", old->command);
		snprintf(name, sizeof(name), "%s", old->name);
	} else {
		describe(peer, service, command, sizeof(command), name, sizeof(name));
	}
	if (!ret)
		ret = pa_datadir_name(d->settings->data, &as.owner, name, as.pid, path, sizeof(path));
	if (ret) {
		pa_log(PA_LOG_ERROR, "no recording for process %u of user %u: %s", peer->pid, peer->uid,
		       strerror(-ret));
		return NULL;
	}
	t = open_tree(d, &as, &options);
	if (t && old)
		succeed(t, old);
	return t;
}

static void create(struct pa_tree *t);

void pa_daemon_hello(void *arg, const struct pa_hello *hello, struct pa_peer *peer, struct pa_grant *grant)
{
	char service[PA_SERVICE_MAX] = "";
	struct pa_daemon *d = arg;

	grant->status = pa_daemon_judge(d, peer->pid, peer->uid);
	if (grant->status != PA_CONFIG_OK) {
		d->refused++;
		return;
	}
	if (d->settings->per_service && peer->pid)
		pa_proc_service(peer->pid, service);
	d->answering = tree_of(d, peer, service);
	if (!d->answering)
		d->answering = new_tree(d, hello, peer, service);
	if (!d->answering) {
		grant->status = PA_CONFIG_REFUSED_BUSY;
		return;
	}
	/* one that has gone already is no more known to the kernel: its word is taken for where to look */
	d->answering_pid = peer->pid ? peer->pid : hello->pid;
	d->answering_claimed = !peer->pid;
	d->answering_uid = peer->uid;
	pa_recorder_hello(d->answering->recorder, hello, peer, grant);
	if (grant->status != PA_CONFIG_OK && pa_recorder_is_idle(d->answering->recorder) && !d->answering->ino &&
	    !d->settings->output[0]) {
		pa_recorder_abandon(d->answering->recorder);
		forget(d->answering);
	}
}

/* A process that had a collector before: how long it had none, as far as our files tell. */
static void note_gap(struct pa_tree *t)
{
	char text[512], before[256] = "", when[32];
	time_t written = 0;
	struct tm tm;

	if (t->d->settings->output[0] || pa_datadir_latest(t->d->settings->data, &t->owner, t->name, t->pid, t->path,
							   before, sizeof(before), &written)) {
		pa_recorder_meta(t->recorder, "resumed", "");
		pa_recorder_note(t->recorder,
				 "recording was taken up again: the process had another collector before; "
				 "what it did in between is missing, and what was live on its heap by then "
				 "is not known");
		return;
	}
	gmtime_r(&written, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	snprintf(text, sizeof(text),
		 "recording was taken up again: %s was written to last at %s; what happened from then on to the "
		 "beginning of this recording is missing, and what was live on the heap by then is not known",
		 before, when);
	pa_recorder_meta(t->recorder, "resumed", before);
	pa_recorder_meta(t->recorder, "resumed_last", when);
	pa_recorder_note(t->recorder, text);
}

static void began(struct pa_tree *t)
{
	struct stat st = {0};

	if (t->ino || t->d->settings->output[0])
		return;
	if (pa_owner_enter(&t->owner)) {
		if (!stat(t->path, &st)) {
			t->dev = st.st_dev;
			t->ino = st.st_ino;
		}
		pa_owner_leave(&t->owner);
	}
	pa_log(PA_LOG_INFO, "%s: begun", t->path);
}

/* Makes the file of a new recording, and takes its first session up. */
static void create(struct pa_tree *t)
{
	char err[512];

	t->waits = false;
	if (!pa_recorder_create_file(t->recorder, err, sizeof(err))) {
		began(t);
		if (pa_daemon_attach_is_back(t->d->attach, t->pid))
			note_gap(t);
		if (t->before[0])
			pa_recorder_meta(t->recorder, "continues", t->before);
		return;
	}
	/* the session ends with it: the agent goes dormant */
	pa_log(PA_LOG_ERROR, "recording: %s", err); /* the sentence names the file */
	t->d->status = 2;
	pa_recorder_abandon(t->recorder);
	forget(t);
}

/* One at a time, agents that ask in between: a file takes some milliseconds, an agent waits for twenty, and after a
 * boot there are hundreds. Until then the rings hold what is written. */
static void on_create(struct pa_timer *timer)
{
	struct pa_daemon *d = timer->arg;
	struct pa_tree *oldest = NULL;

	for (struct pa_tree *t = d->trees; t; t = t->next)
		if (t->waits)
			oldest = t;
	if (!oldest)
		return;
	pa_loop_arm(d->loop, timer, 0);
	create(oldest);
}

void pa_daemon_answered(void *arg, bool ok)
{
	struct pa_daemon *d = arg;
	struct pa_tree *t = d->answering;

	pa_recorder_answered(t->recorder, ok);
	if (!ok)
		pa_late_come(&d->late, d->answering_pid, d->answering_uid, d->answering_claimed);
	if (t->waits || t->ino || d->settings->output[0])
		return;
	if (!ok) {
		/* it has none yet */
		pa_recorder_abandon(t->recorder);
		forget(t);
		return;
	}
	t->waits = true;
	d->create_timer.fn = on_create;
	d->create_timer.arg = d;
	if (!d->create_timer.on)
		pa_loop_arm(d->loop, &d->create_timer, 0);
}

void pa_daemon_finish_all(struct pa_daemon *d)
{
	while (d->trees) {
		if (d->trees->waits) {
			create(d->trees);
			continue;
		}
		/* names take a while where there are many */
		pa_service_notify("EXTEND_TIMEOUT_USEC=30000000\nSTATUS=ending %u recordings", d->nr_trees);
		pa_daemon_finish(d->trees);
	}
}
