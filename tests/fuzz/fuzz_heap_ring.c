/* Any positions, owners and counters in the lines of heap rings, and any bytes in the rings, changed between passes:
 * the drain neither crashes nor reads more than a ring holds. The input is a list of (ring, word, value) writes, with a
 * pass after each four. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/heap_drain.h"
#include "common/heapwire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RINGS 4
#define BYTES 4096

struct change {
	uint8_t ring;
	uint8_t word; /* of the line: 16 words of 8 bytes; above: bytes of the ring */
	uint16_t at;
	uint8_t value[8];
};

static struct pa_heap *heap;

static struct pa_heap_writer on_writer(void *arg, uint32_t pid, uint32_t tid, uint64_t time_ns)
{
	return (struct pa_heap_writer){heap, heap, tid % 8};
}

static uint32_t on_stack(void *arg, void *process, uint32_t parent, uint64_t frame, uint64_t time_ns)
{
	return (uint32_t)(parent + frame) % 64 + 1;
}

static uint32_t on_no_stack(void *arg)
{
	return 7;
}

static void apply(struct pa_session *s, const struct change *c)
{
	uint32_t bytes;

	if (c->word % 32 < 16) {
		memcpy((uint8_t *)&s->heap_lines[c->ring % RINGS] + c->word % 16 * 8, c->value, sizeof(c->value));
		return;
	}
	if (pwrite(s->fd, c->value, sizeof(c->value),
		   (off_t)(pa_session_heap_ring(s, c->ring % RINGS, &bytes) + (c->at & 0xff8))) != sizeof(c->value))
		abort();
}

static void pass(struct pa_heap_drain *d)
{
	struct pa_heap_sink sink = {.writer = on_writer, .stack = on_stack, .no_stack = on_no_stack};
	struct pa_heap_drain_result result;

	pa_heap_drain_look(d);
	pa_heap_drain_play(d, &sink, &result);
	pa_heap_end_pass(heap);
	if (result.bytes > RINGS * BYTES)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pa_geometry geometry = {.nr_slots = 1,
				       .signal_ring_bytes = 4096,
				       .hook_ring_bytes = 4096,
				       .period_ns = 1,
				       .modes = PA_MODE_MEMORY,
				       .heap_mode = PA_HEAP_EXACT,
				       .heap_classes = {{RINGS, BYTES}}};
	struct pa_heap_clock clock;
	struct pa_heap_drain *d;
	struct pa_session *s;
	struct change c;
	size_t nr = 0;

	pa_heap_clock_init(&clock, false);
	if (pa_session_create(&geometry, &s))
		abort();
	heap = pa_heap_new(PA_HEAP_EXACT, 0, &clock, 0, 64);
	d = pa_heap_drain_new(s, &clock);
	if (!heap || !d)
		abort();
	for (; size >= sizeof(c) && nr < 256; data += sizeof(c), size -= sizeof(c)) {
		memcpy(&c, data, sizeof(c));
		apply(s, &c);
		if (++nr % 4 == 0)
			pass(d);
		if (nr % 64 == 0)
			pa_heap_drain_release(d, c.ring, NULL);
	}
	pass(d);
	pa_heap_drain_free(d);
	pa_heap_free(heap);
	pa_session_free(s);
	return 0;
}
