/* What the heap did within the window, added up by (process, stack) as it is read. Live memory is everything up to the
 * window's end, so that chunks before the window count too; those after it are left out. */
#include "report/load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"

/* A process while its chunks are read. */
struct level {
	uint64_t live, live_calls; /* modulo 2^64: lost events may make them negative */
	uint64_t now_ns;           /* end of the last chunk */
	int64_t best, best_calls;  /* highest live at the end of a chunk, within the window */
	uint64_t best_ns;
	uint64_t total_calls, total_temporary; /* as the process's own row says */
	bool has_peak;                         /* the recording's own, within the window */
};

struct heap {
	struct pa_report *r;
	struct pa_span span;
	struct pa_map map;    /* (process, stack) -> index of held + 1 */
	uint32_t *process_of; /* index of a process -> index of heap.processes + 1 */
	struct level *levels; /* beside heap.processes */
	size_t held_capacity, process_capacity, level_capacity, thread_capacity, point_capacity;
};

static uint32_t index_of_process(const struct pa_report *r, uint32_t id)
{
	return pa_index_of(r->processes, r->nr_processes, sizeof(*r->processes), id);
}

/* The index in heap.processes; made when there is none. Errors: false: memory. */
static bool heap_process_of(struct heap *h, uint32_t id, uint32_t *at)
{
	struct pa_report_heap *to = &h->r->heap;
	uint32_t process = index_of_process(h->r, id);

	if (!h->process_of[process]) {
		if (!pa_grow((void **)&to->processes, &h->process_capacity, to->nr_processes, sizeof(*to->processes)) ||
		    !pa_grow((void **)&h->levels, &h->level_capacity, to->nr_processes, sizeof(*h->levels)))
			return false;
		to->processes[to->nr_processes] = (struct pa_report_heap_process){.process = process};
		h->levels[to->nr_processes] = (struct level){.best = 0};
		h->process_of[process] = (uint32_t)++to->nr_processes;
	}
	*at = h->process_of[process] - 1;
	return true;
}

static struct pa_report_held *held_of(struct heap *h, uint32_t process, uint32_t stack_id)
{
	struct pa_report *r = h->r;
	uint32_t stack = pa_index_of(r->stacks, r->nr_stacks, sizeof(*r->stacks), stack_id);
	uint32_t *at = pa_map_at(&h->map, pa_pair(process, stack), 0);

	if (!at ||
	    (!*at && !pa_grow((void **)&r->heap.held, &h->held_capacity, r->heap.nr_held, sizeof(*r->heap.held))))
		return NULL;
	if (!*at) {
		r->heap.held[r->heap.nr_held++] = (struct pa_report_held){.process = process, .stack = stack};
		*at = (uint32_t)r->heap.nr_held;
	}
	return &r->heap.held[*at - 1];
}

/* ---- figures of processes and threads ---------------------------------------------------------------------------- */

static int on_heap(void *arg, const struct pa_store_heap *from)
{
	struct heap *h = arg;
	struct pa_report_heap_process *p;
	uint32_t at;

	if (!heap_process_of(h, from->process, &at))
		return -ENOMEM;
	p = &h->r->heap.processes[at];
	p->mode = from->mode;
	p->flags = from->flags;
	p->mean = from->mean;
	p->unknown_frees = from->unknown_frees;
	p->own_bytes = from->own_bytes;
	p->lost = from->lost;
	p->lost_frees = from->lost_frees;
	p->uncertain_ns = from->uncertain_ns;
	p->stalled_ns = from->stalled_ns;
	p->mapped_calls = from->mapped_calls;
	p->mapped_bytes = from->mapped_bytes;
	p->unmapped_bytes = from->unmapped_bytes;
	memcpy(p->lifetime_calls, from->lifetime_calls, sizeof(p->lifetime_calls));
	memcpy(p->lifetime_bytes, from->lifetime_bytes, sizeof(p->lifetime_bytes));
	h->levels[at].total_calls = from->calls;
	h->levels[at].total_temporary = from->temporary;
	return 0;
}

