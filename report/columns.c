#include "report/columns.h"

#include <inttypes.h>
#include <string.h>

#include "report/escape.h"

#define MODULE_MAX 24

static void pad(const struct pa_columns *c, size_t used, size_t width)
{
	for (; used < width; used++)
		fputc(' ', c->out);
}

static size_t place(const struct pa_columns *c, const struct pa_named *row, char *to, size_t size)
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

static const char *name_of(const struct pa_columns *c, const struct pa_named *row)
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
static void fit(struct pa_columns *c)
{
	size_t terminal = c->o->width > c->numbers + 24 ? c->o->width : c->numbers + 24;
	bool places = c->places || c->by == PA_BY_LINE;
	size_t names = places ? terminal / 4 : terminal * 2 / 5;
	size_t room = terminal - c->numbers;
	size_t kept = least(least(c->name, names), room);

	room -= kept;
	if (places)
		c->place = take(&room, least(c->place, room / 2), 12);
	c->module = take(&room, least(c->module, c->o->width < 120 ? MODULE_MAX * 3 / 4 : MODULE_MAX), 8);
	if (!places)
		c->place = take(&room, c->place, 12);
	c->name = least(c->name, kept + room);
}

void pa_columns_measure(struct pa_columns *c, const struct pa_named *row)
{
	char text[4200];
	size_t name = pa_escape_width(PA_PLAIN, name_of(c, row));
	size_t module = pa_escape_width(PA_PLAIN, pa_text(c->r, c->r->modules[row->module].base));
	size_t where = place(c, row, text, sizeof(text));
	c->name = name > c->name ? name : c->name;
	c->module = module > c->module ? module : c->module;
	c->place = where > c->place ? where : c->place;
}

void pa_columns_fit(struct pa_columns *c)
{
	if (c->by == PA_BY_MODULE)
		c->module = c->place = 0;
	if (c->o->width) {
		fit(c);
	} else { /* longer ones push their own row to the right, not everybody's */
		c->name = least(c->name, 64);
		c->module = least(c->module, 32);
	}
}

void pa_columns_head(const struct pa_columns *c, const char *place_title)
{
	const char *title = c->by == PA_BY_MODULE ? "module" : "function";
	fputs(title, c->out);
	if (c->module || c->place) {
		pad(c, strlen(title), c->name);
		fputs(c->module ? "  module" : "  ", c->out);
		if (c->place) {
			pad(c, c->module ? strlen("module") : 0, c->module);
			fprintf(c->out, "  %s", place_title);
		}
	}
	fprintf(c->out, "%s\n", c->style.plain);
}

/* Of a place the end matters: it has the line. */
static void write_place(const struct pa_columns *c, const char *text)
{
	bool whole = !c->o->width || pa_escape_width(PA_PLAIN, text) <= c->place;
	while (!whole && pa_escape_width(PA_PLAIN, text) >= c->place)
		pa_utf8_next(&text);
	if (!whole)
		fputs("\xE2\x80\xA6", c->out);
	pa_escape(c->out, PA_PLAIN, text);
}

void pa_columns_write(const struct pa_columns *c, const struct pa_named *row)
{
	char text[4200];
	const char *module = c->module ? pa_text(c->r, c->r->modules[row->module].base) : "";
	bool where = c->place && place(c, row, text, sizeof(text)), cut = c->o->width;
	size_t used;

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
