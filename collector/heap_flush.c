/* From a heap to the recording: differences since the last time. What the store did not take stays for the next time.
 * World: plain. */
#include <errno.h>
#include <stdlib.h>

#include "collector/heap.h"

/* While a heap with many stacks grows, its peak is written when it has moved by a part of so many. */
#define PEAK_STEP 64
#define PEAK_ROWS 4096

#define CHANGED UINT64_C(1)

static uint64_t difference(const struct pa_heap *h, uint64_t now, uint64_t before)
{
	return pa_heap_whole(h, now) - pa_heap_whole(h, before);
}

static bool delta_of(const struct pa_heap *h, uint32_t row, struct pa_store_heap_delta *d)
{
	const struct pa_heap_row *r = &h->rows[row];
	const struct pa_heap_cold *c = &h->cold[row];

	*d = (struct pa_store_heap_delta){
	    .stack = c->stack,
	    .calls = difference(h, r->calls, c->calls),
	    .bytes = difference(h, r->bytes, c->bytes),
	    .frees = difference(h, r->frees, c->frees),
	    .freed = difference(h, r->freed, c->freed),
	    .temporary = r->temporary - c->temporary,
	    .temporary_bytes = h->temporary_bytes[row] - c->temporary_bytes,
	    .samples = c->samples,
	    .var_bytes = c->var_bytes,
	    .var_freed = c->var_freed,
	};
	return d->calls || d->frees || d->bytes || d->freed || d->samples || d->var_freed > 0;
}

static void forget_changes(struct pa_heap *h)
{
	for (uint32_t i = 0; i < h->nr_changed; i++) {
		struct pa_heap_row *r = &h->rows[h->changed[i]];
		struct pa_heap_cold *c = &h->cold[h->changed[i]];

		*c = (struct pa_heap_cold){.stack = c->stack,
					   .calls = r->calls,
					   .bytes = r->bytes,
					   .frees = r->frees,
					   .freed = r->freed,
					   .temporary = r->temporary,
					   .temporary_bytes = h->temporary_bytes[h->changed[i]]};
		r->seen &= ~CHANGED;
	}
	h->nr_changed = 0;
}

/* The times of a chunk are its first and last event's: a moment between two bursts falls between two chunks. */
static uint64_t first_of(const struct pa_heap *h)
{
	uint64_t ns = pa_heap_clock_ns(h->clock, h->first_stamp) - 1;

	return ns > h->flushed.ns ? ns : h->flushed.ns;
}

static uint64_t last_of(const struct pa_heap *h, uint64_t limit)
{
	uint64_t ns = pa_heap_clock_ns(h->clock, h->last_stamp);

	ns = ns < limit ? ns : limit;
	return ns > h->flushed.ns ? ns : h->flushed.ns;
}

static int put_chunk(struct pa_heap *h, struct pa_store *store, uint32_t process, uint64_t limit)
{
	uint64_t last_ns = last_of(h, limit), first_ns = first_of(h);
	struct pa_store_heap_delta *deltas;
	size_t nr = 0;
	int err = 0;

	if (!h->nr_changed)
		return 0;
	deltas = malloc(h->nr_changed * sizeof(*deltas));
	if (!deltas)
		return -ENOMEM;
	for (uint32_t i = 0; i < h->nr_changed; i++)
		nr += delta_of(h, h->changed[i], &deltas[nr]);
	if (nr)
		err = pa_store_add_heap_chunk(store, process, first_ns < last_ns ? first_ns : last_ns, last_ns, deltas,
					      nr);
	if (!err) {
		forget_changes(h);
		h->flushed.ns = last_ns;
	}
	free(deltas);
	return err;
}

static bool peak_is_due(const struct pa_heap *h, bool at_end)
{
	if (h->peak_nr == h->flushed.peak_nr)
		return false;
	return at_end || h->nr_rows < PEAK_ROWS ||
	       h->peak_bytes - h->flushed.peak_bytes > h->flushed.peak_bytes / PEAK_STEP;
}

