/* Heaps of a recording: which process a ring's events belong to, what their stacks are, and when they are written.
 * World: plain. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/proc.h"
#include "collector/recorder_impl.h"
#include "common/atomics.h"

bool pa_heaps_wanted(const struct pa_recorder *r)
{
	return (r->options.modes & PA_MODE_MEMORY) && r->options.heap_mode != PA_HEAP_OFF;
}

/* ---- what the drain asks ---------------------------------------------------------------------------------------- */

static struct pa_heap_writer on_writer(void *arg, uint32_t pid, uint32_t tid, uint64_t time_ns)
{
	struct pa_process *p = pa_recorder_process(arg, pid);

	if (!p || !p->heap)
		return (struct pa_heap_writer){0};
	return (struct pa_heap_writer){p->heap, p, pa_recorder_thread_at(p, tid, time_ns)};
}

static uint32_t on_stack(void *arg, void *process, uint32_t parent, uint64_t frame, uint64_t time_ns)
{
	return pa_frames_on(process, parent, frame, time_ns);
}

static uint32_t on_no_stack(void *arg)
{
	return pa_frames_pseudo_stack(arg, 0, PA_FRAME_TRUNCATED);
}

static void on_counters(void *arg, struct pa_heap *heap, uint32_t pid, const struct pa_ring_counters *delta)
{
	struct pa_recorder *r = arg;
	struct pa_process *p = pa_recorder_process(r, pid);

	if (!p)
		return;
	pa_records_loss(p, "heap ring full", delta->lost_full);
	heap = p->heap;
	if (!heap)
		return;
	heap->stalled_ns += delta->self_ns;
	heap->lost += delta->lost_full;
	heap->lost_frees += delta->lost_weight;
	if (delta->lost_full)
		pa_heap_mark_uncertain(heap, r->draining->heap_ns);
}

static void on_bad(void *arg, struct pa_heap *heap, uint32_t pid, uint32_t ring, const char *why)
{
	struct pa_recorder *r = arg;
	struct pa_process *p = pa_recorder_process(r, pid);
	char text[128];

	if (!p)
		return;
	snprintf(text, sizeof(text), "heap ring %u was given up: %s", ring, why);
	pa_records_loss(p, "bad record", 1);
	pa_recorder_store(r, pa_store_add_note(r->store, p->id, pa_now_ns(), text));
	if (p->heap)
		pa_heap_mark_uncertain(p->heap, r->draining->heap_ns);
}

/* ---- records of hook rings -------------------------------------------------------------------------------------- */

void pa_heaps_on_sample(void *arg, const struct pa_drain_origin *from, const struct pa_record *record)
{
	const struct pa_heap_sample *sample = (const struct pa_heap_sample *)record;
	struct pa_recorder *r = arg;
	struct pa_process *p = pa_records_process(r, from, record);
	uint32_t stack;

	if (!p || !p->heap || p->heap->mode != PA_HEAP_SAMPLED)
		return;
	stack =
	    pa_frames_stack(p, &(struct pa_walked){record->time_ns, sample->frames, sample->nr_frames, sample->stop});
	p->heap->mean = sample->mean;
	pa_heap_sampled_alloc(r->sampled, p->heap, sample, stack,
			      pa_recorder_thread_at(p, sample->tid, record->time_ns));
}

void pa_heaps_on_free(void *arg, const struct pa_drain_origin *from, const struct pa_record *record)
{
	struct pa_recorder *r = arg;
	struct pa_process *p = pa_records_process(r, from, record);

	if (p && p->heap && p->heap->mode == PA_HEAP_SAMPLED)
		pa_heap_sampled_freed(r->sampled, p->heap, (const struct pa_heap_free *)record,
				      from->tid ? pa_recorder_thread_at(p, from->tid, record->time_ns) : 0);
}

void pa_heaps_on_figures(void *arg, const struct pa_drain_origin *from, const struct pa_record *record)
{
	const struct pa_heap_figures *f = (const struct pa_heap_figures *)record;
	struct pa_process *p = pa_records_process(arg, from, record);

	if (!p || !p->heap || f->head.time_ns < p->heap->libc.time_ns)
		return;
	p->heap->libc.time_ns = f->head.time_ns;
	p->heap->libc.arena = f->arena;
	p->heap->libc.mapped = f->mapped;
	p->heap->libc.used = f->used;
	p->heap->libc.unused = f->unused;
}