static int on_thread(void *arg, const struct pa_store_heap_thread *from)
{
	struct heap *h = arg;
	struct pa_report_heap *to = &h->r->heap;

	if (!pa_grow((void **)&to->threads, &h->thread_capacity, to->nr_threads, sizeof(*to->threads)))
		return -ENOMEM;
	to->threads[to->nr_threads++] = (struct pa_report_heap_thread){
	    .thread = pa_index_of(h->r->threads, h->r->nr_threads, sizeof(*h->r->threads), from->thread),
	    .calls = from->calls,
	    .bytes = from->bytes,
	    .frees = from->frees,
	    .freed = from->freed};
	return 0;
}

static int on_point(void *arg, const struct pa_store_heap_point *from)
{
	struct heap *h = arg;
	struct pa_report_heap *to = &h->r->heap;

	if (from->time_ns > h->r->last_ns)
		h->r->last_ns = from->time_ns;
	if (from->time_ns < h->span.from || from->time_ns > h->span.to)
		return 0;
	if (!pa_grow((void **)&to->points, &h->point_capacity, to->nr_points, sizeof(*to->points)))
		return -ENOMEM;
	to->points[to->nr_points] = *from;
	to->points[to->nr_points++].process = index_of_process(h->r, from->process);
	return 0;
}

static int by_time(const void *left, const void *right)
{
	const struct pa_store_heap_point *a = left, *b = right;

	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns ? -1 : 1;
	return a->process < b->process ? -1 : a->process > b->process;
}

/* ---- chunks ------------------------------------------------------------------------------------------------------ */

/* The heap stood as it does until until_ns. */
static void note_level(const struct heap *h, struct level *l, uint64_t until_ns)
{
	if ((until_ns <= h->span.from && h->span.from) || (int64_t)l->live <= l->best)
		return;
	l->best = (int64_t)l->live;
	l->best_calls = (int64_t)l->live_calls;
	l->best_ns = l->now_ns;
}

static void add_delta(struct pa_heap_sum *to, const struct pa_store_heap_delta *d, bool before)
{
	to->live = (int64_t)((uint64_t)to->live + d->bytes - d->freed);
	to->live_calls = (int64_t)((uint64_t)to->live_calls + d->calls - d->frees);
	/* What is freed takes its variance with it: the same sampled block entered the estimate and leaves it. */
	to->var_live += d->var_bytes - d->var_freed;
	if (before) {
		to->before = to->live;
		to->before_calls = to->live_calls;
		return;
	}
	to->calls += d->calls;
	to->bytes += d->bytes;
	to->frees += d->frees;
	to->freed += d->freed;
	to->temporary += d->temporary;
	to->temporary_bytes += d->temporary_bytes;
	to->samples += d->samples;
	to->var_bytes += d->var_bytes;
}

static void note_step(struct heap *h, uint64_t first_ns, uint64_t last_ns)
{
	const struct pa_span *w = &h->span;
	bool over = (first_ns < w->from && w->from < last_ns) || (first_ns < w->to && w->to < last_ns);

	if (over && last_ns - first_ns > h->r->heap.step_ns)
		h->r->heap.step_ns = last_ns - first_ns;
}

static int on_chunk(void *arg, uint32_t process, uint64_t first_ns, uint64_t last_ns,
		    const struct pa_store_heap_delta *deltas, size_t nr)
{
	struct heap *h = arg;
	bool before = h->span.from && last_ns <= h->span.from;
	uint32_t at;

	note_step(h, first_ns, last_ns);
	if (last_ns > h->r->last_ns)
		h->r->last_ns = last_ns;
	if (last_ns > h->span.to)
		return 0;
	if (!heap_process_of(h, process, &at))
		return -ENOMEM;
	struct pa_report_heap_process *p = &h->r->heap.processes[at];
	struct level *l = &h->levels[at];
	if (last_ns != l->now_ns) /* large chunks come in parts of the same time */
		note_level(h, l, last_ns);
	l->now_ns = last_ns;
	for (size_t i = 0; i < nr; i++) {
		const struct pa_store_heap_delta *d = &deltas[i];
		struct pa_report_held *held = held_of(h, p->process, d->stack);

		if (!held)
			return -ENOMEM;
		add_delta(&held->sum, d, before);
		l->live += d->bytes - d->freed;
		l->live_calls += d->calls - d->frees;
		if (d->samples && !p->mode)
			p->mode = PA_HEAP_SAMPLED; /* cut off before its row was written */
	}
	return 0;
}

