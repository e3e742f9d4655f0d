/* Reading what the heap did. World: plain. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store_heapchunk.h"
#include "collector/store_visit.h"

/* What went wrong in a blob; the first one is told, and the visit goes on. */
static int bad_blob(struct pa_visited *row, const char *what, uint64_t id, size_t where, size_t len, int err)
{
	snprintf(row->r->error, sizeof(row->r->error),
		 "the recording is damaged: %s %llu: byte %zu of %zu makes no sense", what, (unsigned long long)id,
		 where, len);
	return err;
}

/* ---- chunks ------------------------------------------------------------------------------------------------------ */

struct chunks {
	int (*fn)(void *arg, uint32_t process, uint64_t first_ns, uint64_t last_ns,
		  const struct pa_store_heap_delta *deltas, size_t nr);
	void *arg;
	struct pa_store_heap_delta deltas[PA_HEAPCHUNK_STACKS];
	int later; /* what to return after everything that is whole was visited */
};

static int each_chunk(struct pa_visited *row, void *arg)
{
	struct chunks *c = arg;
	uint32_t process = pa_visited_u32(row, 1);
	uint64_t first = pa_visited_u64(row, 2), last = pa_visited_u64(row, 3);
	const uint8_t *data = sqlite3_column_blob(row->stmt, 5);
	size_t len = (size_t)sqlite3_column_bytes(row->stmt, 5), nr, where;
	int err = pa_heapchunk_decode(data, len, c->deltas, &nr, &where);

	if (!err && nr != pa_visited_u64(row, 4))
		err = -EBADMSG;
	if (err && !c->later)
		c->later = bad_blob(row, "heap chunk", pa_visited_u64(row, 0), where, len, err);
	if (row->bad || nr == 0)
		return 0;
	return c->fn(c->arg, process, first, last, c->deltas, nr);
}

int pa_recording_heap_chunks(struct pa_recording *r,
			     int (*fn)(void *arg, uint32_t process, uint64_t first_ns, uint64_t last_ns,
				       const struct pa_store_heap_delta *deltas, size_t nr),
			     void *arg)
{
	struct chunks *c = calloc(1, sizeof(*c));
	int ret;

	if (!c)
		return -ENOMEM;
	c->fn = fn;
	c->arg = arg;
	ret = pa_recording_visit(r, "heap_chunk",
				 "SELECT id, process, first_ns, last_ns, stacks, data FROM heap_chunk ORDER BY id",
				 each_chunk, c);
	ret = ret ? ret : c->later;
	free(c);
	return ret;
}

/* ---- peaks ------------------------------------------------------------------------------------------------------- */

struct peaks {
	int (*fn)(void *arg, uint32_t process, uint64_t time_ns, uint64_t calls, uint64_t bytes,
		  const struct pa_store_heap_held *held, size_t nr);
	void *arg;
	struct pa_store_heap_held *held; /* of the peak that is being read, and room for one part more */
	size_t nr, capacity;
	uint32_t process; /* 0: none yet */
	uint64_t time_ns, calls, bytes;
	int later;
};

static int end_peak(struct peaks *p)
{
	uint32_t process = p->process;

	p->process = 0;
	return process ? p->fn(p->arg, process, p->time_ns, p->calls, p->bytes, p->held, p->nr) : 0;
}

static bool room_for_part(struct peaks *p)
{
	size_t wanted = p->nr + PA_HEAPCHUNK_STACKS, capacity = p->capacity ? p->capacity : PA_HEAPCHUNK_STACKS;
	struct pa_store_heap_held *held;

	while (capacity < wanted)
		capacity *= 2;
	if (capacity == p->capacity)
		return true;
	held = realloc(p->held, capacity * sizeof(*held));
	if (!held)
		return false;
	p->held = held;
	p->capacity = capacity;
	return true;
}

/* One part of a peak; the first column tells parts apart, a peak without any has one row with no data. */
static int each_part(struct pa_visited *row, void *arg)
{
	struct peaks *p = arg;
	uint32_t process = pa_visited_id(row, 1);
	const uint8_t *data = sqlite3_column_blob(row->stmt, 6);
	size_t len = (size_t)sqlite3_column_bytes(row->stmt, 6), nr, where;
	int err = row->bad || process == p->process ? 0 : end_peak(p);

	if (row->bad || err)
		return err;
	if (process != p->process) {
		p->process = process;
		p->time_ns = pa_visited_u64(row, 2);
		p->calls = pa_visited_u64(row, 3);
		p->bytes = pa_visited_u64(row, 4);
		p->nr = 0;
	}
	if (sqlite3_column_type(row->stmt, 6) == SQLITE_NULL)
		return 0;
	if (!room_for_part(p))
		return -ENOMEM;
	err = pa_heapheld_decode(data, len, p->held + p->nr, &nr, &where);
	if (!err && nr != pa_visited_u64(row, 5))
		err = -EBADMSG;
	if (err && !p->later)
		p->later = bad_blob(row, "peak of process", process, where, len, err);
	p->nr += nr;
	return 0;
}

int pa_recording_heap_peaks(struct pa_recording *r,
			    int (*fn)(void *arg, uint32_t process, uint64_t time_ns, uint64_t calls, uint64_t bytes,
				      const struct pa_store_heap_held *held, size_t nr),
			    void *arg)
{
	struct peaks p = {.fn = fn, .arg = arg};
	int ret = pa_recording_visit(
	    r, "heap_peak",
	    "SELECT coalesce(h.id, p.process * 65536), p.process, p.time_ns, p.calls, p.bytes, h.stacks, h.data"
	    " FROM heap_peak p LEFT JOIN heap_held h"
	    " ON h.id BETWEEN p.process * 65536 AND p.process * 65536 + 65535 ORDER BY p.process, h.id",
	    each_part, &p);

	if (!ret)
		ret = end_peak(&p);
	free(p.held);
	return ret ? ret : p.later;
}

