/* Names for every frame. A frame that nothing names is still a row of its own: module+0x..., never a neighbour's name.
 */
#include "report/load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"

#define INLINE_LEVELS 64

struct levels {
	struct pa_report *r;
	size_t capacity;
	uint32_t frame; /* index of the frame the last row belonged to */
	uint8_t *has;   /* per frame: symbol rows were seen */
};

static bool add_level(struct levels *l, struct pa_report_frame *f, const char *function, const char *file,
		      uint32_t line)
{
	struct pa_report *r = l->r;
	if (!pa_grow((void **)&r->levels, &l->capacity, r->nr_levels, sizeof(*r->levels)))
		return false;
	if (!f->nr)
		f->first = r->nr_levels;
	r->levels[r->nr_levels++] = (struct pa_report_level){
	    .function = pa_pool_add(r->strings, function && *function ? function : "[unknown]"),
	    .file = pa_pool_add(r->strings, file),
	    .line = file ? line : 0,
	};
	f->nr++;
	return true;
}

static int on_symbol(void *arg, const struct pa_store_symbol *s)
{
	struct levels *l = arg;
	uint32_t frame = pa_index_of(l->r->frames, l->r->nr_frames, sizeof(*l->r->frames), s->frame);
	struct pa_report_frame *f = &l->r->frames[frame];
	if (!frame || (l->has[frame] && frame != l->frame) || (l->has[frame] && f->nr >= INLINE_LEVELS))
		return 0; /* levels of a frame stand together, or the file is damaged */
	l->frame = frame;
	l->has[frame] = 1;
	return add_level(l, f, s->function, s->file, s->line) ? 0 : -ENOMEM;
}

static const char *pseudo_name(uint64_t address)
{
	static const char *const names[] = {
	    [PA_FRAME_NONE] = "[unknown]",
	    [PA_FRAME_TRUNCATED] = "[truncated]",
	    [PA_FRAME_UNSAMPLED] = "[unsampled]",
	    [PA_FRAME_SIGNAL_BLOCKED] = "[signal blocked]",
	    [PA_FRAME_FOREIGN] = "[foreign stack]",
	    [PA_FRAME_JIT] = "[jit]",
	    [PA_FRAME_NO_UNWIND_INFO] = "[no unwind info]",
	    [PA_FRAME_OTHER] = "[other]",
	    [PA_FRAME_AGENT] = "[perfagent]",
	};
	if (address < sizeof(names) / sizeof(names[0]))
		return names[address];
	return address < PA_FRAME_PSEUDO_MAX ? "[unknown]" : "[jit]";
}

/* The file as it is now, if it is the one that was recorded: for recordings whose collector did not get that far. */
static size_t from_file(struct pa_symbolizer *symbolizer, const struct pa_report *r, struct pa_report_module *m,
			uint64_t address, struct pa_symbol levels[INLINE_LEVELS], uint64_t *start)
{
	if (!symbolizer || !m->build_id_len)
		return 0;
	struct pa_module_ref ref = {
	    .path = pa_text(r, m->path), .fd = -1, .build_id = m->build_id, .build_id_len = m->build_id_len};
	struct pa_symmod *file = pa_symbolizer_module(symbolizer, &ref);
	if (!file)
		return 0;
	m->symbols = pa_symmod_status(file);
	size_t nr = pa_symbolize(file, address, levels, INLINE_LEVELS);
	if (!nr && !pa_symmod_function(file, address, start))
		*start = address;
	return nr;
}

static bool name_frame(struct levels *l, struct pa_symbolizer *symbolizer, size_t index)
{
	struct pa_report *r = l->r;
	struct pa_report_frame *f = &r->frames[index];
	struct pa_report_module *m = &r->modules[f->module];
	struct pa_symbol levels[INLINE_LEVELS];
	const char *stored = pa_text(r, (uint32_t)f->first);
	char text[64 + PA_PATH_MAX];

	m->frames += f->module != 0;
	if (l->has[index])
		return true;
	f->nr = 0;
	if (*stored && !f->module)
		return add_level(l, f, stored, NULL, 0);
	if (!index)
		return add_level(l, f, "[unknown]", NULL, 0);
	if (!f->module)
		return add_level(l, f, pseudo_name(f->address), NULL, 0);
	uint64_t start = f->address;
	size_t nr = from_file(symbolizer, r, m, f->address, levels, &start);
	for (size_t i = 0; i < nr; i++)
		if (!add_level(l, f, levels[i].function, levels[i].file, levels[i].line))
			return false;
	if (nr)
		return true;
	if (*stored == '+')
		snprintf(text, sizeof(text), "%.*s%.32s", PA_PATH_MAX, pa_text(r, m->base), stored);
	else
		snprintf(text, sizeof(text), "%.*s+0x%" PRIx64, PA_PATH_MAX, pa_text(r, m->base), start);
	f->unnamed = true;
	m->unnamed++;
	return add_level(l, f, text, NULL, 0);
}

int pa_load_names(struct pa_report *r, struct pa_recording *rec)
{
	struct levels l = {.r = r, .has = calloc(r->nr_frames, 1)};
	struct pa_symbolizer *symbolizer = NULL;
	int err = -ENOMEM;

	if (!l.has)
		return err;
	if ((err = pa_recording_symbols(rec, on_symbol, &l)))
		goto out;
	err = -ENOMEM;
	if (!r->clean && !(symbolizer = pa_symbolizer_new()))
		goto out;
	for (size_t i = 0; i < r->nr_frames; i++)
		if (!name_frame(&l, symbolizer, i))
			goto out;
	err = 0;
out:
	pa_symbolizer_free(symbolizer);
	free(l.has);
	return err;
}
