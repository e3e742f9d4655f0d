/* Writing records: reserve, fill, commit, count what found no room. World: signal. */
#ifndef PA_AGENT_RING_SIG_H
#define PA_AGENT_RING_SIG_H

#include <stddef.h>
#include <stdint.h>

#include "agent/thread.h"
#include "common/ring.h"
#include "common/wire.h"

/* Room for one record in a ring of the block, claiming a slot and announcing the thread first where needed; the head
 * is filled in. NULL: no slot or no room, already counted with `weight` periods.
 * Shapes: bytes is a multiple of 8. End with pa_ring_commit. */
void *pa_record_begin_sig(struct pa_block *block, struct pa_ring *ring, uint16_t type, uint32_t bytes, uint64_t time_ns,
			  uint32_t weight);

/* Cuts a record that was begun to `bytes` and commits it. */
void pa_record_end_short_sig(struct pa_ring *ring, struct pa_record *record, uint32_t bytes);

/* A note into the given ring of the block. */
void pa_record_note_sig(struct pa_block *block, struct pa_ring *ring, uint32_t code, uint64_t a, uint64_t b);

#endif
