/* Any bytes as the records of a heap ring: they are checked, decoded and played, and whatever they say, the sums of the
 * heap by stack are its totals, and what is live is what its table holds. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/heap_drain.h"
#include "common/atomics.h"
#include "common/heapwire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RING 65536

static struct pa_heap *heap;

static struct pa_heap_writer on_writer(void *arg, uint32_t pid, uint32_t tid, uint64_t time_ns)
{
	return pid % 4 ? (struct pa_heap_writer){heap, heap, tid % 8} : (struct pa_heap_writer){0};
}

static uint32_t on_stack(void *arg, void *process, uint32_t parent, uint64_t frame, uint64_t time_ns)
{
	return (uint32_t)(parent * 31 + frame) % 1024 + 1;
}

static uint32_t on_no_stack(void *arg)
{
	return 7;
}

static void add_block(void *arg, const struct pa_live_block *block)
{
	*(uint64_t *)arg += block->size;
}

static void check_sums(void)
{
	uint64_t calls = 0, bytes = 0, live = 0, held = 0;

	for (uint32_t i = 0; i < heap->nr_rows; i++) {
		uint64_t held_calls, held_bytes;

		calls += heap->rows[i].calls;
		bytes += heap->rows[i].bytes - heap->rows[i].freed;
		pa_heap_held(heap, i, &held_calls, &held_bytes);
		held += held_bytes;
	}
	pa_live_each(&heap->live, add_block, &live);
	if (calls != heap->calls || bytes != heap->bytes - heap->freed || live != bytes || held != heap->peak_bytes)
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
				       .heap_classes = {{1, RING}}};
	struct pa_heap_sink sink = {.writer = on_writer, .stack = on_stack, .no_stack = on_no_stack};
	struct pa_heap_owner owner = {
	    .head = {sizeof(owner), PA_HR_OWNER, 0}, .ticks = 1000, .ns = 1000, .pid = 1, .tid = 1};
	struct pa_heap_drain_result result;
	struct pa_heap_clock clock;
	struct pa_heap_drain *d;
	struct pa_session *s;
	uint32_t bytes;
	uint64_t at;

	size &= ~(size_t)7;
	if (size > RING - sizeof(owner))
		return 0;
	pa_heap_clock_init(&clock, false);
	if (pa_session_create(&geometry, &s))
		abort();
	heap = pa_heap_new(PA_HEAP_EXACT, 0, &clock, 0, 64);
	d = pa_heap_drain_new(s, &clock);
	at = pa_session_heap_ring(s, 0, &bytes);
	if (!heap || !d || bytes != RING || pwrite(s->fd, &owner, sizeof(owner), (off_t)at) != sizeof(owner) ||
	    pwrite(s->fd, data, size, (off_t)(at + sizeof(owner))) != (ssize_t)size)
		abort();
	pa_store_release(&s->heap_lines[0].in.owner, PA_OWNER(1, 1));
	pa_store_release(&s->heap_lines[0].out.head, sizeof(owner) + size);
	for (int i = 0; i < 3; i++) {
		pa_heap_drain_look(d);
		pa_heap_drain_play(d, &sink, &result);
		pa_heap_end_pass(heap);
	}
	check_sums();
	pa_heap_drain_free(d);
	pa_heap_free(heap);
	pa_session_free(s);
	return 0;
}