/* ---- peaks ------------------------------------------------------------------------------------------------------- */

static int on_peak(void *arg, uint32_t process, uint64_t time_ns, uint64_t calls, uint64_t bytes,
		   const struct pa_store_heap_held *held, size_t nr)
{
	struct heap *h = arg;
	struct pa_report_heap_process *p;
	uint32_t at;

	(void)held;
	(void)nr;
	if (time_ns < h->span.from || time_ns > h->span.to)
		return 0;
	if (!heap_process_of(h, process, &at))
		return -ENOMEM;
	p = &h->r->heap.processes[at];
	p->peak = bytes;
	p->peak_calls = calls;
	p->peak_ns = time_ns;
	h->levels[at].has_peak = true;
	return 0;
}

/* Which peaks count. One that was cut off may be older than the highest chunk. Returns whether there are approximate
 * ones. */
static bool choose_peaks(struct heap *h)
{
	bool some = false;

	for (size_t i = 0; i < h->r->heap.nr_processes; i++) {
		struct pa_report_heap_process *p = &h->r->heap.processes[i];
		struct level *l = &h->levels[i];

		note_level(h, l, UINT64_MAX);
		if (l->best <= 0 || (l->has_peak && (h->r->clean || (uint64_t)l->best <= p->peak)))
			continue;
		p->peak = (uint64_t)l->best;
		p->peak_calls = l->best_calls > 0 ? (uint64_t)l->best_calls : 0;
		p->peak_ns = l->best_ns > h->span.from ? l->best_ns : h->span.from;
		p->peak_approximate = some = true;
	}
	return some;
}

static int on_peak_stacks(void *arg, uint32_t process, uint64_t time_ns, uint64_t calls, uint64_t bytes,
			  const struct pa_store_heap_held *held, size_t nr)
{
	struct heap *h = arg;
	uint32_t at = h->process_of[index_of_process(h->r, process)];

	(void)calls;
	(void)bytes;
	if (!at || !h->levels[at - 1].has_peak || h->r->heap.processes[at - 1].peak_approximate ||
	    h->r->heap.processes[at - 1].peak_ns != time_ns)
		return 0;
	for (size_t i = 0; i < nr; i++) {
		struct pa_report_held *to = held_of(h, h->r->heap.processes[at - 1].process, held[i].stack);

		if (!to)
			return -ENOMEM;
		to->sum.peak += held[i].bytes;
		to->sum.peak_calls += held[i].calls;
	}
	return 0;
}

/* The second look at the chunks: up to the highest point of an approximate peak. */
static int on_peak_chunk(void *arg, uint32_t process, uint64_t first_ns, uint64_t last_ns,
			 const struct pa_store_heap_delta *deltas, size_t nr)
{
	struct heap *h = arg;
	uint32_t at = h->process_of[index_of_process(h->r, process)];

	(void)first_ns;
	if (!at || !h->r->heap.processes[at - 1].peak_approximate || last_ns > h->levels[at - 1].best_ns)
		return 0;
	for (size_t i = 0; i < nr; i++) {
		struct pa_report_held *to = held_of(h, h->r->heap.processes[at - 1].process, deltas[i].stack);

		if (!to)
			return -ENOMEM;
		to->sum.peak += deltas[i].bytes - deltas[i].freed;
		to->sum.peak_calls += deltas[i].calls - deltas[i].frees;
	}
	return 0;
}

