/* Any positions, owners and counters in the slot table: the drain neither crashes nor reads more than a ring holds. The
 * input is a list of (slot, word, value) writes, with a drain after each eight. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/drain.h"
#include "common/atomics.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SLOTS 32

struct change {
	uint8_t slot;
	uint8_t word; /* of the slot: 32 words of 8 bytes; 255: bytes of the rings */
	uint16_t at;
	uint8_t value[8];
};

static uint64_t handed;

static void on_record(void *arg, const struct pa_drain_origin *from, const struct pa_record *record)
{
	const uint8_t *byte = (const uint8_t *)record;

	/* touches every byte: AddressSanitizer sees what lies outside */
	for (uint32_t i = 0; i < record->size; i++)
		handed += byte[i];
}

static void apply(struct pa_session *s, const struct change *c)
{
	uint64_t value;

	memcpy(&value, c->value, sizeof(value));
	if (c->word == 255) {
		uint64_t at = pa_session_ring_offset(s, c->slot % SLOTS, c->at & 1) + (c->at & 0xff8);

		if (pwrite(s->fd, &value, sizeof(value), (off_t)at) != sizeof(value))
			abort();
		return;
	}
	memcpy((uint8_t *)&s->slots[c->slot % SLOTS] + c->word % 32 * 8, &value, sizeof(value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pa_geometry geometry = {
	    .nr_slots = SLOTS, .signal_ring_bytes = 4096, .hook_ring_bytes = 4096, .period_ns = 1000000};
	struct pa_drain_sink sink = {0};
	struct pa_drain_result result;
	struct pa_drain *d = pa_drain_new();
	struct pa_session *s;
	struct change c;
	size_t nr = 0;

	if (!d || pa_session_create(&geometry, &s))
		abort();
	for (int i = 1; i < PA_REC_TYPES; i++)
		sink.rows[i].fn = on_record;
	sink.rows[PA_REC_MODULE].early = true;
	for (; size >= sizeof(c) && nr < 256; data += sizeof(c), size -= sizeof(c)) {
		memcpy(&c, data, sizeof(c));
		apply(s, &c);
		if (++nr % 8 == 0)
			pa_drain_session(d, s, &sink, &result);
	}
	pa_drain_session(d, s, &sink, &result);
	if (result.bytes > (uint64_t)SLOTS * 8192)
		abort();
	pa_session_free(s);
	pa_drain_free(d);
	return 0;
}
