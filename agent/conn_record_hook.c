/* Callers: conn_hook.c. World: hook. */
#include "agent/conn_record_hook.h"

#include <string.h>

#include "agent/announce_sig.h"
#include "agent/caller_hook.h"
#include "agent/ring_sig.h"
#include "agent/slots_sig.h"

#define FRAMES_BYTES ((uint32_t)(PA_FRAMES_MAX * sizeof(uint64_t)))

bool pa_conn_enter_hook(struct pa_conn_at *at, const struct pa_caller *caller)
{
	*at = (struct pa_conn_at){.caller = caller};
	at->block = pa_wait_block_hook((const void *)(uintptr_t)(caller->sp - 16));
	if (!at->block || !pa_session_enter_sig(at->block, &at->before))
		return false;
	pa_hook_begin(1);
	return true;
}

/* The record of messages is seen from now on. */
static void commit(struct pa_conn_at *at)
{
	struct pa_conn_messages *record = at->messages;
	uint8_t *start = (uint8_t *)record, *end = at->list.end;

	at->messages = NULL;
	record->nr = (uint16_t)at->list.nr;
	record->nr_bytes = (uint16_t)(end - at->list.start);
	while ((end - start) % 8)
		*end++ = 0;
	pa_record_end_short_sig(&at->block->hook_ring, &record->head, (uint32_t)(end - start));
	if (at->news.said)
		pa_conn_stack_said_hook(&at->news);
}

static void announce(struct pa_conn_at *at)
{
	at->met = false;
	pa_announce_walk_sig(at->block, &at->block->hook_info, at->now_ns);
}

void pa_conn_leave_hook(struct pa_conn_at *at)
{
	if (at->messages)
		commit(at);
	if (at->met)
		announce(at);
	pa_tls.in_hook--;
	pa_session_leave_sig(at->block, at->before);
}

/* The stack of whoever made the call, once a call. */
static uint16_t walk(struct pa_conn_at *at, uint64_t *frames, uint16_t *stop)
{
	at->walked = at->met = true;
	return pa_caller_walk_hook(at->block, at->caller, frames, PA_FRAMES_LEAF, stop);
}

void pa_conn_put_hook(struct pa_conn_at *at, struct pa_conn *c, int fd, const struct pa_conn_event *event)
{
	bool is_made = event->event == PA_CONNECTION_CONNECT || event->event == PA_CONNECTION_FOUND;
	struct pa_connection *record;

	if (!(pa_load_relaxed(&pa_wait_modes) & (PA_MODE_DB | PA_MODE_HTTP)))
		return;
	if (at->messages)
		commit(at);
	record = pa_wait_record_hook(at->block, PA_REC_CONNECTION,
				     (uint32_t)sizeof(*record) + (is_made ? FRAMES_BYTES : 0), at->now_ns);
	if (!record)
		return;
	memset(&record->connection, 0, sizeof(*record) - sizeof(record->head));
	record->connection = c->id;
	record->tid = at->block->tid;
	record->event = (uint16_t)event->event;
	record->proto = pa_load_relaxed(&c->frame.proto);
	record->error = event->error;
	record->start_ns = event->start_ns ? event->start_ns : at->now_ns;
	record->descriptor = fd;
	record->flags = c->is_client ? PA_CONNECTION_CLIENT : 0;
	record->reserved = event->parents;
	if (event->address) {
		record->address_len =
		    (uint16_t)(event->address_len < PA_ADDRESS_MAX ? event->address_len : PA_ADDRESS_MAX);
		memcpy(record->address, event->address, record->address_len);
	}
	record->nr_frames = is_made ? walk(at, record->frames, &record->stop) : 0;
	pa_record_end_short_sig(&at->block->hook_ring, &record->head,
				(uint32_t)(sizeof(*record) + record->nr_frames * sizeof(uint64_t)));
}

static bool is_request(uint16_t kind)
{
	switch (kind) {
	case PA_FRAME_PG_QUERY:
	case PA_FRAME_PG_PARSE:
	case PA_FRAME_PG_BIND:
	case PA_FRAME_PG_EXECUTE:
	case PA_FRAME_PG_CALL:
	case PA_FRAME_MYSQL_COMMAND:
	case PA_FRAME_RESP_COMMAND:
	case PA_FRAME_RESP_INLINE:
	case PA_FRAME_HTTP_REQUEST:
		return true;
	default:
		return false;
	}
}

/* Who sends: the frames the first time, then their number. */
static uint16_t put_stack(struct pa_conn_at *at, struct pa_conn_messages *record)
{
	uint16_t nr_frames, stop;

	at->walked = true;
	record->stack = pa_conn_stack_hook(at->block, at->caller, record->frames, &nr_frames, &stop, &at->news);
	record->nr_frames = nr_frames;
	record->stop = stop;
	at->met |= nr_frames != 0;
	return nr_frames;
}

/* A record for messages from this one on. */
static bool begin(struct pa_conn_at *at, const struct pa_conn *c, enum pa_way way, bool asks, uint32_t entry)
{
	struct pa_conn_messages *record;
	uint16_t nr_frames = 0;
	uint32_t bytes = (uint32_t)sizeof(*record) + (asks ? FRAMES_BYTES : 0) + ((entry + 7u) & ~7u);

	record = pa_wait_record_hook(at->block, PA_REC_MESSAGES, bytes, at->now_ns);
	if (!record)
		return false;
	at->limit = (uint8_t *)record + pa_wait_record_most_hook(at->block, record, bytes);
	record->connection = c->id;
	record->tid = at->block->tid;
	record->order = c->order[way];
	record->way = (uint8_t)way;
	record->proto = pa_load_relaxed(&c->frame.proto);
	record->nr_frames = record->stop = record->stack = 0;
	if (asks)
		nr_frames = put_stack(at, record);
	at->messages = record;
	at->list = (struct pa_message_list){.start = (uint8_t *)(record->frames + nr_frames)};
	at->list.end = at->list.start;
	return true;
}

void pa_conn_put_message_hook(struct pa_conn_at *at, struct pa_conn *c, enum pa_way way, const struct pa_frame_event *e)
{
	bool asks = !at->walked && way == PA_TO_SERVER && c->is_client && is_request(e->kind);
	uint32_t entry = PA_ENTRY_MAX + e->nr_bytes;

	if (at->messages &&
	    (asks || at->list.nr == PA_ENTRIES_MAX || (uint64_t)(at->limit - at->list.end) < entry + sizeof(uint64_t)))
		commit(at);
	if (at->messages || begin(at, c, way, asks, entry))
		pa_message_add(&at->list, e, at->now_ns);
	c->order[way]++;
}
