#include "collector/heap_sampled.h"

#include <stdlib.h>

#include "common/heapwire.h"

#define SIZE_MAX_BYTES (UINT64_C(1) << 48) /* no block is larger: an address space */

struct kept {
	struct pa_heap *heap;
	struct pa_heap_event event;
	uint32_t thread;
	uint32_t order; /* as found: qsort is not stable */
};

struct pa_heap_sampled {
	struct kept *kept;
	size_t nr, max;
};

struct pa_heap_sampled *pa_heap_sampled_new(void)
{
	return calloc(1, sizeof(struct pa_heap_sampled));
}

void pa_heap_sampled_free(struct pa_heap_sampled *q)
{
	if (!q)
		return;
	free(q->kept);
	free(q);
}

static bool keep(struct pa_heap_sampled *q, struct pa_heap *heap, const struct pa_heap_event *event, uint32_t thread)
{
	if (q->nr == q->max) {
		size_t max = q->max ? q->max * 2 : 256;
		struct kept *kept = realloc(q->kept, max * sizeof(*kept));

		if (!kept) {
			heap->lost++;
			heap->lost_frees += event->type == PA_HR_FREE;
			pa_heap_mark_uncertain(heap, event->stamp);
			return false;
		}
		q->kept = kept;
		q->max = max;
	}
	q->kept[q->nr] = (struct kept){heap, *event, pa_heap_thread(heap, thread), (uint32_t)q->nr};
	q->nr++;
	return true;
}

bool pa_heap_sampled_alloc(struct pa_heap_sampled *q, struct pa_heap *heap, const struct pa_heap_sample *sample,
			   uint32_t stack, uint32_t thread)
{
	struct pa_heap_event event = {.stamp = sample->head.time_ns,
				      .address = sample->address,
				      .size = sample->size < SIZE_MAX_BYTES ? sample->size : SIZE_MAX_BYTES,
				      .row = pa_heap_row(heap, stack),
				      .type = PA_HR_ALLOC,
				      .mean = pa_heap_mean(heap, sample->mean)};

	return keep(q, heap, &event, thread);
}

bool pa_heap_sampled_freed(struct pa_heap_sampled *q, struct pa_heap *heap, const struct pa_heap_free *freed,
			   uint32_t thread)
{
	struct pa_heap_event event = {.stamp = freed->head.time_ns, .address = freed->address, .type = PA_HR_FREE};

	return keep(q, heap, &event, thread);
}

static int by_stamp(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	if (x->event.stamp != y->event.stamp)
		return x->event.stamp < y->event.stamp ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

void pa_heap_sampled_play(struct pa_heap_sampled *q)
{
	if (q->nr > 1)
		qsort(q->kept, q->nr, sizeof(*q->kept), by_stamp);
	for (size_t i = 0; i < q->nr; i++) {
		struct pa_heap_source source = {.thread = q->kept[i].thread};

		pa_heap_play(q->kept[i].heap, &source, &q->kept[i].event);
	}
	q->nr = 0;
}
