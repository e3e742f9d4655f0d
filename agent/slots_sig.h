/* The shared mapping as the target sees it, and the claiming of slots in it. World: signal. */
#ifndef PA_AGENT_SLOTS_SIG_H
#define PA_AGENT_SLOTS_SIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/thread.h"
#include "common/wire.h"

/* What the constructor learned of the mapping; constant afterwards, inherited by forked children as it is. */
struct pa_mapping {
	struct pa_control *control; /* NULL: no session */
	struct pa_slot *slots;
	uint32_t nr_slots;
	uint32_t signal_ring_bytes;
	uint32_t hook_ring_bytes;
	uint64_t rings_offset;
	uint64_t period_ns;
};

extern struct pa_mapping pa_mapping;

#define PA_FIRST_SLOTS 4 /* mapped at start; doubled by mremap when more threads want one */

/* Bytes of the file that have to be mapped for the first nr slots. */
size_t pa_mapping_bytes(const struct pa_mapping *m, uint32_t nr);

/* The rings of any slot, the signal ring first; NULL: no address space for them. */
const uint8_t *pa_slots_data_sig(uint32_t slot);

/* Takes over a mapping of PA_FIRST_SLOTS slots at base whose control page has been checked. World: plain. */
void pa_slots_init(void *base, const struct pa_mapping *m);

#endif
