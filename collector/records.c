/* One handler per record type. Everything here has been copied and checked (wire.c). World: plain. */
#include <elf.h>
#include <stdio.h>
#include <string.h>

#include "collector/recorder_impl.h"

struct pa_process *pa_records_process(struct pa_recorder *r, const struct pa_drain_origin *from,
				      const struct pa_record *record)
{
	struct pa_process *p = pa_recorder_process(r, from->pid);

	if (p && record->time_ns > p->last_ns)
		p->last_ns = record->time_ns;
	return p;
}

struct pa_thread *pa_records_thread(struct pa_recorder *r, const struct pa_drain_origin *from,
				    const struct pa_record *record, uint32_t tid, struct pa_process **p)
{
	*p = pa_records_process(r, from, record);
	return *p && !(*p)->ended ? pa_recorder_thread(*p, tid, record->time_ns) : NULL;
}

static void put_sample(struct pa_process *p, struct pa_thread *t, uint64_t time_ns, uint32_t stack, uint64_t weight)
{
	struct pa_recorder *r = p->recorder;

	r->samples += weight;
	while (weight) {
		uint32_t part = weight > UINT32_MAX ? UINT32_MAX : (uint32_t)weight;

		pa_recorder_store(r, pa_store_add_sample(r->store, t->id, time_ns, stack, part));
		weight -= part;
	}
}

void pa_records_loss(struct pa_process *p, const char *reason, uint64_t count)
{
	if (count)
		pa_recorder_store(p->recorder, pa_store_add_loss(p->recorder->store, p->id, reason, count));
}

void pa_records_charge(struct pa_process *p, struct pa_thread *t, uint64_t time_ns, uint32_t pseudo, uint64_t weight)
{
	put_sample(p, t, time_ns, pa_frames_pseudo_stack(p->recorder, t->start_frame, pseudo), weight);
}

void pa_records_put_thread(struct pa_process *p, const struct pa_thread *t)
{
	struct pa_store_thread row = {.id = t->id,
				      .process = p->id,
				      .tid = t->tid,
				      .start_ns = t->start_ns,
				      .end_ns = t->end_ns,
				      .cpu_ns = t->cpu_ns > t->cpu_base_ns ? t->cpu_ns - t->cpu_base_ns : 0,
				      .period_ns = t->period_ns,
				      .start_frame = t->start_frame,
				      .name = t->name};

	pa_recorder_store(p->recorder, pa_store_put_thread(p->recorder->store, &row));
}

/* It was armed, though the record that says so was lost or not worth writing. */
static void was_sampled(struct pa_process *p, struct pa_thread *t)
{
	if (t->period_ns || t->announced)
		return;
	t->period_ns = p->recorder->period_ns;
	pa_records_put_thread(p, t);
}

static void count_handler_time(struct pa_recorder *r, uint32_t ns)
{
	uint32_t octave;

	if (ns == 0)
		return;
	octave = 31u - (uint32_t)__builtin_clz(ns);
	/* the two bits below the highest one divide the octave */
	r->handler_ns[octave * 4 + (octave >= 2 ? ns >> (octave - 2) & 3 : 0)]++;
}

static void on_sample(void *arg, const struct pa_drain_origin *from, const struct pa_record *record)
{
	const struct pa_sample *sample = (const struct pa_sample *)record;
	struct pa_recorder *r = arg;
	struct pa_process *p = pa_records_process(r, from, record);
	struct pa_thread *t = p ? pa_recorder_thread(p, sample->tid, record->time_ns) : NULL;
	uint32_t stack;

	if (!t)
		return;
	if (record->flags & PA_SAMPLE_SLICE)
		sample = pa_slices_complete(r->slices, p, r->modules, sample, r->completed);
	stack = pa_frames_stack(
	    p, &(struct pa_walked){sample->head.time_ns, sample->frames, sample->nr_frames, sample->stop});
	if (sample->head.flags & PA_SAMPLE_REFERENCE) {
		r->compared++;
		r->identical += stack == r->last_stack;
		return;
	}
	r->last_stack = stack;
	was_sampled(p, t);
	r->signals++;
	count_handler_time(r, sample->self_ns);
	pa_process_weigh(p, t, sample->weight);
	if (sample->stop != PA_STOP_END)
		pa_records_loss(p, "truncated", 1);
	if (sample->head.flags & PA_SAMPLE_BLOCKED) {
		pa_records_loss(p, "blocked", sample->weight);
		pa_records_charge(p, t, record->time_ns, PA_FRAME_SIGNAL_BLOCKED, sample->weight);
		return;
	}
	put_sample(p, t, record->time_ns, stack, sample->weight);
}

