#include "report/heap_json.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/wire.h"
#include "report/heap_table.h"
#include "report/leaks.h"
#include "report/quantity.h"
#include "report/stack_out.h"
#include "report/text.h"

#define KIB 1024.0
#define MIB (1024.0 * 1024.0)

static void text_or_null(struct pa_json *j, const char *key, const char *text)
{
	pa_json_text(j, key, *text ? text : NULL);
}

static void mib(struct pa_json *j, const char *key, int64_t bytes)
{
	pa_json_real(j, key, (double)bytes / MIB, 3);
}

static void kib(struct pa_json *j, const char *key, int64_t bytes)
{
	pa_json_real(j, key, (double)bytes / KIB, 3);
}

/* Absent, not zero. */
static void known_mib(struct pa_json *j, const char *key, uint64_t bytes)
{
	if (bytes != UINT64_MAX)
		pa_json_real(j, key, (double)bytes / MIB, 3);
}

static void at(struct pa_json *j, const struct pa_report *r, const char *key, uint64_t ns)
{
	if (r->started_mono_ns && ns >= r->started_mono_ns)
		pa_json_seconds(j, key, ns - r->started_mono_ns);
	else
		pa_json_text(j, key, NULL);
}

static const char *mode_name(uint32_t mode)
{
	return mode == PA_HEAP_EXACT ? "exact" : mode == PA_HEAP_SAMPLED ? "sampled" : "off";
}

static void write_totals(struct pa_json *j, const struct pa_report *r)
{
	const struct pa_heap_sum *s = &r->heap.sum;
	const struct pa_report_heap_process *highest = NULL;
	for (size_t i = 0; i < r->heap.nr_processes; i++)
		if (!highest || r->heap.processes[i].peak > highest->peak)
			highest = &r->heap.processes[i];
	pa_json_bool(j, "estimated", r->heap.estimated);
	pa_json_bool(j, "uncertain", r->heap.uncertain);
	mib(j, "baseline_mb", s->before);
	mib(j, "peak_mb", highest ? (int64_t)highest->peak : 0);
	mib(j, "delta_mb", s->live - s->before);
	mib(j, "live_mb", s->live);
	at(j, r, "peak_at_s", highest ? highest->peak_ns : 0);
	pa_json_bool(j, "peak_approximate", highest && highest->peak_approximate);
	pa_json_u64(j, "peak_process", highest ? r->processes[highest->process].id : 0);
	pa_json_u64(j, "allocations", s->calls);
	pa_json_u64(j, "frees", s->frees);
	pa_json_u64(j, "bytes_allocated", s->bytes);
	pa_json_u64(j, "bytes_freed", s->freed);
	pa_json_i64(j, "bytes_live", s->live);
	pa_json_i64(j, "blocks_live", s->live_calls);
	if (pa_heap_knows_temporary(r)) {
		pa_json_u64(j, "temporary", s->temporary);
		pa_json_u64(j, "bytes_temporary", s->temporary_bytes);
	}
	pa_json_u64(j, "samples", s->samples);
	pa_json_row(j, "intervals");
	pa_json_u64(j, "bytes_allocated", pa_interval(s->var_bytes));
	pa_json_u64(j, "bytes_live", pa_interval(s->var_live));
	pa_json_end_object(j);
}

static void write_sum(struct pa_json *j, const struct pa_heap_row *row, bool temporary)
{
	const struct pa_heap_sum *s = &row->self;
	kib(j, "size_kb", (int64_t)s->bytes);
	pa_json_u64(j, "count", s->calls);
	kib(j, "live_kb", s->live);
	pa_json_i64(j, "live_count", s->live_calls);
	kib(j, "peak_kb", (int64_t)s->peak);
	pa_json_u64(j, "peak_count", s->peak_calls);
	if (temporary) {
		pa_json_u64(j, "temporary", s->temporary);
		pa_json_u64(j, "bytes_temporary", s->temporary_bytes);
	}
	pa_json_u64(j, "bytes", s->bytes);
	pa_json_i64(j, "bytes_live", s->live);
	pa_json_u64(j, "bytes_peak", s->peak);
	pa_json_u64(j, "interval_bytes", pa_interval(s->var_bytes));
	kib(j, "total_size_kb", (int64_t)row->total.bytes);
	pa_json_u64(j, "total_count", row->total.calls);
	kib(j, "total_live_kb", row->total.live);
	kib(j, "total_peak_kb", (int64_t)row->total.peak);
}

