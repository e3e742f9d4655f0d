/* The shared mapping as the target sees it, the claiming of slots in it, and who is at work in it.
 *
 * A session comes and goes while threads run. What a thread may do at any time is read the control page: its address
 * is the same for the life of the process, a page of zeros lies there without a session. Everything else (slots, rings,
 * the heap's rings, the words of pa_mapping) is only touched between enter and leave, or in a tick, and is neither
 * replaced nor unmapped before pa_slots_idle_sig says that nobody is: a thread that enters finds out by the generation
 * that its slot was one of another session. World: signal. */
#ifndef PA_AGENT_SLOTS_SIG_H
#define PA_AGENT_SLOTS_SIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/thread.h"
#include "common/atomics.h"
#include "common/wire.h"

struct pa_mapping {
	struct pa_control *control; /* see above; NULL before the constructor has run, or without memory for it */
	struct pa_slot *slots;
	uint32_t nr_slots;
	uint32_t signal_ring_bytes;
	uint32_t hook_ring_bytes;
	_Atomic uint32_t generation; /* odd: a session is open */
	_Atomic uint32_t lost;       /* the generation whose connection this process has lost (stream_sig.c); 0: none */
	uint64_t rings_offset;
	uint64_t period_ns;
};

extern struct pa_mapping pa_mapping;

#define PA_FIRST_SLOTS 4 /* mapped at start; doubled by mremap when more threads want one */
#define PA_SLOTS_PAGES 2 /* what pa_slots_place wants: the control page, and a spare one */

/* Bytes of the file that have to be mapped for the first nr slots. */
size_t pa_mapping_bytes_sig(const struct pa_mapping *m, uint32_t nr);

/* The rings of any slot, the signal ring first; NULL: no address space for them. */
const uint8_t *pa_slots_data_sig(uint32_t slot);

/* Where the control page is to be: PA_SLOTS_PAGES pages of zeros. World: plain (constructor). */
void pa_slots_place(void *at);

/* Whether there is a session. */
static inline bool pa_session_open_sig(void)
{
	return pa_load_acquire(&pa_mapping.generation) & 1;
}

/* Whether the collector has ended the session that is open, or cannot be reached any more. */
static inline bool pa_session_ended_sig(void)
{
	return pa_session_open_sig() && (pa_load_relaxed(&pa_mapping.control->state) == PA_SESSION_ENDED ||
					 pa_load_relaxed(&pa_mapping.lost) == pa_load_relaxed(&pa_mapping.generation));
}

/* A collector that names no mode wants CPU samples. */
static inline bool pa_session_wants_cpu_sig(void)
{
	uint32_t modes = pa_mapping.control->modes;

	return !modes || (modes & PA_MODE_CPU);
}

/* Takes over a mapping of PA_FIRST_SLOTS slots at base whose control page has been checked. Nobody is at work in an
 * earlier one. Errors: -errno: base is still the caller's. */
int pa_slots_open_sig(void *base, const struct pa_mapping *m);

/* Of slots_sig.c, for that: where the first slots are mapped. */
void pa_slots_first_sig(void *base);

/* No session from now on: whoever enters is told so. What is mapped stays until pa_slots_bury_sig. */
void pa_slots_close_sig(void);

/* After close: whether nobody is at work in what was mapped. */
bool pa_slots_idle_sig(void);

/* After that: gives the memory back. Idempotent. */
void pa_slots_bury_sig(void);

/* The calling thread begins to work with block's slot and rings. False: there is no session, and nothing was begun.
 * Shapes: before is for leave; may be nested. */
bool pa_session_enter_sig(struct pa_block *block, uint32_t *before);
void pa_session_leave_sig(struct pa_block *block, uint32_t before);

/* The same for a thread that has no block, or not yet. Not where a signal handler of the host could jump away. */
bool pa_session_pin_sig(void);
void pa_session_unpin_sig(void);

/* In a tick of the block, which says tick_running: false: the slot is of another session, and in use by a hook. */
bool pa_session_follow_sig(struct pa_block *block);

/* In a forked child: nobody but the caller is there. */
void pa_slots_forked_sig(void);

#endif
