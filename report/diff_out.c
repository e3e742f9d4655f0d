/* `perfagent diff` as text and as JSON. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "report/diff.h"
#include "report/escape.h"
#include "report/json_writer.h"
#include "report/quantity.h"
#include "report/stack_out.h"
#include "report/text.h"

#define TEXT_ROWS   15
#define TEXT_STACKS 5
#define TEXT_FRAMES 16
#define JSON_ROWS   1000
/* Changes of a share below this are not worth a line: percent points. */
#define CPU_LEAST 0.05

static uint64_t positive(int64_t value)
{
	return value > 0 ? (uint64_t)value : 0;
}

static double rate(uint64_t nr, double seconds)
{
	return seconds > 0 ? (double)nr / seconds : 0;
}

static int64_t growth(const struct pa_diff_row *row)
{
	return row->live[1] - row->live[0];
}

static uint64_t peak(const struct pa_report *r)
{
	uint64_t most = 0;
	for (size_t i = 0; i < r->heap.nr_processes; i++)
		most = r->heap.processes[i].peak > most ? r->heap.processes[i].peak : most;
	return most;
}

static void write_side(const struct pa_diff *d, int side, const struct pa_diff_verdict *v,
		       const struct pa_report_options *o, FILE *out)
{
	const struct pa_report *r = d->r[side];
	char live[PA_QUANTITY_MAX], most[PA_QUANTITY_MAX];
	fprintf(out, "  %-6s  ", side ? "new" : "base");
	if (v->parts)
		fprintf(out, "%.3f s to %.3f s", (double)r->window.from_ns / 1e9,
			(double)r->window.from_ns / 1e9 + d->seconds[side]);
	else
		pa_escape_columns(out, PA_PLAIN, pa_text(r, r->command),
				  o->width > 60 ? o->width - 40
				  : o->width    ? 30
						: 0);
	fprintf(out, "\n          %.3f s, CPU %.3f s", d->seconds[side], (double)r->sum.ns / 1e9);
	if (d->heap) {
		fprintf(out, ", live %s", pa_size_text(live, positive(r->heap.sum.live)));
		if (!v->parts)
			fprintf(out, ", peak %s", pa_size_text(most, peak(r)));
		fprintf(out, ", %.1f allocations/s", rate(r->heap.sum.calls, d->seconds[side]));
	}
	fputs(r->clean ? "\n" : "; ended early\n", out);
}

static void write_trust(const struct pa_diff *d, FILE *out)
{
	char size[PA_QUANTITY_MAX];
	double variance = d->r[0]->heap.sum.var_live + d->r[1]->heap.sum.var_live;
	if (variance > 0)
		fprintf(out, "          estimated from samples: \xC2\xB1 %s (95 %%)\n",
			pa_size_text(size, pa_interval(variance)));
	if (d->r[0]->heap.uncertain || d->r[1]->heap.uncertain)
		fputs("          events were lost: blocks that count as live may have been freed\n", out);
	if (d->r[0]->heap.recorded != d->r[1]->heap.recorded)
		fprintf(out, "          memory is left out: the %s recording has no allocations\n",
			d->r[0]->heap.recorded ? "new" : "base");
}

/* Ends a line. */
static void write_name(const struct pa_diff_row *row, FILE *out)
{
	pa_escape(out, PA_PLAIN, row->function);
	if (*row->module) {
		fputs("  ", out);
		pa_escape(out, PA_PLAIN, row->module);
	}
	fputc('\n', out);
}

static void write_functions(const struct pa_diff *d, const struct pa_style *style, size_t limit, FILE *out)
{
	char a[PA_QUANTITY_MAX], b[PA_QUANTITY_MAX], c[PA_QUANTITY_MAX];
	size_t nr = 0, more = 0;
	fprintf(out, "\n%s     growth  live base   live new  calls/s base  calls/s new  function%s\n", style->bold,
		style->plain);
	for (size_t i = 0; i < d->nr_functions; i++) {
		const struct pa_diff_row *row = &d->functions[i];
		if (!growth(row))
			continue;
		if (nr == limit) {
			more++;
			continue;
		}
		nr++;
		fprintf(out, "  %9s  %9s  %9s  %12.1f  %11.1f  ", pa_change_text(a, growth(row)),
			pa_size_text(b, positive(row->live[0])), pa_size_text(c, positive(row->live[1])),
			rate(row->calls[0], d->seconds[0]), rate(row->calls[1], d->seconds[1]));
		write_name(row, out);
	}
	if (!nr)
		fputs("  no function holds more or less than before\n", out);
	if (more)
		fprintf(out, "  and %zu more (-n shows more)\n", more);
}

