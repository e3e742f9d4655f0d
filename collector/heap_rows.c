/* The rows of a heap by stack, and its threads by id. World: plain. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/heap.h"
#include "collector/stacks.h"

#define FIRST_ROWS    16u
#define FIRST_THREADS 4u
#define THREADS_MAX   (1u << 20)

static uint32_t hash(uint32_t id, uint32_t size)
{
	return (uint32_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (size - 1);
}

/* Where an id stands in a table of index + 1, or the free place for it. ids: that of an index. */
#define FIND(table, size, id, id_of)                                                                                   \
	({                                                                                                             \
		uint32_t at_ = hash(id, size);                                                                         \
		while ((table)[at_] && id_of((table)[at_] - 1) != (id))                                                \
			at_ = (at_ + 1) & ((size)-1);                                                                  \
		at_;                                                                                                   \
	})

#define STACK_OF(i)  (h->cold[i].stack)
#define THREAD_OF(i) (h->threads[i].id)

static int grow_rows(struct pa_heap *h)
{
	uint32_t max = h->max_rows ? h->max_rows * 2 : FIRST_ROWS;
	struct pa_heap_row *rows;
	struct pa_heap_cold *cold;
	uint64_t *bytes;
	uint32_t *list, *table;

	if (max > PA_HEAP_ROWS_MAX)
		return -E2BIG;
	rows = aligned_alloc(64, max * sizeof(*rows));
	cold = realloc(h->cold, max * sizeof(*cold));
	h->cold = cold ? cold : h->cold;
	bytes = realloc(h->temporary_bytes, max * sizeof(*bytes));
	h->temporary_bytes = bytes ? bytes : h->temporary_bytes;
	list = realloc(h->changed, max * sizeof(*list));
	h->changed = list ? list : h->changed;
	table = calloc(max * 2, sizeof(*table));
	if (!rows || !cold || !bytes || !list || !table) {
		free(rows);
		free(table);
		return -ENOMEM;
	}
	if (h->nr_rows)
		memcpy(rows, h->rows, h->nr_rows * sizeof(*rows));
	free(h->rows);
	free(h->by_stack);
	h->rows = rows;
	h->by_stack = table;
	h->by_stack_size = max * 2;
	h->max_rows = max;
	for (uint32_t i = 0; i < h->nr_rows; i++)
		table[FIND(table, max * 2, h->cold[i].stack, STACK_OF)] = i + 1;
	return 0;
}

uint32_t pa_heap_row(struct pa_heap *h, uint32_t stack)
{
	uint32_t at = FIND(h->by_stack, h->by_stack_size, stack, STACK_OF);

	if (h->by_stack[at])
		return h->by_stack[at] - 1;
	if (h->nr_rows == h->max_rows) {
		if (grow_rows(h)) {
			h->folded++;
			return 0;
		}
		at = FIND(h->by_stack, h->by_stack_size, stack, STACK_OF);
	}
	h->rows[h->nr_rows] = (struct pa_heap_row){0};
	h->cold[h->nr_rows] = (struct pa_heap_cold){.stack = stack};
	h->temporary_bytes[h->nr_rows] = 0;
	h->by_stack[at] = h->nr_rows + 1;
	return h->nr_rows++;
}

static int grow_threads(struct pa_heap *h)
{
	uint32_t max = h->max_threads ? h->max_threads * 2 : FIRST_THREADS;
	struct pa_heap_thread *threads;
	uint32_t *table;

	if (max > THREADS_MAX)
		return -E2BIG;
	threads = realloc(h->threads, max * sizeof(*threads));
	h->threads = threads ? threads : h->threads;
	table = calloc(max * 2, sizeof(*table));
	if (!threads || !table) {
		free(table);
		return -ENOMEM;
	}
	free(h->by_thread);
	h->by_thread = table;
	h->by_thread_size = max * 2;
	h->max_threads = max;
	for (uint32_t i = 0; i < h->nr_threads; i++)
		table[FIND(table, max * 2, h->threads[i].id, THREAD_OF)] = i + 1;
	return 0;
}

uint32_t pa_heap_thread(struct pa_heap *h, uint32_t id)
{
	uint32_t at = FIND(h->by_thread, h->by_thread_size, id, THREAD_OF);

	if (h->by_thread[at])
		return h->by_thread[at] - 1;
	if (h->nr_threads == h->max_threads) {
		if (grow_threads(h))
			return 0;
		at = FIND(h->by_thread, h->by_thread_size, id, THREAD_OF);
	}
	h->threads[h->nr_threads] = (struct pa_heap_thread){.id = id};
	h->by_thread[at] = h->nr_threads + 1;
	return h->nr_threads++;
}

int pa_heap_rows_init(struct pa_heap *h)
{
	int err = grow_rows(h);

	if (!err)
		err = grow_threads(h);
	if (err)
		return err;
	pa_heap_row(h, PA_STACKS_OTHER);
	pa_heap_thread(h, 0);
	return 0;
}

void pa_heap_rows_fini(struct pa_heap *h)
{
	free(h->rows);
	free(h->cold);
	free(h->temporary_bytes);
	free(h->changed);
	free(h->by_stack);
	free(h->threads);
	free(h->by_thread);
}
