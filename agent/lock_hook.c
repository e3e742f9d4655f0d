/* Waits for locks into records. Callers: hooks_lock.c, wait_hook.c, thread.c, init.c. World: hook. */
#include "agent/lock_hook.h"

#include "agent/announce_sig.h"
#include "agent/caller_hook.h"
#include "agent/real.h"
#include "agent/ring_sig.h"
#include "agent/session.h"
#include "agent/slots_sig.h"
#include "agent/timer_sig.h"
#include "agent/wait_hook.h"

#define WAIT_ROOM ((uint32_t)(sizeof(struct pa_lock_wait) + PA_FRAMES_MAX * sizeof(uint64_t)))

_Atomic uint32_t pa_lock_mode PA_HOT = PA_LOCK_EARLY;

/* All that is jumped to without a look. Before glibc 2.34 most of it is in libpthread, which may not be there (yet):
 * then each call looks for its function. */
static bool all_found(void)
{
	static const uint8_t needed[] = {
	    PA_REAL_pthread_mutex_lock,
	    PA_REAL_pthread_mutex_trylock,
	    PA_REAL_pthread_mutex_timedlock,
	    PA_REAL_pthread_mutex_unlock,
	    PA_REAL_pthread_rwlock_rdlock,
	    PA_REAL_pthread_rwlock_wrlock,
	    PA_REAL_pthread_rwlock_timedrdlock,
	    PA_REAL_pthread_rwlock_timedwrlock,
	    PA_REAL_pthread_rwlock_unlock,
	    PA_REAL_pthread_cond_wait,
	    PA_REAL_pthread_cond_timedwait,
	    PA_REAL_sem_wait,
	    PA_REAL_sem_timedwait,
	    PA_REAL_pthread_join,
	};

	for (size_t i = 0; i < sizeof(needed); i++) {
		if (!pa_load_relaxed(&pa_real_table[needed[i]]))
			return false;
	}
	return true;
}

void pa_locks_settle(void)
{
	if (all_found())
		pa_store_relaxed(&pa_lock_mode, 0);
}

void pa_locks_start_sig(void)
{
	if (all_found())
		pa_store_release(&pa_lock_mode, pa_mapping.control->modes & PA_MODE_LOCK ? PA_LOCK_ON : 0);
}

void pa_locks_quiet_sig(void)
{
	if (pa_load_relaxed(&pa_lock_mode) == PA_LOCK_ON)
		pa_store_release(&pa_lock_mode, 0);
}

/* ---- records ---------------------------------------------------------------------------------------------------- */

static bool put_wait(struct pa_block *block, const struct pa_lock_call *call, uint32_t order,
		     const struct pa_caller *caller)
{
	uint64_t now_ns = pa_now_sig();
	struct pa_lock_wait *record = pa_wait_record_hook(block, PA_REC_LOCK_WAIT, WAIT_ROOM, now_ns);

	if (!record)
		return false;
	record->tid = block->tid;
	record->order = order;
	record->address = call->address;
	record->holder = call->holder;
	record->kind = (uint16_t)call->kind;
	record->flags = 0;
	record->reserved = 0;
	record->frames[0] = (uint64_t)(uintptr_t)call->real | PA_FRAME_EXACT;
	record->nr_frames =
	    (uint16_t)(1 + pa_caller_walk_hook(block, caller, record->frames + 1, PA_FRAMES_LEAF - 1, &record->stop));
	pa_record_end_short_sig(&block->hook_ring, &record->head,
				(uint32_t)(sizeof(*record) + record->nr_frames * sizeof(uint64_t)));
	pa_announce_walk_sig(block, &block->hook_info, now_ns);
	return true;
}

static void put_done(struct pa_block *block, const struct pa_lock_noted *noted, uint64_t released_ns, uint64_t now_ns)
{
	struct pa_lock_done *record;

	if (noted->generation != block->session)
		return;
	record = pa_wait_record_hook(block, PA_REC_LOCK_DONE, sizeof(*record), now_ns);
	if (!record)
		return;
	record->tid = block->tid;
	record->order = noted->order;
	record->start_ns = noted->start_ns;
	record->got_ns = noted->got_ns;
	record->released_ns = released_ns;
	record->outcome = noted->outcome;
	record->reserved = 0;
	pa_ring_commit(&block->hook_ring);
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

static void drop(struct pa_locks *locks, uint32_t at)
{
	locks->nr--;
	for (uint32_t i = at; i < locks->nr; i++)
		locks->noted[i] = locks->noted[i + 1];
}

/* Takes those of one lock out, oldest first. */
static uint32_t take(struct pa_locks *locks, uint64_t held, struct pa_lock_noted *out)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < locks->nr;) {
		if (locks->noted[i].held != held) {
			i++;
			continue;
		}
		out[nr++] = locks->noted[i];
		drop(locks, i);
	}
	return nr;
}

