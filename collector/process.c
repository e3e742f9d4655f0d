#include "collector/process.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

struct pa_thread *pa_process_thread(const struct pa_process *p, uint32_t tid)
{
	struct pa_thread *t = p->threads[tid % PA_THREAD_BUCKETS];

	while (t && t->tid != tid)
		t = t->chain;
	return t;
}

struct pa_thread *pa_process_add_thread(struct pa_process *p, uint32_t tid)
{
	struct pa_thread *t;

	if (p->nr_threads >= PA_THREADS_MAX)
		return NULL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->tid = tid;
	t->chain = p->threads[tid % PA_THREAD_BUCKETS];
	p->threads[tid % PA_THREAD_BUCKETS] = t;
	p->nr_threads++;
	p->nr_seen++;
	return t;
}

void pa_process_remove_thread(struct pa_process *p, struct pa_thread *t)
{
	for (struct pa_thread **at = &p->threads[t->tid % PA_THREAD_BUCKETS]; *at; at = &(*at)->chain) {
		if (*at == t) {
			*at = t->chain;
			p->nr_threads--;
			return;
		}
	}
}

static uint64_t since_armed(const struct pa_thread *t)
{
	return t->cpu_ns > t->armed_cpu_ns ? t->cpu_ns - t->armed_cpu_ns : 0;
}

void pa_process_weigh(struct pa_process *p, struct pa_thread *t, uint64_t periods)
{
	t->weight += periods;
	p->weight += periods;
}

uint64_t pa_thread_missing(const struct pa_thread *t, uint64_t period_ns)
{
	uint64_t due = since_armed(t) / period_ns;

	/* one period is always under way, and a reading may be a tick old */
	if (!t->announced || !t->period_ns || due <= t->weight + 1)
		return 0;
	return due - t->weight;
}

double pa_process_chance(const struct pa_process *p)
{
	return 1 + 1.5 * sqrt(p->nr_armed);
}

uint64_t pa_process_missing(const struct pa_process *p, uint64_t period_ns)
{
	uint64_t known = p->cpu_base_ns + p->early_ns;
	uint64_t due = p->cpu_ns > known ? (p->cpu_ns - known + period_ns / 2) / period_ns : 0;

	if (due <= p->weight || (double)(due - p->weight) <= pa_process_chance(p))
		return 0;
	return due - p->weight;
}

void pa_process_empty(struct pa_process *p)
{
	for (int i = 0; i < PA_THREAD_BUCKETS; i++) {
		while (p->threads[i]) {
			struct pa_thread *t = p->threads[i];

			p->threads[i] = t->chain;
			free(t);
		}
	}
	p->nr_threads = 0;
	if (p->perfmap_fd >= 0)
		close(p->perfmap_fd);
	p->perfmap_fd = -1;
}

void pa_process_fini(struct pa_process *p)
{
	pa_process_empty(p);
	pa_maps_fini(&p->maps);
}
