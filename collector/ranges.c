/* Nested ranges into disjoint segments. Users: symtab.c, dwarf.c, perfmap.c. World: plain. */
#include "collector/ranges.h"

#include <errno.h>
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

/* Outer before inner. Equal ranges keep the order of their ids reversed, so that the first one added is met last and
 * wins. */
static int compare_ranges(const void *pa, const void *pb)
{
	const struct pa_range *a = pa, *b = pb;

	if (a->lo != b->lo)
		return a->lo < b->lo ? -1 : 1;
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	if (a->hi != b->hi)
		return a->hi > b->hi ? -1 : 1;
	return a->id > b->id ? -1 : a->id < b->id;
}

struct sweep {
	struct pa_ranges out;
	struct pa_range *open; /* ranges begun and not ended, outermost first */
	size_t nr_open;
	uint64_t at; /* everything below is written out */
	int error;
};

static void emit(struct sweep *s, uint64_t hi, uint32_t id)
{
	struct pa_range *last = s->out.nr ? &s->out.ranges[s->out.nr - 1] : NULL;

	if (hi <= s->at)
		return;
	if (last && last->hi == s->at && last->id == id)
		last->hi = hi;
	else if (pa_ranges_add(&s->out, (struct pa_range){.lo = s->at, .hi = hi, .id = id}))
		s->error = -ENOMEM;
	s->at = hi;
}

static void close_until(struct sweep *s, uint64_t address)
{
	while (s->nr_open && s->open[s->nr_open - 1].hi <= address) {
		emit(s, s->open[s->nr_open - 1].hi, s->open[s->nr_open - 1].id);
		s->nr_open--;
	}
	if (s->nr_open)
		emit(s, address, s->open[s->nr_open - 1].id);
	if (s->at < address)
		s->at = address;
}

int pa_ranges_flatten(struct pa_ranges *r)
{
	struct sweep s = {.open = reallocarray(NULL, r->nr + 1, sizeof(*s.open))};

	if (!s.open) {
		pa_ranges_fini(r);
		return -ENOMEM;
	}
	if (r->nr)
		qsort(r->ranges, r->nr, sizeof(*r->ranges), compare_ranges);
	for (size_t i = 0; i < r->nr; i++) {
		close_until(&s, r->ranges[i].lo);
		s.open[s.nr_open++] = r->ranges[i];
	}
	close_until(&s, UINT64_MAX);
	free(s.open);
	pa_ranges_fini(r);
	if (s.error)
		pa_ranges_fini(&s.out);
	*r = s.out;
	return s.error;
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
