/* `perfagent leaks` as text and as JSON. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "report/escape.h"
#include "report/json_writer.h"
#include "report/leaks.h"
#include "report/quantity.h"
#include "report/stack_out.h"
#include "report/text.h"

#define TEXT_STACKS 10
#define TEXT_FRAMES 16
#define JSON_STACKS 1000

static const char *plural(uint64_t n, const char *one, const char *many)
{
	return n == 1 ? one : many;
}

static uint64_t positive(int64_t value)
{
	return value > 0 ? (uint64_t)value : 0;
}

static const struct pa_report_process *lost_events(const struct pa_report *r, uint64_t *frees)
{
	const struct pa_report_process *first = NULL;
	*frees = 0;
	for (size_t i = 0; i < r->heap.nr_processes; i++) {
		*frees += r->heap.processes[i].lost_frees;
		if (r->heap.processes[i].uncertain_ns && !first)
			first = &r->processes[r->heap.processes[i].process];
	}
	return first;
}

/* How far the figures can be trusted. */
static void write_trust(const struct pa_report *r, const struct pa_leaks *l, bool growth, FILE *out)
{
	char interval[PA_QUANTITY_MAX];
	uint64_t frees;
	if (r->heap.estimated)
		fprintf(out,
			"  estimated from samples: \xC2\xB1 %s (95 %%); record with --heap=exact for every block\n",
			pa_size_text(interval, pa_interval(l->variance)));
	if (r->heap.uncertain && lost_events(r, &frees))
		fprintf(out,
			"  events were lost (%" PRIu64 " frees among them): blocks shown here may have been freed\n",
			frees);
	if (!r->clean && !growth)
		fputs("  the recording has not ended: this is what it holds so far\n", out);
	if (l->nr_execed)
		fprintf(out, "  %zu %s became another program: what they held is not counted\n", l->nr_execed,
			plural(l->nr_execed, "process", "processes"));
	if (l->nr_killed)
		fprintf(out, "  %zu %s ended by a signal: what they held was in use\n", l->nr_killed,
			plural(l->nr_killed, "process was", "processes were"));
}

static void write_summary(const struct pa_report *r, const struct pa_leaks *l, const struct pa_leaks_verdict *v,
			  const struct pa_style *style, FILE *out)
{
	char size[PA_QUANTITY_MAX], all[PA_QUANTITY_MAX], time[PA_QUANTITY_MAX];
	if (v->growth) {
		fprintf(out, "%s%s%s %s in %s: %zu growing %s\n", style->bold, pa_change_text(size, l->bytes),
			style->plain, "of live memory", pa_time_text(time, v->watched_ns), l->nr_leaking,
			plural(l->nr_leaking, "stack", "stacks"));
		return;
	}
	if (!l->nr_leaking) {
		fprintf(out, "%snothing leaked%s: all of %s that was allocated was freed%s\n", style->bold,
			style->plain, pa_size_text(all, r->heap.sum.bytes),
			l->suppressed_blocks ? " or is suppressed" : "");
		return;
	}
	fprintf(out, "%s%s %s%s in %" PRIu64 " %s by %zu %s (%.2f %% of %s allocated)\n", style->bold,
		pa_size_text(size, positive(l->bytes)), r->clean ? "leaked" : "not freed so far", style->plain,
		positive(l->blocks), plural(positive(l->blocks), "block", "blocks"), l->nr_leaking,
		plural(l->nr_leaking, "stack", "stacks"), pa_percent(positive(l->bytes), r->heap.sum.bytes),
		pa_size_text(all, r->heap.sum.bytes));
}

static void write_leak(const struct pa_report *r, const struct pa_leaks *l, const struct pa_leak *leak,
		       const struct pa_leaks_verdict *v, const struct pa_report_options *o, FILE *out)
{
	struct pa_style style;
	char size[PA_QUANTITY_MAX], interval[PA_QUANTITY_MAX];
	pa_style_get(o, &style);
	fprintf(out, "\n  %s%s%s", style.bold,
		v->growth ? pa_change_text(size, leak->bytes) : pa_size_text(size, positive(leak->bytes)), style.plain);
	if (leak->variance > 0)
		fprintf(out, " \xC2\xB1 %s", pa_size_text(interval, pa_interval(leak->variance)));
	fprintf(out, " (%.1f %%) in %" PRId64 " %s\n", pa_percent(positive(leak->bytes), positive(l->bytes)),
		leak->blocks, plural((uint64_t)leak->blocks, "block", "blocks"));
	const struct pa_stack_style frames = {.indent = 6, .max = o->limit == SIZE_MAX ? 0 : TEXT_FRAMES};
	pa_stack_text(r, o, leak->stack, &frames, out);
}

