/* The report for programs: perfagent.report/1, report/schema/perfagent.report-1.schema.json. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/findings.h"
#include "report/heap_json.h"
#include "report/json_writer.h"
#include "report/locks.h"
#include "report/loops.h"
#include "report/requests.h"
#include "report/talks.h"
#include "report/model.h"
#include "report/report.h"
#include "report/text.h"
#include "report/wall.h"

#define JSON_ROWS 1000

static void text_or_null(struct pa_json *j, const char *key, const char *text)
{
	pa_json_text(j, key, *text ? text : NULL);
}

static void write_processes(struct pa_json *j, const struct pa_report *r)
{
	pa_json_array(j, "processes");
	for (size_t i = 0; i < r->nr_processes; i++) {
		const struct pa_report_process *p = &r->processes[i];
		if (!i && !p->sum.weight)
			continue;
		pa_json_row(j, NULL);
		pa_json_u64(j, "id", p->id);
		pa_json_u64(j, "pid", p->pid);
		pa_json_u64(j, "inner_pid", p->inner_pid);
		pa_json_u64(j, "parent", r->processes[p->parent].id);
		pa_json_text(j, "command", pa_text(r, p->command));
		text_or_null(j, "exe", pa_text(r, p->exe));
		text_or_null(j, "how", pa_text(r, p->how));
		pa_json_u64(j, "threads", p->nr_threads);
		pa_json_seconds(j, "cpu_s", p->cpu_ns);
		pa_json_seconds(j, "agent_cpu_s", p->agent_ns);
		pa_json_seconds(j, "sampled_s", p->sum.ns);
		pa_json_u64(j, "sample_count", p->sum.weight);
		pa_json_u64(j, "effective_samples", p->sum.signals);
		pa_json_real(j, "share_pct", pa_percent(p->sum.ns, r->sum.ns), 3);
		pa_json_end_object(j);
	}
	pa_json_end_array(j);
}

/* Absent, not zero. */
static void known(struct pa_json *j, const char *key, uint64_t value)
{
	if (value != UINT64_MAX)
		pa_json_u64(j, key, value);
}

static void write_overhead(struct pa_json *j, const struct pa_report *r, const struct pa_figures *f)
{
	pa_json_object(j, "overhead");
	if (pa_report_has_cpu(r)) {
		pa_json_seconds(j, "agent_cpu_s", f->agent_ns);
		pa_json_real(j, "agent_cpu_pct", pa_percent(f->agent_ns, f->kernel_ns), 4);
	}
	pa_json_seconds(j, "collector_cpu_s", r->collector_ns);
	known(j, "target_rss_kib", r->cost.target_rss_kib);
	known(j, "handler_p50_ns", r->cost.handler_p50_ns);
	known(j, "handler_p99_ns", r->cost.handler_p99_ns);
	known(j, "armed_max_ns", r->cost.armed_max_ns);
	known(j, "unwinds_compared", r->cost.compared);
	known(j, "unwinds_identical", r->cost.identical);
	pa_json_end_object(j);
}

static uint64_t heap_lost(const struct pa_report *r)
{
	uint64_t lost = 0;

	for (size_t i = 0; i < r->heap.nr_processes; i++)
		lost += r->heap.processes[i].lost;
	return lost;
}

static void write_loss(struct pa_json *j, const struct pa_report *r, const struct pa_figures *f)
{
	pa_json_object(j, "loss");
	pa_json_u64(j, "cpu_expected", f->expected);
	pa_json_u64(j, "cpu_recorded", f->delivered);
	pa_json_u64(j, "cpu_lost", f->lost);
	pa_json_u64(j, "truncated", f->truncated);
	pa_json_u64(j, "blocked", f->blocked);
	pa_json_u64(j, "unsampled", f->unsampled);
	if (r->heap.recorded)
		pa_json_u64(j, "heap_lost", heap_lost(r));
	pa_json_array(j, "reasons");
	for (size_t i = 0; i < r->nr_losses; i++) {
		pa_json_row(j, NULL);
		pa_json_u64(j, "process", r->processes[r->losses[i].process].id);
		pa_json_text(j, "reason", pa_text(r, r->losses[i].reason));
		pa_json_u64(j, "count", r->losses[i].count);
		pa_json_bool(j, "is_lost_sample", pa_loss_is_sample(pa_text(r, r->losses[i].reason)));
		pa_json_end_object(j);
	}
	pa_json_end_array(j);
	pa_json_end_object(j);
}

