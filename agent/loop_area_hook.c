/* Callers: wait_hook.c. World: hook. */
#include "agent/loop_area_hook.h"

#include <string.h>
#include <sys/mman.h>

#include "agent/sysdep.h"
#include "common/atomics.h"

#define SWEEP_EVERY 1024u /* with every cell taken, one request in so many looks for one that nobody uses */

struct pa_loop_cell {
	struct pa_block *block;
	uint32_t session;
	uint32_t reserved;
	struct pa_loops loops;
};

/* The words of which one is claimed stand by themselves: a child that makes them all free touches one page. */
static _Atomic uint32_t taken[PA_LOOP_CELLS];
static _Atomic uint32_t nr_taken, refused;
static _Atomic uint32_t session = 1;
static struct pa_loop_cell *cells;

void pa_loop_area_forget_sig(void)
{
	pa_add_relaxed(&session, 1);
	if (!pa_load_relaxed(&nr_taken))
		return;
	for (uint32_t i = 0; i < PA_LOOP_CELLS; i++)
		pa_store_relaxed(&taken[i], 0);
	pa_store_relaxed(&nr_taken, 0);
}

int pa_loop_area_start_sig(void)
{
	long at;

	pa_loop_area_forget_sig();
	if (cells)
		return 0;
	at = pa_sys(SYS_mmap, 0, PA_LOOP_CELLS * sizeof(*cells), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at < 0 && at > -4096)
		return (int)at;
	cells = (struct pa_loop_cell *)at;
	return 0;
}

/* Whether the cell's block is still the one it was taken for: blocks of threads whose end we did not see are taken anew
 * without a word. */
static bool is_used(const struct pa_loop_cell *cell)
{
	const struct pa_block *block = cell->block;

	/* NULL: it is being given back */
	return !block || (cell->session == pa_load_relaxed(&session) && block->loops == cell &&
			  pa_load_relaxed(&block->state) != PA_BLOCK_FREE);
}

static void sweep(void)
{
	for (uint32_t i = 0; i < PA_LOOP_CELLS; i++) {
		/* 2: taken for good; 1: not yet filled in */
		if (pa_load_acquire(&taken[i]) == 2 && !is_used(&cells[i]) && pa_claim_u32(&taken[i], 2, 0))
			pa_add_relaxed(&nr_taken, UINT32_MAX);
	}
}

static struct pa_loop_cell *take(struct pa_block *block)
{
	uint32_t start = block->tid % PA_LOOP_CELLS;

	if (pa_load_relaxed(&nr_taken) >= PA_LOOP_CELLS) {
		if (pa_fetch_add_relaxed(&refused, 1) % SWEEP_EVERY == 0)
			sweep();
		return NULL;
	}
	for (uint32_t i = 0; i < PA_LOOP_CELLS; i++) {
		uint32_t at = (start + i) % PA_LOOP_CELLS;
		struct pa_loop_cell *cell = &cells[at];

		if (pa_load_relaxed(&taken[at]) || !pa_claim_u32(&taken[at], 0, 1))
			continue;
		pa_add_relaxed(&nr_taken, 1);
		memset(&cell->loops, 0, sizeof(cell->loops));
		cell->session = pa_load_relaxed(&session);
		cell->block = block;
		block->loops = cell;
		pa_store_release(&taken[at], 2);
		return cell;
	}
	return NULL;
}

struct pa_loops *pa_loop_area_of_hook(struct pa_block *block, bool make)
{
	struct pa_loop_cell *cell = block->loops;

	if (cell && cell->block == block && cell->session == pa_load_relaxed(&session))
		return &cell->loops;
	block->loops = NULL;
	cell = make && cells ? take(block) : NULL;
	return cell ? &cell->loops : NULL;
}

void pa_loop_area_release_hook(struct pa_block *block)
{
	struct pa_loop_cell *cell = block->loops;

	block->loops = NULL;
	if (!cell || cell->block != block || cell->session != pa_load_relaxed(&session))
		return;
	cell->block = NULL;
	cell->session = 0;
	if (pa_claim_u32(&taken[cell - cells], 2, 0))
		pa_add_relaxed(&nr_taken, UINT32_MAX);
}
