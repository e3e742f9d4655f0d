/* What the hooks on locks (hooks_lock.c) do around a wait: see common/lockwire.h for what is written when.
 *
 *   off     pa_lock_mode is 0: the hook jumps to the real function
 *   on      a lock that is free is taken and given back without a record and without a look at the clock. For one that
 *           is not: pa_lock_begin_hook, which writes the stack; the real call, once, with the host's own arguments; and
 *           pa_lock_end_hook. What is held from then on is noted in a small table of the thread, no more; the hook that
 *           gives it back takes it out again (pa_lock_take_hook), calls the real function, and writes what is known
 *           (pa_lock_write_hook). What leaves a call by another way, a cancellation or a jump, just never comes to the
 * end.
 *
 * A condition's wait gives its mutex up inside the real call: what was noted of that is written before, in the few
 * hundred nanoseconds before the mutex is free, together with the stack of that wait. World: hook. */
#ifndef PA_AGENT_LOCK_HOOK_H
#define PA_AGENT_LOCK_HOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/heap_hook.h"
#include "agent/hot.h"
#include "agent/lock_state.h"
#include "agent/thread.h"
#include "common/lockwire.h"

/* 0: off. PA_LOCK_EARLY: the real functions are not looked up yet; else on. */
extern _Atomic uint32_t pa_lock_mode PA_NEAR;

#define PA_LOCK_ON    1u
#define PA_LOCK_EARLY 2u

struct pa_lock_call {
	uint32_t kind; /* enum pa_lock_kind */
	uint32_t holder;
	uint64_t address;
	uint64_t held;          /* address of what is held after it and given back by a hook; 0: nothing */
	const void *real;       /* the function that waits */
	struct pa_block *block; /* set by begin; NULL: nobody wants to know of it */
	uint32_t order;
	uint64_t start_ns;
};

/* The real functions are known. World: plain (constructor). */
void pa_locks_settle(void);
/* As those of wait_hook.h, which call them. World: signal. */
void pa_locks_start_sig(void);
void pa_locks_quiet_sig(void);

/* errno is left alone by all of these. */
void pa_lock_begin_hook(struct pa_lock_call *call, const struct pa_caller *caller);
void pa_lock_end_hook(struct pa_lock_call *call, const struct pa_caller *caller, enum pa_lock_outcome outcome);

/* Whether the thread has noted anything. */
static inline bool pa_lock_any(void)
{
	const struct pa_block *block = pa_tls.block;

	return block && block->locks.nr;
}

/* Takes out what is noted of a lock that is about to be given back. Shapes: out has room for PA_LOCKS_HELD. Returns how
 * many. */
uint32_t pa_lock_take_hook(uint64_t held, struct pa_lock_noted *out);
/* And after the real call. */
void pa_lock_write_hook(const struct pa_lock_noted *noted, uint32_t nr, const struct pa_caller *caller);

/* The thread, or the process, ends: what it still holds. Inside a hook, with the session entered. */
void pa_locks_flush_hook(struct pa_block *block);

#endif