static void on_slice(void *arg, const struct pa_drain_origin *from, const struct pa_record *record)
{
	struct pa_recorder *r = arg;
	struct pa_process *p = pa_records_process(r, from, record);

	if (p)
		pa_slices_keep(r->slices, p, (const struct pa_slice *)record);
}

static uint64_t believable(uint64_t cpu_ns)
{
	return cpu_ns <= PA_CPU_NS_MAX ? cpu_ns : 0;
}

/* What the thread had used before it was armed, or since its process was attached to. A late one (raw clone) has whole
 * periods of it: they are its own. The main thread's may belong to the image before this one. */
static void count_early(struct pa_process *p, struct pa_thread *t, const struct pa_thread_start *start)
{
	uint64_t period = p->recorder->period_ns;
	uint64_t cpu = believable(start->cpu_ns), early = cpu > t->cpu_base_ns ? cpu - t->cpu_base_ns : 0;
	uint64_t periods = t->tid == p->inner_pid && !p->attached ? 0 : early / period;

	p->nr_armed++;
	p->early_ns += early - periods * period;
	if (!periods)
		return;
	pa_records_charge(p, t, start->head.time_ns, PA_FRAME_UNSAMPLED, periods);
	p->weight += periods;
}

static void on_thread_start(void *arg, const struct pa_drain_origin *from, const struct pa_record *record)
{
	const struct pa_thread_start *start = (const struct pa_thread_start *)record;
	struct pa_process *p = pa_records_process(arg, from, record);
	struct pa_thread *t;

	if (p)
		pa_attach_threads(p);
	t = p ? pa_recorder_thread(p, start->tid, record->time_ns) : NULL;
	if (!t)
		return;
	if (!t->announced && start->period_ns)
		count_early(p, t, start);
	t->announced = true;
	t->period_ns = start->period_ns;
	t->armed_cpu_ns = believable(start->cpu_ns);
	if (t->armed_cpu_ns > t->cpu_ns)
		t->cpu_ns = t->armed_cpu_ns;
	if (start->start_routine >= PA_FRAME_PSEUDO_MAX)
		t->start_frame = pa_frames_of(p, start->start_routine | PA_FRAME_EXACT, record->time_ns);
	memcpy(t->name, start->name, sizeof(start->name));
	pa_records_put_thread(p, t);
}

static void on_thread_end(void *arg, const struct pa_drain_origin *from, const struct pa_record *record)
{
	const struct pa_thread_end *end = (const struct pa_thread_end *)record;
	struct pa_process *p = pa_records_process(arg, from, record);
	struct pa_thread *t = p ? pa_recorder_thread(p, end->tid, record->time_ns) : NULL;

	if (!t)
		return;
	if (!t->start_frame && end->start_routine >= PA_FRAME_PSEUDO_MAX)
		t->start_frame = pa_frames_of(p, end->start_routine | PA_FRAME_EXACT, record->time_ns);
	if (end->undelivered)
		pa_records_charge(p, t, record->time_ns, PA_FRAME_UNSAMPLED, end->undelivered);
	pa_process_weigh(p, t, end->undelivered);
	if (!t->announced)
		t->period_ns = p->recorder->period_ns;
	t->cpu_ns = believable(end->cpu_ns);
	t->end_ns = record->time_ns;
	pa_records_put_thread(p, t);
	pa_recorder_forget_thread(p, t);
}

static void on_module(void *arg, const struct pa_drain_origin *from, const struct pa_record *record)
{
	struct pa_recorder *r = arg;
	struct pa_process *p = pa_records_process(r, from, record);

	if (p)
		pa_modules_learn(r->modules, &p->maps, p->ended || p->replaced ? 0 : p->pid,
				 (const struct pa_module *)record);
}

static void on_unmap(void *arg, const struct pa_drain_origin *from, const struct pa_record *record)
{
	const struct pa_unmap *unmap = (const struct pa_unmap *)record;
	struct pa_process *p = pa_records_process(arg, from, record);

	if (p)
		pa_maps_unmap(&p->maps, unmap->start, unmap->end, record->time_ns);
}