/* ---- figures ----------------------------------------------------------------------------------------------------- */

struct figures {
	union {
		int (*point)(void *arg, const struct pa_store_heap_point *p);
		int (*heap)(void *arg, const struct pa_store_heap *h);
		int (*thread)(void *arg, const struct pa_store_heap_thread *t);
	} fn;
	void *arg;
	struct pa_store_heap heap; /* the one whose lifetimes are being read; process 0: none yet */
};

static uint64_t get_known(struct pa_visited *row, int column)
{
	return sqlite3_column_type(row->stmt, column) == SQLITE_NULL ? UINT64_MAX : pa_visited_u64(row, column);
}

static int each_point(struct pa_visited *row, void *arg)
{
	struct figures *f = arg;
	struct pa_store_heap_point p = {
	    .process = pa_visited_u32(row, 1),
	    .time_ns = pa_visited_u64(row, 2),
	    .live_calls = get_known(row, 3),
	    .live_bytes = get_known(row, 4),
	    .rss_bytes = get_known(row, 5),
	    .libc_arena = get_known(row, 6),
	    .libc_mapped = get_known(row, 7),
	    .libc_used = get_known(row, 8),
	    .libc_unused = get_known(row, 9),
	};

	return row->bad ? 0 : f->fn.point(f->arg, &p);
}

int pa_recording_heap_points(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_heap_point *p),
			     void *arg)
{
	struct figures f = {.fn.point = fn, .arg = arg};

	return pa_recording_visit(r, "heap_point",
				  "SELECT id, process, time_ns, live_calls, live_bytes, rss_bytes, libc_arena,"
				  " libc_mapped, libc_used, libc_unused FROM heap_point ORDER BY id",
				  each_point, &f);
}

static int end_heap(struct figures *f)
{
	int ret = f->heap.process ? f->fn.heap(f->arg, &f->heap) : 0;

	f->heap.process = 0;
	return ret;
}

static void get_heap(struct pa_visited *row, struct pa_store_heap *h)
{
	uint64_t *const columns[] = {
	    &h->mean,         &h->calls,         &h->bytes,        &h->frees,        &h->freed,
	    &h->temporary,    &h->unknown_frees, &h->own_bytes,    &h->lost,         &h->lost_frees,
	    &h->uncertain_ns, &h->stalled_ns,    &h->mapped_calls, &h->mapped_bytes, &h->unmapped_bytes,
	};

	memset(h, 0, sizeof(*h));
	h->process = pa_visited_id(row, 1);
	h->mode = pa_visited_u32(row, 2);
	h->flags = pa_visited_u32(row, 3);
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		*columns[i] = pa_visited_u64(row, 4 + (int)i);
}

/* A process and one class of its lifetimes, or none. */
static int each_heap(struct pa_visited *row, void *arg)
{
	struct figures *f = arg;
	uint32_t process = pa_visited_id(row, 1);
	int err = row->bad || process == f->heap.process ? 0 : end_heap(f);

	if (row->bad || err)
		return err;
	if (process != f->heap.process)
		get_heap(row, &f->heap);
	if (sqlite3_column_type(row->stmt, 19) == SQLITE_NULL)
		return 0;
	uint64_t class = pa_visited_u64(row, 19);
	if (class >= PA_HEAP_LIFETIMES) {
		row->bad = true;
		return 0;
	}
	f->heap.lifetime_calls[class] = pa_visited_u64(row, 20);
	f->heap.lifetime_bytes[class] = pa_visited_u64(row, 21);
	return 0;
}

int pa_recording_heaps(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_heap *h), void *arg)
{
	struct figures f = {.fn.heap = fn, .arg = arg};
	int ret = pa_recording_visit(
	    r, "heap",
	    "SELECT h.process * 256 + coalesce(l.class, 0), h.process, h.mode, h.flags, h.mean, h.calls, h.bytes,"
	    " h.frees, h.freed, h.temporary, h.unknown_frees, h.own_bytes, h.lost, h.lost_frees, h.uncertain_ns,"
	    " h.stalled_ns, h.mapped_calls, h.mapped_bytes, h.unmapped_bytes, l.class, l.calls, l.bytes"
	    " FROM heap h LEFT JOIN heap_lifetime l ON l.process = h.process ORDER BY h.process, l.class",
	    each_heap, &f);

	return ret ? ret : end_heap(&f);
}

static int each_thread(struct pa_visited *row, void *arg)
{
	struct figures *f = arg;
	struct pa_store_heap_thread t = {
	    .thread = pa_visited_id(row, 0),
	    .calls = pa_visited_u64(row, 1),
	    .bytes = pa_visited_u64(row, 2),
	    .frees = pa_visited_u64(row, 3),
	    .freed = pa_visited_u64(row, 4),
	};

	return row->bad ? 0 : f->fn.thread(f->arg, &t);
}

int pa_recording_heap_threads(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_heap_thread *t),
			      void *arg)
{
	struct figures f = {.fn.thread = fn, .arg = arg};

	return pa_recording_visit(r, "heap_thread",
				  "SELECT thread, calls, bytes, frees, freed FROM heap_thread ORDER BY thread",
				  each_thread, &f);
}
