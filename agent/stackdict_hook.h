/* A thread's dictionary of stacks: (parent, return address) -> id, 1, 2, ... in the order of definition. Nodes lie in
 * that order, so that the frames of a stack lie side by side, and each remembers which child was asked for last: a
 * stack that comes again is found along its nodes, without the table. That is of their ids, by open addressing. All of
 * it doubles together; forgetting everything costs nothing, because the table holds numbers of the whole sequence and
 * older ones count as free. Callers: heap_stack_hook.c. World: hook. */
#ifndef PA_AGENT_STACKDICT_HOOK_H
#define PA_AGENT_STACKDICT_HOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/atomics.h"

#define PA_STACKDICT_FIRST 2048u   /* slots, and half as many nodes */
#define PA_STACKDICT_MOST  131072u /* 1.5 MiB */

struct pa_stackdict_node {
	uint64_t frame;
	uint32_t parent;
	uint32_t child; /* the last one asked for or defined; 0: none */
};

/* Invariant: nr < slots / 2; nodes[0 .. nr], 0 being the root's parent, and table[0 .. slots) in one mapping; slots is
 * a power of two. A number in the table is base + id; one that is not above base is free. No memory: slots is 0. */
struct pa_stackdict {
	struct pa_stackdict_node *nodes;
	uint32_t *table;
	uint32_t slots;
	uint32_t base;
	uint32_t nr;            /* ids in use: 1..nr */
	_Atomic uint64_t *home; /* NULL, or where the address stands as well, with log2(slots) in its low bits: in
				 * memory that a forked child still has */
};

static inline size_t pa_stackdict_bytes(uint32_t slots)
{
	return slots / 2 * sizeof(struct pa_stackdict_node) + slots * sizeof(uint32_t);
}

/* The dictionary in memory that is all zero: empty. */
static inline struct pa_stackdict pa_stackdict_in(void *memory, uint32_t slots, _Atomic uint64_t *home)
{
	struct pa_stackdict_node *nodes = memory;

	return (struct pa_stackdict){
	    .nodes = nodes, .table = (uint32_t *)(void *)(nodes + slots / 2), .slots = slots, .home = home};
}

/* That of a home, as a child finds it; without memory where there is none. */
static inline struct pa_stackdict pa_stackdict_at(_Atomic uint64_t *home)
{
	uint64_t word = pa_load_relaxed(home);

	if (!word)
		return (struct pa_stackdict){.home = home};
	return pa_stackdict_in((void *)(uintptr_t)(word & ~UINT64_C(4095)), UINT32_C(1) << (word & 63), home);
}

/* Where a search in the table begins. */
static inline uint32_t pa_stackdict_hash(const struct pa_stackdict *d, uint32_t parent, uint64_t frame)
{
	uint64_t hash = (frame ^ (uint64_t)parent << 40 ^ parent) * UINT64_C(0x9e3779b97f4a7c15);

	return (uint32_t)(hash >> 32) & (d->slots - 1);
}

/* Cold half of pa_stackdict_get: by the table. */
uint32_t pa_stackdict_search_hook(struct pa_stackdict *d, uint32_t parent, uint64_t frame);

/* The id of a frame on a parent; 0: not defined. Shapes: parent <= nr, frame not 0. */
static inline uint32_t pa_stackdict_get(struct pa_stackdict *d, uint32_t parent, uint64_t frame)
{
	uint32_t child = d->nodes[parent].child;

	if (d->nodes[child].frame == frame && d->nodes[child].parent == parent)
		return child;
	return pa_stackdict_search_hook(d, parent, frame);
}

static inline bool pa_stackdict_full(const struct pa_stackdict *d)
{
	return d->nr + 1 >= d->slots / 2;
}

/* Defines what pa_stackdict_get did not find. Shapes: not full. Returns the id, the new nr. */
uint32_t pa_stackdict_put_hook(struct pa_stackdict *d, uint32_t parent, uint64_t frame);

/* Takes memory, or twice as much; ids stay. Returns false at the limit, or where there is no memory: all is as it was.
 */
bool pa_stackdict_grow_hook(struct pa_stackdict *d);

/* Forgets everything; ids begin at 1 again. */
void pa_stackdict_clear_hook(struct pa_stackdict *d);

/* The same for one whose table may hold anything, or that has no memory. */
void pa_stackdict_wipe_hook(struct pa_stackdict *d);

#endif
