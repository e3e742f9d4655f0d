/* Overlapping ranges into disjoint segments. Users: symtab.c, dwarf.c, perfmap.c. World: plain. */
#include "collector/ranges.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

int pa_ranges_add(struct pa_ranges *r, struct pa_range range)
{
	if (range.lo >= range.hi)
		return 0;
	if (r->nr == r->room) {
		size_t room = r->room ? r->room * 2 : 64;
		struct pa_range *grown = reallocarray(r->ranges, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		r->ranges = grown;
		r->room = room;
	}
	r->ranges[r->nr++] = range;
	return 0;
}

static int compare_starts(const void *pa, const void *pb)
{
	const struct pa_range *a = pa, *b = pb;

	return a->lo < b->lo ? -1 : a->lo > b->lo;
}

static bool beats(const struct pa_range *a, const struct pa_range *b)
{
	if (a->rank != b->rank)
		return a->rank > b->rank;
	if (a->lo != b->lo)
		return a->lo > b->lo;
	if (a->hi != b->hi)
		return a->hi < b->hi;
	return a->id < b->id;
}

/* The ranges that cover the point the sweep has reached, and some that have ended: a heap, the winner on top. */
struct heap {
	struct pa_range *at;
	size_t nr;
};

static void push(struct heap *h, struct pa_range range)
{
	size_t i = h->nr++;

	while (i && beats(&range, &h->at[(i - 1) / 2])) {
		h->at[i] = h->at[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	h->at[i] = range;
}

static void pop(struct heap *h)
{
	struct pa_range last = h->at[--h->nr];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < h->nr) {
		if (child + 1 < h->nr && beats(&h->at[child + 1], &h->at[child]))
			child++;
		if (!beats(&h->at[child], &last))
			break;
		h->at[i] = h->at[child];
		i = child;
	}
	h->at[i] = last;
}

static int emit(struct pa_ranges *out, uint64_t lo, uint64_t hi, uint32_t id)
{
	struct pa_range *last = out->nr ? &out->ranges[out->nr - 1] : NULL;

	if (last && last->hi == lo && last->id == id) {
		last->hi = hi;
		return 0;
	}
	return pa_ranges_add(out, (struct pa_range){.lo = lo, .hi = hi, .id = id});
}

/* in is sorted by start; h has room for all of it. */
static int sweep(struct pa_ranges *out, const struct pa_ranges *in, struct heap *h)
{
	uint64_t at = 0;
	size_t next = 0;
	int error = 0;

	while (!error && (next < in->nr || h->nr)) {
		uint64_t end;

		if (!h->nr)
			at = in->ranges[next].lo;
		while (next < in->nr && in->ranges[next].lo == at)
			push(h, in->ranges[next++]);
		while (h->nr && h->at[0].hi <= at)
			pop(h);
		if (!h->nr)
			continue;
		end = h->at[0].hi;
		if (next < in->nr && in->ranges[next].lo < end)
			end = in->ranges[next].lo;
		error = emit(out, at, end, h->at[0].id);
		at = end;
	}
	return error;
}

int pa_ranges_flatten(struct pa_ranges *r)
{
	struct heap h = {.at = reallocarray(NULL, r->nr + 1, sizeof(*h.at))};
	struct pa_ranges out = {0};
	int error = h.at ? 0 : -ENOMEM;

	if (!error && r->nr) {
		qsort(r->ranges, r->nr, sizeof(*r->ranges), compare_starts);
		error = sweep(&out, r, &h);
	}
	free(h.at);
	pa_ranges_fini(r);
	if (error)
		pa_ranges_fini(&out);
	*r = out;
	return error;
}

const struct pa_range *pa_ranges_at(const struct pa_ranges *r, uint64_t address)
{
	size_t low = 0, high = r->nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (r->ranges[mid].hi <= address)
			low = mid + 1;
		else
			high = mid;
	}
	return low < r->nr && r->ranges[low].lo <= address ? &r->ranges[low] : NULL;
}

uint32_t pa_ranges_find(const struct pa_ranges *r, uint64_t address)
{
	const struct pa_range *range = pa_ranges_at(r, address);

	return range ? range->id : PA_RANGE_NONE;
}

void pa_ranges_fini(struct pa_ranges *r)
{
	free(r->ranges);
	*r = (struct pa_ranges){0};
}
