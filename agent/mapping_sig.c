/* Opening and closing what slots_sig.c hands out. One thread at a time does it: the one that works a request off
 * (command_sig.c). Callers: attach_sig.c, thread.c, cpu_sig.c, session.c. World: signal. */
#include <errno.h>
#include <sys/mman.h>

#include "agent/arena.h"
#include "agent/slots_sig.h"
#include "agent/sysdep.h"

#define PAGE 4096

/* Threads at work that have no block to say so. */
static _Atomic uint32_t pins;

static bool failed(long at)
{
	return at < 0 && at > -4096;
}

/* Where the control page is. */
static char *place;

/* A page of zeros, to be moved over the control page: closing a session must not need memory. NULL: it has been. */
static char *spare;

void pa_slots_place(void *at)
{
	place = at;
	pa_mapping.control = at;
	spare = place + PAGE;
}

/* Wherever there is room: what was behind the control page may be another's by now. */
static bool get_spare(void)
{
	long at;

	if (spare)
		return true;
	at = pa_sys(SYS_mmap, 0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (failed(at))
		return false;
	spare = (char *)at;
	return true;
}

int pa_slots_open_sig(void *base, const struct pa_mapping *m)
{
	long at;

	if (!place || !get_spare())
		return -ENOMEM;
	pa_mapping.slots = (struct pa_slot *)((uint8_t *)base + PA_CONTROL_BYTES);
	pa_mapping.nr_slots = m->nr_slots;
	pa_mapping.signal_ring_bytes = m->signal_ring_bytes;
	pa_mapping.hook_ring_bytes = m->hook_ring_bytes;
	pa_mapping.rings_offset = m->rings_offset;
	pa_mapping.period_ns = m->period_ns;
	/* old size 0 duplicates a shared mapping */
	at = pa_sys(SYS_mremap, base, 0, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place);
	if (failed(at)) {
		/* the kernel may have cleared the place before it found out */
		pa_sys(SYS_mremap, spare, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place);
		spare = NULL;
		return (int)at;
	}
	pa_sys(SYS_madvise, place, PAGE, MADV_DONTDUMP);
	pa_slots_first_sig(base);
	pa_store_release(&pa_mapping.generation, pa_load_relaxed(&pa_mapping.generation) + 1);
	return 0;
}

void pa_slots_close_sig(void)
{
	if (!pa_session_open_sig())
		return;
	pa_store_release(&pa_mapping.generation, pa_load_relaxed(&pa_mapping.generation) + 1);
	pa_sys(SYS_mremap, spare, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place);
	spare = NULL;
}

static void look(struct pa_block *block, void *arg)
{
	bool *busy = arg;

	if (pa_load_acquire(&block->state) != PA_BLOCK_FREE &&
	    (pa_load_acquire(&block->tick_running) || pa_load_acquire(&block->busy)))
		*busy = true;
}

bool pa_slots_idle_sig(void)
{
	bool busy = false;

	pa_fence();
	pa_arena_each_sig(look, &busy);
	return !busy && !pa_load_acquire(&pins);
}

static void forget(struct pa_block *block, uint32_t generation)
{
	block->has_slot = false;
	block->announced = false;
	block->signal_out = NULL;
	block->session = generation;
}

bool pa_session_enter_sig(struct pa_block *block, uint32_t *before)
{
	uint32_t generation;

	*before = pa_load_relaxed(&block->busy);
	pa_store_relaxed(&block->busy, *before + 1);
	pa_fence();
	generation = pa_load_acquire(&pa_mapping.generation);
	if ((generation & 1) && block->session != generation && !*before && !pa_load_relaxed(&block->tick_running))
		forget(block, generation);
	if ((generation & 1) && block->session == generation)
		return true;
	pa_store_release(&block->busy, *before);
	return false;
}

void pa_session_leave_sig(struct pa_block *block, uint32_t before)
{
	pa_store_release(&block->busy, before);
}

bool pa_session_pin_sig(void)
{
	atomic_fetch_add(&pins, 1);
	if (pa_session_open_sig())
		return true;
	pa_session_unpin_sig();
	return false;
}

void pa_session_unpin_sig(void)
{
	atomic_fetch_sub(&pins, 1);
}

bool pa_session_follow_sig(struct pa_block *block)
{
	uint32_t generation;

	pa_fence();
	generation = pa_load_acquire(&pa_mapping.generation);
	if (!(generation & 1))
		return false;
	if (block->session != generation && !pa_load_relaxed(&block->busy))
		forget(block, generation);
	return block->session == generation;
}

void pa_slots_forked_sig(void)
{
	pa_store_relaxed(&pins, 0);
}
