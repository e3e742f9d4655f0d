/* The table of the text report. The first four columns are numbers of fixed width, so that names line up; on a terminal
 * names give way to its width, elsewhere they are whole. */
#include "report/text.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "report/escape.h"

#define NUMBERS_WIDTH 39
#define MODULE_MAX    24

struct columns {
	const struct pa_report *r;
	const struct pa_report_options *o;
	FILE *out;
	enum pa_by by;
	struct pa_style style;
	size_t name, module, place; /* widths */
	int decimals;
};

static void numbers(const struct columns *c, const struct pa_sum *self, const struct pa_sum *total)
{
	uint64_t all = c->r->sum.ns;
	fprintf(c->out, "  %6.1f  %7.1f  %8.*f  %8.*f  ", pa_percent(self->ns, all), pa_percent(total->ns, all),
		c->decimals, (double)self->ns / 1e9, c->decimals, (double)total->ns / 1e9);
}

static void pad(const struct columns *c, size_t used, size_t width)
{
	for (; used < width; used++)
		fputc(' ', c->out);
}

static size_t place(const struct columns *c, const struct pa_row *row, char *to, size_t size)
{
	const char *file = pa_text(c->r, row->file);
	to[0] = 0;
	if (!*file)
		return 0;
	if (c->o->width || c->by == PA_BY_FUNCTION) {
		const char *slash = strrchr(file, '/');
		file = slash && slash[1] ? slash + 1 : file;
	}
	snprintf(to, size, row->line ? "%s:%" PRIu32 : "%s", file, row->line);
	return pa_escape_width(PA_PLAIN, to);
}

