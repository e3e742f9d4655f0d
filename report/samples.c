/* Samples, added up as they are read: memory is by distinct (process, stack), not by sample. */
#include "report/load.h"

#include <errno.h>

#include "report/requests.h"

struct adding {
	struct pa_report *r;
	struct pa_span span;
	struct pa_map map; /* (process, stack) -> index of the entry + 1 */
	size_t capacity;
};

static void add(struct pa_sum *to, const struct pa_sum *what)
{
	to->weight += what->weight;
	to->ns += what->ns;
	to->signals += what->signals;
}

static struct pa_report_entry *entry_of(struct adding *a, uint32_t process, uint32_t stack)
{
	struct pa_report *r = a->r;
	uint32_t *at = pa_map_at(&a->map, pa_pair(process, stack), 0);
	if (!at || (!*at && !pa_grow((void **)&r->entries, &a->capacity, r->nr_entries, sizeof(*r->entries))))
		return NULL;
	if (!*at) {
		r->entries[r->nr_entries++] = (struct pa_report_entry){.process = process, .stack = stack};
		*at = (uint32_t)r->nr_entries;
	}
	return &r->entries[*at - 1];
}

static int on_sample(void *arg, const struct pa_store_sample *s)
{
	struct adding *a = arg;
	struct pa_report *r = a->r;
	uint32_t thread = pa_index_of(r->threads, r->nr_threads, sizeof(*r->threads), s->thread);
	uint32_t stack = pa_index_of(r->stacks, r->nr_stacks, sizeof(*r->stacks), s->stack);
	struct pa_report_thread *t = &r->threads[thread];
	unsigned flags = r->stacks[stack].flags;
	uint64_t period = t->period_ns ? t->period_ns : r->period_ns;
	struct pa_sum sum = {
	    .weight = s->weight, .ns = s->weight * period, .signals = flags & PA_STACK_UNSAMPLED ? 0 : 1};
	struct pa_report_entry *e;
	uint32_t label;

	if (s->time_ns > r->last_ns)
		r->last_ns = s->time_ns;
	if (s->time_ns < a->span.from || (s->time_ns >= a->span.to && a->span.to != UINT64_MAX))
		return 0;
	/* times of samples are whole microseconds */
	label = flags & PA_STACK_UNSAMPLED ? PA_LABEL_NONE : pa_requests_label(r, thread, s->time_ns + 999);
	if (r->window.endpoint && label != r->requests->wanted)
		return 0;
	add(&r->requests->labels[label].cpu, &sum);
	e = entry_of(a, t->process, stack);
	if (!e)
		return -ENOMEM;
	add(&e->sum, &sum);
	add(&t->sum, &sum);
	add(&r->processes[t->process].sum, &sum);
	add(&r->modules[r->frames[r->stacks[stack].frame].module].self, &sum);
	add(&r->sum, &sum);
	if (flags & PA_STACK_UNSAMPLED)
		add(&r->unsampled, &sum);
	if (flags & PA_STACK_TRUNCATED)
		add(&r->truncated, &sum);
	if (flags & PA_STACK_BLOCKED)
		add(&r->blocked, &sum);
	return 0;
}

int pa_load_samples(struct pa_report *r, struct pa_recording *rec)
{
	struct adding a = {.r = r, .span = pa_window_span(r)};
	int err = pa_recording_samples(rec, on_sample, &a);
	pa_map_fini(&a.map);
	return err;
}
