/* What all decoders do alike: pieces become messages, requests wait for their answers, texts are shared. World: plain.
 */
#include "collector/decode.h"

#include <stdlib.h>
#include <string.h>

#include "collector/decode_impl.h"

/* ---- texts and names --------------------------------------------------------------------------------------------- */

struct pa_decode_text *pa_decode_text_new(struct pa_decode *d, const void *bytes, size_t len, bool cut)
{
	struct pa_decode_text *text = NULL;

	if (d->text_bytes + sizeof(*text) + len <= PA_DECODE_TEXT_MAX)
		text = malloc(sizeof(*text) + len);
	if (!text) {
		d->counts.no_room++;
		return NULL;
	}
	d->text_bytes += sizeof(*text) + len;
	text->refs = 1;
	text->len = (uint32_t)len;
	text->cut = cut;
	if (len)
		memcpy(text->bytes, bytes, len);
	return text;
}

struct pa_decode_text *pa_decode_text_get(struct pa_decode_text *text)
{
	if (text)
		text->refs++;
	return text;
}

void pa_decode_text_put(struct pa_decode *d, struct pa_decode_text *text)
{
	if (!text || --text->refs)
		return;
	d->text_bytes -= sizeof(*text) + text->len;
	free(text);
}

/* FNV-1a: a name is known by it alone. */
uint64_t pa_decode_key(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
	return hash;
}

struct pa_decode_name *pa_decode_name_get(struct pa_decode_names *names, uint64_t key)
{
	for (size_t i = 0; i < names->nr; i++)
		if (names->list[i].key == key)
			return &names->list[i];
	return NULL;
}

/* A place for a new name: behind the others, or that of one that was set long ago. */
static struct pa_decode_name *name_place(struct pa_decode *d, struct pa_decode_names *names)
{
	if (names->nr == PA_DECODE_NAMES_MAX) {
		struct pa_decode_name *name = &names->list[names->oldest];

		d->counts.no_room++;
		names->oldest = (names->oldest + 1) % PA_DECODE_NAMES_MAX;
		pa_decode_text_put(d, name->text);
		return name;
	}
	if (names->nr == names->size) {
		size_t size = names->size ? names->size * 2 : 8;
		struct pa_decode_name *list = realloc(names->list, size * sizeof(*list));

		if (!list)
			return NULL;
		names->list = list;
		names->size = size;
	}
	return &names->list[names->nr++];
}

struct pa_decode_name *pa_decode_name_set(struct pa_decode *d, struct pa_decode_names *names, uint64_t key,
					  struct pa_decode_text *text)
{
	struct pa_decode_name *name = pa_decode_name_get(names, key);

	if (name)
		pa_decode_text_put(d, name->text);
	else
		name = name_place(d, names);
	if (!name) {
		d->counts.no_room++;
		pa_decode_text_put(d, text);
		return NULL;
	}
	*name = (struct pa_decode_name){.key = key, .text = text};
	return name;
}

void pa_decode_name_drop(struct pa_decode *d, struct pa_decode_names *names, uint64_t key)
{
	struct pa_decode_name *name = pa_decode_name_get(names, key);

	if (!name)
		return;
	pa_decode_text_put(d, name->text);
	*name = names->list[--names->nr];
	if (names->oldest >= names->nr)
		names->oldest = 0;
}

static void names_free(struct pa_decode *d, struct pa_decode_names *names)
{
	for (size_t i = 0; i < names->nr; i++)
		pa_decode_text_put(d, names->list[i].text);
	free(names->list);
	memset(names, 0, sizeof(*names));
}

/* ---- the queue --------------------------------------------------------------------------------------------------- */

struct pa_pending *pa_decode_at(struct pa_decode *d, size_t i)
{
	return i < d->nr ? &d->queue[(d->head + i) % d->size] : NULL;
}

static bool queue_grow(struct pa_decode *d)
{
	size_t size = d->size ? d->size * 2 : 4;
	struct pa_pending *queue;

	if (d->size == PA_DECODE_PENDING_MAX)
		return false;
	queue = malloc(size * sizeof(*queue));
	if (!queue)
		return false;
	for (size_t i = 0; i < d->nr; i++)
		queue[i] = *pa_decode_at(d, i);
	free(d->queue);
	d->queue = queue;
	d->size = size;
	d->head = 0;
	return true;
}

struct pa_pending *pa_decode_push(struct pa_decode *d, enum pa_exchange_kind kind, const struct pa_frame_event *e,
				  struct pa_decode_text *text)
{
	struct pa_pending *p, *first;

	if (d->nr == d->size && !queue_grow(d)) {
		/* its answer will come, and be taken for another's */
		d->counts.no_room++;
		d->resync = true;
		pa_decode_text_put(d, text);
		return NULL;
	}
	d->nr++;
	p = pa_decode_at(d, d->nr - 1);
	memset(p, 0, sizeof(*p));
	p->x.proto = d->proto;
	p->x.kind = kind;
	p->x.start_ns = e->first_ns;
	p->x.sent_bytes = e->total + d->sent_bytes;
	p->x.tx_before = d->tx;
	/* a Parse without a name is part of what follows it */
	first = pa_decode_at(d, 0);
	if (d->nr > 2 || (d->nr == 2 && (!first->sync || first->batch))) {
		p->x.flags |= PA_EXCHANGE_PIPELINED;
		d->pipelines = true;
	}
	p->text = text;
	p->wants = 1;
	d->sent_bytes = 0;
	return p;
}

