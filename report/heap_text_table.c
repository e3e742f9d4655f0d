/* The table of the memory section: who allocated, and what of it was kept. */
#include "report/heap_text.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "report/columns.h"
#include "report/escape.h"
#include "report/heap_table.h"
#include "report/quantity.h"
#include "report/stack_out.h"

#define NUMBERS_WIDTH   67
#define TEMPORARY_WIDTH 8
/* Narrower terminals have the names instead of the share of temporary allocations. */
#define WIDE_ENOUGH    120
#define STACK_ROWS     10
#define STACK_FRAMES   16
#define LARGEST_STACKS 3
#define LARGEST_LEAST  1 /* percent, but for the first */
#define LARGEST_FRAMES 8

struct table {
	const struct pa_report *r;
	const struct pa_report_options *o;
	FILE *out;
	enum pa_by by;
	enum pa_heap_sort sort;
	uint64_t all;   /* what the shares are of */
	bool temporary; /* has that column */
	struct pa_columns names;
};

static uint64_t positive(int64_t value)
{
	return value > 0 ? (uint64_t)value : 0;
}

/* Eight columns each, but the shares. */
static void numbers(const struct table *t, const struct pa_heap_row *row)
{
	char a[PA_QUANTITY_MAX], b[PA_QUANTITY_MAX], c[PA_QUANTITY_MAX], d[PA_QUANTITY_MAX];
	const struct pa_heap_sum *s = &row->self;
	fprintf(t->out, "  %6.1f  %7.1f  %9s  %8s  ", pa_percent(pa_heap_sort_value(s, t->sort), t->all),
		pa_percent(pa_heap_sort_value(&row->total, t->sort), t->all), pa_size_text(a, s->bytes),
		pa_count_text(b, s->calls));
	if (t->temporary)
		fprintf(t->out, "%6.1f  ", pa_percent(s->temporary, s->calls));
	fprintf(t->out, "%8s  %8s  ", pa_size_text(c, positive(s->live)), pa_size_text(d, s->peak));
}

/* Shares are of what was asked for. */
static void write_caption(const struct table *t, const char *what)
{
	static const char *const sorts[] = {"bytes allocated", "allocations", "bytes live at the end",
					    "bytes live at the peak", "temporary allocations"};
	fprintf(t->out, "  %sby %s, shares of %s%s\n", t->names.style.dim, what, sorts[t->sort], t->names.style.plain);
}

static void write_titles(const struct table *t)
{
	fprintf(t->out, "%s  self %%  total %%  allocated     calls  %s    live   at peak  ", t->names.style.bold,
		t->temporary ? "temp %  " : "");
}

static struct pa_named named(const struct pa_heap_row *row)
{
	return (struct pa_named){row->function, row->file, row->line, row->module};
}

static void write_rest(const struct table *t, const struct pa_heap_table *rows, size_t shown, const char *what)
{
	struct pa_heap_row rest = {0};
	if (shown == rows->nr)
		return;
	for (size_t i = shown; i < rows->nr; i++)
		pa_heap_sum_add(&rest.self, &rows->rows[i].self);
	rest.total = rest.self;
	numbers(t, &rest);
	fprintf(t->out, "other (%zu %s%s, -n shows more)\n", rows->nr - shown, what, rows->nr - shown == 1 ? "" : "s");
}

/* Wrappers that asked for nothing themselves say nothing about who did. */
static void drop_wrappers(const struct table *t, struct pa_heap_table *rows)
{
	size_t kept = 0;
	for (size_t i = 0; i < rows->nr; i++) {
		const struct pa_heap_row *row = &rows->rows[i];
		if (row->self.calls || row->self.live || row->self.peak || t->by == PA_BY_MODULE ||
		    !pa_heap_is_wrapper(pa_text(t->r, row->function)))
			rows->rows[kept++] = *row;
	}
	rows->nr = kept;
}

static void write_names(struct table *t, const struct pa_heap_table *rows, size_t shown)
{
	static const char *const what[] = {"function", "line", "module"};
	for (size_t i = 0; i < shown; i++) {
		struct pa_named row = named(&rows->rows[i]);
		pa_columns_measure(&t->names, &row);
	}
	pa_columns_fit(&t->names);
	write_caption(t, what[t->by]);
	write_titles(t);
	pa_columns_head(&t->names, "line");
	for (size_t i = 0; i < shown; i++) {
		struct pa_named row = named(&rows->rows[i]);
		numbers(t, &rows->rows[i]);
		pa_columns_write(&t->names, &row);
	}
	write_rest(t, rows, shown, what[t->by]);
}

static void write_threads(const struct table *t, const struct pa_heap_table *rows, size_t shown)
{
	char a[PA_QUANTITY_MAX], b[PA_QUANTITY_MAX], c[PA_QUANTITY_MAX], d[PA_QUANTITY_MAX];
	write_caption(t, "thread");
	fprintf(t->out,
		"%s  share %%  allocated     calls      freed     frees      tid  thread            process%s\n",
		t->names.style.bold, t->names.style.plain);
	for (size_t i = 0; i < shown; i++) {
		const struct pa_heap_row *row = &rows->rows[i];
		const struct pa_report_thread *th = &t->r->threads[row->thread];
		const struct pa_report_process *p = &t->r->processes[th->process];
		const char *name = pa_text(t->r, th->name);
		fprintf(t->out, "  %7.1f  %9s  %8s  %9s  %8s  %7" PRIu32 "  ",
			pa_percent(pa_heap_sort_value(&row->self, t->sort), t->all), pa_size_text(a, row->self.bytes),
			pa_count_text(b, row->self.calls), pa_size_text(c, row->self.freed),
			pa_count_text(d, row->self.frees), th->tid);
		size_t used = pa_escape_columns(t->out, PA_PLAIN, *name ? name : "[unknown]", 16);
		fprintf(t->out, "%*s  ", used < 16 ? (int)(16 - used) : 0, "");
		pa_escape_columns(t->out, PA_PLAIN, pa_text(t->r, p->comm), t->o->width ? 24 : 0);
		fprintf(t->out, " (%" PRIu32 ")\n", p->pid);
	}
	if (shown < rows->nr)
		fprintf(t->out, "  and %zu more (-n shows more)\n", rows->nr - shown);
}

