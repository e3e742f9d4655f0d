#include "collector/heap_live.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#define LEAST_SLOTS  64u
#define SWEEP_SLOTS  16u        /* of the old table looked at with each call, at least */
#define RETURN_BYTES (1u << 20) /* given back at a time: a few dozen microseconds */
/* While a table stays in the cache of a processor, most of the time goes into branches that depend on whether a slot is
 * free: more than two thirds are then left free. Beyond, it goes into memory. Measured: 10 and 20 thousand blocks. */
#define SMALL_SLOTS (1u << 14)
#define HUGE_BYTES  (4u << 20) /* from here on pages of 2 MiB are asked for: a look-up is a TLB miss otherwise */
#define KEEP_SLOTS  (1u << 12) /* what a cleared table keeps */

void pa_live_init(struct pa_live *l, size_t max_slots)
{
	uint64_t random;

	*l = (struct pa_live){.max_slots = max_slots};
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
		random = (uint64_t)(uintptr_t)l * UINT64_C(0x9e3779b97f4a7c15);
	/* the golden ratio spreads neighbours; the random part is nobody's to guess */
	l->factor = (UINT64_C(0x9e3779b97f4a7c15) ^ random >> 24 << 8) | 1;
}

static void free_table(struct pa_live_table *t)
{
	if (t->slots)
		munmap(t->slots, t->size * sizeof(*t->slots));
	*t = (struct pa_live_table){0};
}

void pa_live_fini(struct pa_live *l)
{
	free_table(&l->now);
	free_table(&l->old);
	if (l->large)
		pa_live_fini(l->large);
	free(l->large);
	l->large = NULL;
}

size_t pa_live_bytes(const struct pa_live *l)
{
	size_t bytes = (l->now.size + l->old.size) * sizeof(struct pa_live_slot) - l->returned;

	return bytes + (l->large ? pa_live_bytes(l->large) : 0);
}

/* ---- sizes that find no room in a slot ---------------------------------------------------------------------------
 */

static void unpack(const struct pa_live *l, const struct pa_live_slot *slot, struct pa_live_block *out)
{
	const struct pa_live_block *size = NULL;

	pa_live_unpack(slot, out);
	if (out->size == PA_LIVE_LARGE && l->large)
		size = pa_live_find(l->large, slot->address);
	if (size)
		out->size = size->stamp;
}

/* Whether there was memory for it. */
static bool keep_large(struct pa_live *l, uint64_t address, uint64_t size)
{
	struct pa_live_block b = {.address = address, .stamp = size}, old;

	if (!l->large) {
		l->large = malloc(sizeof(*l->large));
		if (!l->large)
			return false;
		pa_live_init(l->large, l->max_slots);
	}
	return pa_live_put(l->large, &b, &old) != PA_LIVE_FULL;
}

static void drop_large(struct pa_live *l, uint64_t address)
{
	struct pa_live_block b;

	if (l->large)
		pa_live_take(l->large, address, UINT64_MAX, &b);
}

static bool make_table(struct pa_live_table *t, size_t size)
{
	size_t bytes = size * sizeof(*t->slots);
	/* zeroed pages, and each only when it is touched */
	void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (map == MAP_FAILED)
		return false;
	if (bytes >= HUGE_BYTES)
		madvise(map, bytes, MADV_HUGEPAGE);
	*t = (struct pa_live_table){.slots = map, .size = size, .shift = 64 - (uint32_t)__builtin_ctzll(size)};
	return true;
}

void pa_live_remove(const struct pa_live *l, struct pa_live_table *t, size_t gap)
{
	size_t mask = t->size - 1;

	for (size_t at = (gap + 1) & mask; t->slots[at].address; at = (at + 1) & mask) {
		size_t home = pa_live_hash(l, t->slots[at].address) >> t->shift;

		if (((at - home) & mask) < ((at - gap) & mask))
			continue;
		t->slots[gap] = t->slots[at];
		gap = at;
	}
	t->slots[gap].address = 0;
	t->nr--;
}

/* ---- growing ---------------------------------------------------------------------------------------------------- */

static void give_back(struct pa_live *l)
{
	size_t start = l->first * sizeof(struct pa_live_slot) + l->returned;
	size_t done = l->swept * sizeof(struct pa_live_slot);
	size_t end = l->old.size * sizeof(struct pa_live_slot);

	/* whole pages from a page boundary on, up to the table's end; the rest goes with munmap */
	start = (start + RETURN_BYTES - 1) & ~(size_t)(RETURN_BYTES - 1);
	if (start + RETURN_BYTES > end || start + RETURN_BYTES > l->first * sizeof(struct pa_live_slot) + done)
		return;
	madvise((char *)l->old.slots + start, RETURN_BYTES, MADV_DONTNEED);
	l->returned = start + RETURN_BYTES - l->first * sizeof(struct pa_live_slot);
}

