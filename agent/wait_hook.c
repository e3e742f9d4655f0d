/* Waits into records: the loops of a thread, their iterations, and long waits inside these with their stack. Callers:
 * hooks_wait.c, hooks_sleep.c, session.c, thread.c. World: hook. */
#include "agent/wait_hook.h"

#include <errno.h>

#include "agent/announce_sig.h"
#include "agent/caller_hook.h"
#include "agent/command_hook.h"
#include "agent/conn_area_hook.h"
#include "agent/got_sig.h"
#include "agent/libs_sig.h"
#include "agent/lock_hook.h"
#include "agent/loop_area_hook.h"
#include "agent/ring_sig.h"
#include "agent/session.h"
#include "agent/slots_sig.h"
#include "agent/statement_hook.h"
#include "agent/timer_sig.h"

#define WAIT_ROOM ((uint32_t)(sizeof(struct pa_wait) + PA_FRAMES_MAX * sizeof(uint64_t)))
#define FREE_ROOM 4096u /* of a hook ring: left to the frees of sampled allocations */
#define NR_BORN   1024u /* epoll descriptors that differ by a multiple of this share a word */

_Atomic uint32_t pa_wait_modes PA_HOT;
static _Atomic uint32_t born[NR_BORN];

void pa_waits_start_sig(void)
{
	uint32_t modes = pa_mapping.control->modes & PA_WAIT_MODES;

	if (modes && pa_loop_area_start_sig() != 0)
		modes = 0;
	pa_conn_area_start_sig();
	pa_statements_start_sig();
	pa_store_release(&pa_wait_modes, modes);
	pa_locks_start_sig();
	pa_libs_start_sig(modes);
}

void pa_waits_quiet_sig(void)
{
	if (pa_load_relaxed(&pa_wait_modes))
		pa_store_release(&pa_wait_modes, 0);
	pa_locks_quiet_sig();
}

void pa_waits_after_fork_sig(void)
{
	pa_got_forked_sig();
	if (!pa_waits_off()) {
		pa_loop_area_forget_sig();
		pa_statements_start_sig();
	}
}

void pa_waits_epoll_made_hook(int fd)
{
	pa_add_relaxed(&born[(uint32_t)fd % NR_BORN], 1);
}

uint32_t pa_waits_epoll_born_hook(int fd)
{
	return pa_load_relaxed(&born[(uint32_t)fd % NR_BORN]);
}

/* ---- records ---------------------------------------------------------------------------------------------------- */

void *pa_wait_record_hook(struct pa_block *block, uint16_t type, uint32_t bytes, uint64_t time_ns)
{
	const struct pa_ring *ring = &block->hook_ring;

	/* what pads to the end of the ring is at most as long as the record */
	if (block->has_slot &&
	    ring->size - (ring->head - pa_load_acquire(&ring->in->tail)) < 2ull * bytes + FREE_ROOM) {
		pa_add_relaxed(&pa_mapping.control->waits_lost, 1);
		return NULL;
	}
	return pa_record_begin_sig(block, &block->hook_ring, type, bytes, time_ns, 0);
}

uint32_t pa_wait_record_most_hook(const struct pa_block *block, const void *record, uint32_t bytes)
{
	const struct pa_ring *ring = &block->hook_ring;
	uint64_t at = (uint64_t)((const uint8_t *)record - ring->data);
	uint64_t begins = ring->head + ((at - ring->head) & (ring->size - 1));
	uint64_t used = begins - pa_load_acquire(&ring->in->tail);
	uint64_t most = used < ring->size - FREE_ROOM ? ring->size - FREE_ROOM - used : 0;

	most = most < ring->size - at ? most : ring->size - at;
	most = most < PA_RECORD_MAX ? most : PA_RECORD_MAX;
	return most > bytes ? (uint32_t)most : bytes;
}

static void put_loop(struct pa_block *block, struct pa_loop_state *l, uint64_t now_ns)
{
	struct pa_loop *record = pa_wait_record_hook(block, PA_REC_LOOP, sizeof(*record), now_ns);

	/* without room the sums go on: the next record has them */
	if (!record)
		return;
	record->tid = block->tid;
	record->kind = l->kind;
	record->key = l->key;
	record->pc = l->pc;
	record->since_ns = l->since_ns;
	record->iterations = l->iterations;
	record->ready = l->ready;
	record->busy_ns = l->busy_ns;
	record->wait_ns = l->wait_ns;
	record->watched = l->watched;
	record->reserved = 0;
	pa_ring_commit(&block->hook_ring);
	pa_loop_flushed_hook(l, now_ns);
}

static void put_iteration(struct pa_block *block, const struct pa_loop_state *l, const struct pa_loop_turn *turn,
			  uint64_t now_ns)
{
	struct pa_iteration *record = pa_wait_record_hook(block, PA_REC_ITERATION, sizeof(*record), now_ns);

	if (!record)
		return;
	record->tid = block->tid;
	record->kind = l->kind;
	record->key = l->key;
	record->start_ns = turn->start_ns;
	record->waited_ns = turn->waited_ns;
	record->ready = turn->ready;
	record->reserved = 0;
	pa_ring_commit(&block->hook_ring);
}