static void write_symbols(struct pa_json *j, const struct pa_report *r)
{
	pa_json_array(j, "symbols");
	for (size_t i = 1; i < r->nr_modules; i++) {
		const struct pa_report_module *m = &r->modules[i];
		char id[2 * sizeof(m->build_id) + 1] = "";
		for (uint32_t k = 0; k < m->build_id_len; k++)
			snprintf(id + 2 * k, 3, "%02x", m->build_id[k]);
		pa_json_row(j, NULL);
		pa_json_text(j, "module", pa_text(r, m->path));
		text_or_null(j, "build_id", id);
		pa_json_text(j, "status", pa_symbol_status_name(m->symbols));
		pa_json_u64(j, "frames", m->frames);
		pa_json_u64(j, "unnamed_frames", m->unnamed);
		pa_json_seconds(j, "self_time", m->self.ns);
		pa_json_real(j, "self_pct", pa_percent(m->self.ns, r->sum.ns), 3);
		pa_json_end_object(j);
	}
	pa_json_end_array(j);
}

static void write_notes(struct pa_json *j, const struct pa_report *r)
{
	pa_json_array(j, "notes");
	for (size_t i = 0; i < r->nr_notes; i++) {
		const struct pa_report_note *n = &r->notes[i];
		pa_json_row(j, NULL);
		pa_json_u64(j, "process", r->processes[n->process].id);
		if (r->started_mono_ns && n->time_ns >= r->started_mono_ns)
			pa_json_seconds(j, "at_s", n->time_ns - r->started_mono_ns);
		else
			pa_json_text(j, "at_s", NULL);
		pa_json_text(j, "text", pa_text(r, n->text));
		pa_json_end_object(j);
	}
	pa_json_end_array(j);
}

static void write_row(struct pa_json *j, const struct pa_report *r, enum pa_by by, const struct pa_row *row)
{
	const struct pa_report_module *m = &r->modules[row->module];
	pa_json_row(j, NULL);
	if (by != PA_BY_MODULE)
		pa_json_text(j, "function", pa_text(r, row->function));
	text_or_null(j, "module", by == PA_BY_MODULE && !row->module ? pa_text(r, row->function) : pa_text(r, m->path));
	if (by != PA_BY_MODULE) {
		text_or_null(j, "file", pa_text(r, row->file));
		pa_json_u64(j, "line", row->line);
	}
	pa_json_seconds(j, "self_time", row->self.ns);
	pa_json_seconds(j, "cumtime", row->total.ns);
	pa_json_real(j, "self_pct", pa_percent(row->self.ns, r->sum.ns), 3);
	pa_json_real(j, "total_pct", pa_percent(row->total.ns, r->sum.ns), 3);
	pa_json_u64(j, "self_samples", row->self.weight);
	pa_json_u64(j, "total_samples", row->total.weight);
	pa_json_end_object(j);
}

/* What did not fit is stated: an answer that is cut says so. */
static int write_table(struct pa_json *j, const struct pa_report *r, enum pa_by by, const char *key, size_t limit)
{
	struct pa_table t;
	struct pa_sum rest = {0};
	const struct pa_entries e = pa_cpu_entries(r);
	int err = pa_table_build(r, &e, by, &t);
	char omitted[64];

	if (err)
		return err;
	pa_json_array(j, key);
	for (size_t i = 0; i < t.nr; i++) {
		if (i < limit)
			write_row(j, r, by, &t.rows[i]);
		else
			rest.ns += t.rows[i].self.ns;
	}
	pa_json_end_array(j);
	snprintf(omitted, sizeof(omitted), "%s_omitted", key);
	pa_json_row(j, omitted);
	pa_json_u64(j, "rows", t.nr > limit ? t.nr - limit : 0);
	pa_json_seconds(j, "self_time", rest.ns);
	pa_json_end_object(j);
	pa_table_fini(&t);
	return 0;
}

static void write_threads(struct pa_json *j, const struct pa_report *r)
{
	pa_json_array(j, "threads");
	for (size_t i = 0; i < r->nr_threads; i++) {
		const struct pa_report_thread *t = &r->threads[i];
		if (!i && !t->sum.weight)
			continue;
		pa_json_row(j, NULL);
		pa_json_u64(j, "id", t->id);
		pa_json_u64(j, "process", r->processes[t->process].id);
		pa_json_u64(j, "tid", t->tid);
		text_or_null(j, "name", pa_text(r, t->name));
		pa_json_seconds(j, "cpu_s", t->cpu_ns);
		pa_json_seconds(j, "self_time", t->sum.ns);
		pa_json_real(j, "self_pct", pa_percent(t->sum.ns, r->sum.ns), 3);
		pa_json_u64(j, "sample_count", t->sum.weight);
		pa_json_u64(j, "effective_samples", t->sum.signals);
		pa_json_u64(j, "period_ns", t->period_ns);
		pa_json_end_object(j);
	}
	pa_json_end_array(j);
}

