/* Callers: conn_record_hook.c, talk_conn.c. World: signal. */
#include "common/message.h"

#include <string.h>

static uint8_t *put_number(uint8_t *out, uint64_t number)
{
	for (; number >= 0x80; number >>= 7)
		*out++ = (uint8_t)(number | 0x80);
	*out++ = (uint8_t)number;
	return out;
}

uint8_t *pa_message_put(uint8_t *out, const struct pa_frame_event *e, uint64_t now_ns)
{
	uint64_t age = e->first_ns < now_ns ? now_ns - e->first_ns : 0;
	const uint64_t numbers[] = {e->flags ^ PA_FRAME_FIRST, age, e->total, e->count, e->value, e->nr_bytes};
	uint8_t *head = out;

	head[0] = (uint8_t)e->kind;
	head[1] = 0;
	out += 2;
	for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (!numbers[i])
			continue;
		head[1] |= (uint8_t)(1u << i);
		out = put_number(out, numbers[i]);
	}
	if (e->nr_bytes)
		memcpy(out, e->bytes, e->nr_bytes);
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
