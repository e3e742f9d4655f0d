/* Any messages over the socket transport: neither their application nor the drain crashes or reads beyond a ring. The
 * input is a list of messages: the fields of a batch that a client chooses, then so many of its bytes. Every other
 * message is continued from where its ring stands, so that positions are right and contents get in. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "collector/drain.h"
#include "collector/stream.h"
#include "common/atomics.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SLOTS 8
#define RING  4096

struct message {
	uint8_t slot;
	uint8_t flags; /* 1 hook ring, 2 right position, 4 right sizes, 8 drain behind it */
	uint16_t bytes;
	uint32_t pid;
	uint64_t position;
	uint64_t counter;
};

static uint64_t touched;

static void on_record(void *arg, const struct pa_drain_origin *from, const struct pa_record *record)
{
	const uint8_t *byte = (const uint8_t *)record;

	for (uint32_t i = 0; i < record->size; i++)
		touched += byte[i];
}

static const struct pa_ring_producer *ring_of(const struct pa_session *s, const struct message *m)
{
	const struct pa_slot *slot = &s->slots[m->slot % SLOTS];

	return m->flags & 1 ? &slot->hook : &slot->signal;
}

/* Returns the packet's length. */
static size_t build(const struct pa_session *s, const struct message *m, const uint8_t *data, size_t have, uint8_t *out)
{
	struct pa_stream_batch *b = (struct pa_stream_batch *)out;
	uint32_t bytes = m->flags & 4 ? m->bytes & ~7u : m->bytes;
	size_t len = sizeof(*b) + bytes;

	memset(b, 0, sizeof(*b));
	pa_stream_head(&b->head, PA_MSG_BATCH, (uint32_t)len);
	b->slot = m->flags & 4 ? m->slot % SLOTS : m->slot;
	b->ring = m->flags & 1;
	b->position = m->flags & 2 ? pa_load_relaxed(&ring_of(s, m)->head) : m->position;
	b->bytes = bytes;
	b->owner = PA_OWNER(m->pid, m->slot);
	b->counters.lost_full = b->counters.records = b->figures.lost_no_slot = m->counter;
	memset(out + sizeof(*b), 0, bytes);
	memcpy(out + sizeof(*b), data, have < bytes ? have : bytes);
	return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t packet[sizeof(struct pa_stream_batch) + UINT16_MAX];
	struct pa_geometry geometry = {
	    .nr_slots = SLOTS, .signal_ring_bytes = RING, .hook_ring_bytes = RING, .period_ns = 1000000};
	struct pa_drain_sink sink = {0};
	struct pa_drain_result result;
	struct pa_drain *d = pa_drain_new();
	struct pa_session *s;
	struct message m;

	if (!d || pa_session_create(&geometry, &s))
		abort();
	for (int i = 1; i < PA_REC_TYPES; i++)
		sink.rows[i].fn = on_record;
	sink.rows[PA_REC_MODULE].early = true;
	for (unsigned nr = 0; size >= sizeof(m) && nr < 64; nr++) {
		size_t len, used;

		memcpy(&m, data, sizeof(m));
		data += sizeof(m);
		size -= sizeof(m);
		len = build(s, &m, data, size, packet);
		used = m.bytes < size ? m.bytes : size;
		if (pa_stream_apply(s, packet, len) == -EAGAIN || (m.flags & 8)) {
			pa_drain_session(d, s, &sink, &result);
			/* a drain makes all the room there is, except in a ring that was given up */
			if (pa_stream_apply(s, packet, len) == -EAGAIN)
				abort();
		}
		data += used;
		size -= used;
	}
	pa_drain_session(d, s, &sink, &result);
	if (result.bytes > (uint64_t)SLOTS * 2 * RING)
		abort();
	pa_session_free(s);
	pa_drain_free(d);
	return 0;
}
