/* Processes and threads of a recording: how they are found, and how they end. World: plain. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "collector/proc.h"
#include "collector/recorder_impl.h"
#include "collector/stream.h"

#define LATE_TICK_NS 100000000u
#define BURY_NS      1000000000u

void pa_recorder_put_process(struct pa_process *p)
{
	struct pa_store_process row = {.id = p->id,
				       .pid = p->pid,
				       .inner_pid = p->inner_pid,
				       .parent = p->parent,
				       .start_ns = p->start_ns,
				       .end_ns = p->end_ns,
				       .cpu_ns = p->cpu_ns > p->cpu_base_ns ? p->cpu_ns - p->cpu_base_ns : 0,
				       .agent_ns = p->agent_ns,
				       .command = p->command,
				       .exe = p->exe,
				       .how = p->ended ? p->how : "running"};

	pa_recorder_store(p->recorder, pa_store_put_process(p->recorder->store, &row));
}

struct pa_process *pa_recorder_by_pid(const struct pa_recorder *r, uint32_t pid)
{
	for (const struct pa_recording_session *rs = r->sessions; rs; rs = rs->next)
		for (struct pa_process *p = rs->processes; p; p = p->next)
			if (p->pid == pid && !p->ended)
				return p;
	return NULL;
}

static void on_pidfd(struct pa_watch *watch, uint32_t events)
{
	struct pa_process *p = watch->arg;

	/* gone before its recording has a file: it is told again */
	if (p->session->answered)
		pa_recorder_gone(p);
}

static void watch_process(struct pa_process *p, int pidfd)
{
	p->pidfd = (struct pa_watch){.fd = pidfd, .fn = on_pidfd, .arg = p};
	if (pidfd >= 0 && pa_loop_watch(p->recorder->loop, &p->pidfd, EPOLLIN)) {
		close(pidfd);
		p->pidfd.fd = -1;
	}
}

void pa_recorder_unwatch(struct pa_process *p)
{
	if (p->pidfd.fd < 0)
		return;
	pa_loop_unwatch(p->recorder->loop, &p->pidfd);
	close(p->pidfd.fd);
	p->pidfd.fd = -1;
}

struct pa_process *pa_recorder_new_process(struct pa_recording_session *rs, uint32_t pid, uint32_t inner_pid, int pidfd)
{
	struct pa_process *p;

	if (rs->nr_processes >= PA_RECORDER_PROCESSES_MAX)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->id = ++rs->recorder->next_process;
	p->pid = pid;
	p->inner_pid = inner_pid;
	p->start_ns = pa_now_ns();
	p->recorder = rs->recorder;
	p->session = rs;
	p->perfmap_fd = -1;
	p->next = rs->processes;
	rs->processes = p;
	rs->oldest = rs->oldest ? rs->oldest : p;
	pa_recorder_number(p);
	rs->nr_processes++;
	rs->nr_live++;
	rs->empty_since_ns = 0;
	pa_heaps_begin(p);
	watch_process(p, pidfd);
	return p;
}

void pa_recorder_look_at(struct pa_process *p)
{
	p->uid = pa_proc_uid(p->pid);
	p->titled_ns = pa_now_ns();
	if (!p->pid)
		return;
	pa_proc_command(p->pid, p->command, sizeof(p->command));
	pa_proc_exe(p->pid, p->exe, sizeof(p->exe));
}

static struct pa_process *parent_in(struct pa_recording_session *rs, uint32_t parent_pid)
{
	for (struct pa_process *p = rs->processes; parent_pid && p; p = p->next)
		if (p->pid == parent_pid)
			return p;
	return rs->oldest;
}

/* What a forked child is, as long as /proc shows the image it was forked as; else what its parent was. */
static void look_at_child(struct pa_process *p, const struct pa_process *parent, bool seen)
{
	if (seen)
		pa_recorder_look_at(p);
	else if (parent)
		p->uid = parent->uid;
	if (!parent)
		return;
	p->replaced |= !seen || strcmp(p->exe, parent->exe) != 0;
	if (p->replaced) {
		memcpy(p->command, parent->command, sizeof(p->command));
		memcpy(p->exe, parent->exe, sizeof(p->exe));
	}
}

struct pa_process *pa_recorder_adopt(struct pa_recording_session *rs, uint32_t inner_pid, uint32_t pid,
				     uint32_t parent_pid)
{
	struct pa_process *parent = parent_in(rs, parent_pid);
	bool seen = pid != 0;
	bool replaced = pid && pa_recorder_by_pid(rs->recorder, pid); /* its next image is here already */
	int pidfd = pid ? (int)syscall(SYS_pidfd_open, (pid_t)pid, 0) : -1;
	struct pa_process *p;

	/* gone already, or by exec out of its parent's hands; its number is known all the same where the namespaces are
	 * the same. That of an older process is none: we would wait for its end */
	if (!pid && parent && parent->pid == parent->inner_pid && !pa_recorder_is_older(rs, inner_pid))
		pid = inner_pid;
	p = pa_recorder_new_process(rs, pid, inner_pid, pidfd);
	if (!p)
		return NULL;
	p->replaced = replaced || pidfd < 0;
	if (parent) {
		p->parent = parent->id;
		pa_recorder_store(rs->recorder, pa_maps_copy(&p->maps, &parent->maps));
	}
	look_at_child(p, parent, seen);
	pa_recorder_put_process(p);
	return p;
}

