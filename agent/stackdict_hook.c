/* See stackdict_hook.h. World: hook. */
#include "agent/stackdict_hook.h"

#include <stddef.h>
#include <string.h>

#include "agent/heap_memory_hook.h"

bool pa_stackdict_grow_hook(struct pa_stackdict *d)
{
	uint32_t slots = d->slots ? d->slots * 2 : PA_STACKDICT_FIRST;
	struct pa_stackdict bigger = { .slots = slots, .nr = d->nr, .home = d->home };

	if (slots > PA_STACKDICT_MOST)
		return false;
	bigger.table = pa_heap_map_hook(slots * sizeof(*bigger.table));
	if (!bigger.table)
		return false;
	for (uint32_t i = 0; i < d->slots; i++) {
		const struct pa_stackdict_entry *e = &d->table[i];
		uint32_t parent = e->parent - d->base;

		if (e->number > d->base)
			*pa_stackdict_find(&bigger, parent, e->frame) = (struct pa_stackdict_entry){
				.frame = e->frame, .parent = parent, .number = e->number - d->base
			};
	}
	/* first, so that it never names what is gone */
	if (d->home)
		pa_store_release(d->home, (uint64_t)(uintptr_t)bigger.table | (uint32_t)__builtin_ctz(slots));
	if (d->table)
		pa_heap_unmap_hook(d->table, d->slots * sizeof(*d->table));
	*d = bigger;
	return true;
}

void pa_stackdict_clear_hook(struct pa_stackdict *d)
{
	d->base += d->nr;
	d->nr = 0;
	/* once in 2^31 definitions the sequence begins anew */
	if (d->base <= INT32_MAX)
		return;
	memset(d->table, 0, d->slots * sizeof(*d->table));
	d->base = 0;
}
