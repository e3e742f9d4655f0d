/* PostgreSQL: a batch ends with ReadyForQuery, which tells the transaction's state; its exchanges are reported then.
 * After an error the server runs nothing up to the next Sync. World: plain. */
#include <string.h>

#include "collector/decode_impl.h"

/* The first string of what was captured; moves *at behind its NUL. Returns its length. */
static size_t string_at(const struct pa_frame_event *e, size_t *at)
{
	const uint8_t *p = e->bytes + *at, *end = memchr(p, 0, e->nr_bytes - *at);
	size_t len = end ? (size_t)(end - p) : e->nr_bytes - *at;

	*at += len + (end != NULL);
	return len;
}

static void on_startup(struct pa_decode *d, const struct pa_frame_event *e)
{
	struct pa_pending *p =
	    pa_decode_push(d, PA_EXCHANGE_CONNECT, e, pa_decode_text_new(d, e->bytes, e->nr_bytes, false));

	if (p)
		p->batch = true;
}

static void on_query(struct pa_decode *d, const struct pa_frame_event *e)
{
	struct pa_decode_text *text = pa_decode_text_new(d, e->bytes, e->nr_bytes, e->flags & PA_FRAME_CUT);
	struct pa_pending *p = pa_decode_push(d, PA_EXCHANGE_QUERY, e, text);

	if (p)
		p->batch = true;
	d->batch++;
}

/* Parse: the name stands for the text from now on, whether the server agrees or not: an error ends the batch. */
static void on_parse(struct pa_decode *d, const struct pa_frame_event *e)
{
	size_t at = 0, len = string_at(e, &at);
	struct pa_decode_text *text = pa_decode_text_new(d, e->bytes + at, e->nr_bytes - at, e->flags & PA_FRAME_CUT);
	struct pa_decode_name *name =
	    pa_decode_name_set(d, &d->statements, pa_decode_key(e->bytes, len), pa_decode_text_get(text));
	struct pa_pending *p = pa_decode_push(d, PA_EXCHANGE_PREPARE, e, text);

	if (name) {
		name->start_ns = e->first_ns;
		name->batch = d->batch;
	}
	/* one without a name is part of the query it is for */
	if (p && len == 0) {
		p->sync = true;
		d->sent_bytes = e->total;
	}
}

/* Bind: the portal runs the statement. What was parsed in this batch for it alone began with its Parse. */
static void on_bind(struct pa_decode *d, const struct pa_frame_event *e)
{
	size_t at = 0, portal_len = string_at(e, &at), from = at, len = string_at(e, &at);
	struct pa_decode_name *statement = pa_decode_name_get(&d->statements, pa_decode_key(e->bytes + from, len));
	uint64_t start_ns = e->first_ns;
	struct pa_decode_name *portal;

	if (statement && statement->batch == d->batch && statement->start_ns && len == 0) {
		start_ns = statement->start_ns;
		statement->start_ns = 0;
	}
	portal = pa_decode_name_set(d, &d->portals, pa_decode_key(e->bytes, portal_len),
				    statement ? pa_decode_text_get(statement->text) : NULL);
	if (portal) {
		portal->start_ns = start_ns;
		portal->batch = d->batch;
	}
	d->sent_bytes += e->total;
}

static void on_execute(struct pa_decode *d, const struct pa_frame_event *e)
{
	struct pa_decode_name *portal = pa_decode_name_get(&d->portals, pa_decode_key(e->bytes, e->nr_bytes));
	struct pa_pending *p =
	    pa_decode_push(d, PA_EXCHANGE_QUERY, e, portal ? pa_decode_text_get(portal->text) : NULL);

	if (!p)
		return;
	p->x.flags |= PA_EXCHANGE_PREPARED;
	if (portal && portal->batch == d->batch && portal->start_ns) {
		p->x.start_ns = portal->start_ns;
		portal->start_ns = 0; /* what is executed again begins with that */
	}
}

static void on_close(struct pa_decode *d, const struct pa_frame_event *e)
{
	if (e->nr_bytes)
		pa_decode_name_drop(d, e->bytes[0] == 'S' ? &d->statements : &d->portals,
				    pa_decode_key(e->bytes + 1, e->nr_bytes - 1));
}

