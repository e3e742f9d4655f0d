/* HTTP: responses in the order of requests; interim ones are nobody's end. World: plain. */
#include <string.h>

#include "collector/decode_impl.h"

/* The request line: method, target, version. Only the target is kept as text. */
static void on_request(struct pa_decode *d, const struct pa_frame_event *e)
{
	const uint8_t *end = e->bytes + e->nr_bytes, *method = e->nr_bytes ? memchr(e->bytes, ' ', e->nr_bytes) : NULL;
	const uint8_t *target = method ? method + 1 : end;
	bool cut = e->flags & PA_FRAME_CUT;
	struct pa_pending *p;
	size_t len;

	pa_decode_restart(d, e);
	/* what was cut off is the version at least */
	if (!cut)
		while (end > target && *--end != ' ')
			;
	p = pa_decode_push(d, PA_EXCHANGE_HTTP, e, pa_decode_text_new(d, target, (size_t)(end - target), cut));
	if (!p)
		return;
	len = method ? (size_t)(method - e->bytes) : 0;
	if (len < sizeof(p->method))
		memcpy(p->method, e->bytes, len);
}

/* The request whose head or body is being sent: the last one. */
static struct pa_pending *sending(struct pa_decode *d)
{
	struct pa_pending *p = d->nr ? pa_decode_at(d, d->nr - 1) : NULL;

	return p && !p->sized ? p : NULL;
}

static void on_sent(struct pa_decode *d, const struct pa_frame_event *e)
{
	struct pa_pending *p = sending(d);

	if (!p)
		return; /* answered before it was sent, or its beginning was missed */
	p->x.sent_bytes += e->total;
	if (e->kind == PA_FRAME_HTTP_END)
		p->sized = true;
	else if (e->nr_bytes < sizeof(p->host))
		memcpy(p->host, e->bytes, e->nr_bytes);
}

static void on_response(struct pa_decode *d, const struct pa_frame_event *e)
{
	struct pa_pending *p = pa_decode_at(d, 0);

	if (d->resync)
		return;
	if (!p) {
		pa_decode_unmatched(d);
		return;
	}
	d->answering = e->value >= 200;
	p->x.received_bytes += e->total;
	if (!d->answering)
		return;
	p->x.first_ns = e->first_ns;
	p->x.status = (uint32_t)e->value;
	if (e->value >= 500)
		p->x.flags |= PA_EXCHANGE_FAILED;
}

static void on_received(struct pa_decode *d, const struct pa_frame_event *e)
{
	struct pa_pending *p = pa_decode_at(d, 0);

	if (!d->answering || !p)
		return; /* counted with its head */
	d->answering = false;
	pa_decode_answer(d, p, e);
	pa_decode_pop(d);
}

/* The connection is something else from here on: that is what the request asked for. */
static void on_switch(struct pa_decode *d, const struct pa_frame_event *e)
{
	struct pa_pending *p = pa_decode_at(d, 0);

	if (p && !d->resync && (e->value == PA_OPAQUE_UPGRADE || e->value == PA_OPAQUE_TUNNEL)) {
		p->x.status = e->value == PA_OPAQUE_UPGRADE ? 101 : 200;
		pa_decode_answer(d, p, e);
		pa_decode_pop(d);
	}
	pa_decode_flush(d, PA_EXCHANGE_LOST, 0);
}

void pa_decode_http(struct pa_decode *d, enum pa_way way, const struct pa_frame_event *e)
{
	if (e->kind == PA_FRAME_OPAQUE)
		on_switch(d, e);
	else if (e->kind == PA_FRAME_HTTP_REQUEST)
		on_request(d, e);
	else if (e->kind == PA_FRAME_HTTP_RESPONSE)
		on_response(d, e);
	else if (way == PA_TO_SERVER)
		on_sent(d, e);
	else
		on_received(d, e);
}
