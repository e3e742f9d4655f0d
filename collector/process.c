#include "collector/process.h"

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

uint64_t pa_thread_explained_ns(const struct pa_thread *t, uint64_t period_ns, bool exact)
{
	uint64_t sampled = t->weight * period_ns;

	if (!t->announced || !t->period_ns)
		return sampled;
	if (exact)
		return since_armed(t);
	return sampled > since_armed(t) ? sampled : since_armed(t);
}

uint64_t pa_thread_missing(const struct pa_thread *t, uint64_t period_ns)
{
	uint64_t due = since_armed(t) / period_ns;

	/* one period is always under way, and a reading may be a tick old */
	if (!t->announced || !t->period_ns || due <= t->weight + 1)
		return 0;
	return due - t->weight;
}

uint64_t pa_process_missing(const struct pa_process *p, uint64_t period_ns)
{
	uint64_t total = p->cpu_ns > p->cpu_base_ns ? p->cpu_ns - p->cpu_base_ns : 0;
	uint64_t explained = p->explained_ns;

	for (int i = 0; i < PA_THREAD_BUCKETS; i++)
		for (const struct pa_thread *t = p->threads[i]; t; t = t->chain)
			explained += pa_thread_explained_ns(t, period_ns, false);
	if (explained >= total)
		return 0;
	return (total - explained + period_ns / 2) / period_ns;
}

void pa_process_fini(struct pa_process *p)
{
	for (int i = 0; i < PA_THREAD_BUCKETS; i++) {
		while (p->threads[i]) {
			struct pa_thread *t = p->threads[i];

			p->threads[i] = t->chain;
			free(t);
		}
	}
	p->nr_threads = 0;
	pa_maps_fini(&p->maps);
	if (p->perfmap_fd >= 0)
		close(p->perfmap_fd);
	p->perfmap_fd = -1;
}
