/* Sampled mode: the records of all hook rings of a pass, in the order of their times, become events of a heap.
 * World: plain. */
#ifndef PA_COLLECTOR_HEAP_SAMPLED_H
#define PA_COLLECTOR_HEAP_SAMPLED_H

#include "collector/heap.h"
#include "common/wire.h"

struct pa_heap_sampled;

/* Errors: NULL: out of memory. */
struct pa_heap_sampled *pa_heap_sampled_new(void);
void pa_heap_sampled_free(struct pa_heap_sampled *q); /* NULL allowed */

/* Keep one record until the pass ends. stack: of pa_stacks; thread: id for the totals.
 * Errors: false: no memory, the record is lost. */
bool pa_heap_sampled_alloc(struct pa_heap_sampled *q, struct pa_heap *heap, const struct pa_heap_sample *sample,
			   uint32_t stack, uint32_t thread);
bool pa_heap_sampled_freed(struct pa_heap_sampled *q, struct pa_heap *heap, const struct pa_heap_free *freed,
			   uint32_t thread);

/* Plays what was kept: a free that one thread's ring held before the allocation in another's comes after it. */
void pa_heap_sampled_play(struct pa_heap_sampled *q);

#endif
