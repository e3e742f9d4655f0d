/* CPU time: what the kernel charged, what samples stand for, and the difference by name (F5, S11). World: plain. */
#include <string.h>

#include "collector/proc.h"
#include "collector/recorder_impl.h"
#include "common/atomics.h"

/* With many threads each is looked at less often: a reading costs about 8 us. */
#define THREADS_PER_POLL 256
#define RSS_INTERVAL_NS  10000000000u

void pa_account_read_cpu(struct pa_process *p)
{
	uint64_t cpu;

	p->cpu_exact = false;
	if (!p->pid || p->exec_ns || p->replaced || p->left || pa_proc_cpu_ns(p->pid, &cpu))
		return;
	p->cpu_exact = true;
	if (p->last_ns > p->cpu_read_ns)
		p->cpu_ours_ns = p->cpu_ns;
	p->cpu_read_ns = pa_now_ns();
	if (cpu > p->cpu_ns)
		p->cpu_ns = cpu;
}

struct thread_poll {
	struct pa_process *p;
	uint32_t budget;
};

/* A thread that burns CPU time and never came to us: raw clone, or one that started before the agent. */
static void consider_arming(struct pa_process *p, struct pa_thread *t)
{
	uint64_t period = p->recorder->period_ns;

	if (t->announced || t->asked || t->weight || t->cpu_ns < t->watched_cpu_ns + 2 * period)
		return;
	t->asked = pa_session_arm(p->session->s, p->inner_pid, t->tid);
}

static int poll_thread(void *arg, uint32_t tid)
{
	struct thread_poll *poll = arg;
	struct pa_process *p = poll->p;
	/* in another pid namespace the numbers differ: there only the process's own figure is used */
	struct pa_thread *t = pa_process_thread(p, tid);
	uint64_t cpu;

	if (poll->budget == 0 || pa_proc_thread_cpu_ns(p->pid, tid, &cpu))
		return 0;
	poll->budget--;
	if (!t) {
		t = pa_recorder_thread(p, tid, pa_now_ns());
		if (!t)
			return 0;
		t->watched_cpu_ns = cpu;
	}
	if (cpu > t->cpu_ns)
		t->cpu_ns = cpu;
	consider_arming(p, t);
	return 0;
}

static bool is_agents(void *arg, const struct pa_proc_map *map)
{
	const struct pa_session *s = arg;
	/* the target's words: wrong ones count other memory of the target, which harms the figure only */
	uint64_t own_start = pa_load_relaxed(&s->control->own_start), own_end = pa_load_relaxed(&s->control->own_end);

	return (map->start < s->agent_end && map->end > s->agent_start) || map->inode == s->inode ||
	       (map->start >= own_start && map->end <= own_end);
}

/* What we cost the target in memory: now and then, the largest figure counts. */
static void measure_agent(struct pa_process *p)
{
	uint64_t now = pa_now_ns(), kib;

	if (p->measured_ns && now - p->measured_ns < RSS_INTERVAL_NS)
		return;
	p->measured_ns = now;
	if (pa_proc_rss(p->pid, is_agents, p->session->s, &kib) == 0 && kib > p->recorder->agent_rss_kib)
		p->recorder->agent_rss_kib = kib;
}

void pa_account_poll(struct pa_process *p)
{
	struct thread_poll poll = {p, THREADS_PER_POLL};

	if (!p->pid || p->ended || p->replaced)
		return;
	pa_account_read_cpu(p);
	pa_attach_threads(p);
	if (!(p->recorder->options.modes & PA_MODE_CPU)) {
		measure_agent(p);
		return;
	}
	/* nothing ran: nothing to read */
	if (p->cpu_ns - p->polled_cpu_ns < p->recorder->period_ns || p->pid != p->inner_pid)
		return;
	p->polled_cpu_ns = p->cpu_ns;
	measure_agent(p);
	pa_proc_threads(p->pid, poll_thread, &poll);
}

static void end_thread(struct pa_process *p, struct pa_thread *t)
{
	uint64_t before = p->attached ? p->cpu_base_ns - t->cpu_base_ns : 0, missing;

	/* the only thread there ever was: its clock is the process's, but for threads that ended before our time */
	if (p->nr_seen == 1 && p->cpu_ns - before > t->cpu_ns)
		t->cpu_ns = p->cpu_ns - before;
	missing = p->left ? 0 : pa_thread_missing(t, p->recorder->period_ns);
	if (missing && p->recorder->options.modes & PA_MODE_CPU) {
		pa_records_charge(p, t, p->end_ns, PA_FRAME_UNSAMPLED, missing);
		pa_process_weigh(p, t, missing);
	}
	pa_records_put_thread(p, t);
}

/* What is left of a process below a period: time in the loader, an exit before the first tick. It is carried on to the
 * next process, so that a build of a thousand short ones is accounted for as a whole. Too many samples, which chance
 * also brings, are carried as well, but no more than chance: a stale reading of the clock must not hide what others
 * lack. */
static uint64_t carried_periods(struct pa_process *p, uint64_t period, uint64_t weight)
{
	struct pa_recorder *r = p->recorder;
	uint64_t used = p->cpu_ns > p->cpu_base_ns ? p->cpu_ns - p->cpu_base_ns : 0;
	int64_t rest, least = -(int64_t)(pa_process_chance(p) * (double)period);
	uint64_t periods;

	/* years of CPU time are a liar's */
	if (used > PA_CPU_NS_MAX || weight > PA_CPU_NS_MAX / period)
		return 0;
	rest = (int64_t)used - (int64_t)(weight * period);
	if (rest < 0 && !p->cpu_exact && !p->said_end)
		rest = 0;
	r->carry_ns += rest < least ? least : rest;
	if (r->carry_ns < (int64_t)period)
		return 0;
	periods = (uint64_t)r->carry_ns / period;
	r->carry_ns -= (int64_t)(periods * period);
	return periods;
}

/* Threads that were alive when the process went away, then what nobody explains. */
void pa_account_end(struct pa_process *p)
{
	uint64_t period = p->recorder->period_ns;
	struct pa_thread *main_thread;
	uint64_t missing;

	for (int i = 0; i < PA_THREAD_BUCKETS; i++)
		for (struct pa_thread *t = p->threads[i]; t; t = t->chain)
			end_thread(p, t);
	if (!(p->recorder->options.modes & PA_MODE_CPU))
		return;
	missing = pa_process_missing(p, period);
	missing += carried_periods(p, period, p->weight + missing);
	if (missing == 0)
		return;
	main_thread = pa_recorder_thread(p, p->inner_pid, p->start_ns);
	if (!main_thread)
		return;
	pa_records_put_thread(p, main_thread);
	pa_records_charge(p, main_thread, p->end_ns, PA_FRAME_UNSAMPLED, missing);
}
