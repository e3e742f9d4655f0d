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

void pa_conn_leave_hook(struct pa_conn_at *at)
{
	pa_tls.in_hook--;
	pa_session_leave_sig(at->block, at->before);
}

/* The stack of whoever made the call, once a call. */
static uint16_t walk(struct pa_conn_at *at, uint64_t *frames, uint16_t *stop)
{
	at->walked = true;
	return pa_caller_walk_hook(at->block, at->caller, frames, PA_FRAMES_LEAF, stop);
}

void pa_conn_put_hook(struct pa_conn_at *at, struct pa_conn *c, int fd, const struct pa_conn_event *event)
{
	bool is_made = event->event == PA_CONNECTION_CONNECT || event->event == PA_CONNECTION_FOUND;
	struct pa_connection *record;

	if (!(pa_load_relaxed(&pa_wait_modes) & (PA_MODE_DB | PA_MODE_HTTP)))
		return;
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
	if (is_made)
		pa_announce_walk_sig(at->block, &at->block->hook_info, at->now_ns);
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

void pa_conn_put_message_hook(struct pa_conn_at *at, struct pa_conn *c, enum pa_way way, const struct pa_frame_event *e)
{
	bool asks = !at->walked && way == PA_TO_SERVER && c->is_client && is_request(e->kind);
	uint32_t bytes = (e->nr_bytes + 7u) & ~7u;
	struct pa_conn_message *record = pa_wait_record_hook(
	    at->block, PA_REC_MESSAGE, (uint32_t)sizeof(*record) + (asks ? FRAMES_BYTES : 0) + bytes, e->last_ns);
	uint32_t order = c->order[way]++;

	if (!record)
		return;
	record->connection = c->id;
	record->tid = at->block->tid;
	record->order = order;
	record->kind = e->kind;
	record->flags = e->flags;
	record->way = (uint8_t)way;
	record->proto = pa_load_relaxed(&c->frame.proto);
	record->stop = 0;
	record->nr_bytes = (uint16_t)e->nr_bytes;
	record->first_ns = e->first_ns;
	record->total = e->total;
	record->hash = e->hash;
	record->count = e->count;
	record->value = e->value;
	record->nr_frames = asks ? walk(at, record->frames, &record->stop) : 0;
	memcpy(record->frames + record->nr_frames, e->bytes, e->nr_bytes);
	pa_record_end_short_sig(&at->block->hook_ring, &record->head,
				(uint32_t)(sizeof(*record) + record->nr_frames * sizeof(uint64_t)) + bytes);
	if (asks)
		pa_announce_walk_sig(at->block, &at->block->hook_info, e->last_ns);
}