static void put_wait(struct pa_block *block, const struct pa_wait_call *call, const struct pa_caller *caller,
		     uint64_t now_ns, int64_t descriptor)
{
	struct pa_ring *ring = &block->hook_ring;
	struct pa_wait *record = pa_wait_record_hook(block, PA_REC_WAIT, WAIT_ROOM, now_ns);

	if (!record)
		return;
	record->tid = block->tid;
	record->kind = (uint16_t)call->place.kind;
	record->start_ns = call->began_ns;
	record->descriptor = descriptor;
	record->flags = PA_WAIT_IN_LOOP;
	record->reserved = 0;
	/* from the function that waited, which has returned, on its caller */
	record->frames[0] = (uint64_t)(uintptr_t)call->real | PA_FRAME_EXACT;
	record->nr_frames =
	    (uint16_t)(1 + pa_caller_walk_hook(block, caller, record->frames + 1, PA_FRAMES_LEAF - 1, &record->stop));
	pa_record_end_short_sig(ring, &record->head,
				(uint32_t)(sizeof(*record) + record->nr_frames * sizeof(uint64_t)));
	pa_announce_walk_sig(block, &block->hook_info, now_ns);
}

/* ---- around the call -------------------------------------------------------------------------------------------- */

struct pa_block *pa_wait_block_hook(const void *frame)
{
	if (pa_tls.in_hook && !pa_heap_resume_hook(frame))
		return NULL;
	pa_session_adopt_hook();
	if (!pa_session_sampling_sig()) {
		pa_command_session_ended_hook(NULL);
		return NULL;
	}
	pa_thread_adopt_hook();
	return pa_tls.block;
}

static void own_begins(struct pa_wait_call *call, struct pa_loops *loops)
{
	struct pa_loop_state *l = pa_loop_find_hook(loops, &call->place);
	struct pa_loop_turn turn;

	if (!l) {
		l = pa_loop_room_hook(loops);
		if (l->is_loop && l->iterations)
			put_loop(call->block, l, call->began_ns);
		pa_loop_init_hook(l, &call->place, call->began_ns);
	}
	pa_loop_wait_hook(loops, l, &call->place, call->began_ns, &turn);
	if (turn.start_ns && call->began_ns - turn.start_ns >= PA_LOOP_EACH_NS)
		put_iteration(call->block, l, &turn, call->began_ns);
	if (pa_loop_due_hook(l, call->began_ns))
		put_loop(call->block, l, call->began_ns);
}

void pa_wait_begin_hook(struct pa_wait_call *call, const struct pa_caller *caller)
{
	struct pa_block *block = pa_wait_block_hook((const void *)(uintptr_t)(caller->sp - 16));
	/* a request that was just worked off decides whether waits are wanted */
	struct pa_loops *loops = block && pa_load_relaxed(&pa_wait_modes) ? pa_loop_area_of_hook(block, call->may_loop)
									  : NULL;
	uint32_t before;

	call->block = NULL;
	if (!loops || !(call->may_loop || pa_loop_any_hook(loops)) || !pa_session_enter_sig(block, &before))
		return;
	call->place.pc = caller->pc;
	call->place.cfa = caller->sp;
	pa_hook_begin(1);
	call->block = block;
	call->began_ns = pa_now_sig();
	if (call->may_loop)
		own_begins(call, loops);
	pa_tls.in_hook--;
	pa_session_leave_sig(block, before);
}

/* Its own wait is over, unless it was refused. */
static struct pa_loop_state *own_returned(const struct pa_wait_call *call, struct pa_loops *loops, uint64_t now_ns,
					  int64_t ready)
{
	struct pa_loop_state *l = call->may_loop ? pa_loop_find_hook(loops, &call->place) : NULL;

	if (l && (ready >= 0 || errno == EINTR))
		pa_loop_returned_hook(l, call->began_ns, now_ns, ready);
	return l;
}

void pa_wait_end_hook(const struct pa_wait_call *call, const struct pa_caller *caller, int64_t ready,
		      int64_t descriptor)
{
	const struct pa_loop_state *own;
	struct pa_loops *loops;
	struct pa_block *block;
	uint32_t before;
	uint64_t now_ns;

	if (!call->block || pa_waits_off())
		return;
	block = pa_wait_block_hook((const void *)(uintptr_t)(caller->sp - 16));
	if (block != call->block)
		return;
	loops = pa_loop_area_of_hook(block, false);
	if (!loops || !pa_session_enter_sig(block, &before))
		return;
	pa_hook_begin(1);
	now_ns = pa_now_sig();
	own = own_returned(call, loops, now_ns, ready);
	if (pa_loop_waited_hook(loops, own, call->began_ns, now_ns) && now_ns - call->began_ns >= PA_WAIT_LONG_NS)
		put_wait(block, call, caller, now_ns, descriptor);
	pa_tls.in_hook--;
	pa_session_leave_sig(block, before);
}

/* ---- ends ------------------------------------------------------------------------------------------------------- */

void pa_waits_flush_hook(struct pa_block *block)
{
	struct pa_loops *loops = pa_waits_off() ? NULL : pa_loop_area_of_hook(block, false);
	uint64_t now_ns;

	pa_locks_flush_hook(block);
	if (!loops)
		return;
	now_ns = pa_now_sig();
	for (uint32_t i = 0; i < loops->nr; i++) {
		if (loops->each[i].is_loop && loops->each[i].iterations)
			put_loop(block, &loops->each[i], now_ns);
	}
}

void pa_waits_leave_hook(struct pa_block *block)
{
	pa_loop_area_release_hook(block);
}
