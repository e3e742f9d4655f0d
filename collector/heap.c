#include "collector/heap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "collector/stacks.h"
#include "common/heapwire.h"

/* Of each kind of block that is kept for a pass: beyond that they count at once. */
#define AGED_SLOTS (1u << 16)

#define CHANGED 1u /* bit of pa_heap_row.seen */

_Static_assert(PA_HEAP_ROWS_MAX <= PA_LIVE_ROWS && PA_HEAP_MEANS_MAX <= PA_LIVE_MEANS,
	       "a live block names any row and mean");

/* ---- life ------------------------------------------------------------------------------------------------------- */

struct pa_heap *pa_heap_new(uint32_t mode, uint32_t flags, const struct pa_heap_clock *clock, uint64_t start_ns,
			    size_t live_slots)
{
	struct pa_heap *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->mode = mode;
	h->flags = flags;
	h->fraction = mode == PA_HEAP_SAMPLED ? PA_HEAP_FRACTION_BITS : 0;
	h->clock = clock;
	h->peak_nr = 1;
	h->flushed.ns = start_ns;
	h->changes = 1; /* that there is a heap is worth a row */
	pa_live_init(&h->live, live_slots ? live_slots : PA_HEAP_LIVE_SLOTS);
	pa_live_init(&h->freed_early.now, AGED_SLOTS);
	pa_live_init(&h->freed_early.before, AGED_SLOTS);
	pa_live_init(&h->replaced.now, AGED_SLOTS);
	pa_live_init(&h->replaced.before, AGED_SLOTS);
	if (pa_heap_rows_init(h) == 0)
		return h;
	pa_heap_free(h);
	return NULL;
}

void pa_heap_free(struct pa_heap *h)
{
	if (!h)
		return;
	pa_live_fini(&h->live);
	pa_live_fini(&h->freed_early.now);
	pa_live_fini(&h->freed_early.before);
	pa_live_fini(&h->replaced.now);
	pa_live_fini(&h->replaced.before);
	pa_heap_rows_fini(h);
	free(h);
}

void pa_heap_mark_uncertain(struct pa_heap *h, uint64_t ns)
{
	ns = ns ? ns : 1;
	if (!h->uncertain_ns || ns < h->uncertain_ns)
		h->uncertain_ns = ns;
	h->changes++;
}

/* ---- what a block stands for ------------------------------------------------------------------------------------ */

/* Source: Horvitz-Thompson for Poisson sampling per byte: a block of s bytes is hit with p = 1 - exp(-s / mean) and
 * stands for 1 / p blocks; the variance of its bytes is s^2 (1 - p) / p^2. */
void pa_heap_weight(double size, double mean, double *calls, double *bytes, double *variance)
{
	double p = -expm1(-(size < 1 ? 1 : size) / mean);

	*calls = 1 / p;
	*bytes = size / p;
	*variance = size * size * (1 - p) / (p * p);
}

struct weight {
	uint64_t calls, bytes;
	double variance;
};

static __attribute__((noinline)) struct weight estimate(const struct pa_heap *h, uint64_t size, uint32_t mean)
{
	struct weight w;
	double calls, bytes, unit = (double)(1u << PA_HEAP_FRACTION_BITS);

	pa_heap_weight((double)size, h->means[mean], &calls, &bytes, &w.variance);
	/* sizes and means were cut at 2^48 and 2^40: these stay below 2^63 */
	w.calls = (uint64_t)(calls * unit + 0.5);
	w.bytes = (uint64_t)(bytes * unit + 0.5);
	return w;
}

static inline struct weight weight_of(const struct pa_heap *h, uint64_t size, uint32_t mean)
{
	if (__builtin_expect(h->mode == PA_HEAP_SAMPLED, 0))
		return estimate(h, size, mean);
	return (struct weight){1, size, 0};
}

