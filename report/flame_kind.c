#include "report/flame_kind.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/quantity.h"
#include "report/wall.h"

static const struct {
	const char *title, *noun;
} words[PA_HEAP_KINDS] = {
    [PA_HEAP_ALLOC] = {"allocated", "calls"},
    [PA_HEAP_LIVE] = {"live at the end", "blocks"},
    [PA_HEAP_PEAK] = {"live at the highest heap", "blocks"},
    [PA_HEAP_TEMPORARY] = {"temporary allocations (freed by the next heap call)", "calls"},
    [PA_HEAP_GROWTH] = {"growth", "blocks"},
    [PA_HEAP_FREED] = {"freed, by who had allocated", "calls"},
};

int pa_flame_init(const struct pa_report *r, const struct pa_report_options *o, struct pa_flame *f)
{
	*f = (struct pa_flame){.entries = pa_cpu_entries(r), .title = "CPU time", .noun = "samples"};
	if (!o->kind || !strcmp(o->kind, "cpu"))
		return o->unit ? -EINVAL : 0;
	if (!strcmp(o->kind, "wall")) {
		f->title = "wall-clock time: on a processor and waiting";
		f->noun = "us";
		f->wall = true;
		f->entries.entries = NULL;
		if (o->unit)
			return -EINVAL;
		return pa_wall_entries(r, &f->own, &f->entries);
	}
	f->heap = true;
	f->kind = pa_heap_kind_find(o->kind);
	bool calls = o->unit && !strcmp(o->unit, "calls");
	if (f->kind == PA_HEAP_KINDS || (o->unit && !calls && strcmp(o->unit, "bytes")))
		return -EINVAL;
	if (!r->heap.recorded)
		return -ENODATA;
	f->title = words[f->kind].title;
	f->noun = words[f->kind].noun;
	f->entries.unit = calls ? PA_UNIT_CALLS : PA_UNIT_BYTES;
	int err = pa_heap_entries(r, f->kind, calls ? PA_HEAP_CALLS : PA_HEAP_BYTES, &f->own, &f->entries.nr);
	f->entries.entries = f->own;
	return err;
}

void pa_flame_fini(struct pa_flame *f)
{
	free(f->own);
	f->own = NULL;
}

char *pa_flame_value(const struct pa_flame *f, char *to, uint64_t value)
{
	char size[PA_QUANTITY_MAX];
	if (f->entries.unit == PA_UNIT_BYTES)
		snprintf(to, PA_FLAME_VALUE_MAX, value < 1024 ? "%s" : "%s (%" PRIu64 " bytes)",
			 pa_size_text(size, value), value);
	else
		snprintf(to, PA_FLAME_VALUE_MAX, "%" PRIu64 " %s", value, f->noun);
	return to;
}