static void write_stacks(const struct pa_diff *d, const struct pa_style *style, const struct pa_report_options *o,
			 size_t limit, FILE *out)
{
	const struct pa_stack_style frames = {.indent = 6, .max = o->limit == SIZE_MAX ? 0 : TEXT_FRAMES};
	char a[PA_QUANTITY_MAX];
	uint64_t all = 0; /* what others shrank by is no share of it */
	for (size_t i = 0; i < d->nr_stacks; i++)
		all += positive(growth(&d->stacks[i]));
	for (size_t i = 0; i < d->nr_stacks && i < limit && growth(&d->stacks[i]) > 0; i++) {
		const struct pa_diff_row *row = &d->stacks[i];
		int side = row->stack[1] ? 1 : 0;
		if (!i)
			fprintf(out, "\n%sgrowing stacks%s (shares of all that grew)\n", style->bold, style->plain);
		fprintf(out, "  %s (%.1f %%)\n", pa_change_text(a, growth(row)),
			pa_percent(positive(growth(row)), all));
		pa_stack_text(d->r[side], o, row->stack[side], &frames, out);
	}
}

static void write_cpu(const struct pa_diff *d, const struct pa_style *style, size_t limit, FILE *out)
{
	size_t nr = 0;
	if (!d->r[0]->sum.ns || !d->r[1]->sum.ns)
		return;
	fprintf(out, "\n%s  CPU base %%  CPU new %%  change  function%s\n", style->bold, style->plain);
	for (; nr < d->nr_cpu && nr < limit; nr++) {
		const struct pa_diff_row *row = &d->cpu[nr];
		double change = row->cpu[1] - row->cpu[0];
		if (change < CPU_LEAST && change > -CPU_LEAST)
			break;
		fprintf(out, "  %10.1f  %9.1f  %+6.1f  ", row->cpu[0], row->cpu[1], change);
		write_name(row, out);
	}
	if (!nr)
		fputs("  no function has another share of the CPU time\n", out);
}

