/* Thread blocks in doubling regions. Callers: thread.c, cpu_sig.c. World: signal. */
#include "agent/arena.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/hot.h"
#include "agent/sysdep.h"

#define NR_REGIONS  7
#define FIRST_BYTES (64ul << 10) /* doubling: 8 MiB in all */

struct region {
	_Atomic(struct pa_block *) blocks;
};

/* The blocks of the first region have a memo behind the region, a page each: the threads of most programs. */
#define MEMO_BYTES 4096ul

static size_t region_bytes(unsigned k)
{
	return (FIRST_BYTES << k) + (k ? 0 : FIRST_BYTES / sizeof(struct pa_block) * MEMO_BYTES);
}

static struct region regions[NR_REGIONS] PA_HOT;
/* blocks are looked for from here on; only a hint */
static _Atomic uint32_t hint_region, hint_index;

static size_t region_blocks(unsigned k)
{
	return (FIRST_BYTES << k) / sizeof(struct pa_block);
}

static struct pa_block *region_get(unsigned k)
{
	struct pa_block *blocks = pa_load_acquire(&regions[k].blocks);
	struct pa_block *expect = NULL;
	long at;

	if (blocks)
		return blocks;
	at = pa_sys(SYS_mmap, 0, region_bytes(k), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		    -1, 0);
	if (at < 0 && at > -4096)
		return NULL;
	blocks = (struct pa_block *)at;
	if (!atomic_compare_exchange_strong_explicit(&regions[k].blocks, &expect, blocks, memory_order_acq_rel,
						     memory_order_acquire)) {
		pa_sys(SYS_munmap, at, region_bytes(k));
		return expect;
	}
	return blocks;
}

static struct pa_block *claim_in(unsigned k, size_t from)
{
	struct pa_block *blocks = region_get(k);
	size_t nr = region_blocks(k);

	if (!blocks)
		return NULL;
	for (size_t i = from; i < nr; i++) {
		if (pa_load_relaxed(&blocks[i].state) == PA_BLOCK_FREE &&
		    pa_claim_u32(&blocks[i].state, PA_BLOCK_FREE, PA_BLOCK_LIVE)) {
			pa_store_relaxed(&hint_region, k);
			pa_store_relaxed(&hint_index, (uint32_t)i + 1);
			return &blocks[i];
		}
	}
	return NULL;
}

static struct pa_memo *memo_of(const struct pa_block *block)
{
	struct pa_block *blocks = pa_load_acquire(&regions[0].blocks);
	size_t i = (size_t)(block - blocks);

	if (!blocks || block < blocks || i >= region_blocks(0))
		return NULL;
	return (struct pa_memo *)((char *)blocks + FIRST_BYTES + i * MEMO_BYTES);
}

struct pa_block *pa_arena_take_sig(void)
{
	unsigned start = pa_load_relaxed(&hint_region);
	struct pa_block *block = claim_in(start, pa_load_relaxed(&hint_index));

	for (unsigned k = 0; !block && k < NR_REGIONS; k++)
		block = claim_in(k, 0);
	if (!block)
		return NULL;
	memset((char *)block + sizeof(block->state), 0, sizeof(*block) - sizeof(block->state));
	pa_store_relaxed(&block->timer_id, -1);
	block->info.memo = memo_of(block);
	return block;
}

void pa_arena_put_sig(struct pa_block *block)
{
	pa_store_relaxed(&block->timer_id, -1);
	pa_store_release(&block->state, PA_BLOCK_FREE);
	/* the block may be behind the hint: look from the start next time its region is full */
}

bool pa_arena_owns_sig(const void *p)
{
	for (unsigned k = 0; k < NR_REGIONS; k++) {
		uintptr_t lo = (uintptr_t)pa_load_acquire(&regions[k].blocks);
		uintptr_t offset = (uintptr_t)p - lo;

		if (lo && offset < region_blocks(k) * sizeof(struct pa_block))
			return offset % sizeof(struct pa_block) == 0;
	}
	return false;
}

void pa_arena_each_sig(void (*fn)(struct pa_block *block, void *arg), void *arg)
{
	for (unsigned k = 0; k < NR_REGIONS; k++) {
		struct pa_block *blocks = pa_load_acquire(&regions[k].blocks);

		for (size_t i = 0; blocks && i < region_blocks(k); i++)
			fn(&blocks[i], arg);
	}
}

void pa_arena_first_region_sig(uint64_t *start, uint64_t *end)
{
	*start = (uint64_t)(uintptr_t)pa_load_acquire(&regions[0].blocks);
	*end = *start ? *start + region_bytes(0) : 0;
}