static void on_sync(struct pa_decode *d, const struct pa_frame_event *e)
{
	struct pa_pending *p = pa_decode_push(d, PA_EXCHANGE_QUERY, e, NULL);

	d->batch++;
	d->sent_bytes = 0;
	if (p)
		p->sync = p->batch = true;
}

/* The first of the queue that has no answer. */
static struct pa_pending *unanswered(struct pa_decode *d)
{
	struct pa_pending *p;

	for (size_t i = 0; (p = pa_decode_at(d, i)); i++)
		if (!p->done)
			return p;
	return NULL;
}

/* The number at the end of a tag: INSERT 0 5; `none` where it has none. */
static uint64_t tag_rows(const struct pa_frame_event *e, uint64_t none)
{
	uint64_t rows = 0;
	size_t at = e->nr_bytes;

	while (at > 0 && e->bytes[at - 1] >= '0' && e->bytes[at - 1] <= '9')
		at--;
	if (at == e->nr_bytes || e->nr_bytes - at > 18)
		return none;
	for (; at < e->nr_bytes; at++)
		rows = rows * 10 + (uint64_t)(e->bytes[at] - '0');
	return rows;
}

static void on_answer(struct pa_decode *d, const struct pa_frame_event *e)
{
	struct pa_pending *p = unanswered(d);

	if (d->resync)
		return;
	if (!p || p->sync || p->x.kind != PA_EXCHANGE_QUERY) {
		d->counts.unmatched++;
		return;
	}
	pa_decode_answer(d, p, e);
	p->x.rows += e->kind == PA_FRAME_PG_COMPLETE ? tag_rows(e, e->count) : e->count;
	p->done = !p->batch;
}

static void on_parsed(struct pa_decode *d, const struct pa_frame_event *e)
{
	struct pa_pending *p = unanswered(d);

	if (d->resync)
		return;
	if (!p || p->x.kind != PA_EXCHANGE_PREPARE) {
		d->counts.unmatched++;
		return;
	}
	pa_decode_answer(d, p, e);
	p->done = true;
}

/* Copies the SQLSTATE: the field C. */
static void error_code(const struct pa_frame_event *e, char *code, size_t size)
{
	size_t at = 0;

	while (at < e->nr_bytes) {
		uint8_t field = e->bytes[at++];
		size_t from = at, len = string_at(e, &at);

		if (field == 'C' && len < size) {
			memcpy(code, e->bytes + from, len);
			code[len] = 0;
			return;
		}
	}
}

static void fail(struct pa_decode *d, struct pa_pending *p, const struct pa_frame_event *e)
{
	p->x.flags |= PA_EXCHANGE_FAILED;
	error_code(e, p->error, sizeof(p->error));
	pa_decode_answer(d, p, e);
	p->done = !p->batch;
}

/* What follows the i-th up to the end of its batch is not run. */
static void skip(struct pa_decode *d, size_t i, uint64_t now_ns)
{
	struct pa_pending *p;

	for (; (p = pa_decode_at(d, i)) && !p->batch; i++) {
		p->x.flags |= PA_EXCHANGE_SKIPPED;
		p->x.end_ns = now_ns;
		p->done = true;
	}
}

/* An error is that of the first request without answer or, at the end of the batch, of the commit there: the last
 * one's. */
static void on_error(struct pa_decode *d, const struct pa_frame_event *e)
{
	struct pa_pending *p;
	size_t i = 0;

	if (d->resync)
		return;
	while ((p = pa_decode_at(d, i)) && p->done)
		i++;
	if (p && p->sync && p->batch)
		p = i ? pa_decode_at(d, i - 1) : NULL;
	if (!p) {
		d->counts.unmatched++; /* the server closes the connection */
		return;
	}
	if (p->done) {
		fail(d, p, e);
		return;
	}
	/* a Parse that belongs to a query is not reported: the query is what failed */
	if (p->sync && pa_decode_at(d, i + 1) && !pa_decode_at(d, i + 1)->batch) {
		p->done = true;
		p = pa_decode_at(d, ++i);
	}
	fail(d, p, e);
	if (!p->batch)
		skip(d, i + 1, e->last_ns);
}