static void report(struct pa_decode *d, struct pa_pending *p)
{
	struct pa_exchange *x = &p->x;

	if (p->sync)
		return;
	x->text = p->text ? p->text->bytes : "";
	x->text_len = p->text ? p->text->len : 0;
	if (!p->text)
		x->flags |= PA_EXCHANGE_NO_TEXT;
	else if (p->text->cut)
		x->flags |= PA_EXCHANGE_CUT;
	x->error = p->error;
	x->method = x->kind == PA_EXCHANGE_HTTP ? p->method : NULL;
	x->host = x->kind == PA_EXCHANGE_HTTP ? p->host : NULL;
	x->turn_ns = x->turn_ns > x->start_ns ? x->turn_ns : x->start_ns;
	x->tx_after = d->tx;
	d->counts.exchanges++;
	d->counts.lost += !!(x->flags & PA_EXCHANGE_LOST);
	d->sink(d->arg, x);
}

void pa_decode_pop(struct pa_decode *d)
{
	struct pa_pending p = *pa_decode_at(d, 0);

	d->head = (d->head + 1) % d->size;
	d->nr--;
	report(d, &p);
	pa_decode_text_put(d, p.text);
}

void pa_decode_flush(struct pa_decode *d, uint32_t flag, uint64_t end_ns)
{
	while (d->nr) {
		struct pa_pending *p = pa_decode_at(d, 0);

		if (!p->done && !(p->x.flags & PA_EXCHANGE_FAILED)) {
			p->x.flags |= flag;
			p->x.end_ns = end_ns;
		}
		pa_decode_pop(d);
	}
	d->answering = false;
}

void pa_decode_answer(struct pa_decode *d, struct pa_pending *p, const struct pa_frame_event *e)
{
	if (!p->x.first_ns)
		p->x.first_ns = e->first_ns;
	if (!p->x.turn_ns)
		p->x.turn_ns = d->last_end_ns;
	p->x.end_ns = e->last_ns;
	p->x.received_bytes += e->total;
	/* preparing and running may be answered at once: the time is that of what ran */
	if (p->x.kind != PA_EXCHANGE_PREPARE)
		d->last_end_ns = e->last_ns;
}

void pa_decode_restart(struct pa_decode *d, const struct pa_frame_event *e)
{
	bool idle = e->first_ns >= d->last_ns + PA_DECODE_IDLE_NS;

	/* asked again before all was answered: the client's way, or not in step and nobody noticed */
	if (!d->resync && d->turn && d->nr && !d->counts.gaps)
		d->overlaps = true;
	else if (!d->resync && d->turn && d->nr && !d->overlaps)
		d->resync = true;
	if (!d->resync || (!idle && d->pipelines && (!d->turn || d->overlaps)))
		return;
	pa_decode_flush(d, PA_EXCHANGE_LOST, 0);
	d->resync = false;
}

void pa_decode_unmatched(struct pa_decode *d)
{
	d->counts.unmatched++;
	d->resync = d->counts.gaps > 0;
}

static void forget_piece(struct pa_decode *d, enum pa_way way)
{
	free(d->piece[way].bytes);
	d->piece[way].bytes = NULL;
	d->piece[way].begun = false;
	d->piece[way].len = 0;
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

struct pa_decode *pa_decode_new(pa_exchange_fn sink, void *arg)
{
	struct pa_decode *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->sink = sink;
	d->arg = arg;
	return d;
}

void pa_decode_free(struct pa_decode *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->nr; i++)
		pa_decode_text_put(d, pa_decode_at(d, i)->text);
	names_free(d, &d->statements);
	names_free(d, &d->portals);
	forget_piece(d, PA_TO_SERVER);
	forget_piece(d, PA_TO_CLIENT);
	free(d->queue);
	free(d);
}

/* The protocol a kind belongs to; UNSURE: none. */
static enum pa_proto proto_of(unsigned kind)
{
	if (kind >= PA_FRAME_HTTP_REQUEST && kind <= PA_FRAME_HTTP_END)
		return PA_PROTO_HTTP;
	if (kind >= PA_FRAME_RESP_COMMAND && kind <= PA_FRAME_RESP_PUSH)
		return PA_PROTO_RESP;
	if (kind >= PA_FRAME_MYSQL_GREETING && kind <= PA_FRAME_MYSQL_OTHER)
		return PA_PROTO_MYSQL;
	return kind >= PA_FRAME_PG_STARTUP && kind <= PA_FRAME_PG_READY ? PA_PROTO_POSTGRES : PA_PROTO_UNSURE;
}