static void on_process_end(void *arg, const struct pa_drain_origin *from, const struct pa_record *record)
{
	const struct pa_process_end *end = (const struct pa_process_end *)record;
	struct pa_process *p = pa_records_process(arg, from, record);

	if (!p)
		return;
	if (believable(end->cpu_ns) > p->cpu_ns)
		p->cpu_ns = end->cpu_ns;
	p->said_end = true;
	if (end->kind == PA_PROCESS_EXEC) {
		p->exec_ns = record->time_ns;
		p->exec_cpu_ns = believable(end->cpu_ns);
	} else {
		pa_titles_goodbye(p);
		if (!p->how[0])
			snprintf(p->how, sizeof(p->how), "exit");
	}
}

/* Errors: false: it is about something else, or about a reason we do not know. */
static bool describe_heap(const struct pa_note *note, char *text, size_t size)
{
	static const char *const declined[] = {
	    [PA_HEAP_DECLINED_SANITIZER] = "a sanitizer's runtime checks the heap by itself",
	    [PA_HEAP_DECLINED_OWN] = "the program brings an allocator of its own that cannot be followed from outside",
	    [PA_HEAP_DECLINED_MEMORY] = "there was no memory for it",
	};

	if (note->code == PA_NOTE_HEAP_DECLINED && note->a < sizeof(declined) / sizeof(declined[0]) &&
	    declined[note->a])
		snprintf(text, size, "allocations are not recorded: %s", declined[note->a]);
	else if (note->code == PA_NOTE_HEAP_MEAN)
		snprintf(text, size,
			 "%lu sampled blocks were live at once: from then on one sample in %lu bytes was taken",
			 (unsigned long)note->b, (unsigned long)note->a);
	else if (note->code == PA_NOTE_HEAP_FIGURES)
		snprintf(text, size, "the C library needed %.1f ms to tell about its heap: it was not asked again",
			 (double)note->a / 1e6);
	else
		return false;
	return true;
}

static void describe(const struct pa_note *note, char *text, size_t size)
{
	static const char *const sentences[PA_NOTE_CODES] = {
	    [PA_NOTE_SIGNAL_MOVED] = "the program uses SIGPROF itself: sampling moved to signal",
	    [PA_NOTE_NO_SIGNAL] = "no free real-time signal: CPU sampling declined",
	    [PA_NOTE_TIMER_REFUSED] = "the kernel refused a CPU timer (RLIMIT_SIGPENDING?), errno",
	    [PA_NOTE_SECCOMP] = "the program entered seccomp: recording stopped there",
	    [PA_NOTE_ALTSTACK_SMALL] = "an alternate signal stack is too small for the handler, bytes",
	    [PA_NOTE_NO_FIND_OBJECT] = "this libc lacks _dl_find_object: stacks follow frame pointers only",
	    [PA_NOTE_HANDLER_REPLACED] = "the program replaced the handler of the sampling signal",
	    [PA_NOTE_HEAP_DECLINED] = "allocations are not recorded, reason",
	};
	static const bool shows_a[PA_NOTE_CODES] = {[PA_NOTE_SIGNAL_MOVED] = true,
						    [PA_NOTE_TIMER_REFUSED] = true,
						    [PA_NOTE_ALTSTACK_SMALL] = true,
						    [PA_NOTE_HEAP_DECLINED] = true};

	if (describe_heap(note, text, size))
		return;
	if (note->code == PA_NOTE_EXEC_DROPPED && note->a == 3)
		snprintf(text, size,
			 "it ran a program that cannot be recorded: AddressSanitizer's library must come first there");
	else if (note->code == PA_NOTE_EXEC_DROPPED && note->a == 4)
		snprintf(text, size,
			 "it ran a program without the agent: with an environment that it had cleared of it");
	else if (note->code == PA_NOTE_EXEC_DROPPED)
		snprintf(text, size, "it ran a program that cannot be recorded: %s (%lu-bit ELF, machine %lu)",
			 note->a == 1 ? "for another machine" : "statically linked, or for another loader",
			 (unsigned long)(note->b >> 16) == ELFCLASS32 ? 32ul : 64ul, (unsigned long)(note->b & 0xffff));
	else if (note->code >= PA_NOTE_CODES || !sentences[note->code])
		snprintf(text, size, "note %u of a newer agent (%lu, %lu)", note->code, (unsigned long)note->a,
			 (unsigned long)note->b);
	else if (shows_a[note->code])
		snprintf(text, size, "%s %lu", sentences[note->code], (unsigned long)note->a);
	else
		snprintf(text, size, "%s", sentences[note->code]);
}

