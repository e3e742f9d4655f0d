/* The blocks that are live: address -> when, how large, whose. Open addressing with linear probing and backward-shift
 * deletion, 24 bytes a slot; hashed with a random factor, because a target chooses its addresses.
 *
 * Growing is spread over the calls that follow: the old table is emptied cluster by cluster, so that no call takes
 * longer than a few microseconds, and its memory goes back as that proceeds. World: plain. */
#ifndef PA_COLLECTOR_HEAP_LIVE_H
#define PA_COLLECTOR_HEAP_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pa_live_block {
	uint64_t address; /* 0: free slot */
	uint64_t stamp;   /* ticks */
	uint64_t size;    /* bytes asked for */
	uint32_t row;     /* of the stack that allocated it, below PA_LIVE_ROWS */
	uint32_t mean;    /* sampled: index of the mean it was drawn with, below PA_LIVE_MEANS */
};

#define PA_LIVE_ROWS  (1u << 22)
#define PA_LIVE_MEANS (1u << 6)
#define PA_LIVE_LARGE ((UINT64_C(1) << 36) - 1) /* sizes from here on are kept beside the table */

/* A block in a table: every byte less lets more of them stay in a processor's cache. */
struct pa_live_slot {
	uint64_t address; /* 0: free */
	uint64_t stamp;
	uint64_t what; /* size, or PA_LIVE_LARGE, << 28 | row << 6 | mean */
};

struct pa_live_table {
	struct pa_live_slot *slots; /* NULL: none */
	size_t nr;                  /* blocks in it */
	size_t size;                /* slots, a power of two */
	uint32_t shift;             /* hash >> shift is a slot */
};

struct pa_live {
	struct pa_live_table now;
	struct pa_live_table old; /* being emptied */
	size_t swept;             /* slots of old that were looked at, from `first` on */
	size_t first;             /* a free slot of old: no cluster crosses it */
	size_t returned;          /* bytes of old given back to the system */
	size_t limit;             /* blocks in now from which on a put has more to do; 0 while there is an old table */
	size_t max_slots;
	uint64_t factor;       /* odd */
	struct pa_live *large; /* address -> size, as its stamp, of blocks that are PA_LIVE_LARGE; NULL: none yet */
	struct pa_live_block lent;
};

enum pa_live_put {
	PA_LIVE_NEW,
	PA_LIVE_REPLACED, /* the address was there: *old is what it was */
	PA_LIVE_FULL,     /* limit or memory: not remembered */
};

/* Shapes: max_slots a power of two >= 64 of 24 bytes each; up to 7/8 of them can be used. Memory comes with the first
 * block: small tables are kept nearly empty, because most of the time goes into branches that depend on whether a slot
 * is free; large ones fuller, because there it goes into memory. */
void pa_live_init(struct pa_live *l, size_t max_slots);
void pa_live_fini(struct pa_live *l);

static inline size_t pa_live_nr(const struct pa_live *l)
{
	return l->now.nr + l->old.nr;
}

/* Bytes of memory held. */
size_t pa_live_bytes(const struct pa_live *l);

static inline uint64_t pa_live_hash(const struct pa_live *l, uint64_t address)
{
	/* allocators align to 16: those bits carry nothing. Twice: one multiplication maps some distances between
	 * blocks to neighbouring slots, whatever the factor */
	uint64_t hash = (address >> 4 ^ address << 60) * l->factor;

	return (hash ^ hash >> 32) * UINT64_C(0x9e3779b97f4a7c15);
}

/* Brings the slot of an address into the cache. */
static inline void pa_live_prefetch(const struct pa_live *l, uint64_t address)
{
	if (l->now.slots)
		__builtin_prefetch(&l->now.slots[pa_live_hash(l, address) >> l->now.shift], 1);
}

/* The slot an address is in, or the free one where it would be. */
static inline size_t pa_live_slot(const struct pa_live *l, const struct pa_live_table *t, uint64_t address)
{
	size_t at = pa_live_hash(l, address) >> t->shift;

	while (t->slots[at].address != address && t->slots[at].address)
		at = (at + 1) & (t->size - 1);
	return at;
}

enum pa_live_put pa_live_put_slow(struct pa_live *l, const struct pa_live_block *block, struct pa_live_block *old);
bool pa_live_take_slow(struct pa_live *l, uint64_t address, uint64_t stamp, struct pa_live_block *out);
/* Frees a slot and moves up what could not stand there: afterwards no search meets a gap that was not there before. */
void pa_live_remove(const struct pa_live *l, struct pa_live_table *t, size_t gap);

/* All but a size that is PA_LIVE_LARGE. */
static inline void pa_live_unpack(const struct pa_live_slot *slot, struct pa_live_block *out)
{
	*out = (struct pa_live_block){slot->address, slot->stamp, slot->what >> 28,
				      slot->what >> 6 & (PA_LIVE_ROWS - 1), slot->what & (PA_LIVE_MEANS - 1)};
}

/* A size below PA_LIVE_LARGE, or that. */
static inline void pa_live_pack(struct pa_live_slot *slot, const struct pa_live_block *block, uint64_t size)
{
	*slot =
	    (struct pa_live_slot){block->address, block->stamp, size << 28 | (uint64_t)block->row << 6 | block->mean};
}

/* Remembers a block (address not 0). */
static inline enum pa_live_put pa_live_put(struct pa_live *l, const struct pa_live_block *block,
					   struct pa_live_block *old)
{
	size_t at;

	if (__builtin_expect((l->now.nr >= l->limit) | (block->size >= PA_LIVE_LARGE), 0))
		return pa_live_put_slow(l, block, old);
	at = pa_live_slot(l, &l->now, block->address);
	if (__builtin_expect(l->now.slots[at].address != 0, 0))
		return pa_live_put_slow(l, block, old);
	pa_live_pack(&l->now.slots[at], block, block->size);
	l->now.nr++;
	return PA_LIVE_NEW;
}

/* The block at an address, NULL: none. Lent until the next call. */
const struct pa_live_block *pa_live_find(const struct pa_live *l, uint64_t address);

/* Takes the block at an address out if its stamp is not later than `stamp`. False: there is none such. */
static inline bool pa_live_take(struct pa_live *l, uint64_t address, uint64_t stamp, struct pa_live_block *out)
{
	size_t at;

	/* no table, or two of them */
	if (__builtin_expect(l->limit == 0, 0))
		return pa_live_take_slow(l, address, stamp, out);
	at = pa_live_slot(l, &l->now, address);
	if (__builtin_expect(!l->now.slots[at].address || l->now.slots[at].stamp > stamp, 0))
		return false;
	pa_live_unpack(&l->now.slots[at], out);
	if (__builtin_expect(out->size == PA_LIVE_LARGE, 0))
		return pa_live_take_slow(l, address, stamp, out);
	if (l->now.slots[(at + 1) & (l->now.size - 1)].address) {
		pa_live_remove(l, &l->now, at);
	} else {
		l->now.slots[at].address = 0;
		l->now.nr--;
	}
	return true;
}

/* Visits all, in no order. */
void pa_live_each(const struct pa_live *l, void (*fn)(void *arg, const struct pa_live_block *block), void *arg);
/* Forgets all; a table that had grown large gives its memory back. */
void pa_live_clear(struct pa_live *l);

#endif