static void write_row(struct pa_json *j, const struct pa_report *r, enum pa_by by, const struct pa_heap_row *row)
{
	const char *module = pa_text(r, r->modules[row->module].path);
	pa_json_row(j, NULL);
	if (by == PA_BY_MODULE) {
		text_or_null(j, "module", row->module ? module : pa_text(r, row->function));
	} else {
		pa_json_text(j, "function", pa_text(r, row->function));
		text_or_null(j, "module", module);
		text_or_null(j, "file", pa_text(r, row->file));
		pa_json_u64(j, "line", row->line);
	}
	write_sum(j, row, pa_heap_knows_temporary(r));
	if (by == PA_BY_STACK)
		pa_stack_json(j, "stack", r, row->stack);
	pa_json_end_object(j);
}

static int write_table(struct pa_json *j, const struct pa_report *r, enum pa_by by, enum pa_heap_sort sort,
		       const char *key, size_t limit)
{
	struct pa_heap_table t;
	struct pa_heap_sum rest = {0};
	char omitted[64];
	int err = pa_heap_table_build(r, by, sort, &t);

	if (err)
		return err;
	pa_json_array(j, key);
	for (size_t i = 0; i < t.nr; i++) {
		if (i < limit)
			write_row(j, r, by, &t.rows[i]);
		else
			pa_heap_sum_add(&rest, &t.rows[i].self);
	}
	pa_json_end_array(j);
	snprintf(omitted, sizeof(omitted), "%s_omitted", key);
	pa_json_row(j, omitted);
	pa_json_u64(j, "rows", t.nr > limit ? t.nr - limit : 0);
	pa_json_u64(j, "bytes", rest.bytes);
	pa_json_end_object(j);
	pa_heap_table_fini(&t);
	return 0;
}

static int write_leaks(struct pa_json *j, const struct pa_report *r, size_t limit)
{
	const struct pa_leaks_options all = {0};
	struct pa_suppressions s = {0};
	struct pa_leaks l = {0};
	int err = pa_suppressions_default(&s);
	if (!err)
		err = pa_leaks_find(r, &all, &s, &l);
	pa_json_array(j, "leaks");
	for (size_t i = 0; i < l.nr_leaking && i < limit; i++) {
		const struct pa_leak *leak = &l.rows[i];
		uint32_t module;
		const struct pa_report_level *level = &r->levels[pa_heap_owner(r, leak->stack, &module)];
		pa_json_row(j, NULL);
		kib(j, "size_kb", leak->bytes);
		pa_json_i64(j, "count", leak->blocks);
		pa_json_i64(j, "bytes", leak->bytes);
		pa_json_u64(j, "interval_bytes", pa_interval(leak->variance));
		pa_json_text(j, "function", pa_text(r, level->function));
		text_or_null(j, "file", pa_text(r, level->file));
		pa_json_u64(j, "line", level->line);
		pa_stack_json(j, "stack", r, leak->stack);
		pa_json_end_object(j);
	}
	pa_json_end_array(j);
	pa_json_row(j, "leaks_omitted");
	pa_json_u64(j, "rows", l.nr_leaking > limit ? l.nr_leaking - limit : 0);
	pa_json_u64(j, "suppressed_bytes", l.suppressed_bytes);
	pa_json_end_object(j);
	pa_leaks_fini(&l);
	pa_suppressions_fini(&s);
	return err;
}

static void write_lifetimes(struct pa_json *j, const struct pa_report *r)
{
	pa_json_array(j, "lifetimes");
	for (size_t k = 0; k < PA_HEAP_LIFETIMES; k++) {
		uint64_t calls = 0, bytes = 0;
		for (size_t i = 0; i < r->heap.nr_processes; i++) {
			calls += r->heap.processes[i].lifetime_calls[k];
			bytes += r->heap.processes[i].lifetime_bytes[k];
		}
		pa_json_row(j, NULL);
		if (pa_heap_lifetimes_ns[k] == UINT64_MAX)
			pa_json_text(j, "below_s", NULL);
		else
			pa_json_seconds(j, "below_s", pa_heap_lifetimes_ns[k]);
		pa_json_u64(j, "count", calls);
		pa_json_u64(j, "bytes", bytes);
		pa_json_end_object(j);
	}
	pa_json_end_array(j);
}