static void on_note(void *arg, const struct pa_drain_origin *from, const struct pa_record *record)
{
	const struct pa_note *note = (const struct pa_note *)record;
	struct pa_process *p = pa_records_process(arg, from, record);
	char text[200];

	if (note->code == PA_NOTE_STARTED && p) {
		p->recorder->armed_max_ns = note->a > p->recorder->armed_max_ns ? note->a : p->recorder->armed_max_ns;
		return;
	}
	/* hooks are silent from then on as well: what is freed later still counts as live */
	if (note->code == PA_NOTE_SECCOMP && p && p->heap)
		pa_heap_mark_uncertain(p->heap, record->time_ns);
	/* bounded: a client that keeps noting fills the recording, not our time */
	if (!p || p->nr_notes++ >= 256)
		return;
	describe(note, text, sizeof(text));
	pa_recorder_store(p->recorder, pa_store_add_note(p->recorder->store, p->id, record->time_ns, text));
}

static void on_counters(void *arg, const struct pa_drain_origin *from, const struct pa_ring_counters *delta)
{
	struct pa_process *p = pa_recorder_process(arg, from->pid);
	struct pa_thread *t;

	if (!p)
		return;
	p->agent_ns += delta->self_ns;
	if (from->hook) {
		pa_records_loss(p, "hook ring full", delta->lost_full);
		pa_heaps_hook_lost(p, delta->lost_full);
		return;
	}
	pa_records_loss(p, "ring full", delta->lost_weight);
	t = delta->lost_weight ? pa_process_thread(p, from->tid) : NULL;
	if (t)
		pa_process_weigh(p, t, delta->lost_weight);
	else
		p->weight += delta->lost_weight;
}

static void on_bad(void *arg, const struct pa_drain_origin *from, const char *why)
{
	struct pa_process *p = pa_recorder_process(arg, from->pid);
	char text[128];

	if (!p)
		return;
	snprintf(text, sizeof(text), "%s ring %u was given up: %s", from->hook ? "hook" : "signal", from->slot, why);
	pa_records_loss(p, "bad record", 1);
	pa_recorder_store(p->recorder, pa_store_add_note(p->recorder->store, p->id, pa_now_ns(), text));
}

void pa_records_init(struct pa_drain_sink *sink, struct pa_recorder *r)
{
	*sink = (struct pa_drain_sink){
	    .arg = r,
	    .rows =
		{
		    [PA_REC_SAMPLE] = {on_sample, false},
		    [PA_REC_THREAD_START] = {on_thread_start, false},
		    [PA_REC_THREAD_END] = {on_thread_end, false},
		    [PA_REC_MODULE] = {on_module, true},
		    [PA_REC_UNMAP] = {on_unmap, true},
		    [PA_REC_PROCESS_END] = {on_process_end, false},
		    [PA_REC_NOTE] = {on_note, false},
		    [PA_REC_SLICE] = {on_slice, false},
		    [PA_REC_HEAP_SAMPLE] = {pa_heaps_on_sample, false},
		    [PA_REC_HEAP_FREE] = {pa_heaps_on_free, false},
		    [PA_REC_HEAP_FIGURES] = {pa_heaps_on_figures, false},
		    [PA_REC_LOOP] = {pa_loops_on_loop, false},
		    [PA_REC_ITERATION] = {pa_loops_on_iteration, false},
		    [PA_REC_WAIT] = {pa_loops_on_wait, false},
		    [PA_REC_CONNECTION] = {pa_talks_on_record, false},
		    [PA_REC_MESSAGES] = {pa_talks_on_record, false},
		    [PA_REC_LOCK_WAIT] = {pa_locks_on_wait, false},
		    [PA_REC_LOCK_DONE] = {pa_locks_on_done, false},
		    [PA_REC_STATEMENT] = {pa_talks_on_record, false},
		    [PA_REC_STATEMENT_TEXT] = {pa_talks_on_record, false},
		},
	    .counters = on_counters,
	    .bad = on_bad,
	};
}
