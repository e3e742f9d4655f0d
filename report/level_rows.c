#include "report/level_rows.h"

#include <errno.h>
#include <stdlib.h>

struct build {
	struct pa_level_rows *to;
	size_t capacity;
	struct pa_map map;
};

static bool row_of(struct build *b, const struct pa_level_row *key, uint32_t *row)
{
	uint32_t *at = pa_map_at(&b->map, pa_pair(key->function, key->module), pa_pair(key->file, key->line));
	if (!at)
		return false;
	if (!*at) {
		if (!pa_grow((void **)&b->to->rows, &b->capacity, b->to->nr, sizeof(*b->to->rows)))
			return false;
		b->to->rows[b->to->nr++] = *key;
		*at = (uint32_t)b->to->nr;
	}
	*row = *at - 1;
	return true;
}

static bool add_levels(struct build *b, const struct pa_report *r, const struct pa_report_frame *f, enum pa_by by)
{
	for (uint32_t k = 0; k < f->nr; k++) {
		const struct pa_report_level *l = &r->levels[f->first + k];
		struct pa_level_row key = {.module = f->module};
		if (by != PA_BY_MODULE || !f->module)
			key.function = l->function;
		if (by == PA_BY_LINE) {
			key.file = l->file;
			key.line = l->line;
		}
		if (!row_of(b, &key, &b->to->of[f->first + k]))
			return false;
	}
	return true;
}

int pa_level_rows_init(const struct pa_report *r, enum pa_by by, struct pa_level_rows *rows)
{
	struct build b = {.to = rows};
	bool fine = true;

	*rows = (struct pa_level_rows){.of = calloc(r->nr_levels, sizeof(*rows->of))};
	if (!rows->of)
		return -ENOMEM;
	for (size_t i = 0; i < r->nr_frames && fine; i++)
		fine = add_levels(&b, r, &r->frames[i], by);
	pa_map_fini(&b.map);
	return fine ? 0 : -ENOMEM;
}

void pa_level_rows_fini(struct pa_level_rows *rows)
{
	free(rows->rows);
	free(rows->of);
	*rows = (struct pa_level_rows){0};
}
