/* Redis: answers in the order of commands; messages of subscriptions between them are nobody's. World: plain. */
#include <string.h>

#include "collector/decode_impl.h"

/* The command's name in small letters. Returns its length, 0 when it is longer than size - 1. */
static size_t name_of(const struct pa_frame_event *e, char *name, size_t size)
{
	size_t n = 0;

	for (; n < e->nr_bytes && e->bytes[n] != ' ' && e->bytes[n] != '\r'; n++) {
		if (n + 1 == size)
			return 0;
		name[n] = (char)(e->bytes[n] >= 'A' && e->bytes[n] <= 'Z' ? e->bytes[n] | 0x20 : e->bytes[n]);
	}
	name[n] = 0;
	return n;
}

static bool ends_in_subscribe(const char *name, size_t len)
{
	return len >= 9 && !strcmp(name + len - 9, "subscribe");
}

static void on_command(struct pa_decode *d, const struct pa_frame_event *e)
{
	bool cut = e->flags & PA_FRAME_CUT;
	struct pa_pending *p;
	char name[16];
	size_t len = name_of(e, name, sizeof(name));

	pa_decode_restart(d, e);
	p = pa_decode_push(d, PA_EXCHANGE_COMMAND, e, pa_decode_text_new(d, e->bytes, e->nr_bytes, cut));
	if (!p)
		return;
	if (e->kind == PA_FRAME_RESP_INLINE)
		p->x.flags |= PA_EXCHANGE_INLINE;
	/* one answer for each channel; without channels, for each that was subscribed to, of which the first will do */
	if (ends_in_subscribe(name, len)) {
		p->wants = e->count && e->count < UINT32_MAX ? (uint32_t)e->count : 1;
		p->batch = true;
	}
	memcpy(p->method, name, sizeof(name));
}

/* MULTI and EXEC are what there is of transactions. */
static void follow_transaction(struct pa_decode *d, const struct pa_pending *p)
{
	if (!d->tx)
		d->tx = 'I';
	if (!strcmp(p->method, "multi") && !(p->x.flags & PA_EXCHANGE_FAILED))
		d->tx = 'T';
	else if (!strcmp(p->method, "exec") || !strcmp(p->method, "discard") || !strcmp(p->method, "reset"))
		d->tx = 'I';
}

static void on_reply(struct pa_decode *d, const struct pa_frame_event *e)
{
	struct pa_pending *p = pa_decode_at(d, 0);
	bool push = e->kind == PA_FRAME_RESP_PUSH;
	size_t len = e->nr_bytes < sizeof(p->error) - 1 ? e->nr_bytes : sizeof(p->error) - 1;

	if (e->flags & PA_FRAME_MESSAGE && (push || d->subscribed))
		return;
	if (push && (!(e->flags & PA_FRAME_STATE) || !p || !p->batch))
		return;
	if (e->flags & PA_FRAME_STATE && p && p->batch)
		d->subscribed = true;
	if (d->resync)
		return;
	if (!p) {
		pa_decode_unmatched(d);
		return;
	}
	pa_decode_answer(d, p, e);
	p->x.rows += p->batch ? 1 : e->count;
	if (e->flags & PA_FRAME_FAILED) {
		p->x.flags |= PA_EXCHANGE_FAILED;
		memcpy(p->error, e->bytes, len);
		p->error[len] = 0;
	} else if (e->nr_bytes == 6 && !memcmp(e->bytes, "QUEUED", 6)) {
		p->x.flags |= PA_EXCHANGE_QUEUED;
	}
	if (p->wants > 1 && !(e->flags & PA_FRAME_FAILED)) {
		p->wants--;
		return;
	}
	follow_transaction(d, p);
	pa_decode_pop(d);
}

void pa_decode_resp(struct pa_decode *d, const struct pa_frame_event *e)
{
	if (e->kind == PA_FRAME_RESP_COMMAND || e->kind == PA_FRAME_RESP_INLINE)
		on_command(d, e);
	else
		on_reply(d, e);
}
