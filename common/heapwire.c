/* Checks of the records of exact heap mode: the only place where their sizes are judged. World: plain. */
#include "common/heapwire.h"

#include "common/wire.h"

const uint8_t pa_heapwire_bytes[PA_HR_TYPES] = {
    [PA_HR_OWNER] = sizeof(struct pa_heap_owner), [PA_HR_TIME] = sizeof(struct pa_heap_time),
    [PA_HR_EPOCH] = sizeof(struct pa_heap_epoch), [PA_HR_NODE] = sizeof(struct pa_heap_node),
    [PA_HR_ALLOC] = sizeof(struct pa_heap_alloc), [PA_HR_ALLOC_LARGE] = sizeof(struct pa_heap_alloc_large),
    [PA_HR_FREE] = sizeof(struct pa_heap_freed),  [PA_HR_MAP] = sizeof(struct pa_heap_map),
    [PA_HR_UNMAP] = sizeof(struct pa_heap_unmap),
};

const struct pa_heap_head *pa_heapwire_next(const void *buf, size_t len, size_t *offset)
{
	const uint8_t *base = buf;

	while (len - *offset >= sizeof(struct pa_heap_head)) {
		const struct pa_heap_head *head = (const struct pa_heap_head *)(base + *offset);

		if (head->size < sizeof(*head) || head->size % 8 != 0 || head->size > PA_HEAP_RECORD_MAX ||
		    head->size > len - *offset)
			return NULL;
		if (head->type < PA_HR_TYPES && head->size < pa_heapwire_bytes[head->type])
			return NULL;
		*offset += head->size;
		if (head->type != PA_HR_FILLER)
			return head;
	}
	return NULL;
}
