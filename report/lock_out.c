/* Waits for locks of a report, for programs and for a person. */
#include <inttypes.h>

#include "common/lockwire.h"
#include "report/escape.h"
#include "report/locks.h"
#include "report/quantity.h"
#include "report/stack_out.h"
#include "report/talks.h"
#include "report/text.h"

#define TEXT_ROWS   10
#define TEXT_STACKS 3
#define TEXT_FRAMES 12

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

static uint64_t mean(uint64_t total, uint64_t nr)
{
	return nr ? total / nr : 0;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

static void holder_json(struct pa_json *j, const struct pa_report *r, const struct pa_report_lock *l)
{
	uint32_t stack;
	enum pa_lock_holder how = pa_lock_holder(l, &stack);

	pa_json_object(j, "holder");
	pa_json_text(j, "known_by",
		     how == PA_HOLDER_SAMPLES  ? "cpu samples"
		     : how == PA_HOLDER_WAITED ? "its own wait"
					       : NULL);
	if (how != PA_HOLDER_UNKNOWN)
		pa_stack_json(j, "stack", r, stack);
	pa_json_end_object(j);
}

static void lock_json(struct pa_json *j, const struct pa_report *r, const struct pa_report_lock *l)
{
	pa_json_object(j, NULL);
	pa_json_text(j, "kind", pa_lock_kind_name(l->kind));
	pa_json_text(j, "function", pa_text(r, pa_stack_caller(r, l->process, l->stack)));
	pa_json_u64(j, "processes", l->nr_processes);
	pa_json_u64(j, "count", l->waits);
	pa_json_u64(j, "timed_out", l->timed_out);
	pa_json_u64(j, "unfinished", l->unfinished);
	pa_json_u64(j, "slow", l->slow);
	pa_json_u64(j, "addresses", l->addresses);
	pa_json_real(j, "total_ms", ms(l->total_ns), 3);
	pa_json_real(j, "avg_ms", ms(mean(l->total_ns, l->waits)), 3);
	pa_json_real(j, "p50_ms", ms(pa_lock_quantile(l, 500)), 3);
	pa_json_real(j, "p95_ms", ms(pa_lock_quantile(l, 950)), 3);
	pa_json_real(j, "p99_ms", ms(pa_lock_quantile(l, 990)), 3);
	pa_json_real(j, "max_ms", ms(l->max_ns), 3);
	if (pa_lock_is_contended(l)) {
		pa_json_u64(j, "held_count", l->held);
		pa_json_real(j, "held_ms", ms(l->held_ns), 3);
		pa_json_real(j, "held_max_ms", ms(l->held_max_ns), 3);
		holder_json(j, r, l);
	}
	pa_stack_json(j, "stack", r, l->stack);
	pa_json_end_object(j);
}

void pa_locks_json(struct pa_json *j, const struct pa_report *r, size_t limit)
{
	const struct pa_report_locks *locks = r->locks;

	pa_json_array(j, "locks");
	for (size_t i = 0; i < locks->nr_locks && i < limit; i++)
		lock_json(j, r, locks->locks[i]);
	pa_json_end_array(j);
	pa_json_u64(j, "locks_omitted", locks->nr_locks > limit ? locks->nr_locks - limit : 0);
}

/* ---- text ------------------------------------------------------------------------------------------------------- */

static void put_ms(FILE *out, uint64_t ns)
{
	fprintf(out, "  %8.*f", ns < 100000000 ? 2 : 0, ms(ns));
}

static void lock_text(const struct pa_report *r, const struct pa_report_lock *l, FILE *out)
{
	char count[PA_QUANTITY_MAX];

	fprintf(out, "  %-10s  %8s", pa_lock_kind_name(l->kind), pa_count_text(count, l->waits));
	put_ms(out, l->total_ns);
	put_ms(out, mean(l->total_ns, l->waits));
	put_ms(out, pa_lock_quantile(l, 950));
	put_ms(out, l->max_ns);
	fprintf(out, "  %7" PRIu64 "  %5" PRIu64 "  ", l->timed_out, l->addresses);
	pa_escape_columns(out, PA_PLAIN, pa_text(r, pa_stack_caller(r, l->process, l->stack)), 60);
	if (l->unfinished)
		fprintf(out, " (%" PRIu64 " more did not end)", l->unfinished);
	fputc('\n', out);
}

static void stacks_text(const struct pa_report *r, const struct pa_report_options *o, const struct pa_report_lock *l,
			FILE *out)
{
	const struct pa_stack_style style = {.indent = 6, .max = TEXT_FRAMES};
	uint32_t holder;
	enum pa_lock_holder how = pa_lock_holder(l, &holder);

	fprintf(out, "\n  waited %.1f ms for a %s at\n", ms(l->total_ns), pa_lock_kind_name(l->kind));
	pa_stack_text(r, o, l->stack, &style, out);
	if (!pa_lock_is_contended(l))
		return;
	fprintf(out, "    held by: %s\n",
		how == PA_HOLDER_UNKNOWN   ? "unknown"
		: how == PA_HOLDER_SAMPLES ? "a thread that most of the time was on the processor at"
					   : "a thread that had waited for it itself, at");
	if (how != PA_HOLDER_UNKNOWN)
		pa_stack_text(r, o, holder, &style, out);
}

void pa_locks_text(const struct pa_report *r, const struct pa_report_options *o, FILE *out)
{
	const struct pa_report_locks *locks = r->locks;
	size_t nr = o->limit ? o->limit : TEXT_ROWS;
	struct pa_style style;

	pa_style_get(o, &style);
	fprintf(out, "\n%slocks%s\n", style.bold, style.plain);
	if (!locks->nr_locks) {
		fputs("  no thread waited for one that is watched\n", out);
		return;
	}
	fprintf(out, "%s  kind          waits  total ms    avg ms    p95 ms    max ms  timeout  locks  waited in%s\n",
		style.bold, style.plain);
	for (size_t i = 0; i < locks->nr_locks && i < nr; i++)
		lock_text(r, locks->locks[i], out);
	if (locks->nr_locks > nr)
		fprintf(out, "  and %zu more (--format json lists all)\n", locks->nr_locks - nr);
	for (size_t i = 0; i < locks->nr_locks && i < TEXT_STACKS; i++)
		if (pa_lock_is_contended(locks->locks[i]))
			stacks_text(r, o, locks->locks[i], out);
}
