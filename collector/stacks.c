/* Interning of frames and stacks; see the header. World: plain.
 *
 * Both tables are open-addressed: a slot holds an id, the keys stand in arrays by id. Slots are a power of two and at
 * least twice the ids, so a probe ends soon, and growing moves 4 bytes an entry. */
#include "collector/stacks.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/wire.h"

struct frame {
	uint64_t address;
	uint32_t module;
	uint32_t reserved;
};

struct node {
	uint32_t parent;
	uint32_t frame;
};

/* Invariant: ids 1..nr are given out, nr <= cap, nr_slots is a power of two >= 2 * nr. */
struct index {
	uint32_t *slots; /* 0: free */
	size_t nr_slots;
	size_t nr;
	size_t cap; /* keys there is room for, index 0 is not used */
};

struct pa_stacks {
	struct index frame_index;
	struct index stack_index;
	struct frame *frames;
	struct node *nodes;
	size_t max_nodes;
	uint64_t folded;
	uint64_t seed; /* a target chooses the addresses: it must not know which of them meet in one slot */
};

/* Two 64-bit words into one well-mixed one: every input bit reaches the low bits, which choose the slot.
 * Source: the finalizer of splitmix64, applied to a combination of the words. */
static uint64_t mix(const struct pa_stacks *s, uint64_t a, uint64_t b)
{
	uint64_t h = (a ^ s->seed) * UINT64_C(0x9e3779b97f4a7c15) ^ b;

	h = (h ^ h >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	h = (h ^ h >> 27) * UINT64_C(0x94d049bb133111eb);
	return h ^ h >> 31;
}

static uint64_t frame_hash(const struct pa_stacks *s, uint32_t id)
{
	return mix(s, s->frames[id].address, s->frames[id].module);
}

static uint64_t node_hash(const struct pa_stacks *s, uint32_t id)
{
	return mix(s, s->nodes[id].parent, s->nodes[id].frame);
}

/* Twice the slots. hash: of a known id. */
static bool grow_slots(struct pa_stacks *s, struct index *x, uint64_t (*hash)(const struct pa_stacks *s, uint32_t id))
{
	size_t nr_slots = x->nr_slots ? x->nr_slots * 2 : 1024;
	uint32_t *slots = calloc(nr_slots, sizeof(*slots));

	if (!slots)
		return false;
	for (uint32_t id = 1; id <= x->nr; id++) {
		size_t at = hash(s, id) & (nr_slots - 1);

		while (slots[at])
			at = (at + 1) & (nr_slots - 1);
		slots[at] = id;
	}
	free(x->slots);
	x->slots = slots;
	x->nr_slots = nr_slots;
	return true;
}

/* Room for one more key in *keys. */
static bool grow_keys(struct index *x, void **keys, size_t key_bytes)
{
	size_t cap = x->cap ? x->cap * 2 : 512;
	void *bigger = realloc(*keys, cap * key_bytes);

	if (!bigger)
		return false;
	*keys = bigger;
	x->cap = cap;
	return true;
}

/* Makes sure one more entry fits, or counts a fold. */
static bool make_room(struct pa_stacks *s, struct index *x, void **keys, size_t key_bytes,
		      uint64_t (*hash)(const struct pa_stacks *s, uint32_t id))
{
	bool room = x->nr < s->max_nodes;

	if (room && x->nr + 2 > x->cap)
		room = grow_keys(x, keys, key_bytes);
	if (room && (x->nr + 1) * 2 > x->nr_slots)
		room = grow_slots(s, x, hash);
	s->folded += !room;
	return room;
}

static uint32_t insert(struct index *x, uint64_t hash)
{
	size_t at = hash & (x->nr_slots - 1);

	while (x->slots[at])
		at = (at + 1) & (x->nr_slots - 1);
	x->slots[at] = (uint32_t)++x->nr;
	return x->slots[at];
}

static uint32_t add_frame(struct pa_stacks *s, uint32_t module, uint64_t address, uint64_t hash, bool *is_new)
{
	void *keys = s->frames;
	bool room = make_room(s, &s->frame_index, &keys, sizeof(*s->frames), frame_hash);
	uint32_t id;

	s->frames = keys; /* may have moved even when there is no room in the end */
	if (!room)
		return PA_STACKS_OTHER;
	id = insert(&s->frame_index, hash);
	s->frames[id] = (struct frame){.address = address, .module = module};
	*is_new = true;
	return id;
}

static uint32_t add_node(struct pa_stacks *s, uint32_t parent, uint32_t frame, uint64_t hash, bool *is_new)
{
	void *keys = s->nodes;
	bool room = make_room(s, &s->stack_index, &keys, sizeof(*s->nodes), node_hash);
	uint32_t id;

	s->nodes = keys;
	if (!room)
		return PA_STACKS_OTHER;
	id = insert(&s->stack_index, hash);
	s->nodes[id] = (struct node){.parent = parent, .frame = frame};
	*is_new = true;
	return id;
}

uint32_t pa_stacks_frame(struct pa_stacks *s, uint32_t module, uint64_t address, bool *is_new)
{
	const struct index *x = &s->frame_index;
	uint64_t hash = mix(s, address, module);
	bool dummy, *fresh = is_new ? is_new : &dummy;

	*fresh = false;
	for (size_t at = hash & (x->nr_slots - 1); x->slots[at]; at = (at + 1) & (x->nr_slots - 1)) {
		const struct frame *f = &s->frames[x->slots[at]];

		if (f->address == address && f->module == module)
			return x->slots[at];
	}
	return add_frame(s, module, address, hash, fresh);
}

uint32_t pa_stacks_push(struct pa_stacks *s, uint32_t parent, uint32_t frame, bool *is_new)
{
	const struct index *x = &s->stack_index;
	uint64_t hash = mix(s, parent, frame);
	bool dummy, *fresh = is_new ? is_new : &dummy;

	*fresh = false;
	if (parent == PA_STACKS_OTHER || parent > x->nr || frame == 0 || frame > s->frame_index.nr)
		return PA_STACKS_OTHER;
	for (size_t at = hash & (x->nr_slots - 1); x->slots[at]; at = (at + 1) & (x->nr_slots - 1)) {
		const struct node *n = &s->nodes[x->slots[at]];

		if (n->parent == parent && n->frame == frame)
			return x->slots[at];
	}
	return add_node(s, parent, frame, hash, fresh);
}

struct pa_stacks *pa_stacks_new(size_t max_nodes)
{
	struct pa_stacks *s = calloc(1, sizeof(*s));
	bool is_new = false;

	if (!s)
		return NULL;
	if (getrandom(&s->seed, sizeof(s->seed), GRND_NONBLOCK) != sizeof(s->seed))
		s->seed = (uintptr_t)s; /* early at boot; address space randomisation is then all there is */
	s->max_nodes = max_nodes < UINT32_MAX - 1 ? max_nodes : UINT32_MAX - 1;
	if (max_nodes && grow_slots(s, &s->frame_index, frame_hash) && grow_slots(s, &s->stack_index, node_hash) &&
	    add_frame(s, 0, PA_FRAME_OTHER, mix(s, PA_FRAME_OTHER, 0), &is_new) == PA_STACKS_OTHER && is_new &&
	    add_node(s, 0, PA_STACKS_OTHER, mix(s, 0, PA_STACKS_OTHER), &is_new) == PA_STACKS_OTHER &&
	    s->stack_index.nr == 1)
		return s;
	pa_stacks_free(s);
	return NULL;
}

void pa_stacks_free(struct pa_stacks *s)
{
	if (!s)
		return;
	free(s->frame_index.slots);
	free(s->stack_index.slots);
	free(s->frames);
	free(s->nodes);
	free(s);
}

bool pa_stacks_frame_get(const struct pa_stacks *s, uint32_t id, uint32_t *module, uint64_t *address)
{
	if (id == 0 || id > s->frame_index.nr)
		return false;
	*module = s->frames[id].module;
	*address = s->frames[id].address;
	return true;
}

bool pa_stacks_stack_get(const struct pa_stacks *s, uint32_t id, uint32_t *parent, uint32_t *frame)
{
	if (id == 0 || id > s->stack_index.nr)
		return false;
	*parent = s->nodes[id].parent;
	*frame = s->nodes[id].frame;
	return true;
}

size_t pa_stacks_nr_frames(const struct pa_stacks *s)
{
	return s->frame_index.nr;
}

size_t pa_stacks_nr_stacks(const struct pa_stacks *s)
{
	return s->stack_index.nr;
}

uint64_t pa_stacks_folded(const struct pa_stacks *s)
{
	return s->folded;
}
