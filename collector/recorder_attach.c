/* Processes that a recording meets, and leaves, while they run. What such a process had used before is neither sampled
 * nor missing: its clocks are read once at the beginning, and everything counts from there. World: plain. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/proc.h"
#include "collector/recorder_impl.h"
#include "common/atomics.h"

/* How long a process may use CPU time and say nothing before we ask whether it is still ours. */
#define SILENT_NS      1000000000u
#define SILENT_PERIODS 20

static int begin_thread(void *arg, uint32_t tid)
{
	struct pa_process *p = arg;
	uint32_t inner = p->pid == p->inner_pid ? tid : pa_proc_inner_tid(p->pid, tid);
	struct pa_thread *t = inner ? pa_recorder_thread(p, inner, p->start_ns) : NULL;
	uint64_t cpu;

	if (!t)
		return 0;
	t->wanted = true;
	if (!pa_proc_thread_cpu_ns(p->pid, tid, &cpu))
		t->cpu_base_ns = t->cpu_ns = t->watched_cpu_ns = cpu;
	return 0;
}

void pa_attach_begin(struct pa_process *p)
{
	uint64_t cpu;

	p->attached = true;
	if (p->pid && !pa_proc_cpu_ns(p->pid, &cpu))
		p->cpu_base_ns = p->cpu_ns = p->polled_cpu_ns = cpu;
}

static void ask_to_arm(struct pa_process *p)
{
	for (int i = 0; i < PA_THREAD_BUCKETS; i++) {
		for (struct pa_thread *t = p->threads[i]; t; t = t->chain) {
			if (!t->wanted || t->asked || t->announced || t->weight)
				continue;
			t->asked = pa_session_arm(p->session->s, p->inner_pid, t->tid);
			if (!t->asked)
				return; /* the list is full */
		}
	}
	p->all_asked = true;
}

void pa_attach_threads(struct pa_process *p)
{
	if (!p->attached || p->all_asked || !p->pid || !(p->recorder->options.modes & PA_MODE_CPU))
		return;
	if (!p->begun)
		pa_proc_threads(p->pid, begin_thread, p);
	p->begun = true;
	ask_to_arm(p);
}

/* An agent takes part in one session at a time: without our memory in its maps it has left, or was told to. */
bool pa_attach_was_left(struct pa_process *p)
{
	uint64_t now = pa_now_ns(), heard = p->last_ns > p->start_ns ? p->last_ns : p->start_ns;

	if (!p->pid || now - heard < SILENT_NS || now - p->looked_ns < SILENT_NS)
		return false;
	p->looked_ns = now;
	if (p->cpu_ns - p->heard_cpu_ns < SILENT_PERIODS * p->recorder->period_ns)
		return false;
	p->heard_cpu_ns = p->cpu_ns;
	return pa_streams_left(p->session, p->pid);
}

/* What it uses from then on is not ours, and when that was is known by its last record only: its samples, or a reading
 * of its clock that a record followed, say what it had used. */
static void leave(struct pa_process *p)
{
	uint64_t sampled = p->cpu_base_ns + p->early_ns + p->weight * p->recorder->period_ns;

	pa_account_read_cpu(p);
	if (p->cpu_ns > sampled)
		p->cpu_ns = p->cpu_ours_ns > sampled ? p->cpu_ours_ns : sampled;
	p->left = true;
	pa_recorder_end_process(p, "detached");
}

void pa_attach_leave(struct pa_process *p)
{
	struct pa_drain_result result;

	pa_recorder_drain_last(p->session, &result);
	pa_recorder_store(p->recorder, pa_store_add_note(p->recorder->store, p->id, pa_now_ns(),
							 "it was taken over by another collector, or detached: its "
							 "recording ends there"));
	leave(p);
}

void pa_recorder_left(struct pa_recorder *r, uint32_t pid)
{
	struct pa_process *p = pa_recorder_by_pid(r, pid);
	struct pa_drain_result result;

	if (!p)
		return;
	pa_recorder_drain_last(p->session, &result);
	if (!p->ended)
		leave(p);
}

void pa_recorder_silence(struct pa_recorder *r)
{
	for (struct pa_recording_session *rs = r->sessions; rs; rs = rs->next)
		pa_session_set_state(rs->s, PA_SESSION_ENDED);
}

void pa_recorder_each(const struct pa_recorder *r, void (*fn)(void *arg, uint32_t pid), void *arg)
{
	for (const struct pa_recording_session *rs = r->sessions; rs; rs = rs->next)
		for (const struct pa_process *p = rs->processes; p; p = p->next)
			if (p->pid && !p->ended)
				fn(arg, p->pid);
}