static void write_timeline(struct pa_json *j, const struct pa_report *r)
{
	pa_json_array(j, "timeline");
	for (size_t i = 0; i < r->heap.nr_points; i++) {
		const struct pa_store_heap_point *p = &r->heap.points[i];
		pa_json_row(j, NULL);
		at(j, r, "t", p->time_ns);
		pa_json_u64(j, "process", r->processes[p->process].id);
		mib(j, "heap_mb", (int64_t)p->live_bytes);
		pa_json_u64(j, "blocks", p->live_calls);
		known_mib(j, "rss_mb", p->rss_bytes);
		known_mib(j, "arena_mb", p->libc_arena);
		known_mib(j, "arena_used_mb", p->libc_used);
		known_mib(j, "arena_free_mb", p->libc_unused);
		known_mib(j, "libc_mapped_mb", p->libc_mapped);
		pa_json_end_object(j);
	}
	pa_json_end_array(j);
}

static void write_threads(struct pa_json *j, const struct pa_report *r)
{
	pa_json_array(j, "threads");
	for (size_t i = 0; i < r->heap.nr_threads; i++) {
		const struct pa_report_heap_thread *h = &r->heap.threads[i];
		const struct pa_report_thread *t = &r->threads[h->thread];
		pa_json_row(j, NULL);
		pa_json_u64(j, "id", t->id);
		pa_json_u64(j, "process", r->processes[t->process].id);
		pa_json_u64(j, "tid", t->tid);
		text_or_null(j, "name", pa_text(r, t->name));
		pa_json_u64(j, "allocations", h->calls);
		pa_json_u64(j, "bytes_allocated", h->bytes);
		pa_json_u64(j, "frees", h->frees);
		pa_json_u64(j, "bytes_freed", h->freed);
		pa_json_end_object(j);
	}
	pa_json_end_array(j);
}

static void write_mappings(struct pa_json *j, const struct pa_report_heap_process *h)
{
	if (!(h->flags & PA_HEAP_MMAP))
		return;
	pa_json_u64(j, "mapped_calls", h->mapped_calls);
	pa_json_u64(j, "mapped_bytes", h->mapped_bytes);
	pa_json_u64(j, "unmapped_bytes", h->unmapped_bytes);
}

static void write_processes(struct pa_json *j, const struct pa_report *r)
{
	pa_json_array(j, "processes");
	for (size_t i = 0; i < r->heap.nr_processes; i++) {
		const struct pa_report_heap_process *h = &r->heap.processes[i];
		pa_json_row(j, NULL);
		pa_json_u64(j, "id", r->processes[h->process].id);
		pa_json_u64(j, "pid", r->processes[h->process].pid);
		pa_json_text(j, "mode", mode_name(h->mode));
		if (h->mode == PA_HEAP_SAMPLED)
			pa_json_u64(j, "mean_bytes", h->mean);
		mib(j, "peak_mb", (int64_t)h->peak);
		pa_json_u64(j, "peak_blocks", h->peak_calls);
		at(j, r, "peak_at_s", h->peak_ns);
		mib(j, "live_mb", h->sum.live);
		pa_json_u64(j, "allocations", h->sum.calls);
		pa_json_u64(j, "frees", h->sum.frees);
		pa_json_u64(j, "bytes_allocated", h->sum.bytes);
		if (h->mode == PA_HEAP_EXACT)
			pa_json_u64(j, "temporary", h->sum.temporary);
		pa_json_u64(j, "unknown_frees", h->unknown_frees);
		pa_json_u64(j, "lost", h->lost);
		pa_json_u64(j, "lost_frees", h->lost_frees);
		if (h->uncertain_ns)
			at(j, r, "uncertain_from_s", h->uncertain_ns);
		pa_json_real(j, "engine_kb", (double)h->own_bytes / KIB, 3);
		pa_json_seconds(j, "stalled_s", h->stalled_ns);
		write_mappings(j, h);
		pa_json_end_object(j);
	}
	pa_json_end_array(j);
}

int pa_heap_json(struct pa_json *j, const struct pa_report *r, const struct pa_report_options *o, size_t limit)
{
	static const char *const keys[] = {NULL, "top_lines", "top_modules", NULL, "top_stacks"};
	enum pa_by by = o->by ? pa_by_find(o->by) : PA_BY_FUNCTION;
	enum pa_heap_sort sort = pa_heap_sort_find(o->sort);
	if (by == PA_BY_BAD || sort == PA_HEAP_SORT_BAD)
		return -EINVAL;
	pa_json_object(j, "memory");
	write_totals(j, r);
	int err = write_table(j, r, PA_BY_FUNCTION, sort, "top_allocators", limit);
	if (!err && keys[by])
		err = write_table(j, r, by, sort, keys[by], limit);
	if (!err)
		err = write_leaks(j, r, limit);
	write_lifetimes(j, r);
	write_timeline(j, r);
	write_threads(j, r);
	write_processes(j, r);
	pa_json_end_object(j);
	return err;
}
