/* Address ranges that may nest, overlap and repeat, flattened once into disjoint segments, so that every later question
 * is one binary search. Symbol tables, compile units and inlined functions are all kept this way. World: plain. */
#ifndef PA_COLLECTOR_RANGES_H
#define PA_COLLECTOR_RANGES_H

#include <stddef.h>
#include <stdint.h>

#define PA_RANGE_NONE UINT32_MAX

struct pa_range {
	uint64_t lo; /* first address */
	uint64_t hi; /* one past the last */
	uint32_t id;
	uint32_t rank; /* where ranges overlap, the higher rank is what counts */
};

/* Invariant after pa_ranges_flatten: ranges[i].hi <= ranges[i + 1].lo, lo < hi. */
struct pa_ranges {
	struct pa_range *ranges;
	size_t nr;
	size_t room;
};

/* Adds one range; empty and inverted ones are dropped. Errors: 0 or -ENOMEM. */
int pa_ranges_add(struct pa_ranges *r, struct pa_range range);

/* Sorts and cuts. Where ranges overlap, the higher rank wins, then the one that starts later (the inner one of two that
 * nest), then the shorter, then the lower id. Errors: 0 or -ENOMEM (r is then empty). */
int pa_ranges_flatten(struct pa_ranges *r);

/* The id of the segment that covers address, PA_RANGE_NONE when there is none. */
uint32_t pa_ranges_find(const struct pa_ranges *r, uint64_t address);

/* The same, the whole segment; lent; NULL when there is none. */
const struct pa_range *pa_ranges_at(const struct pa_ranges *r, uint64_t address);

/* Frees what r holds, and leaves it empty. */
void pa_ranges_fini(struct pa_ranges *r);

#endif
