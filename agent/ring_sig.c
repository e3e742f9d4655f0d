/* Records into rings. Callers: cpu_sig.c, announce_sig.c, thread.c. World: signal. */
#include "agent/ring_sig.h"

#include <string.h>
#include <sys/prctl.h>

#include "agent/session.h"
#include "agent/slots_sig.h"
#include "agent/stream_sig.h"
#include "agent/sysdep.h"
#include "agent/timer_sig.h"

static void head_fill(struct pa_record *head, uint16_t type, uint32_t bytes, uint64_t time_ns)
{
	head->size = bytes;
	head->type = type;
	head->flags = 0;
	head->time_ns = time_ns;
}

/* The collector learns who writes into the slot from this record alone. */
static bool announce(struct pa_block *block, struct pa_ring *ring, uint64_t time_ns)
{
	struct pa_thread_start *start = pa_ring_reserve(ring, sizeof(*start));

	if (!start)
		return false;
	head_fill(&start->head, PA_REC_THREAD_START, sizeof(*start), time_ns);
	start->tid = block->tid;
	start->pid = block->pid;
	start->start_routine = block->start_routine;
	start->cpu_ns = block->armed_cpu_ns;
	start->first_ns = block->first_ns;
	start->period_ns = pa_load_relaxed(&block->timer_id) >= 0 ? block->period_ns : 0;
	memset(start->name, 0, sizeof(start->name));
	if (pa_sys(SYS_gettid) == (long)block->tid)
		pa_sys(SYS_prctl, PR_GET_NAME, start->name);
	pa_ring_commit(ring);
	block->announced = true;
	return true;
}

/* A hook's first record claims the slot, and a tick in the middle of that would claim another one: it is left out, and
 * counted among the undelivered at the thread's end. */
static bool get_ready(struct pa_block *block, struct pa_ring *ring, uint64_t time_ns, uint32_t weight)
{
	bool ticking = pa_load_relaxed(&block->tick_running), ready = false;

	pa_store_relaxed(&block->tick_running, true);
	__asm__ volatile("" : : : "memory");
	if (!pa_session_claim_slot_sig(block)) {
		pa_add_relaxed(&pa_mapping.control->lost_no_slot, weight ? weight : 1);
	} else if (block->announced || announce(block, ring, time_ns)) {
		ready = true;
	} else {
		pa_bump(&ring->out->lost_full, 1);
		pa_bump(&ring->out->lost_weight, weight);
	}
	__asm__ volatile("" : : : "memory");
	pa_store_release(&block->tick_running, ticking);
	return ready;
}

void *pa_record_begin_sig(struct pa_block *block, struct pa_ring *ring, uint16_t type, uint32_t bytes, uint64_t time_ns,
			  uint32_t weight)
{
	struct pa_record *record;

	if (!block->announced && !get_ready(block, ring, time_ns, weight))
		return NULL;
	pa_stream_look_sig(block, ring, time_ns);
	record = pa_ring_reserve(ring, bytes);
	if (!record) {
		pa_bump(&ring->out->lost_full, 1);
		pa_bump(&ring->out->lost_weight, weight);
		return NULL;
	}
	head_fill(record, type, bytes, time_ns);
	return record;
}

void pa_record_end_short_sig(struct pa_ring *ring, struct pa_record *record, uint32_t bytes)
{
	/* from our own position, not from the shared record: nobody else's word moves our head */
	ring->reserve = ring->head + ((uint64_t)((uint8_t *)record - ring->data) - ring->head) % ring->size + bytes;
	record->size = bytes;
	pa_ring_commit(ring);
}

void pa_record_note_sig(struct pa_block *block, struct pa_ring *ring, uint32_t code, uint64_t a, uint64_t b)
{
	struct pa_note *note = pa_record_begin_sig(block, ring, PA_REC_NOTE, sizeof(*note), pa_now_sig(), 0);

	if (!note)
		return;
	note->code = code;
	note->tid = block->tid;
	note->a = a;
	note->b = b;
	pa_ring_commit(ring);
}