static void missed(struct pa_decode *d)
{
	d->counts.gaps++;
	d->resync = true;
	d->answering = false;
	d->sent_bytes = 0;
	/* what has no name, and portals, are given a new meaning all the time: maybe just now */
	pa_decode_name_drop(d, &d->statements, pa_decode_key("", 0));
	names_free(d, &d->portals);
}

static void dispatch(struct pa_decode *d, enum pa_way way, const struct pa_frame_event *e)
{
	enum pa_proto proto = proto_of(e->kind);

	if (e->flags & PA_FRAME_GAP)
		missed(d);
	if (proto == PA_PROTO_UNSURE && e->kind != PA_FRAME_OPAQUE && e->kind != PA_FRAME_NOT_THIS) {
		d->counts.malformed++;
		return;
	}
	if (proto != PA_PROTO_UNSURE && proto != d->proto) {
		pa_decode_flush(d, PA_EXCHANGE_LOST, 0);
		d->proto = proto;
	}
	if (proto == PA_PROTO_POSTGRES)
		pa_decode_postgres(d, e);
	else if (proto == PA_PROTO_MYSQL)
		pa_decode_mysql(d, e);
	else if (proto == PA_PROTO_RESP)
		pa_decode_resp(d, e);
	else if (proto == PA_PROTO_HTTP || (d->proto == PA_PROTO_HTTP && e->kind == PA_FRAME_OPAQUE))
		pa_decode_http(d, way, e);
	else
		pa_decode_flush(d, PA_EXCHANGE_LOST, 0);
	d->last_ns = e->last_ns;
	if (e->kind != PA_FRAME_RESP_PUSH && e->kind != PA_FRAME_PG_NOTICE && !(e->flags & PA_FRAME_MESSAGE))
		d->turn = way == PA_TO_CLIENT;
}

/* Keeps a piece until the rest of its message is there. False: it cannot be one, or there is no memory. */
static bool keep(struct pa_decode *d, enum pa_way way, const struct pa_frame_event *e)
{
	if (!d->piece[way].begun || d->piece[way].kind != e->kind ||
	    e->nr_bytes > PA_FRAME_TEXT_MAX - d->piece[way].len) {
		d->counts.malformed++;
		return false;
	}
	if (!d->piece[way].bytes)
		d->piece[way].bytes = malloc(PA_FRAME_TEXT_MAX);
	if (!d->piece[way].bytes) {
		d->counts.no_room++;
		return false;
	}
	if (e->nr_bytes)
		memcpy(d->piece[way].bytes + d->piece[way].len, e->bytes, e->nr_bytes);
	d->piece[way].len += e->nr_bytes;
	return true;
}

void pa_decode_event(struct pa_decode *d, enum pa_way way, const struct pa_frame_event *e)
{
	struct pa_frame_event whole = *e;

	if (e->flags & PA_FRAME_FIRST) {
		forget_piece(d, way);
		if (!(e->flags & PA_FRAME_MORE) && e->nr_bytes <= PA_FRAME_TEXT_MAX) {
			whole.bytes = e->nr_bytes ? e->bytes : (const uint8_t *)"";
			dispatch(d, way, &whole);
			return;
		}
		d->piece[way].begun = true;
		d->piece[way].kind = e->kind;
	}
	if (!keep(d, way, e)) {
		/* the pieces before this one were lost */
		forget_piece(d, way);
		missed(d);
	} else if (!(e->flags & PA_FRAME_MORE)) {
		whole.bytes = d->piece[way].bytes;
		whole.nr_bytes = d->piece[way].len;
		dispatch(d, way, &whole);
		forget_piece(d, way);
	}
}

void pa_decode_lost(struct pa_decode *d)
{
	forget_piece(d, PA_TO_SERVER);
	forget_piece(d, PA_TO_CLIENT);
	missed(d);
}

void pa_decode_close(struct pa_decode *d, uint64_t now_ns)
{
	/* HTTP: the head of its answer was there, and nobody wanted the rest */
	struct pa_pending *p = d->answering && d->proto == PA_PROTO_HTTP ? pa_decode_at(d, 0) : NULL;

	if (p) {
		p->x.end_ns = d->last_ns;
		pa_decode_pop(d);
	}
	/* not in step: the answer may have been among what was missed */
	if (d->resync)
		pa_decode_flush(d, PA_EXCHANGE_LOST, 0);
	else
		pa_decode_flush(d, PA_EXCHANGE_UNANSWERED, now_ns);
}

const struct pa_decode_counts *pa_decode_counts(const struct pa_decode *d)
{
	return &d->counts;
}

size_t pa_decode_pending(const struct pa_decode *d)
{
	return d->nr;
}

size_t pa_decode_bytes(const struct pa_decode *d)
{
	return sizeof(*d) + d->text_bytes + d->size * sizeof(*d->queue) +
	       (d->statements.size + d->portals.size) * sizeof(*d->portals.list) +
	       (d->piece[0].bytes ? PA_FRAME_TEXT_MAX : 0) + (d->piece[1].bytes ? PA_FRAME_TEXT_MAX : 0);
}

char pa_decode_tx(const struct pa_decode *d)
{
	return d->tx;
}
