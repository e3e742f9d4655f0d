/* Chunks of requests, written and read. World: plain. */
#include "collector/store_request.h"

#include "collector/store_impl.h"
#include "collector/store_visit.h"
#include "collector/varint.h"

#define ROW_BYTES_MAX (5 * PA_VARINT_MAX)
#define LENGTH_MAX    (UINT64_C(1) << 62)

int pa_store_add_requests(struct pa_store *s, const struct pa_store_request *list, size_t nr)
{
	uint8_t blob[PA_REQUESTS_CHUNK * ROW_BYTES_MAX];
	uint64_t first_ns = UINT64_MAX, last_ns = 0;
	size_t len = 0;

	for (size_t i = 0; i < nr; i++) {
		first_ns = list[i].start_ns < first_ns ? list[i].start_ns : first_ns;
		last_ns = list[i].end_ns > last_ns ? list[i].end_ns : last_ns;
	}
	for (size_t i = 0; i < nr; i++) {
		const struct pa_store_request *q = &list[i];

		len += pa_varint_put(blob + len, q->exchange);
		len += pa_varint_put(blob + len, q->thread);
		len += pa_varint_put(blob + len, q->start_ns - first_ns);
		len += pa_varint_put(blob + len, q->end_ns > q->start_ns ? q->end_ns - q->start_ns : 0);
		len += pa_varint_put(blob + len, q->flags);
	}
	if (!nr)
		return 0;
	pa_batch_begin(&s->batch, PA_ROW_REQUEST_CHUNK);
	pa_batch_int(&s->batch, ++s->nr_request_chunks);
	pa_batch_int(&s->batch, first_ns);
	pa_batch_int(&s->batch, last_ns);
	pa_batch_int(&s->batch, nr);
	pa_batch_blob(&s->batch, blob, len);
	return pa_store_end_row(s);
}

struct visit {
	int (*fn)(void *arg, const struct pa_store_request *q);
	void *arg;
};

static int one(struct pa_cursor *c, uint64_t first_ns, struct pa_store_request *q)
{
	uint64_t exchange, thread, start, length, flags;

	if (pa_varint_get(c, UINT32_MAX, &exchange) || pa_varint_get(c, UINT32_MAX, &thread) ||
	    pa_varint_get(c, LENGTH_MAX, &start) || pa_varint_get(c, LENGTH_MAX, &length) ||
	    pa_varint_get(c, UINT32_MAX, &flags))
		return -EBADMSG;
	*q = (struct pa_store_request){
	    .exchange = (uint32_t)exchange, .thread = (uint32_t)thread, .flags = (uint32_t)flags};
	q->start_ns = first_ns + start;
	q->end_ns = q->start_ns + length;
	return q->end_ns < first_ns ? -EBADMSG : 0;
}

static int each(struct pa_visited *row, void *arg)
{
	struct visit *v = arg;
	uint64_t first_ns = pa_visited_u64(row, 1), nr = pa_visited_u64(row, 2);
	struct pa_cursor c = {.data = sqlite3_column_blob(row->stmt, 3),
			      .len = (size_t)sqlite3_column_bytes(row->stmt, 3)};
	struct pa_store_request q;

	for (uint64_t i = 0; i < nr && !row->bad; i++) {
		int err;

		if (one(&c, first_ns, &q))
			row->bad = true;
		else if ((err = v->fn(v->arg, &q)))
			return err;
	}
	row->bad |= c.at != c.len;
	return 0;
}

int pa_recording_requests(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_request *q), void *arg)
{
	struct visit v = {fn, arg};

	return pa_recording_visit(r, "request_chunk",
				  "SELECT id, first_ns, requests, data FROM request_chunk ORDER BY id", each, &v);
}