uint16_t pa_heap_mean(struct pa_heap *h, uint64_t mean)
{
	double m = (double)(mean > UINT64_C(1) << 40 ? UINT64_C(1) << 40 : mean);
	uint32_t best = 0;

	for (uint32_t i = 0; i < h->nr_means; i++) {
		if (h->means[i] == m)
			return (uint16_t)i;
		if (fabs(h->means[i] - m) < fabs(h->means[best] - m))
			best = i;
	}
	/* an agent doubles its mean a few times; whoever sends more of them gets the nearest one */
	if (h->nr_means == PA_HEAP_MEANS_MAX)
		return (uint16_t)best;
	h->means[h->nr_means] = m;
	return (uint16_t)h->nr_means++;
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

/* Before a row changes: it notes what it held at the peak, and that it is to be written. */
static inline void touch(struct pa_heap *h, uint32_t row)
{
	struct pa_heap_row *r = &h->rows[row];
	uint64_t want = h->peak_nr << 1 | CHANGED;

	if (r->seen == want)
		return;
	if (r->seen >> 1 != h->peak_nr) {
		r->held_calls = r->calls - r->frees;
		r->held_bytes = r->bytes - r->freed;
	}
	if (!(r->seen & CHANGED)) {
		if (!h->nr_changed)
			h->first_stamp = h->last_stamp;
		h->changed[h->nr_changed++] = row;
	}
	r->seen = want;
}

static inline void add(struct pa_heap *h, uint32_t row, const struct weight *w, uint64_t stamp)
{
	struct pa_heap_row *r = &h->rows[row];
	uint64_t live;

	touch(h, row);
	r->calls += w->calls;
	r->bytes += w->bytes;
	h->calls += w->calls;
	h->bytes += w->bytes;
	live = h->bytes - h->freed;
	if (live > h->peak_bytes) {
		h->peak_bytes = live;
		h->peak_calls = h->calls - h->frees;
		h->peak_stamp = stamp;
		h->peak_nr++;
	}
	if (__builtin_expect(h->mode == PA_HEAP_SAMPLED, 0)) {
		h->cold[row].samples++;
		h->cold[row].var_bytes += w->variance;
	}
}

static inline void subtract(struct pa_heap *h, uint32_t row, const struct weight *w)
{
	struct pa_heap_row *r = &h->rows[row];

	touch(h, row);
	r->frees += w->calls;
	r->freed += w->bytes;
	h->frees += w->calls;
	h->freed += w->bytes;
	if (__builtin_expect(h->mode == PA_HEAP_SAMPLED, 0))
		h->cold[row].var_freed += w->variance;
}

/* ---- events ----------------------------------------------------------------------------------------------------- */

/* A block ends at `stamp`. source NULL: nobody said so. */
static inline __attribute__((always_inline)) void end_block(struct pa_heap *h, struct pa_heap_source *source,
							    const struct pa_live_block *block, uint64_t stamp)
{
	struct weight w = weight_of(h, block->size, block->mean);
	uint32_t class = pa_heap_clock_class(h->clock, stamp - block->stamp);
	struct pa_heap_thread *t;
	uint64_t temporary;

	subtract(h, block->row, &w);
	h->lifetime_calls[class] += w.calls;
	h->lifetime_bytes[class] += w.bytes;
	if (!source)
		return;
	t = &h->threads[source->thread];
	t->frees += w.calls;
	t->freed += w.bytes;
	t->changed = true;
	/* no branch: whether it is depends on the program */
	temporary = (source->last_address == block->address) & (source->last_stamp == block->stamp) &
		    (h->mode == PA_HEAP_EXACT);
	h->rows[block->row].temporary += temporary;
	h->temporary_bytes[block->row] += w.bytes & -temporary;
	h->temporary += temporary;
}

/* Another block appeared where one lives: its end was lost, or has not arrived yet. */
static __attribute__((noinline)) void replace(struct pa_heap *h, const struct pa_live_block *old, uint64_t stamp)
{
	struct pa_live_block before;

	end_block(h, NULL, old, stamp > old->stamp ? stamp : old->stamp);
	if (pa_live_put(&h->replaced.now, old, &before) == PA_LIVE_NEW)
		return;
	h->never_freed++;
	pa_heap_mark_uncertain(h, pa_heap_clock_ns(h->clock, old->stamp));
}

/* Its free was found before it. */
static __attribute__((noinline)) bool was_freed_early(struct pa_heap *h, const struct pa_heap_event *e, uint64_t *stamp)
{
	struct pa_live *gens[2] = {&h->freed_early.now, &h->freed_early.before};

	for (int i = 0; i < 2; i++) {
		const struct pa_live_block *b = pa_live_nr(gens[i]) ? pa_live_find(gens[i], e->address) : NULL;
		struct pa_live_block out;

		if (!b || b->stamp < e->stamp)
			continue;
		*stamp = b->stamp;
		return pa_live_take(gens[i], e->address, b->stamp, &out);
	}
	return false;
}

/* It cannot be remembered: what it allocated counts, and that it lives does not. */
static __attribute__((noinline)) void leave_out(struct pa_heap *h, const struct pa_live_block *block)
{
	end_block(h, NULL, block, block->stamp);
	h->untracked++;
	pa_heap_mark_uncertain(h, pa_heap_clock_ns(h->clock, block->stamp));
}

/* An older block than the one that is there: it has gone already. */
static __attribute__((noinline)) void came_late(struct pa_heap *h, struct pa_live_block *block,
						const struct pa_live_block *there)
{
	struct pa_live_block other;

	pa_live_put(&h->live, there, &other);
	replace(h, block, there->stamp);
}

static inline void on_alloc(struct pa_heap *h, struct pa_heap_source *source, const struct pa_heap_event *e)
{
	struct pa_live_block block = {e->address, e->stamp, e->size, e->row, e->mean}, old;
	struct weight w = weight_of(h, e->size, e->mean);
	struct pa_heap_thread *t = &h->threads[source->thread];
	uint64_t freed_at;
	enum pa_live_put put;

	t->calls += w.calls;
	t->bytes += w.bytes;
	t->changed = true;
	source->last_address = e->address;
	source->last_stamp = e->stamp;
	if (__builtin_expect(pa_live_nr(&h->freed_early.now) + pa_live_nr(&h->freed_early.before) != 0, 0) &&
	    was_freed_early(h, e, &freed_at)) {
		add(h, e->row, &w, e->stamp);
		end_block(h, NULL, &block, freed_at);
		return;
	}
	put = pa_live_put(&h->live, &block, &old);
	if (__builtin_expect(put == PA_LIVE_REPLACED && old.stamp <= e->stamp, 0))
		replace(h, &old, e->stamp);
	add(h, e->row, &w, e->stamp);
	if (__builtin_expect(put == PA_LIVE_FULL, 0))
		leave_out(h, &block);
	else if (__builtin_expect(put == PA_LIVE_REPLACED && old.stamp > e->stamp, 0))
		came_late(h, &block, &old);
}

/* Nothing lives there: the free of a block that was replaced, of one that has not come yet, or of one we never knew. */
static __attribute__((noinline)) void free_unmatched(struct pa_heap *h, struct pa_heap_source *source,
						     const struct pa_heap_event *e)
{
	struct pa_live_block block = {.address = e->address, .stamp = e->stamp}, old;

	h->changes++;
	if (pa_live_nr(&h->replaced.now) && pa_live_take(&h->replaced.now, e->address, e->stamp, &old))
		return;
	if (pa_live_nr(&h->replaced.before) && pa_live_take(&h->replaced.before, e->address, e->stamp, &old))
		return;
	if (pa_live_put(&h->freed_early.now, &block, &old) != PA_LIVE_NEW)
		h->unknown_frees++;
}

static inline void on_free(struct pa_heap *h, struct pa_heap_source *source, const struct pa_heap_event *e)
{
	struct pa_live_block block;

	if (__builtin_expect(pa_live_take(&h->live, e->address, e->stamp, &block), 1))
		end_block(h, source, &block, e->stamp);
	else
		free_unmatched(h, source, e);
	source->last_address = 0;
}

void pa_heap_play(struct pa_heap *h, struct pa_heap_source *source, const struct pa_heap_event *e)
{
	if (__builtin_expect(!e->address, 0))
		return;
	h->last_stamp = e->stamp;
	switch (e->type) {
	case PA_HR_ALLOC:
		on_alloc(h, source, e);
		break;
	case PA_HR_FREE:
		on_free(h, source, e);
		break;
	case PA_HR_MAP:
		h->changes++;
		h->mapped_calls++;
		h->mapped_bytes += e->size;
		break;
	case PA_HR_UNMAP:
		h->changes++;
		h->unmapped_bytes += e->size;
		break;
	}
}

/* ---- between passes --------------------------------------------------------------------------------------------- */

static void never_freed(void *arg, const struct pa_live_block *block)
{
	struct pa_heap *h = arg;

	h->never_freed++;
	pa_heap_mark_uncertain(h, pa_heap_clock_ns(h->clock, block->stamp));
}

static void age(struct pa_heap_aged *aged)
{
	struct pa_live swap = aged->before;

	pa_live_clear(&swap);
	aged->before = aged->now;
	aged->now = swap;
}

void pa_heap_end_pass(struct pa_heap *h)
{
	if (pa_live_nr(&h->replaced.now) + pa_live_nr(&h->replaced.before)) {
		pa_live_each(&h->replaced.before, never_freed, h);
		age(&h->replaced);
	}
	if (pa_live_nr(&h->freed_early.now) + pa_live_nr(&h->freed_early.before)) {
		h->unknown_frees += pa_live_nr(&h->freed_early.before);
		age(&h->freed_early);
	}
}

void pa_heap_end(struct pa_heap *h)
{
	pa_heap_end_pass(h);
	pa_heap_end_pass(h);
}
