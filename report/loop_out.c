/* The event loops of a report, for programs and for a person. */
#include <inttypes.h>

#include "common/waitwire.h"
#include "report/escape.h"
#include "report/loops.h"
#include "report/quantity.h"
#include "report/stack_out.h"
#include "report/text.h"

#define LABEL_WIDTH  11
#define TEXT_LOOPS   10
#define TEXT_BLOCKED 5
#define TEXT_FRAMES  12
#define THREAD_WIDTH 22

static const uint32_t permilles[] = {500, 950, 990};

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

static double busy_pct(const struct pa_report_loop *l)
{
	return pa_percent(l->busy_ns, l->busy_ns + l->wait_ns);
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

static void lag_json(struct pa_json *j, const struct pa_lag *lag)
{
	static const char *const names[] = {"p50", "p95", "p99"};

	pa_json_row(j, "lag_ms");
	for (size_t i = 0; i < sizeof(permilles) / sizeof(permilles[0]); i++)
		pa_json_real(j, names[i], ms(pa_lag_quantile(lag, permilles[i])), 3);
	pa_json_real(j, "max", ms(lag->max_ns), 3);
	pa_json_end_object(j);
}

static void since_start(struct pa_json *j, const struct pa_report *r, const char *key, uint64_t ns)
{
	if (r->started_mono_ns && ns >= r->started_mono_ns)
		pa_json_seconds(j, key, ns - r->started_mono_ns);
	else
		pa_json_text(j, key, NULL);
}

static void blocked_json(struct pa_json *j, const struct pa_report *r, const struct pa_report_blocked *b)
{
	pa_json_object(j, NULL);
	pa_json_real(j, "ms", ms(b->end_ns - b->start_ns), 3);
	since_start(j, r, "at_s", b->start_ns);
	pa_json_text(j, "by", pa_blocked_name(b->by));
	pa_json_real(j, "waited_ms", ms(b->waited_ns), 3);
	pa_json_real(j, "cpu_ms", ms(b->cpu_ns), 3);
	pa_json_u64(j, "ready", b->ready);
	pa_stack_json(j, "stack", r, b->stack);
	pa_json_end_object(j);
}

static void loop_json(struct pa_json *j, const struct pa_report *r, uint32_t index, size_t limit)
{
	const struct pa_report_loop *l = r->loops->loops[index];
	const struct pa_report_thread *t = &r->threads[l->thread];
	const struct pa_report_level *wait = &r->levels[r->frames[l->frame].first];
	size_t shown = 0;

	pa_json_object(j, NULL);
	pa_json_u64(j, "id", l->id);
	pa_json_u64(j, "process", r->processes[t->process].id);
	pa_json_u64(j, "thread", t->id);
	pa_json_u64(j, "tid", t->tid);
	pa_json_text(j, "thread_name", *pa_text(r, t->name) ? pa_text(r, t->name) : NULL);
	pa_json_text(j, "kind", pa_wait_kind_name(l->kind));
	if (l->kind == PA_WAIT_EPOLL)
		pa_json_u64(j, "descriptor", l->key);
	if (l->watched)
		pa_json_u64(j, "watched", l->watched);
	pa_json_text(j, "function", pa_text(r, wait->function));
	pa_json_u64(j, "iterations", l->iterations);
	pa_json_u64(j, "ready", l->ready);
	pa_json_real(j, "busy_pct", busy_pct(l), 3);
	pa_json_seconds(j, "busy_s", l->busy_ns);
	pa_json_seconds(j, "wait_s", l->wait_ns);
	pa_json_seconds(j, "waited_s", l->waited_ns);
	lag_json(j, &l->lag);
	pa_json_u64(j, "blocked_count", l->blocked);
	pa_json_array(j, "blocked");
	for (size_t i = 0; i < r->loops->nr_blocked && shown < limit; i++) {
		if (r->loops->blocked[i].loop != index)
			continue;
		blocked_json(j, r, &r->loops->blocked[i]);
		shown++;
	}
	pa_json_end_array(j);
	pa_json_end_object(j);
}

static void waits_json(struct pa_json *j, const struct pa_report *r, size_t limit)
{
	pa_json_array(j, "waits");
	for (size_t i = 0; i < r->loops->nr_waits && i < limit; i++) {
		const struct pa_report_loop_wait *w = &r->loops->waits[i];

		pa_json_object(j, NULL);
		pa_json_u64(j, "thread", r->threads[w->thread].id);
		pa_json_text(j, "kind", pa_wait_kind_name(w->kind));
		pa_json_u64(j, "count", w->waits);
		pa_json_real(j, "total_ms", ms(w->total_ns), 3);
		pa_json_real(j, "max_ms", ms(w->max_ns), 3);
		pa_stack_json(j, "stack", r, w->stack);
		pa_json_end_object(j);
	}
	pa_json_end_array(j);
}

void pa_loops_json(struct pa_json *j, const struct pa_report *r, size_t limit)
{
	const struct pa_report_loops *loops = r->loops;
	uint64_t to = r->window.to_ns < r->duration_ns ? r->window.to_ns : r->duration_ns;
	uint64_t time_ns = to > r->window.from_ns ? to - r->window.from_ns : 0;
	double pending = pa_loops_pending(r), running = time_ns ? (double)r->sum.ns / (double)time_ns : 0;

	pa_json_object(j, "event_loop");
	pa_json_real(j, "event_loop_lag_ms", ms(pa_lag_quantile(&loops->lag, 950)), 3);
	pa_json_real(j, "active_tasks", pending + running, 3);
	pa_json_real(j, "pending_descriptors", pending, 3);
	if (pa_report_has_cpu(r))
		pa_json_real(j, "running_threads", running, 3);
	pa_json_real(j, "blocked_from_ms", ms(loops->threshold_ns), 3);
	pa_json_u64(j, "blocked_count", loops->nr_blocked);
	pa_json_array(j, "loops");
	for (size_t i = 0; i < loops->nr_loops && i < limit; i++)
		loop_json(j, r, (uint32_t)i, limit);
	pa_json_end_array(j);
	pa_json_u64(j, "loops_omitted", loops->nr_loops > limit ? loops->nr_loops - limit : 0);
	waits_json(j, r, limit);
	pa_json_end_object(j);
}

/* ---- text ------------------------------------------------------------------------------------------------------- */

static void put_ms(FILE *out, uint64_t ns)
{
	fprintf(out, "  %8.*f", ns < 100000000 ? 2 : 0, ms(ns));
}

static void loop_text(const struct pa_report *r, const struct pa_report_loop *l, FILE *out)
{
	const struct pa_report_thread *t = &r->threads[l->thread];
	char count[PA_QUANTITY_MAX];
	size_t used;

	fprintf(out, "  %6.1f  %10s", busy_pct(l), pa_count_text(count, l->iterations));
	for (size_t i = 0; i < sizeof(permilles) / sizeof(permilles[0]); i++)
		put_ms(out, pa_lag_quantile(&l->lag, permilles[i]));
	put_ms(out, l->lag.max_ns);
	fprintf(out, "  %7" PRIu64 "  ", l->blocked);
	used =
	    pa_escape_columns(out, PA_PLAIN, *pa_text(r, t->name) ? pa_text(r, t->name) : "thread", THREAD_WIDTH - 8);
	fprintf(out, " %-*" PRIu32, used < THREAD_WIDTH ? (int)(THREAD_WIDTH - 1 - used) : 0, t->tid);
	fputc(' ', out);
	pa_escape_columns(out, PA_PLAIN, pa_text(r, r->levels[r->frames[l->frame].first].function), 32);
	if (l->kind == PA_WAIT_EPOLL)
		fprintf(out, " (descriptor %" PRIu64 ")", l->key);
	fputc('\n', out);
}

static void blocked_text(const struct pa_report *r, const struct pa_report_options *o,
			 const struct pa_report_blocked *b, FILE *out)
{
	const struct pa_stack_style style = {.indent = 6, .max = TEXT_FRAMES};
	const struct pa_report_thread *t = &r->threads[r->loops->loops[b->loop]->thread];
	uint64_t at = r->started_mono_ns && b->start_ns > r->started_mono_ns ? b->start_ns - r->started_mono_ns : 0;
	char when[PA_QUANTITY_MAX];

	fprintf(out, "  blocked for %.1f ms at %s, thread %" PRIu32 ": ", ms(b->end_ns - b->start_ns),
		pa_time_text(when, at), t->tid);
	if (b->by == PA_BLOCKED_WAIT)
		fprintf(out, "waiting (%.1f ms)\n", ms(b->waited_ns));
	else if (b->by == PA_BLOCKED_CPU)
		fprintf(out, "on the processor (%" PRIu32 " samples)\n", b->samples);
	else
		fputs("neither in a wait that is watched nor on the processor for most of it\n", out);
	if (b->stack)
		pa_stack_text(r, o, b->stack, &style, out);
	else
		fputs("      no stack: no sample and no long wait fell into it\n", out);
}

void pa_loops_text(const struct pa_report *r, const struct pa_report_options *o, FILE *out)
{
	const struct pa_report_loops *loops = r->loops;
	size_t nr = o->limit ? o->limit : TEXT_LOOPS, blocked = o->limit ? o->limit : TEXT_BLOCKED;
	struct pa_style style;

	/* a program without loops is none the worse for being looked at */
	if (!loops->nr_loops && (pa_report_has_cpu(r) || r->heap.recorded))
		return;
	pa_style_get(o, &style);
	fprintf(out, "\n%sevent loops%s\n", style.bold, style.plain);
	if (!loops->nr_loops) {
		fputs("  none was seen\n", out);
		return;
	}
	fprintf(out, "  %-*s%.3f ms (95 %% of iterations of all loops are shorter)\n\n", LABEL_WIDTH, "lag",
		ms(pa_lag_quantile(&loops->lag, 950)));
	fprintf(out,
		"%s  busy %%  iterations    p50 ms    p95 ms    p99 ms    max ms  blocked  thread                 "
		"waits in%s\n",
		style.bold, style.plain);
	for (size_t i = 0; i < loops->nr_loops && i < nr; i++)
		loop_text(r, loops->loops[i], out);
	if (loops->nr_loops > nr)
		fprintf(out, "  and %zu more (--format json lists all)\n", loops->nr_loops - nr);
	for (size_t i = 0; i < loops->nr_blocked && i < blocked; i++) {
		fputc('\n', out);
		blocked_text(r, o, &loops->blocked[i], out);
	}
	if (loops->nr_blocked > blocked)
		fprintf(out, "\n  and %zu more iterations of %.0f ms and more (--format json lists them)\n",
			loops->nr_blocked - blocked, ms(loops->threshold_ns));
}