int pa_diff_text(const struct pa_diff *d, const struct pa_diff_verdict *v, const struct pa_report_options *o, FILE *out)
{
	struct pa_style style;
	char size[PA_QUANTITY_MAX];
	size_t limit = o->limit ? o->limit : TEXT_ROWS;

	pa_style_get(o, &style);
	if (d->heap)
		fprintf(out, "%s%s of live memory%s\n", style.bold, pa_change_text(size, d->growth), style.plain);
	write_side(d, 0, v, o, out);
	write_side(d, 1, v, o, out);
	write_trust(d, out);
	if (v->asked)
		fprintf(out, "          growth is %s the threshold of %s\n", v->over ? "over" : "below",
			pa_size_text(size, v->threshold));
	if (d->heap) {
		write_functions(d, &style, limit, out);
		write_stacks(d, &style, o, o->limit ? o->limit : TEXT_STACKS, out);
	}
	write_cpu(d, &style, limit, out);
	return ferror(out) ? -EIO : 0;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------ */

static void json_side(struct pa_json *j, const struct pa_diff *d, int side)
{
	const struct pa_report *r = d->r[side];
	pa_json_object(j, side ? "new" : "base");
	pa_json_text(j, "command", pa_text(r, r->command));
	pa_json_seconds(j, "from_s", r->window.from_ns);
	pa_json_real(j, "duration_s", d->seconds[side], 9);
	pa_json_seconds(j, "cpu_s", r->sum.ns);
	pa_json_bool(j, "ended_early", !r->clean);
	if (d->heap) {
		pa_json_bool(j, "estimated", r->heap.estimated);
		pa_json_bool(j, "uncertain", r->heap.uncertain);
		pa_json_i64(j, "bytes_live", r->heap.sum.live);
		pa_json_u64(j, "bytes_peak", peak(r));
		pa_json_u64(j, "allocations", r->heap.sum.calls);
		pa_json_u64(j, "bytes_allocated", r->heap.sum.bytes);
		pa_json_real(j, "allocations_per_s", rate(r->heap.sum.calls, d->seconds[side]), 3);
	}
	pa_json_end_object(j);
}

static void json_row(struct pa_json *j, const struct pa_diff *d, const struct pa_diff_row *row)
{
	pa_json_text(j, "function", row->function);
	pa_json_text(j, "module", *row->module ? row->module : NULL);
	pa_json_i64(j, "growth_bytes", growth(row));
	pa_json_u64(j, "interval_bytes", pa_interval(row->var_live[0] + row->var_live[1]));
	pa_json_i64(j, "live_base", row->live[0]);
	pa_json_i64(j, "live_new", row->live[1]);
	pa_json_real(j, "allocations_per_s_base", rate(row->calls[0], d->seconds[0]), 3);
	pa_json_real(j, "allocations_per_s_new", rate(row->calls[1], d->seconds[1]), 3);
	pa_json_u64(j, "bytes_base", row->bytes[0]);
	pa_json_u64(j, "bytes_new", row->bytes[1]);
	pa_json_u64(j, "peak_base", row->peak[0]);
	pa_json_u64(j, "peak_new", row->peak[1]);
}

static void json_memory(struct pa_json *j, const struct pa_diff *d, size_t limit)
{
	pa_json_i64(j, "growth_bytes", d->growth);
	pa_json_u64(j, "interval_bytes", pa_interval(d->r[0]->heap.sum.var_live + d->r[1]->heap.sum.var_live));
	pa_json_array(j, "functions");
	for (size_t i = 0; i < d->nr_functions && i < limit; i++) {
		pa_json_row(j, NULL);
		json_row(j, d, &d->functions[i]);
		pa_json_end_object(j);
	}
	pa_json_end_array(j);
	pa_json_u64(j, "functions_omitted", d->nr_functions > limit ? d->nr_functions - limit : 0);
	pa_json_array(j, "stacks");
	for (size_t i = 0; i < d->nr_stacks && i < limit; i++) {
		const struct pa_diff_row *row = &d->stacks[i];
		int side = row->stack[1] ? 1 : 0;
		pa_json_row(j, NULL);
		json_row(j, d, row);
		pa_stack_json(j, "stack", d->r[side], row->stack[side]);
		pa_json_end_object(j);
	}
	pa_json_end_array(j);
	pa_json_u64(j, "stacks_omitted", d->nr_stacks > limit ? d->nr_stacks - limit : 0);
}

static void json_cpu(struct pa_json *j, const struct pa_diff *d, size_t limit)
{
	pa_json_array(j, "cpu");
	for (size_t i = 0; i < d->nr_cpu && i < limit; i++) {
		const struct pa_diff_row *row = &d->cpu[i];
		pa_json_row(j, NULL);
		pa_json_text(j, "function", row->function);
		pa_json_text(j, "module", *row->module ? row->module : NULL);
		pa_json_real(j, "self_pct_base", row->cpu[0], 3);
		pa_json_real(j, "self_pct_new", row->cpu[1], 3);
		pa_json_real(j, "change_points", row->cpu[1] - row->cpu[0], 3);
		pa_json_end_object(j);
	}
	pa_json_end_array(j);
	pa_json_u64(j, "cpu_omitted", d->nr_cpu > limit ? d->nr_cpu - limit : 0);
}

int pa_diff_json(const struct pa_diff *d, const struct pa_diff_verdict *v, const struct pa_report_options *o, FILE *out)
{
	struct pa_json j = {.out = out};
	size_t limit = o->limit ? o->limit : JSON_ROWS;

	pa_json_object(&j, NULL);
	pa_json_text(&j, "schema", "perfagent.diff/1");
	json_side(&j, d, 0);
	json_side(&j, d, 1);
	if (v->asked) {
		pa_json_u64(&j, "threshold_bytes", v->threshold);
		pa_json_bool(&j, "over", v->over);
	}
	if (d->heap) {
		pa_json_object(&j, "memory");
		json_memory(&j, d, limit);
		pa_json_end_object(&j);
	}
	json_cpu(&j, d, limit);
	pa_json_end_object(&j);
	return ferror(out) ? -EIO : 0;
}
