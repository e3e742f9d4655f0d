/* Writing what the heap did. Chunks and peaks go in whole or not at all: a live heap whose frees are missing is wrong
 * for the rest of the recording. World: plain. */
#include <errno.h>
#include <stdlib.h>

#include "collector/store_impl.h"

const uint64_t pa_heap_lifetimes_ns[PA_HEAP_LIFETIMES] = {
    UINT64_C(10000),     UINT64_C(100000),     UINT64_C(1000000),     UINT64_C(10000000),
    UINT64_C(100000000), UINT64_C(1000000000), UINT64_C(10000000000), UINT64_MAX,
};

/* heap_held.id is the process times this, plus the number of the part. */
#define HELD_PARTS 65536

static size_t part_of(size_t nr)
{
	return nr < PA_HEAPCHUNK_STACKS ? nr : PA_HEAPCHUNK_STACKS;
}

/* ---- all or nothing ---------------------------------------------------------------------------------------------- */

/* Rows that belong together: when one finds no room, those before it go too. The caller keeps what they were made of,
 * so nothing is counted as lost. */
static size_t begin_rows(struct pa_store *s)
{
	/* stacks and names may still come when these do not fit any more */
	s->batch.limit = pa_store_room(s, PA_STORE_SAMPLE_LIMIT);
	return s->batch.len;
}

static int end_rows(struct pa_store *s, size_t before, int err)
{
	s->batch.limit = pa_store_room(s, PA_STORE_ROW_LIMIT);
	if (err)
		s->batch.len = s->batch.end = before;
	else
		pa_store_commit_early(s);
	return err;
}

/* ---- chunks ------------------------------------------------------------------------------------------------------ */

static int by_stack(uint32_t a, uint32_t b)
{
	return a < b ? -1 : a > b;
}

static int delta_order(const void *a, const void *b)
{
	return by_stack(((const struct pa_store_heap_delta *)a)->stack, ((const struct pa_store_heap_delta *)b)->stack);
}

static int held_order(const void *a, const void *b)
{
	return by_stack(((const struct pa_store_heap_held *)a)->stack, ((const struct pa_store_heap_held *)b)->stack);
}

static int put_chunk(struct pa_store *s, uint32_t process, uint64_t first_ns, uint64_t last_ns,
		     const struct pa_store_heap_delta *deltas, size_t nr)
{
	struct pa_batch *b = &s->batch;
	uint64_t calls = 0, bytes = 0, frees = 0, freed = 0;
	size_t len = pa_heapchunk_encode(deltas, nr, s->heap_blob);
	int err;

	for (size_t i = 0; i < nr; i++) {
		calls += deltas[i].calls;
		bytes += deltas[i].bytes;
		frees += deltas[i].frees;
		freed += deltas[i].freed;
	}
	pa_batch_begin(b, PA_ROW_HEAP_CHUNK);
	pa_batch_int(b, s->nr_heap_chunks + 1);
	pa_batch_int(b, process);
	pa_batch_int(b, first_ns);
	pa_batch_int(b, last_ns);
	pa_batch_int(b, nr);
	pa_batch_int(b, calls);
	pa_batch_int(b, bytes);
	pa_batch_int(b, frees);
	pa_batch_int(b, freed);
	pa_batch_blob(b, s->heap_blob, len);
	err = pa_batch_end(b);
	s->nr_heap_chunks += !err;
	return err;
}

int pa_store_add_heap_chunk(struct pa_store *s, uint32_t process, uint64_t first_ns, uint64_t last_ns,
			    struct pa_store_heap_delta *deltas, size_t nr)
{
	uint64_t chunks = s->nr_heap_chunks;
	size_t before;
	int err = 0;

	if (nr > 1)
		qsort(deltas, nr, sizeof(*deltas), delta_order);
	for (size_t i = 1; i < nr; i++)
		if (deltas[i].stack == deltas[i - 1].stack)
			return -EINVAL;
	before = begin_rows(s);
	for (size_t at = 0; at < nr && !err; at += PA_HEAPCHUNK_STACKS)
		err = put_chunk(s, process, first_ns, last_ns, deltas + at, part_of(nr - at));
	if (err)
		s->nr_heap_chunks = chunks;
	return end_rows(s, before, err);
}

/* ---- peak -------------------------------------------------------------------------------------------------------- */

static int put_peak(struct pa_store *s, uint32_t process, uint64_t time_ns, uint64_t calls, uint64_t bytes, size_t nr)
{
	struct pa_batch *b = &s->batch;
	uint64_t first = (uint64_t)process * HELD_PARTS;
	int err;

	pa_batch_begin(b, PA_ROW_HEAP_PEAK);
	pa_batch_int(b, process);
	pa_batch_int(b, time_ns);
	pa_batch_int(b, calls);
	pa_batch_int(b, bytes);
	pa_batch_int(b, nr);
	err = pa_batch_end(b);
	if (err)
		return err;
	pa_batch_begin(b, PA_ROW_HEAP_HELD_GONE);
	pa_batch_int(b, first);
	pa_batch_int(b, first + HELD_PARTS - 1);
	return pa_batch_end(b);
}