/* Nearly all records of a hook ring are samples of the heap, where there are any. */
void pa_heaps_hook_lost(struct pa_process *p, uint64_t records)
{
	if (!records || !p->heap || p->heap->mode != PA_HEAP_SAMPLED)
		return;
	p->heap->lost += records;
	pa_heap_mark_uncertain(p->heap, p->session->heap_ns);
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

int pa_heaps_init(struct pa_recorder *r)
{
	bool exact = r->options.heap_mode == PA_HEAP_EXACT;

	if (!pa_heaps_wanted(r))
		return 0;
	pa_heap_clock_init(&r->heap_clock, exact && pa_heap_clock_has_tsc());
	r->heap_sink = (struct pa_heap_sink){.arg = r,
					     .writer = on_writer,
					     .stack = on_stack,
					     .no_stack = on_no_stack,
					     .counters = on_counters,
					     .bad = on_bad};
	r->sampled = pa_heap_sampled_new();
	return r->sampled ? 0 : -ENOMEM;
}

void pa_heaps_fini(struct pa_recorder *r)
{
	pa_heap_sampled_free(r->sampled);
}

int pa_heaps_open(struct pa_recording_session *rs)
{
	struct pa_recorder *r = rs->recorder;

	rs->heap_ns = pa_now_ns();
	if (!pa_heaps_wanted(r) || !rs->s->nr_heap_rings)
		return 0;
	rs->heap_drain = pa_heap_drain_new(rs->s, &r->heap_clock);
	return rs->heap_drain ? 0 : -ENOMEM;
}

void pa_heaps_begin(struct pa_process *p)
{
	struct pa_recorder *r = p->recorder;

	if (!pa_heaps_wanted(r) || !p->session->s->geometry.heap_mode)
		return;
	/* without memory for it the process has no heap in the report, and says so */
	p->heap = pa_heap_new(r->options.heap_mode, r->options.heap_flags, &r->heap_clock, p->start_ns, 0);
	if (!p->heap)
		pa_recorder_store(r, -ENOMEM);
	else
		p->heap->mean = r->options.heap_mean;
}

void pa_heaps_look(struct pa_recording_session *rs)
{
	if (rs->heap_drain)
		pa_heap_drain_look(rs->heap_drain);
}

bool pa_heaps_play(struct pa_recording_session *rs, uint64_t until_ns, struct pa_drain_result *result)
{
	struct pa_recorder *r = rs->recorder;
	struct pa_heap_drain_result heap = {0};
	bool done = true;

	if (!pa_heaps_wanted(r))
		return true;
	pa_heap_clock_update(&r->heap_clock);
	if (rs->heap_drain)
		done = pa_heap_drain_part(rs->heap_drain, &r->heap_sink, until_ns, &heap);
	result->bytes += heap.bytes;
	if (heap.fill_permille > result->fill_permille)
		result->fill_permille = heap.fill_permille;
	if (!done)
		return false;
	pa_heap_sampled_play(r->sampled);
	rs->heap_ns = rs->heap_drain ? pa_heap_clock_ns(&r->heap_clock, pa_heap_drain_clock(rs->heap_drain))
				     : r->heap_clock.ns;
	for (struct pa_process *p = rs->processes; p; p = p->next)
		if (p->heap)
			pa_heap_end_pass(p->heap);
	return true;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

/* Memory of the process, without what our rings take of it: that is shared memory, as files are. */
static uint64_t resident(const struct pa_process *p)
{
	uint64_t all, shared, ours;

	if (!p->pid || p->replaced || pa_proc_resident(p->pid, &all, &shared))
		return UINT64_MAX;
	if (!p->session->heap_drain)
		return all;
	ours = pa_heap_drain_touched(p->session->heap_drain, p->inner_pid);
	return all - (ours < shared ? ours : shared);
}

void pa_heaps_losses(struct pa_recording_session *rs)
{
	struct pa_recorder *r = rs->recorder;
	uint64_t unrecorded, delta, own, mean;

	if (!pa_heaps_wanted(r) || !rs->processes)
		return;
	unrecorded = pa_load_relaxed(&rs->s->control->heap_unrecorded);
	own = pa_load_relaxed(&rs->s->control->heap_own_bytes);
	mean = pa_load_relaxed(&rs->s->control->heap_mean_now);
	delta = unrecorded > rs->heap_unrecorded ? unrecorded - rs->heap_unrecorded : 0;
	rs->heap_unrecorded = unrecorded;
	pa_records_loss(rs->processes, "heap not recorded", delta);
	for (struct pa_process *p = rs->processes; p; p = p->next) {
		if (!p->heap)
			continue;
		p->heap->own_bytes = own;
		p->heap->mean = mean > p->heap->mean ? mean : p->heap->mean;
		/* one of the processes that share the session: which is not known */
		p->heap->unrecorded += delta;
		delta = delta ? (pa_heap_mark_uncertain(p->heap, rs->heap_ns), delta) : 0;
	}
}

static void flush(struct pa_process *p, uint64_t time_ns, bool at_end)
{
	struct pa_recorder *r = p->recorder;

	pa_recorder_store(r, pa_heap_flush(p->heap, r->store, p->id, time_ns, at_end));
	pa_recorder_store(r, pa_heap_flush_point(p->heap, r->store, p->id, time_ns, resident(p)));
}

void pa_heaps_flush(struct pa_recording_session *rs)
{
	pa_heaps_losses(rs);
	for (struct pa_process *p = rs->processes; p; p = p->next)
		if (p->heap)
			flush(p, rs->heap_ns, false);
}

static void note_limits(struct pa_process *p)
{
	struct pa_recorder *r = p->recorder;
	char text[160];

	if (p->heap->untracked) {
		snprintf(text, sizeof(text),
			 "%lu blocks found no place among the live ones: from then on too little is live",
			 (unsigned long)p->heap->untracked);
		pa_recorder_store(r, pa_store_add_note(r->store, p->id, pa_now_ns(), text));
	}
	if (p->heap->folded)
		pa_records_loss(p, "heap stacks folded", p->heap->folded);
}

void pa_heaps_end(struct pa_process *p)
{
	if (!p->heap)
		return;
	pa_heap_end(p->heap);
	note_limits(p);
	flush(p, p->session->heap_ns, true);
	if (p->session->heap_drain)
		pa_heap_drain_release(p->session->heap_drain, p->inner_pid, p->heap);
	pa_heap_free(p->heap);
	p->heap = NULL;
}