/* ---- around the call -------------------------------------------------------------------------------------------- */

void pa_lock_begin_hook(struct pa_lock_call *call, const struct pa_caller *caller)
{
	struct pa_lock_noted before_it[PA_LOCKS_HELD];
	struct pa_block *block = NULL;
	uint32_t before, order, nr;

	call->block = NULL;
	if (pa_load_relaxed(&pa_lock_mode) == PA_LOCK_ON)
		block = pa_wait_block_hook((const void *)(uintptr_t)(caller->sp - 16));
	/* a request that was just worked off decides whether locks are wanted */
	if (!block || pa_load_relaxed(&pa_lock_mode) != PA_LOCK_ON || !pa_session_enter_sig(block, &before))
		return;
	pa_hook_begin(1);
	/* a condition's mutex is given up by the call; one that is waited for again was given back unseen */
	nr = call->held ? take(&block->locks, call->held, before_it) : 0;
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t now_ns = pa_now_sig();

		put_done(block, &before_it[i], call->kind == PA_LOCK_CONDITION ? now_ns : 0, now_ns);
	}
	order = ++block->locks.order;
	if (put_wait(block, call, order, caller)) {
		call->block = block;
		call->order = order;
		call->start_ns = pa_now_sig();
	}
	pa_tls.in_hook--;
	pa_session_leave_sig(block, before);
}

/* Held now: nothing but a note, others wait for it. Only a full table has its oldest written. */
void pa_lock_end_hook(struct pa_lock_call *call, const struct pa_caller *caller, enum pa_lock_outcome outcome)
{
	struct pa_block *block = call->block;
	struct pa_lock_noted noted = {
	    .held = call->held, .start_ns = call->start_ns, .order = call->order, .outcome = (uint16_t)outcome};
	struct pa_lock_noted oldest;
	struct pa_locks *locks;

	/* a filter for system calls may have come meanwhile */
	if (pa_load_relaxed(&pa_lock_mode) != PA_LOCK_ON || !block || block != pa_tls.block || pa_tls.in_hook)
		return;
	noted.got_ns = pa_now_sig();
	noted.generation = block->session;
	if (outcome == PA_LOCK_REFUSED || (outcome != PA_LOCK_GOT && call->kind != PA_LOCK_CONDITION))
		noted.held = 0;
	if (!noted.held) {
		pa_lock_write_hook(&noted, 1, caller);
		return;
	}
	locks = &block->locks;
	pa_hook_begin(1);
	oldest.order = 0;
	if (locks->nr == PA_LOCKS_HELD) {
		oldest = locks->noted[0];
		drop(locks, 0);
	}
	locks->noted[locks->nr++] = noted;
	pa_tls.in_hook--;
	if (oldest.order) {
		oldest.held = 0;
		pa_lock_write_hook(&oldest, 1, caller);
	}
}

uint32_t pa_lock_take_hook(uint64_t held, struct pa_lock_noted *out)
{
	uint32_t nr;

	if (pa_tls.in_hook)
		return 0;
	pa_hook_begin(1);
	nr = take(&pa_tls.block->locks, held, out);
	pa_tls.in_hook--;
	return nr;
}

/* The clock is read behind the unlocking, which is when those who wait have it. */
void pa_lock_write_hook(const struct pa_lock_noted *noted, uint32_t nr, const struct pa_caller *caller)
{
	struct pa_block *block = pa_wait_block_hook((const void *)(uintptr_t)(caller->sp - 16));
	uint64_t now_ns;
	uint32_t before;

	if (!block || !pa_session_enter_sig(block, &before))
		return;
	now_ns = pa_now_sig();
	pa_hook_begin(1);
	for (uint32_t i = 0; i < nr; i++)
		put_done(block, &noted[i], noted[i].held ? now_ns : 0, now_ns);
	pa_tls.in_hook--;
	pa_session_leave_sig(block, before);
}

void pa_locks_flush_hook(struct pa_block *block)
{
	struct pa_locks *locks = &block->locks;

	for (uint32_t i = 0; i < locks->nr; i++)
		put_done(block, &locks->noted[i], 0, pa_now_sig());
	locks->nr = 0;
}