struct pa_thread *pa_recorder_thread(struct pa_process *p, uint32_t tid, uint64_t time_ns)
{
	struct pa_thread *t = pa_process_thread(p, tid);

	if (t)
		return t;
	t = pa_process_add_thread(p, tid);
	if (!t)
		return NULL;
	t->id = ++p->recorder->next_thread;
	t->start_ns = time_ns;
	if (tid == p->inner_pid && !p->main_thread)
		p->main_thread = t->id;
	if (p->pid && !p->ended && p->pid == p->inner_pid)
		pa_proc_comm(p->pid, tid, t->name, sizeof(t->name));
	pa_records_put_thread(p, t);
	return t;
}

/* Only where something is read behind the record of a thread's end. */
static void remember(struct pa_recorder *r, const struct pa_process *p, const struct pa_thread *t)
{
	if (!r->ended && (pa_heaps_wanted(r) || pa_talks_wanted(r)))
		r->ended = calloc(PA_ENDED_THREADS, sizeof(*r->ended));
	if (r->ended)
		r->ended[r->nr_ended++ % PA_ENDED_THREADS] =
		    (struct pa_ended_thread){p->id, t->tid, t->id, t->start_ns};
}

uint32_t pa_recorder_thread_at(struct pa_process *p, uint32_t tid, uint64_t time_ns)
{
	struct pa_recorder *r = p->recorder;
	struct pa_thread *t = pa_process_thread(p, tid);

	if (t && t->start_ns <= time_ns)
		return t->id;
	for (uint64_t i = 0; i < r->nr_ended && i < PA_ENDED_THREADS; i++) {
		const struct pa_ended_thread *e = &r->ended[(r->nr_ended - 1 - i) % PA_ENDED_THREADS];

		if (e->process == p->id && e->tid == tid && (e->start_ns <= time_ns || !t))
			return e->id;
	}
	if (!t && !p->ended)
		t = pa_recorder_thread(p, tid, time_ns);
	return t ? t->id : 0;
}

void pa_recorder_forget_thread(struct pa_process *p, struct pa_thread *t)
{
	remember(p->recorder, p, t);
	pa_locks_thread_ended(t);
	pa_process_remove_thread(p, t);
	free(t);
}

bool pa_recorder_left_by_exec(const struct pa_process *p)
{
	/* the goodbye is written before the exec: a tick or two of the old image may still follow */
	return p->exec_ns && p->last_ns < p->exec_ns + LATE_TICK_NS;
}

void pa_recorder_end_process(struct pa_process *p, const char *how)
{
	struct pa_recorder *r = p->recorder;

	if (p->ended)
		return;
	pa_recorder_end_pass(r);
	if (how || !pa_recorder_left_by_exec(p))
		p->exec_ns = 0;
	pa_account_read_cpu(p);
	pa_jit_name(p);
	p->ended = true;
	p->session->nr_gone -= p->gone_ns != 0;
	p->ended_at_ns = pa_now_ns();
	p->end_ns = p->exec_ns ? p->exec_ns : p->ended_at_ns;
	if (how)
		snprintf(p->how, sizeof(p->how), "%s", how);
	else if (p->exec_ns)
		snprintf(p->how, sizeof(p->how), "exec");
	else if (!p->how[0])
		snprintf(p->how, sizeof(p->how), "unknown");
	pa_account_end(p);
	pa_heaps_end(p);
	pa_loops_end(p);
	pa_locks_end(p);
	pa_wall_end(p);
	pa_talks_end(p);
	r->tree_cpu_ns += p->cpu_ns > p->cpu_base_ns ? p->cpu_ns - p->cpu_base_ns : 0;
	pa_recorder_put_process(p);
	pa_recorder_unwatch(p);
	pa_slices_forget(r->slices, p);
	/* its maps stay: a child may be found after it has gone, too */
	pa_process_empty(p);
	pa_session_release_pid(p->session->s, p->inner_pid);
	pa_streamed_gone(p->session->stream, p->inner_pid);
	if (--p->session->nr_live == 0)
		p->session->empty_since_ns = pa_now_ns();
}

void pa_recorder_bury(struct pa_recording_session *rs)
{
	uint64_t now = pa_now_ns();

	/* the oldest stays: it is the parent of those whose parent cannot be told */
	for (struct pa_process **at = &rs->processes; *at && (*at)->next;) {
		struct pa_process *p = *at;

		if (!p->ended || now - p->ended_at_ns < BURY_NS) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		pa_recorder_unnumber(p);
		rs->nr_processes--;
		pa_process_fini(p);
		free(p);
	}
}

void pa_recorder_reaping(struct pa_recorder *r, uint32_t pid, const char *how)
{
	struct pa_process *p = pa_recorder_by_pid(r, pid), *latest = NULL;
	struct pa_drain_result result;

	if (p) {
		pa_recorder_drain_last(p->session, &result);
		pa_recorder_end_process(p, how);
		return;
	}
	/* its pidfd was looked at first: only the status is new */
	for (struct pa_recording_session *rs = r->sessions; rs; rs = rs->next)
		for (p = rs->processes; p; p = p->next)
			if (p->pid == pid && (!latest || p->id > latest->id))
				latest = p;
	if (!latest || strcmp(latest->how, "exec") == 0)
		return;
	snprintf(latest->how, sizeof(latest->how), "%s", how);
	pa_recorder_put_process(latest);
}
