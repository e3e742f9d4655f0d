/* The table of the text report. The first four columns are numbers of fixed width, so that names line up; on a terminal
 * names give way to its width, elsewhere they are whole. */
#include "report/text.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "report/columns.h"
#include "report/escape.h"

#define NUMBERS_WIDTH 39

struct columns {
	const struct pa_report *r;
	const struct pa_report_options *o;
	FILE *out;
	struct pa_columns names;
	int decimals;
};

static void numbers(const struct columns *c, const struct pa_sum *self, const struct pa_sum *total)
{
	uint64_t all = c->r->sum.ns;
	fprintf(c->out, "  %6.1f  %7.1f  %8.*f  %8.*f  ", pa_percent(self->ns, all), pa_percent(total->ns, all),
		c->decimals, (double)self->ns / 1e9, c->decimals, (double)total->ns / 1e9);
}

static struct pa_named named(const struct pa_row *row)
{
	return (struct pa_named){row->function, row->file, row->line, row->module};
}

static void write_rest(const struct columns *c, const struct pa_table *t, size_t shown, const char *what)
{
	struct pa_sum self = {0};
	for (size_t i = shown; i < t->nr; i++)
		self.ns += t->rows[i].self.ns;
	if (shown < t->nr)
		fprintf(c->out, "  %6.1f  %7s  %8.*f  %8s  other (%zu %s%s, -n shows more)\n",
			pa_percent(self.ns, c->r->sum.ns), "", c->decimals, (double)self.ns / 1e9, "", t->nr - shown,
			what, t->nr - shown == 1 ? "" : "s");
}

static void write_threads(const struct columns *c, const struct pa_table *t, size_t shown)
{
	fprintf(c->out, "%s  share %%     CPU s  kernel s      tid  thread            process%s\n", c->names.style.bold,
		c->names.style.plain);
	for (size_t i = 0; i < shown; i++) {
		const struct pa_report_thread *th = &c->r->threads[t->rows[i].thread];
		const struct pa_report_process *p = &c->r->processes[th->process];
		const char *name = pa_text(c->r, th->name);
		fprintf(c->out, "  %7.1f  %8.*f  %8.*f  %7" PRIu32 "  ", pa_percent(th->sum.ns, c->r->sum.ns),
			c->decimals, (double)th->sum.ns / 1e9, c->decimals, (double)th->cpu_ns / 1e9, th->tid);
		size_t used = pa_escape_columns(c->out, PA_PLAIN, *name ? name : "[unknown]", 16);
		fprintf(c->out, "%*s", used < 16 ? (int)(16 - used) : 0, "");
		fputs("  ", c->out);
		pa_escape_columns(c->out, PA_PLAIN, pa_text(c->r, p->comm), c->o->width ? 24 : 0);
		fprintf(c->out, " (%" PRIu32 ")\n", p->pid);
	}
	struct pa_sum rest = {0};
	for (size_t i = shown; i < t->nr; i++)
		rest.ns += t->rows[i].self.ns;
	if (shown < t->nr)
		fprintf(c->out, "  %7.1f  %8.*f  other (%zu threads, -n shows more)\n",
			pa_percent(rest.ns, c->r->sum.ns), c->decimals, (double)rest.ns / 1e9, t->nr - shown);
}

static void write_table(struct columns *c, const struct pa_table *t, size_t shown)
{
	static const char *const what[] = {"function", "line", "module"};

	for (size_t i = 0; i < shown; i++) {
		struct pa_named row = named(&t->rows[i]);
		pa_columns_measure(&c->names, &row);
	}
	pa_columns_fit(&c->names);
	fprintf(c->out, "%s  self %%  total %%    self s   total s  ", c->names.style.bold);
	pa_columns_head(&c->names, c->names.by == PA_BY_LINE ? "line" : "hottest line");
	for (size_t i = 0; i < shown; i++) {
		struct pa_named row = named(&t->rows[i]);
		numbers(c, &t->rows[i].self, &t->rows[i].total);
		pa_columns_write(&c->names, &row);
	}
	write_rest(c, t, shown, what[c->names.by]);
}

int pa_text_table(const struct pa_report *r, const struct pa_report_options *o, FILE *out)
{
	uint64_t all = r->sum.ns;
	struct columns c = {.r = r,
			    .o = o,
			    .out = out,
			    .names = {.r = r,
				      .o = o,
				      .out = out,
				      .by = o->by ? pa_by_find(o->by) : PA_BY_FUNCTION,
				      .numbers = NUMBERS_WIDTH},
			    .decimals = all < 1000000000000 ? 3 : 1};
	struct pa_table t;
	const struct pa_entries e = pa_cpu_entries(r);
	int err = c.names.by == PA_BY_BAD ? -EINVAL : pa_table_build(r, &e, c.names.by, &t);

	if (err)
		return err;
	pa_style_get(o, &c.names.style);
	size_t limit = pa_text_rows(r, o), shown = t.nr < limit ? t.nr : limit;
	if (!t.nr)
		fputs(
		    "  no samples: the program used too little CPU time, or nothing could be sampled (see the notes)\n",
		    out);
	else if (c.names.by == PA_BY_THREAD)
		write_threads(&c, &t, shown);
	else
		write_table(&c, &t, shown);
	pa_table_fini(&t);
	return 0;
}