static int put_peak(struct pa_heap *h, struct pa_store *store, uint32_t process)
{
	struct pa_store_heap_held *held = malloc(h->nr_rows * sizeof(*held));
	size_t nr = 0;
	int err;

	if (!held)
		return -ENOMEM;
	for (uint32_t i = 0; i < h->nr_rows; i++) {
		uint64_t calls, bytes;

		pa_heap_held(h, i, &calls, &bytes);
		held[nr] =
		    (struct pa_store_heap_held){h->cold[i].stack, pa_heap_whole(h, calls), pa_heap_whole(h, bytes)};
		nr += held[nr].calls || held[nr].bytes;
	}
	err = pa_store_put_heap_peak(store, process, pa_heap_clock_ns(h->clock, h->peak_stamp),
				     pa_heap_whole(h, h->peak_calls), pa_heap_whole(h, h->peak_bytes), held, nr);
	free(held);
	if (err)
		return err;
	h->flushed.peak_nr = h->peak_nr;
	h->flushed.peak_bytes = h->peak_bytes;
	return 0;
}

/* Blocks that were replaced although their rings say of fewer lost frees: those frees passed us by altogether. */
static uint64_t unseen_frees(const struct pa_heap *h)
{
	uint64_t known = h->lost_frees + h->unrecorded;

	return h->never_freed > known ? h->never_freed - known : 0;
}

static int put_totals(struct pa_heap *h, struct pa_store *store, uint32_t process)
{
	struct pa_store_heap row = {
	    .process = process,
	    .mode = h->mode,
	    .flags = h->flags & PA_HEAP_MMAP,
	    .mean = h->mode == PA_HEAP_SAMPLED ? h->mean : 0,
	    .calls = pa_heap_whole(h, h->calls),
	    .bytes = pa_heap_whole(h, h->bytes),
	    .frees = pa_heap_whole(h, h->frees),
	    .freed = pa_heap_whole(h, h->freed),
	    .temporary = h->temporary,
	    .unknown_frees = h->unknown_frees,
	    .own_bytes = h->own_bytes,
	    .lost = h->lost + h->unrecorded + unseen_frees(h),
	    .lost_frees = h->lost_frees + unseen_frees(h),
	    .uncertain_ns = h->uncertain_ns,
	    .stalled_ns = h->stalled_ns,
	    .mapped_calls = h->mapped_calls,
	    .mapped_bytes = h->mapped_bytes,
	    .unmapped_bytes = h->unmapped_bytes,
	};

	for (int i = 0; i < PA_HEAP_LIFETIMES; i++) {
		row.lifetime_calls[i] = pa_heap_whole(h, h->lifetime_calls[i]);
		row.lifetime_bytes[i] = pa_heap_whole(h, h->lifetime_bytes[i]);
	}
	return pa_store_put_heap(store, &row);
}

static int put_threads(struct pa_heap *h, struct pa_store *store)
{
	/* thread 0 is nobody's */
	for (uint32_t i = 1; i < h->nr_threads; i++) {
		struct pa_heap_thread *t = &h->threads[i];
		struct pa_store_heap_thread row = {t->id, pa_heap_whole(h, t->calls), pa_heap_whole(h, t->bytes),
						   pa_heap_whole(h, t->frees), pa_heap_whole(h, t->freed)};
		int err = t->changed ? pa_store_put_heap_thread(store, &row) : 0;

		if (err)
			return err;
		t->changed = false;
	}
	return 0;
}

int pa_heap_flush(struct pa_heap *h, struct pa_store *store, uint32_t process, uint64_t last_ns, bool at_end)
{
	uint64_t changes = h->changes + h->calls + h->frees;
	int err;

	if (changes == h->flushed.changes && !at_end)
		return 0;
	err = put_chunk(h, store, process, last_ns);
	if (!err && peak_is_due(h, at_end))
		err = put_peak(h, store, process);
	if (!err)
		err = put_totals(h, store, process);
	if (!err)
		err = put_threads(h, store);
	if (!err)
		h->flushed.changes = changes;
	return err;
}

int pa_heap_flush_point(struct pa_heap *h, struct pa_store *store, uint32_t process, uint64_t time_ns,
			uint64_t rss_bytes)
{
	bool known = h->libc.time_ns != 0;
	struct pa_store_heap_point point = {
	    .process = process,
	    .time_ns = time_ns,
	    .live_calls = pa_heap_whole(h, h->calls - h->frees),
	    .live_bytes = pa_heap_whole(h, h->bytes - h->freed),
	    .rss_bytes = rss_bytes,
	    .libc_arena = known ? h->libc.arena : UINT64_MAX,
	    .libc_mapped = known ? h->libc.mapped : UINT64_MAX,
	    .libc_used = known ? h->libc.used : UINT64_MAX,
	    .libc_unused = known ? h->libc.unused : UINT64_MAX,
	};

	return pa_store_add_heap_point(store, &point);
}