static int write_cpu(struct pa_json *j, const struct pa_report *r, const struct pa_report_options *o,
		     const struct pa_figures *f)
{
	enum pa_by by = o->by ? pa_by_find(o->by) : PA_BY_FUNCTION;
	size_t limit = o->limit ? o->limit : JSON_ROWS;
	int err;

	if (by == PA_BY_BAD)
		return -EINVAL;
	pa_json_object(j, "cpu");
	pa_json_seconds(j, "total_time", f->accounted_ns);
	pa_json_seconds(j, "kernel_time", f->kernel_ns);
	pa_json_u64(j, "sample_count", r->sum.weight);
	pa_json_u64(j, "effective_samples", r->sum.signals);
	pa_json_u64(j, "period_ns", r->period_ns);
	pa_json_real(j, "rate_hz", r->period_ns ? 1e9 / (double)r->period_ns : 0, 3);
	err = write_table(j, r, PA_BY_FUNCTION, "top_functions", limit);
	if (!err && by == PA_BY_LINE)
		err = write_table(j, r, PA_BY_LINE, "top_lines", limit);
	if (!err && by == PA_BY_MODULE)
		err = write_table(j, r, PA_BY_MODULE, "top_modules", limit);
	write_threads(j, r);
	pa_json_end_object(j);
	return err;
}

static void write_window(struct pa_json *j, const struct pa_report *r)
{
	pa_json_object(j, "window");
	pa_json_seconds(j, "from_s", r->window.from_ns);
	if (r->window.to_ns == UINT64_MAX)
		pa_json_text(j, "to_s", NULL);
	else
		pa_json_seconds(j, "to_s", r->window.to_ns);
	if (r->heap.recorded)
		pa_json_seconds(j, "memory_step_s", r->heap.step_ns);
	pa_json_end_object(j);
}

int pa_write_json(const struct pa_report *r, const struct pa_report_options *o, FILE *out)
{
	struct pa_json j = {.out = out};
	struct pa_figures f;
	int err;

	pa_figures_get(r, &f);
	pa_json_object(&j, NULL);
	pa_json_text(&j, "schema", "perfagent.report/1");
	text_or_null(&j, "timestamp", pa_text(r, r->started));
	pa_json_seconds(&j, "duration_s", r->duration_ns);
	if (!f.whole)
		write_window(&j, r);
	pa_json_text(&j, "mode", r->mode ? pa_text(r, r->mode) : "cpu");
	pa_json_text(&j, "command", pa_text(r, r->command));
	text_or_null(&j, "host", pa_text(r, r->host));
	text_or_null(&j, "version", pa_text(r, r->version));
	text_or_null(&j, "unwinder", pa_text(r, r->unwinder));
	if (r->exit_status >= 0)
		pa_json_u64(&j, "exit_status", (uint64_t)r->exit_status);
	else
		pa_json_text(&j, "exit_status", NULL);
	pa_json_bool(&j, "ended_early", !r->clean);
	write_processes(&j, r);
	write_overhead(&j, r, &f);
	write_loss(&j, r, &f);
	write_symbols(&j, r);
	write_notes(&j, r);
	err = pa_report_has_cpu(r) ? write_cpu(&j, r, o, &f) : 0;
	if (!err && r->heap.recorded)
		err = pa_heap_json(&j, r, o, o->limit ? o->limit : JSON_ROWS);
	if (!err && (r->loops || r->talks))
		err = pa_findings_json(&j, r);
	if (!err && r->loops)
		pa_loops_json(&j, r, o->limit ? o->limit : JSON_ROWS);
	if (!err && r->talks)
		err = pa_talks_json(&j, r, o->limit ? o->limit : JSON_ROWS);
	if (!err && r->locks)
		pa_locks_json(&j, r, o->limit ? o->limit : JSON_ROWS);
	if (!err && r->talks && r->talks->http)
		err = pa_requests_json(&j, r, o->limit ? o->limit : JSON_ROWS);
	if (!err && r->wall)
		pa_wall_json(&j, r, o->limit ? o->limit : JSON_ROWS);
	pa_json_end_object(&j);
	return err ? err : ferror(out) ? -EIO : 0;
}