/* Moves some of the old table into the new one, always whole clusters: what is left of a cluster could not be found. */
static void sweep(struct pa_live *l)
{
	size_t mask = l->old.size - 1;

	for (size_t nr = 0; l->old.nr; nr++, l->swept++) {
		struct pa_live_slot *from = &l->old.slots[(l->first + l->swept) & mask];

		if (!from->address) {
			if (nr >= SWEEP_SLOTS)
				break;
			continue;
		}
		l->now.slots[pa_live_slot(l, &l->now, from->address)] = *from;
		l->now.nr++;
		from->address = 0;
		l->old.nr--;
	}
	if (l->old.nr) {
		give_back(l);
		return;
	}
	free_table(&l->old);
	l->returned = 0;
}

static bool grow(struct pa_live *l)
{
	struct pa_live_table larger;

	while (l->old.slots)
		sweep(l);
	if (!make_table(&larger, l->now.size ? l->now.size * 2 : LEAST_SLOTS))
		return false;
	l->old = l->now;
	l->now = larger;
	l->limit = 0;
	l->swept = l->first = l->returned = 0;
	while (l->old.slots && l->old.slots[l->first].address)
		l->first++;
	if (!l->old.nr)
		free_table(&l->old);
	return true;
}

/* How many blocks a table takes before it grows. */
static size_t grows_at(const struct pa_live *l, const struct pa_live_table *t)
{
	if (t->size >= l->max_slots)
		return t->size / 8 * 7;
	return t->size <= SMALL_SLOTS ? t->size / 16 * 5 : t->size / 8 * 5;
}

/* Room for one more in a table that is as full as it should be. */
static bool make_room(struct pa_live *l)
{
	size_t nr = pa_live_nr(l);

	if (nr < grows_at(l, &l->now) || (l->now.size < l->max_slots && grow(l)))
		return true;
	/* no memory for a larger one */
	return nr < l->now.size / 8 * 7;
}

enum pa_live_put pa_live_put_slow(struct pa_live *l, const struct pa_live_block *block, struct pa_live_block *old)
{
	bool room = make_room(l), was_there;
	uint64_t size = block->size < PA_LIVE_LARGE ? block->size : PA_LIVE_LARGE;

	if (l->old.slots)
		sweep(l);
	was_there = pa_live_take_slow(l, block->address, UINT64_MAX, old);
	if (size == PA_LIVE_LARGE)
		room &= keep_large(l, block->address, block->size);
	if (!room && !was_there) {
		drop_large(l, block->address);
		return PA_LIVE_FULL;
	}
	pa_live_pack(&l->now.slots[pa_live_slot(l, &l->now, block->address)], block, size);
	l->now.nr++;
	l->limit = l->old.slots ? 0 : grows_at(l, &l->now);
	return was_there ? PA_LIVE_REPLACED : PA_LIVE_NEW;
}

static struct pa_live_table *table_with(struct pa_live *l, uint64_t address, size_t *at)
{
	if (l->now.nr) {
		*at = pa_live_slot(l, &l->now, address);
		if (l->now.slots[*at].address)
			return &l->now;
	}
	if (l->old.nr) {
		*at = pa_live_slot(l, &l->old, address);
		if (l->old.slots[*at].address)
			return &l->old;
	}
	return NULL;
}

const struct pa_live_block *pa_live_find(const struct pa_live *l, uint64_t address)
{
	size_t at;
	const struct pa_live_table *t = table_with((struct pa_live *)l, address, &at);

	if (!t)
		return NULL;
	unpack(l, &t->slots[at], &((struct pa_live *)l)->lent);
	return &l->lent;
}

bool pa_live_take_slow(struct pa_live *l, uint64_t address, uint64_t stamp, struct pa_live_block *out)
{
	size_t at;
	struct pa_live_table *t = table_with(l, address, &at);

	if (!t || t->slots[at].stamp > stamp)
		return false;
	unpack(l, &t->slots[at], out);
	if (out->size >= PA_LIVE_LARGE)
		drop_large(l, address);
	pa_live_remove(l, t, at);
	return true;
}

static void each_of(const struct pa_live *l, const struct pa_live_table *t,
		    void (*fn)(void *arg, const struct pa_live_block *block), void *arg)
{
	for (size_t i = 0; t->nr && i < t->size; i++) {
		struct pa_live_block block;

		if (!t->slots[i].address)
			continue;
		unpack(l, &t->slots[i], &block);
		fn(arg, &block);
	}
}

void pa_live_each(const struct pa_live *l, void (*fn)(void *arg, const struct pa_live_block *block), void *arg)
{
	each_of(l, &l->now, fn, arg);
	each_of(l, &l->old, fn, arg);
}

void pa_live_clear(struct pa_live *l)
{
	free_table(&l->old);
	if (l->large)
		pa_live_clear(l->large);
	l->returned = 0;
	if (l->now.size > KEEP_SLOTS)
		free_table(&l->now);
	if (l->now.nr)
		memset(l->now.slots, 0, l->now.size * sizeof(*l->now.slots));
	l->now.nr = 0;
	l->limit = grows_at(l, &l->now);
}
