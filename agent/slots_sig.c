/* Slots: one per thread that has something to say, claimed by compare-and-swap, freed by the collector. The file is
 * mapped from its start for the first 4, 8, 16 ... slots as they are needed; older, shorter mappings stay, because
 * threads point into them. Callers: ring_sig.c, cpu_sig.c, thread.c. World: signal. */
#include "agent/slots_sig.h"

#include <string.h>
#include <sys/mman.h>

#include "agent/hot.h"
#include "agent/session.h"
#include "agent/stream_sig.h"
#include "agent/sysdep.h"

#define NR_LEVELS 16

struct pa_mapping pa_mapping PA_HOT;

/* level k maps the first PA_FIRST_SLOTS << k slots */
static _Atomic(uint8_t *) levels[NR_LEVELS];

static size_t slot_ring_bytes(const struct pa_mapping *m)
{
	return (size_t)m->signal_ring_bytes + m->hook_ring_bytes;
}

size_t pa_mapping_bytes_sig(const struct pa_mapping *m, uint32_t nr)
{
	if (nr > m->nr_slots)
		nr = m->nr_slots;
	return m->rings_offset + nr * slot_ring_bytes(m);
}

void pa_slots_first_sig(void *base)
{
	pa_store_release(&levels[0], base);
}

void pa_slots_bury_sig(void)
{
	for (unsigned k = 0; k < NR_LEVELS; k++) {
		uint8_t *base = pa_load_acquire(&levels[k]);

		if (!base)
			continue;
		pa_store_release(&levels[k], NULL);
		pa_sys(SYS_munmap, base, pa_mapping_bytes_sig(&pa_mapping, (uint32_t)PA_FIRST_SLOTS << k));
	}
}

/* A mapping that covers the slot; NULL when the address space is used up. */
static uint8_t *level_base(uint32_t slot)
{
	unsigned k = 0;
	uint8_t *base, *expect = NULL;
	long at;
	size_t bytes;

	while (slot >= (uint32_t)PA_FIRST_SLOTS << k)
		k++;
	base = pa_load_acquire(&levels[k]);
	if (base)
		return base;
	bytes = pa_mapping_bytes_sig(&pa_mapping, (uint32_t)PA_FIRST_SLOTS << k);
	/* old size 0 duplicates a shared mapping: no descriptor needed */
	at = pa_sys(SYS_mremap, pa_load_acquire(&levels[0]), 0, bytes, MREMAP_MAYMOVE);
	if (at < 0 && at > -4096)
		return NULL;
	pa_sys(SYS_madvise, at, bytes, MADV_DONTDUMP);
	if (!atomic_compare_exchange_strong_explicit(&levels[k], &expect, (uint8_t *)at, memory_order_acq_rel,
						     memory_order_acquire)) {
		pa_sys(SYS_munmap, at, bytes);
		return expect;
	}
	return (uint8_t *)at;
}

static void ring_open(struct pa_ring *ring, struct pa_ring_producer *out, struct pa_ring_consumer *in, uint8_t *data,
		      uint64_t size)
{
	ring->out = out;
	ring->in = in;
	ring->data = data;
	ring->size = size;
	/* pairs with the compare-and-swap that gave us the slot: what the last owner wrote is visible */
	ring->head = pa_load_acquire(&out->head);
	ring->reserve = ring->head;
}

/* The first slot whose owner word is free or left behind by an ended thread of this process. */
static int64_t claim_index(uint64_t owner)
{
	struct pa_slot *slots = pa_mapping.slots;
	uint64_t detached = owner & ~(uint64_t)UINT32_MAX;

	for (uint32_t i = 0; i < pa_mapping.nr_slots; i++) {
		uint64_t seen = pa_load_relaxed(&slots[i].signal_in.owner);

		if ((seen == 0 || seen == detached) && pa_claim_u64(&slots[i].signal_in.owner, seen, owner))
			return i;
	}
	return -1;
}

bool pa_session_claim_slot_sig(struct pa_block *block)
{
	const struct pa_mapping *m = &pa_mapping;
	uint64_t owner = PA_OWNER(block->pid, block->tid);
	struct pa_slot *slot;
	uint8_t *base, *data;
	int64_t i;

	if (block->has_slot)
		return true;
	if (!pa_session_open_sig())
		return false;
	i = claim_index(owner);
	base = i < 0 ? NULL : level_base((uint32_t)i);
	if (!base) {
		if (i >= 0)
			pa_store_release(&m->slots[i].signal_in.owner, owner & ~(uint64_t)UINT32_MAX);
		return false;
	}
	slot = &m->slots[i];
	data = base + m->rings_offset + (uint64_t)i * slot_ring_bytes(m);
	ring_open(&block->signal_ring, &slot->signal, &slot->signal_in, data, m->signal_ring_bytes);
	ring_open(&block->hook_ring, &slot->hook, &slot->hook_in, data + m->signal_ring_bytes, m->hook_ring_bytes);
	block->slot = (uint32_t)i;
	block->signal_out = &slot->signal;
	block->has_slot = true;
	return true;
}

const uint8_t *pa_slots_data_sig(uint32_t slot)
{
	const uint8_t *base = level_base(slot);

	return base ? base + pa_mapping.rings_offset + slot * slot_ring_bytes(&pa_mapping) : NULL;
}

void pa_session_release_slot_hook(struct pa_block *block)
{
	if (!block->has_slot || block->session != pa_load_relaxed(&pa_mapping.generation))
		return;
	pa_stream_leave_sig(block);
	block->has_slot = false;
	block->announced = false;
	block->signal_out = NULL;
	/* release: the next owner's acquire sees our last head */
	pa_store_release(&pa_mapping.slots[block->slot].signal_in.owner, PA_OWNER(block->pid, 0));
}
