/* A thread's dictionary of stacks: (parent, return address) -> id, 1, 2, ... in the order of definition. Open addressing
 * in a table of its own memory that doubles; forgetting everything costs nothing, because entries carry the number of
 * the whole sequence and older ones count as free. Callers: heap_stack_hook.c. World: hook. */
#ifndef PA_AGENT_STACKDICT_HOOK_H
#define PA_AGENT_STACKDICT_HOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/atomics.h"

#define PA_STACKDICT_FIRST 2048u   /* entries, of which half are used at most */
#define PA_STACKDICT_MOST  131072u /* 2 MiB */

/* numbers are base + id; an entry whose number is not above base is free */
struct pa_stackdict_entry {
	uint64_t frame;
	uint32_t parent;
	uint32_t number;
};

/* Invariant: nr <= slots / 2; table has slots entries, a power of two; no table: slots is 0 and nothing is found. */
struct pa_stackdict {
	struct pa_stackdict_entry *table;
	uint32_t slots;
	uint32_t base;
	uint32_t nr; /* ids in use: 1..nr */
	_Atomic uint64_t *home; /* NULL, or where the table's address stands as well, with log2(slots) in its low bits: in
				 * memory that a forked child still has */
};

/* The dictionary of a home, empty. Shapes: the table is all zero, as a child finds it. */
static inline struct pa_stackdict pa_stackdict_at(_Atomic uint64_t *home)
{
	uint64_t word = pa_load_relaxed(home);

	return (struct pa_stackdict){ .table = (struct pa_stackdict_entry *)(uintptr_t)(word & ~UINT64_C(4095)),
				      .slots = word ? UINT32_C(1) << (word & 63) : 0, .home = home };
}

/* Where an entry is or would be. Shapes: d has a table. */
static inline struct pa_stackdict_entry *pa_stackdict_find(const struct pa_stackdict *d, uint32_t parent, uint64_t frame)
{
	uint64_t hash = (frame ^ (uint64_t)parent << 40 ^ parent) * UINT64_C(0x9e3779b97f4a7c15);
	uint32_t mask = d->slots - 1, i = (uint32_t)(hash >> 32) & mask;

	parent += d->base;
	for (;; i = (i + 1) & mask) {
		struct pa_stackdict_entry *e = &d->table[i];

		if (e->number <= d->base || (e->frame == frame && e->parent == parent))
			return e;
	}
}

/* The id of an entry that was found; 0: it is free. */
static inline uint32_t pa_stackdict_id(const struct pa_stackdict *d, const struct pa_stackdict_entry *e)
{
	return e->number > d->base ? e->number - d->base : 0;
}

/* Fills a free entry that pa_stackdict_find returned just before. Shapes: d is not full. Returns the id, nr. */
static inline uint32_t pa_stackdict_put(struct pa_stackdict *d, struct pa_stackdict_entry *e, uint32_t parent,
					uint64_t frame)
{
	d->nr++;
	e->frame = frame;
	e->parent = d->base + parent;
	e->number = d->base + d->nr;
	return d->nr;
}

static inline bool pa_stackdict_full(const struct pa_stackdict *d)
{
	return d->nr >= d->slots / 2;
}

/* Makes the first table, or one of twice the size; the entries move, their ids stay. Returns false at the limit, or
 * where there is no memory: all is as it was. */
bool pa_stackdict_grow_hook(struct pa_stackdict *d);

/* Forgets everything; ids begin at 1 again. */
void pa_stackdict_clear_hook(struct pa_stackdict *d);

#endif
