/* What stacks hold, as entries for trees and tables. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "report/model.h"

enum pa_heap_kind pa_heap_kind_find(const char *name)
{
	static const char *const names[PA_HEAP_KINDS] = {"alloc", "live", "peak", "temporary", "growth", "freed"};
	for (int i = 0; i < PA_HEAP_KINDS; i++)
		if (!strcmp(name, names[i]))
			return (enum pa_heap_kind)i;
	return PA_HEAP_KINDS;
}

int64_t pa_heap_value(const struct pa_heap_sum *sum, enum pa_heap_kind kind, enum pa_heap_unit unit)
{
	bool bytes = unit == PA_HEAP_BYTES;
	switch (kind) {
	case PA_HEAP_ALLOC:
		return (int64_t)(bytes ? sum->bytes : sum->calls);
	case PA_HEAP_LIVE:
		return bytes ? sum->live : sum->live_calls;
	case PA_HEAP_PEAK:
		return (int64_t)(bytes ? sum->peak : sum->peak_calls);
	case PA_HEAP_TEMPORARY:
		return (int64_t)(bytes ? sum->temporary_bytes : sum->temporary);
	case PA_HEAP_GROWTH:
		return bytes ? sum->live - sum->before : sum->live_calls - sum->before_calls;
	case PA_HEAP_FREED:
		return (int64_t)(bytes ? sum->freed : sum->frees);
	default:
		return 0;
	}
}

int pa_heap_entries(const struct pa_report *r, enum pa_heap_kind kind, enum pa_heap_unit unit,
		    struct pa_report_entry **entries, size_t *nr)
{
	const struct pa_report_heap *h = &r->heap;
	struct pa_report_entry *list;

	*entries = NULL;
	*nr = 0;
	if (kind >= PA_HEAP_KINDS)
		return -EINVAL;
	list = calloc(h->nr_held + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < h->nr_held; i++) {
		const struct pa_report_held *at = &h->held[i];
		int64_t value = pa_heap_value(&at->sum, kind, unit);
		if (value > 0)
			list[(*nr)++] =
			    (struct pa_report_entry){.process = at->process,
						     .stack = at->stack,
						     .sum = {.weight = (uint64_t)value, .ns = (uint64_t)value}};
	}
	*entries = list;
	return 0;
}
