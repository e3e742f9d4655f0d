#include "report/stack_out.h"

#include <inttypes.h>
#include <string.h>

#include "report/escape.h"
#include "report/heap_table.h"
#include "report/text.h"

#define FUNCTION_MAX 40

/* The levels of a stack, one after the other. */
struct steps {
	const struct pa_report *r;
	uint32_t stack, level;
};

static const struct pa_report_level *next(struct steps *s, const struct pa_report_module **module)
{
	const struct pa_report *r = s->r;
	const struct pa_report_frame *f = &r->frames[r->stacks[s->stack].frame];
	if (s->level == f->nr) {
		s->level = 0;
		s->stack = r->stacks[s->stack].parent;
		if (!s->stack)
			return NULL;
		f = &r->frames[r->stacks[s->stack].frame];
	}
	*module = &r->modules[f->module];
	return &r->levels[f->first + s->level++];
}

/* At the leaf, or at who asked for the memory. */
static struct steps begin(const struct pa_report *r, uint32_t stack, bool asker)
{
	struct steps s = {.r = r, .stack = stack};
	uint32_t module;
	size_t level = asker ? pa_heap_owner(r, stack, &module) : 0;
	for (uint32_t at = asker ? stack : 0; at; at = r->stacks[at].parent) {
		const struct pa_report_frame *f = &r->frames[r->stacks[at].frame];
		if (level >= f->first && level < f->first + f->nr) {
			s.stack = at;
			s.level = (uint32_t)(level - f->first);
			break;
		}
	}
	return s;
}

static size_t count(struct steps s)
{
	const struct pa_report_module *m;
	size_t nr = 0;
	while (next(&s, &m))
		nr++;
	return nr;
}

static void write_step(const struct pa_report *r, const struct pa_report_options *o, unsigned indent,
		       const struct pa_report_level *l, const struct pa_report_module *m, FILE *out)
{
	size_t width = o->width > indent + 40 ? o->width - indent : 0;
	size_t names = !width ? 0 : width / 2 > FUNCTION_MAX ? width / 2 : FUNCTION_MAX;
	const char *file = pa_text(r, l->file);
	fprintf(out, "%*s", (int)indent, "");
	size_t used = pa_escape_columns(out, PA_PLAIN, pa_text(r, l->function), names);
	const char *where = *file ? file : pa_text(r, m->base);
	if (!*where) {
		fputc('\n', out);
		return;
	}
	for (; used < FUNCTION_MAX; used++)
		fputc(' ', out);
	fputs("  ", out);
	if (*file && width) {
		const char *slash = strrchr(file, '/');
		where = slash && slash[1] ? slash + 1 : file;
	}
	pa_escape_columns(out, PA_PLAIN, where, width ? 32 : 0);
	if (*file && l->line)
		fprintf(out, ":%" PRIu32, l->line);
	fputc('\n', out);
}

/* Of a stack that is too long the leaf-most frames and the root are shown. */
void pa_stack_text(const struct pa_report *r, const struct pa_report_options *o, uint32_t stack,
		   const struct pa_stack_style *style, FILE *out)
{
	struct steps s = begin(r, stack, style->asker);
	const struct pa_report_module *m;
	const struct pa_report_level *l;
	size_t nr = count(s), at = 0, max = style->max;
	while ((l = next(&s, &m))) {
		bool hidden = max && nr > max + 1 && at + 2 > max && at + 1 < nr;
		if (!hidden)
			write_step(r, o, style->indent, l, m, out);
		else if (at + 2 == max + 1)
			fprintf(out, "%*s... %zu frames ...\n", (int)style->indent, "", nr - max);
		at++;
	}
}

void pa_stack_json(struct pa_json *j, const char *key, const struct pa_report *r, uint32_t stack)
{
	struct steps s = {.r = r, .stack = stack};
	const struct pa_report_module *m;
	const struct pa_report_level *l;
	pa_json_array(j, key);
	while ((l = next(&s, &m))) {
		const char *file = pa_text(r, l->file), *path = pa_text(r, m->path);
		pa_json_row(j, NULL);
		pa_json_text(j, "function", pa_text(r, l->function));
		pa_json_text(j, "module", *path ? path : NULL);
		pa_json_text(j, "file", *file ? file : NULL);
		pa_json_u64(j, "line", l->line);
		pa_json_end_object(j);
	}
	pa_json_end_array(j);
}