static int load_peaks(struct heap *h, struct pa_recording *rec)
{
	int err = pa_recording_heap_peaks(rec, on_peak, h);

	if (!err && choose_peaks(h))
		err = pa_recording_heap_chunks(rec, on_peak_chunk, h);
	return err ? err : pa_recording_heap_peaks(rec, on_peak_stacks, h);
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

/* Of a damaged recording the figures are anything: they wrap, they do not overflow. */
static int64_t wrapped(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

void pa_heap_sum_add(struct pa_heap_sum *to, const struct pa_heap_sum *what)
{
	to->calls += what->calls;
	to->bytes += what->bytes;
	to->frees += what->frees;
	to->freed += what->freed;
	to->temporary += what->temporary;
	to->temporary_bytes += what->temporary_bytes;
	to->live_calls = wrapped(to->live_calls, what->live_calls);
	to->live = wrapped(to->live, what->live);
	to->before_calls = wrapped(to->before_calls, what->before_calls);
	to->before = wrapped(to->before, what->before);
	to->peak_calls += what->peak_calls;
	to->peak += what->peak;
	to->samples += what->samples;
	to->var_bytes += what->var_bytes;
	to->var_live += what->var_live;
}

static bool is_empty(const struct pa_heap_sum *s)
{
	return !s->calls && !s->bytes && !s->frees && !s->freed && !s->live && !s->live_calls && !s->before &&
	       !s->before_calls && !s->peak && !s->peak_calls;
}

/* Rounding leaves a little variance, or less than none, where nothing is live; lost events may leave less than nothing
 * at a peak. Stacks whose memory came and went before the window are left out. */
static void settle_held(struct heap *h)
{
	struct pa_report_heap *heap = &h->r->heap;
	size_t kept = 0;

	for (size_t i = 0; i < heap->nr_held; i++) {
		struct pa_heap_sum *s = &heap->held[i].sum;

		if (s->var_live < 0 || (!s->live && !s->live_calls))
			s->var_live = 0;
		if ((int64_t)s->peak < 0)
			s->peak = 0;
		if ((int64_t)s->peak_calls < 0)
			s->peak_calls = 0;
		if (is_empty(s))
			continue;
		pa_heap_sum_add(&heap->processes[h->process_of[heap->held[i].process] - 1].sum, s);
		heap->held[kept++] = heap->held[i];
	}
	heap->nr_held = kept;
}

static void sum_up(struct heap *h)
{
	struct pa_report_heap *heap = &h->r->heap;
	bool whole = !h->r->window.from_ns && h->r->window.to_ns == UINT64_MAX;

	settle_held(h);
	for (size_t i = 0; i < heap->nr_processes; i++) {
		struct pa_report_heap_process *p = &heap->processes[i];
		const struct level *l = &h->levels[i];

		if (whole && l->total_calls > p->sum.calls)
			p->sum.calls = l->total_calls;
		if (whole && l->total_temporary > p->sum.temporary)
			p->sum.temporary = l->total_temporary;
		pa_heap_sum_add(&heap->sum, &p->sum);
		heap->recorded = heap->recorded || p->mode != PA_HEAP_OFF || p->sum.calls;
		heap->estimated = heap->estimated || p->mode == PA_HEAP_SAMPLED;
		heap->uncertain = heap->uncertain ||
				  (p->uncertain_ns ? p->uncertain_ns <= h->span.to : p->lost || p->lost_frees);
	}
}

static int load(struct heap *h, struct pa_recording *rec)
{
	struct pa_report_heap *heap = &h->r->heap;
	int err;

	if ((err = pa_recording_heaps(rec, on_heap, h)) || (err = pa_recording_heap_chunks(rec, on_chunk, h)) ||
	    (err = load_peaks(h, rec)) || (err = pa_recording_heap_threads(rec, on_thread, h)) ||
	    (err = pa_recording_heap_points(rec, on_point, h)))
		return err;
	if (heap->nr_points)
		qsort(heap->points, heap->nr_points, sizeof(*heap->points), by_time);
	sum_up(h);
	return 0;
}

int pa_load_heap(struct pa_report *r, struct pa_recording *rec)
{
	struct heap h = {.r = r, .span = pa_window_span(r)};
	int err = -ENOMEM;

	h.process_of = calloc(r->nr_processes, sizeof(*h.process_of));
	if (h.process_of)
		err = load(&h, rec);
	pa_map_fini(&h.map);
	free(h.process_of);
	free(h.levels);
	return err;
}