static void write_stacks(const struct table *t, const struct pa_heap_table *rows, size_t shown)
{
	const struct pa_stack_style style = {.indent = 10, .max = t->o->limit == SIZE_MAX ? 0 : STACK_FRAMES};
	write_caption(t, "stack");
	write_titles(t);
	fprintf(t->out, "stack%s\n", t->names.style.plain);
	for (size_t i = 0; i < shown; i++) {
		numbers(t, &rows->rows[i]);
		fputc('\n', t->out);
		pa_stack_text(t->r, t->o, rows->rows[i].stack, &style, t->out);
	}
	write_rest(t, rows, shown, "stack");
}

/* With the question left open, the answer to "and who called that?" */
static int write_largest(const struct table *t)
{
	const struct pa_stack_style style = {.indent = 6, .max = LARGEST_FRAMES, .asker = true};
	struct pa_heap_table rows;
	char size[PA_QUANTITY_MAX], calls[PA_QUANTITY_MAX];
	int err = pa_heap_table_askers(t->r, t->sort, &rows);
	if (err)
		return err;
	fprintf(t->out, "\n%s  largest stacks%s%s (--by stack shows more)%s\n", t->names.style.bold,
		t->names.style.plain, t->names.style.dim, t->names.style.plain);
	for (size_t i = 0; i < rows.nr && i < LARGEST_STACKS; i++) {
		const struct pa_heap_sum *s = &rows.rows[i].self;
		if (i && pa_percent(pa_heap_sort_value(s, t->sort), t->all) < LARGEST_LEAST)
			break;
		bool live = t->sort == PA_HEAP_SORT_LIVE, peak = t->sort == PA_HEAP_SORT_PEAK;
		uint64_t nr = live ? positive(s->live_calls) : peak ? s->peak_calls : s->calls;
		fprintf(t->out, "  %5.1f %%  %s in %s %s%s\n", pa_percent(pa_heap_sort_value(s, t->sort), t->all),
			pa_size_text(size, live || peak ? pa_heap_sort_value(s, t->sort) : s->bytes),
			pa_count_text(calls, nr), live || peak ? "block" : "call", nr == 1 ? "" : "s");
		pa_stack_text(t->r, t->o, rows.rows[i].stack, &style, t->out);
	}
	pa_heap_table_fini(&rows);
	return 0;
}

/* Threads know what they allocated and freed, and nothing of what is kept. */
static enum pa_heap_sort sort_of(enum pa_by by, const char *name)
{
	enum pa_heap_sort sort = pa_heap_sort_find(name);
	if (by == PA_BY_THREAD && sort != PA_HEAP_SORT_BAD && sort != PA_HEAP_SORT_CALLS)
		return PA_HEAP_SORT_BYTES;
	return sort;
}

static uint64_t whole(const struct table *t, const struct pa_heap_table *rows)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < rows->nr; i++)
		sum += pa_heap_sort_value(&rows->rows[i].self, t->sort);
	return sum;
}

int pa_heap_text_table(const struct pa_report *r, const struct pa_report_options *o, FILE *out)
{
	enum pa_by by = o->by ? pa_by_find(o->by) : PA_BY_FUNCTION;
	struct table t = {
	    .r = r,
	    .o = o,
	    .out = out,
	    .by = by,
	    .sort = sort_of(by, o->sort),
	    .names = {.r = r, .o = o, .out = out, .by = by, .numbers = NUMBERS_WIDTH, .places = true},
	    .temporary = pa_heap_knows_temporary(r) &&
			 (!o->width || o->width >= WIDE_ENOUGH || (o->sort && !strcmp(o->sort, "temporary"))),
	};
	struct pa_heap_table rows;
	int err = by == PA_BY_BAD || t.sort == PA_HEAP_SORT_BAD ? -EINVAL : pa_heap_table_build(r, by, t.sort, &rows);

	if (err)
		return err;
	pa_style_get(o, &t.names.style);
	t.names.numbers -= t.temporary ? 0 : TEMPORARY_WIDTH;
	t.all = whole(&t, &rows);
	drop_wrappers(&t, &rows);
	size_t limit = o->limit ? o->limit : by == PA_BY_STACK ? STACK_ROWS : pa_text_rows(r, o);
	size_t shown = rows.nr < limit ? rows.nr : limit;
	if (!rows.nr)
		fputs(r->heap.estimated ? "  no allocation was hit by a sample\n" : "  no allocation was recorded\n",
		      out);
	else if (by == PA_BY_THREAD)
		write_threads(&t, &rows, shown);
	else if (by == PA_BY_STACK)
		write_stacks(&t, &rows, shown);
	else
		write_names(&t, &rows, shown);
	if (!o->by && rows.nr)
		err = write_largest(&t);
	pa_heap_table_fini(&rows);
	return err;
}