static int put_held(struct pa_store *s, uint64_t id, const struct pa_store_heap_held *held, size_t nr)
{
	struct pa_batch *b = &s->batch;
	size_t len = pa_heapheld_encode(held, nr, s->heap_blob);

	pa_batch_begin(b, PA_ROW_HEAP_HELD);
	pa_batch_int(b, id);
	pa_batch_int(b, nr);
	pa_batch_blob(b, s->heap_blob, len);
	return pa_batch_end(b);
}

int pa_store_put_heap_peak(struct pa_store *s, uint32_t process, uint64_t time_ns, uint64_t calls, uint64_t bytes,
			   struct pa_store_heap_held *held, size_t nr)
{
	uint64_t id = (uint64_t)process * HELD_PARTS;
	size_t before;
	int err;

	if (nr > 1)
		qsort(held, nr, sizeof(*held), held_order);
	for (size_t i = 1; i < nr; i++)
		if (held[i].stack == held[i - 1].stack)
			return -EINVAL;
	if (nr / PA_HEAPCHUNK_STACKS >= HELD_PARTS)
		return -EMSGSIZE;
	before = begin_rows(s);
	err = put_peak(s, process, time_ns, calls, bytes, nr);
	for (size_t at = 0; at < nr && !err; at += PA_HEAPCHUNK_STACKS)
		err = put_held(s, id++, held + at, part_of(nr - at));
	return end_rows(s, before, err);
}

/* ---- figures ----------------------------------------------------------------------------------------------------- */

static void put_known(struct pa_batch *b, uint64_t value)
{
	if (value == UINT64_MAX)
		pa_batch_text(b, NULL);
	else
		pa_batch_int(b, value);
}

int pa_store_add_heap_point(struct pa_store *s, const struct pa_store_heap_point *p)
{
	struct pa_batch *b = &s->batch;

	pa_batch_begin(b, PA_ROW_HEAP_POINT);
	pa_batch_int(b, ++s->nr_heap_points);
	pa_batch_int(b, p->process);
	pa_batch_int(b, p->time_ns);
	put_known(b, p->live_calls);
	put_known(b, p->live_bytes);
	put_known(b, p->rss_bytes);
	put_known(b, p->libc_arena);
	put_known(b, p->libc_mapped);
	put_known(b, p->libc_used);
	put_known(b, p->libc_unused);
	return pa_store_end_row(s);
}

static int put_lifetimes(struct pa_store *s, const struct pa_store_heap *h)
{
	struct pa_batch *b = &s->batch;
	int err;

	pa_batch_begin(b, PA_ROW_HEAP_LIFETIMES_GONE);
	pa_batch_int(b, h->process);
	err = pa_store_end_row(s);
	for (unsigned i = 0; i < PA_HEAP_LIFETIMES && !err; i++) {
		if (!h->lifetime_calls[i] && !h->lifetime_bytes[i])
			continue;
		pa_batch_begin(b, PA_ROW_HEAP_LIFETIME);
		pa_batch_int(b, h->process);
		pa_batch_int(b, i);
		put_known(b, pa_heap_lifetimes_ns[i]);
		pa_batch_int(b, h->lifetime_calls[i]);
		pa_batch_int(b, h->lifetime_bytes[i]);
		err = pa_store_end_row(s);
	}
	return err;
}

int pa_store_put_heap(struct pa_store *s, const struct pa_store_heap *h)
{
	const uint64_t columns[] = {
	    h->process,    h->mode,         h->flags,      h->mean,          h->calls,        h->bytes,
	    h->frees,      h->freed,        h->temporary,  h->unknown_frees, h->own_bytes,    h->lost,
	    h->lost_frees, h->uncertain_ns, h->stalled_ns, h->mapped_calls,  h->mapped_bytes, h->unmapped_bytes,
	};
	int err;

	pa_batch_begin(&s->batch, PA_ROW_HEAP);
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		pa_batch_int(&s->batch, columns[i]);
	err = pa_store_end_row(s);
	return err ? err : put_lifetimes(s, h);
}

int pa_store_put_heap_thread(struct pa_store *s, const struct pa_store_heap_thread *t)
{
	struct pa_batch *b = &s->batch;

	pa_batch_begin(b, PA_ROW_HEAP_THREAD);
	pa_batch_int(b, t->thread);
	pa_batch_int(b, t->calls);
	pa_batch_int(b, t->bytes);
	pa_batch_int(b, t->frees);
	pa_batch_int(b, t->freed);
	return pa_store_end_row(s);
}