/* The rows of COPY ... FROM STDIN belong to the query that waits for them. */
static void on_copied(struct pa_decode *d, const struct pa_frame_event *e)
{
	struct pa_pending *p = unanswered(d);

	if (p && !p->sync)
		p->x.sent_bytes += e->total;
}

/* Batches that wait for their end. */
static size_t batches(struct pa_decode *d)
{
	struct pa_pending *p;
	size_t n = 0;

	for (size_t i = 0; (p = pa_decode_at(d, i)); i++)
		n += p->batch;
	return n;
}

/* In step again where at most one batch waits; else what waits may have been answered unseen. */
static void resume(struct pa_decode *d, const struct pa_frame_event *e)
{
	struct pa_pending *p;

	d->resync = batches(d) > 1;
	if (batches(d) != 1) {
		pa_decode_flush(d, PA_EXCHANGE_LOST, 0);
		return;
	}
	for (size_t i = 0; (p = pa_decode_at(d, i)); i++) {
		if (!p->done) {
			p->x.flags |= PA_EXCHANGE_LOST;
			p->x.end_ns = e->last_ns;
		}
		if (p->batch)
			break;
	}
}

static void on_ready(struct pa_decode *d, const struct pa_frame_event *e)
{
	d->tx = (char)e->value;
	if (d->resync) {
		resume(d, e);
	} else if (!batches(d)) {
		pa_decode_unmatched(d);
		pa_decode_flush(d, PA_EXCHANGE_LOST, 0);
	}
	for (bool last = false; !last && d->nr;) {
		struct pa_pending *p = pa_decode_at(d, 0);

		last = p->batch;
		if (p->x.kind == PA_EXCHANGE_CONNECT || (last && !p->x.end_ns))
			pa_decode_answer(d, p, e);
		else if (!p->done && !last)
			p->x.flags |= PA_EXCHANGE_LOST;
		pa_decode_pop(d);
	}
}

/* Where a batch begins, the decoder may find into step again. */
static void follow_batches(struct pa_decode *d, const struct pa_frame_event *e)
{
	bool begins = e->kind == PA_FRAME_PG_QUERY || e->kind == PA_FRAME_PG_PARSE || e->kind == PA_FRAME_PG_BIND;

	if (begins && !d->within)
		pa_decode_restart(d, e);
	if (begins)
		d->within = e->kind != PA_FRAME_PG_QUERY;
	else if (e->kind == PA_FRAME_PG_SYNC)
		d->within = false;
}

void pa_decode_postgres(struct pa_decode *d, const struct pa_frame_event *e)
{
	follow_batches(d, e);
	switch (e->kind) {
	case PA_FRAME_PG_STARTUP:
		return on_startup(d, e);
	case PA_FRAME_PG_QUERY:
		return on_query(d, e);
	case PA_FRAME_PG_PARSE:
		return on_parse(d, e);
	case PA_FRAME_PG_BIND:
		return on_bind(d, e);
	case PA_FRAME_PG_EXECUTE:
		return on_execute(d, e);
	case PA_FRAME_PG_CLOSE:
		return on_close(d, e);
	case PA_FRAME_PG_SYNC:
		return on_sync(d, e);
	case PA_FRAME_PG_CALL:
		return on_query(d, e);
	case PA_FRAME_PG_COPY_DONE:
		return on_copied(d, e);
	case PA_FRAME_PG_PARSED:
		return on_parsed(d, e);
	case PA_FRAME_PG_COMPLETE:
	case PA_FRAME_PG_EMPTY:
	case PA_FRAME_PG_SUSPENDED:
	case PA_FRAME_PG_CALLED:
		return on_answer(d, e);
	case PA_FRAME_PG_ERROR:
		return on_error(d, e);
	case PA_FRAME_PG_READY:
		return on_ready(d, e);
	default: /* encryption, cancelling, notices: no answer belongs to them */
		return;
	}
}