static void write_suppressions(const struct pa_leaks *l, const struct pa_suppressions *s,
			       const struct pa_leaks_verdict *v, FILE *out)
{
	char size[PA_QUANTITY_MAX];
	if (l->suppressed_blocks)
		fprintf(out, "\n  suppressed: %s in %" PRIu64 " %s\n", pa_size_text(size, l->suppressed_bytes),
			l->suppressed_blocks, plural(l->suppressed_blocks, "block", "blocks"));
	for (size_t i = 0; i < s->nr; i++) {
		const struct pa_suppression *row = &s->rows[i];
		if (!row->blocks)
			continue;
		fprintf(out, "    %9s in %" PRIu64 "  ", pa_size_text(size, row->bytes), row->blocks);
		pa_escape(out, PA_PLAIN, row->pattern);
		fputs(row->source ? "\n" : "  (built in)\n", out);
	}
	for (size_t i = 0; i < s->nr; i++) {
		const struct pa_suppression *row = &s->rows[i];
		if (row->blocks || !row->source || v->growth)
			continue;
		fputs("  unused suppression: ", out);
		pa_escape(out, PA_PLAIN, row->source);
		fprintf(out, ":%u: ", row->line);
		pa_escape(out, PA_PLAIN, row->pattern);
		fputc('\n', out);
	}
}

int pa_leaks_text(const struct pa_report *r, const struct pa_leaks *l, const struct pa_suppressions *s,
		  const struct pa_leaks_verdict *v, const struct pa_report_options *o, FILE *out)
{
	struct pa_style style;
	char size[PA_QUANTITY_MAX];
	size_t limit = o->limit ? o->limit : TEXT_STACKS, shown = l->nr_leaking < limit ? l->nr_leaking : limit;
	int64_t rest = 0;

	pa_style_get(o, &style);
	write_summary(r, l, v, &style, out);
	write_trust(r, l, v->growth, out);
	if (v->threshold > 1)
		fprintf(out, "  %s the threshold of %s\n", v->over ? "over" : "below",
			pa_size_text(size, v->threshold));
	for (size_t i = 0; i < shown; i++)
		write_leak(r, l, &l->rows[i], v, o, out);
	for (size_t i = shown; i < l->nr_leaking; i++)
		rest += l->rows[i].bytes;
	if (shown < l->nr_leaking)
		fprintf(out, "\n  %s in %zu more %s (-n shows more)\n", pa_size_text(size, positive(rest)),
			l->nr_leaking - shown, plural(l->nr_leaking - shown, "stack", "stacks"));
	write_suppressions(l, s, v, out);
	return ferror(out) ? -EIO : 0;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------ */

static void json_leak(struct pa_json *j, const struct pa_report *r, const struct pa_leaks *l,
		      const struct pa_leak *leak)
{
	pa_json_row(j, NULL);
	pa_json_i64(j, "bytes", leak->bytes);
	pa_json_i64(j, "count", leak->blocks);
	pa_json_u64(j, "interval_bytes", pa_interval(leak->variance));
	pa_json_real(j, "share_pct", pa_percent(positive(leak->bytes), positive(l->bytes)), 3);
	pa_stack_json(j, "stack", r, leak->stack);
	pa_json_end_object(j);
}

static void json_suppressions(struct pa_json *j, const struct pa_leaks *l, const struct pa_suppressions *s)
{
	pa_json_object(j, "suppressed");
	pa_json_u64(j, "bytes", l->suppressed_bytes);
	pa_json_u64(j, "count", l->suppressed_blocks);
	pa_json_array(j, "patterns");
	for (size_t i = 0; i < s->nr; i++) {
		const struct pa_suppression *row = &s->rows[i];
		if (!row->blocks && !row->source)
			continue;
		pa_json_row(j, NULL);
		pa_json_text(j, "pattern", row->pattern);
		pa_json_text(j, "file", row->source);
		pa_json_u64(j, "line", row->line);
		pa_json_u64(j, "bytes", row->bytes);
		pa_json_u64(j, "count", row->blocks);
		pa_json_end_object(j);
	}
	pa_json_end_array(j);
	pa_json_end_object(j);
}

int pa_leaks_json(const struct pa_report *r, const struct pa_leaks *l, const struct pa_suppressions *s,
		  const struct pa_leaks_verdict *v, const struct pa_report_options *o, FILE *out)
{
	struct pa_json j = {.out = out};
	size_t limit = o->limit ? o->limit : JSON_STACKS, shown = l->nr_leaking < limit ? l->nr_leaking : limit;

	pa_json_object(&j, NULL);
	pa_json_text(&j, "schema", "perfagent.leaks/1");
	pa_json_text(&j, "command", pa_text(r, r->command));
	pa_json_text(&j, "what", v->growth ? "growth" : "leaked");
	pa_json_seconds(&j, "watched_s", v->growth ? v->watched_ns : r->duration_ns);
	pa_json_u64(&j, "threshold_bytes", v->threshold);
	pa_json_bool(&j, "over", v->over);
	pa_json_bool(&j, "estimated", r->heap.estimated);
	pa_json_bool(&j, "uncertain", r->heap.uncertain);
	pa_json_bool(&j, "ended_early", !r->clean);
	pa_json_i64(&j, "bytes", l->bytes);
	pa_json_i64(&j, "count", l->blocks);
	pa_json_u64(&j, "interval_bytes", pa_interval(l->variance));
	pa_json_u64(&j, "bytes_allocated", r->heap.sum.bytes);
	pa_json_array(&j, "leaks");
	for (size_t i = 0; i < shown; i++)
		json_leak(&j, r, l, &l->rows[i]);
	pa_json_end_array(&j);
	pa_json_u64(&j, "leaks_omitted", l->nr_leaking - shown);
	json_suppressions(&j, l, s);
	pa_json_end_object(&j);
	return ferror(out) ? -EIO : 0;
}