static const char *name_of(const struct columns *c, const struct pa_row *row)
{
	const struct pa_report_module *m = &c->r->modules[row->module];
	if (c->by == PA_BY_MODULE && row->module)
		return pa_text(c->r, c->o->width ? m->base : m->path);
	return pa_text(c->r, row->function);
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* What a column may have of the room that is left, its gap of two included; 0: less than `enough` is not worth showing.
 */
static size_t take(size_t *room, size_t wanted, size_t enough)
{
	if (!wanted || *room < least(wanted, enough) + 2)
		return 0;
	size_t width = least(wanted, *room - 2);
	*room -= width + 2;
	return width;
}

/* On a terminal the numbers are whole, names have two fifths of it (a quarter where the lines matter), then come
 * modules and places; what these leave goes back to the names. */
static void fit(struct columns *c)
{
	size_t terminal = c->o->width > NUMBERS_WIDTH + 24 ? c->o->width : NUMBERS_WIDTH + 24;
	size_t names = c->by == PA_BY_LINE ? terminal / 4 : terminal * 2 / 5;
	size_t room = terminal - NUMBERS_WIDTH;
	size_t kept = least(least(c->name, names), room);

	room -= kept;
	if (c->by == PA_BY_LINE)
		c->place = take(&room, least(c->place, room / 2), 12);
	c->module = take(&room, least(c->module, c->o->width < 120 ? MODULE_MAX * 3 / 4 : MODULE_MAX), 8);
	if (c->by != PA_BY_LINE)
		c->place = take(&room, c->place, 12);
	c->name = least(c->name, kept + room);
}

static void measure(struct columns *c, const struct pa_table *t, size_t shown)
{
	char text[4200];
	for (size_t i = 0; i < shown; i++) {
		size_t name = pa_escape_width(PA_PLAIN, name_of(c, &t->rows[i]));
		size_t module = pa_escape_width(PA_PLAIN, pa_text(c->r, c->r->modules[t->rows[i].module].base));
		size_t where = place(c, &t->rows[i], text, sizeof(text));
		c->name = name > c->name ? name : c->name;
		c->module = module > c->module ? module : c->module;
		c->place = where > c->place ? where : c->place;
	}
	if (c->by == PA_BY_MODULE)
		c->module = c->place = 0;
	if (c->o->width) {
		fit(c);
	} else { /* longer ones push their own row to the right, not everybody's */
		c->name = least(c->name, 64);
		c->module = least(c->module, 32);
	}
}

/* Of a place the end matters: it has the line. */
static void write_place(const struct columns *c, const char *text)
{
	bool whole = !c->o->width || pa_escape_width(PA_PLAIN, text) <= c->place;
	while (!whole && pa_escape_width(PA_PLAIN, text) >= c->place)
		pa_utf8_next(&text);
	if (!whole)
		fputs("\xE2\x80\xA6", c->out);
	pa_escape(c->out, PA_PLAIN, text);
}

static void write_row(const struct columns *c, const struct pa_row *row)
{
	char text[4200];
	const char *module = c->module ? pa_text(c->r, c->r->modules[row->module].base) : "";
	bool where = c->place && place(c, row, text, sizeof(text)), cut = c->o->width;
	size_t used;

	numbers(c, &row->self, &row->total);
	used = pa_escape_columns(c->out, PA_PLAIN, name_of(c, row), cut ? c->name : 0);
	if (*module || where) {
		pad(c, used, c->name);
		fputs("  ", c->out);
		used = pa_escape_columns(c->out, PA_PLAIN, module, cut ? c->module : 0);
	}
	if (where) {
		pad(c, used, c->module);
		fputs("  ", c->out);
		write_place(c, text);
	}
	fputc('\n', c->out);
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
	fprintf(c->out, "%s  share %%     CPU s  kernel s      tid  thread            process%s\n", c->style.bold,
		c->style.plain);
	for (size_t i = 0; i < shown; i++) {
		const struct pa_report_thread *th = &c->r->threads[t->rows[i].thread];
		const struct pa_report_process *p = &c->r->processes[th->process];
		const char *name = pa_text(c->r, th->name);
		fprintf(c->out, "  %7.1f  %8.*f  %8.*f  %7" PRIu32 "  ", pa_percent(th->sum.ns, c->r->sum.ns),
			c->decimals, (double)th->sum.ns / 1e9, c->decimals, (double)th->cpu_ns / 1e9, th->tid);
		pad(c, pa_escape_columns(c->out, PA_PLAIN, *name ? name : "[unknown]", 16), 16);
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
	static const char *const titles[] = {"function", "function", "module"};
	static const char *const what[] = {"function", "line", "module"};

	measure(c, t, shown);
	fprintf(c->out, "%s  self %%  total %%    self s   total s  %s", c->style.bold, titles[c->by]);
	if (c->module || c->place) {
		pad(c, strlen(titles[c->by]), c->name);
		fputs(c->module ? "  module" : "  ", c->out);
		if (c->place) {
			pad(c, c->module ? strlen("module") : 0, c->module);
			fputs(c->by == PA_BY_LINE ? "  line" : "  hottest line", c->out);
		}
	}
	fprintf(c->out, "%s\n", c->style.plain);
	for (size_t i = 0; i < shown; i++)
		write_row(c, &t->rows[i]);
	write_rest(c, t, shown, what[c->by]);
}

int pa_text_table(const struct pa_report *r, const struct pa_report_options *o, FILE *out)
{
	uint64_t all = r->sum.ns;
	struct columns c = {.r = r,
			    .o = o,
			    .out = out,
			    .by = o->by ? pa_by_find(o->by) : PA_BY_FUNCTION,
			    .decimals = all < 1000000000000 ? 3 : 1};
	struct pa_table t;
	const struct pa_entries e = pa_cpu_entries(r);
	int err = c.by == PA_BY_BAD ? -EINVAL : pa_table_build(r, &e, c.by, &t);

	if (err)
		return err;
	pa_style_get(o, &c.style);
	size_t limit = o->limit ? o->limit : PA_TEXT_ROWS, shown = t.nr < limit ? t.nr : limit;
	if (!t.nr)
		fputs(
		    "  no samples: the program used too little CPU time, or nothing could be sampled (see the notes)\n",
		    out);
	else if (c.by == PA_BY_THREAD)
		write_threads(&c, &t, shown);
	else
		write_table(&c, &t, shown);
	pa_table_fini(&t);
	return 0;
}
