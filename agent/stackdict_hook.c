/* See stackdict_hook.h. World: hook. */
#include "agent/stackdict_hook.h"

#include <string.h>

#include "agent/heap_memory_hook.h"

uint32_t pa_stackdict_search_hook(struct pa_stackdict *d, uint32_t parent, uint64_t frame)
{
	uint32_t mask = d->slots - 1;

	for (uint32_t i = pa_stackdict_hash(d, parent, frame);; i = (i + 1) & mask) {
		uint32_t id = d->table[i] > d->base ? d->table[i] - d->base : 0;

		if (id && (d->nodes[id].frame != frame || d->nodes[id].parent != parent))
			continue;
		if (id)
			d->nodes[parent].child = id;
		return id;
	}
}

/* Enters node `id` into the table. */
static void enter(struct pa_stackdict *d, uint32_t id)
{
	uint32_t mask = d->slots - 1, i = pa_stackdict_hash(d, d->nodes[id].parent, d->nodes[id].frame);

	while (d->table[i] > d->base)
		i = (i + 1) & mask;
	d->table[i] = d->base + id;
}

uint32_t pa_stackdict_put_hook(struct pa_stackdict *d, uint32_t parent, uint64_t frame)
{
	uint32_t id = ++d->nr;

	d->nodes[id] = (struct pa_stackdict_node){.frame = frame, .parent = parent};
	d->nodes[parent].child = id;
	enter(d, id);
	return id;
}

bool pa_stackdict_grow_hook(struct pa_stackdict *d)
{
	uint32_t slots = d->slots ? d->slots * 2 : PA_STACKDICT_FIRST;
	void *memory = slots <= PA_STACKDICT_MOST ? pa_heap_map_hook(pa_stackdict_bytes(slots)) : NULL;
	struct pa_stackdict bigger;

	if (!memory)
		return false;
	bigger = pa_stackdict_in(memory, slots, d->home);
	if (d->slots)
		memcpy(bigger.nodes, d->nodes, (d->nr + 1) * sizeof(*d->nodes));
	for (; bigger.nr < d->nr; enter(&bigger, bigger.nr))
		bigger.nr++;
	/* first, so that it never names what is gone */
	if (d->home)
		pa_store_release(d->home, (uint64_t)(uintptr_t)memory | (uint32_t)__builtin_ctz(slots));
	if (d->slots)
		pa_heap_unmap_hook(d->nodes, pa_stackdict_bytes(d->slots));
	*d = bigger;
	return true;
}

void pa_stackdict_wipe_hook(struct pa_stackdict *d)
{
	if (!d->slots)
		return;
	memset(d->table, 0, d->slots * sizeof(*d->table));
	d->base = d->nr = 0;
	d->nodes[0].child = 0;
}

void pa_stackdict_clear_hook(struct pa_stackdict *d)
{
	d->base += d->nr;
	d->nr = 0;
	d->nodes[0].child = 0;
	/* once in 2^31 definitions the sequence begins anew */
	if (d->base > INT32_MAX)
		pa_stackdict_wipe_hook(d);
}
