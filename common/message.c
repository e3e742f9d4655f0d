/* Callers: conn_record_hook.c, talk_conn.c. World: signal. */
#include "common/message.h"

#include <string.h>

static inline uint8_t *put_number(uint8_t *out, uint64_t number)
{
	for (; number >= 0x80; number >>= 7)
		*out++ = (uint8_t)(number | 0x80);
	*out++ = (uint8_t)number;
	return out;
}

uint8_t *pa_message_put(uint8_t *out, const struct pa_frame_event *e, uint64_t now_ns)
{
	uint8_t *head = out;
	uint8_t what = 0;

	out += 2;
	if (e->flags != PA_FRAME_FIRST) {
		what |= PA_ENTRY_FLAGS;
		out = put_number(out, e->flags ^ PA_FRAME_FIRST);
	}
	if (e->first_ns < now_ns) {
		what |= PA_ENTRY_AGE;
		out = put_number(out, now_ns - e->first_ns);
	}
	if (e->total) {
		what |= PA_ENTRY_TOTAL;
		out = put_number(out, e->total);
	}
	if (e->count) {
		what |= PA_ENTRY_COUNT;
		out = put_number(out, e->count);
	}
	if (e->value) {
		what |= PA_ENTRY_VALUE;
		out = put_number(out, e->value);
	}
	if (e->nr_bytes) {
		what |= PA_ENTRY_BYTES;
		out = put_number(out, e->nr_bytes);
		memcpy(out, e->bytes, e->nr_bytes);
	}
	head[0] = (uint8_t)e->kind;
	head[1] = what;
	return out + e->nr_bytes;
}

void pa_message_add(struct pa_message_list *list, const struct pa_frame_event *e, uint64_t now_ns)
{
	uint8_t *entry = list->end, *end = pa_message_put(entry, e, now_ns);
	uint32_t nr = (uint32_t)(end - entry);

	if (!list->nr++ || nr != list->nr_last || memcmp(entry, list->last, nr) != 0) {
		list->last = entry;
		list->nr_last = nr;
		list->end = end;
		return;
	}
	/* its count stands there already, or will now */
	if (list->last + nr < entry) {
		entry[-1]++;
		return;
	}
	entry[0] = PA_FRAME_NOTHING;
	entry[1] = 1;
	list->end = entry + 2;
}

/* False: there is no number, or one of more than 64 bits. */
static bool get_number(struct pa_message_cursor *c, uint64_t *number)
{
	*number = 0;
	for (unsigned shift = 0; shift < 64 && c->at < c->end; shift += 7) {
		uint8_t byte = *c->at++;

		*number |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return shift < 63 || byte < 2;
	}
	return false;
}

static bool get_entry(struct pa_message_cursor *c, struct pa_frame_event *e)
{
	uint64_t numbers[6] = {0};
	uint8_t what;

	if (c->end - c->at < 2)
		return false;
	*e = (struct pa_frame_event){.kind = c->at[0], .last_ns = c->now_ns};
	what = c->at[1];
	c->at += 2;
	for (unsigned i = 0; i < 6; i++)
		if (what & 1u << i && !get_number(c, &numbers[i]))
			return false;
	if (!e->kind || what >= 1u << 6 || numbers[0] > UINT16_MAX || numbers[1] > c->now_ns ||
	    numbers[5] > (uint64_t)(c->end - c->at))
		return false;
	e->flags = (uint16_t)(numbers[0] ^ PA_FRAME_FIRST);
	e->first_ns = c->now_ns - numbers[1];
	e->total = numbers[2];
	e->count = numbers[3];
	e->value = numbers[4];
	e->nr_bytes = (uint32_t)numbers[5];
	e->bytes = c->at;
	c->at += e->nr_bytes;
	/* how often it came */
	if (c->end - c->at >= 2 && c->at[0] == PA_FRAME_NOTHING) {
		c->again = c->at[1];
		c->at += 2;
	}
	return true;
}

bool pa_message_next(struct pa_message_cursor *c, struct pa_frame_event *e)
{
	if (!c->left)
		return false;
	if (c->again)
		c->again--;
	else if (!get_entry(c, e))
		return false;
	c->left--;
	return true;
}
