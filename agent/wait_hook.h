/* What a hook on a call that may wait does before and after the real call. One hot word says whether anything is wanted
 * of such calls at all; each kind of call (hooks_wait.c, hooks_sleep.c, and those of sockets, locks and files) is a
 * struct pa_wait_call with its own place.
 *
 *   off   pa_wait_modes is 0: the hook jumps to the real function
 *   on    pa_wait_begin_hook; the real call, once, with the host's own arguments; pa_wait_end_hook with its result.
 *         Whatever leaves the real call by another way, a cancellation or a jump, just never comes to the end: nothing
 *         is held meanwhile.
 *
 * World: hook. */
#ifndef PA_AGENT_WAIT_HOOK_H
#define PA_AGENT_WAIT_HOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/heap_hook.h"
#include "agent/hot.h"
#include "agent/loop_hook.h"
#include "agent/thread.h"

/* What of PA_MODE_* needs hooks on waits, and is wanted in this process. */
extern _Atomic uint32_t pa_wait_modes PA_NEAR;

#define PA_WAIT_MODES (PA_MODE_LOOP | PA_MODE_DB | PA_MODE_HTTP)

struct pa_wait_call {
	struct pa_wait_place place;
	const void *real;       /* the function that waits: the leaf of its stack */
	bool may_loop;          /* such a call can be a loop's own wait */
	struct pa_block *block; /* set by begin; NULL: nobody wants to know of it */
	uint64_t began_ns;
};

/* A request of a collector's is seen here, too: a thread that wakes up may come by no other hook. */
static inline bool pa_waits_off(void)
{
	return __builtin_expect(!pa_load_relaxed(&pa_wait_modes) && pa_load_relaxed(&pa_heap_mode) <= PA_HEAP_EARLY, 1);
}

/* The session's modes are read; hooks are on or off by them. Called at every attach. World: signal. */
void pa_waits_start_sig(void);

/* Off, for good or until pa_waits_start_sig: no system call and no clock from now on. World: signal. */
void pa_waits_quiet_sig(void);

/* A forked child: loops of its parent are not its own. No system call. World: signal. */
void pa_waits_after_fork_sig(void);

/* What is known and not written yet of the thread's loops: it leaves, or the process ends. Inside a hook. */
void pa_waits_flush_hook(struct pa_block *block);

/* A thread leaves: what it kept is for others. Idempotent. */
void pa_waits_leave_hook(struct pa_block *block);

/* The thread's block, if what it does is to be recorded now. frame: of the hook. NULL: nobody listens, or another hook
 * of this thread is at work. */
struct pa_block *pa_wait_block_hook(const void *frame);

/* Room in the hook ring for a record of these kinds, which leaves room for the frees of sampled allocations. NULL:
 * there is none, and it is counted. Shapes: as pa_record_begin_sig. */
void *pa_wait_record_hook(struct pa_block *block, uint16_t type, uint32_t bytes, uint64_t time_ns);

/* Bytes that such a record, begun with `bytes` and not committed, may have at most: pa_record_end_short_sig ends it. */
uint32_t pa_wait_record_most_hook(const struct pa_block *block, const void *record, uint32_t bytes);

/* An epoll descriptor was made: what was known of its number is another's. */
void pa_waits_epoll_made_hook(int fd);
uint32_t pa_waits_epoll_born_hook(int fd);

/* Before the real call. caller: as PA_HEAP_CALLER fills it, in the hook's frame. errno stays. */
void pa_wait_begin_hook(struct pa_wait_call *call, const struct pa_caller *caller);

/* After it. ready: events or descriptors it returned, 0: none; -1: it failed, errno is the real call's and stays.
 * descriptor: what it waited for, -1: none or several. */
void pa_wait_end_hook(const struct pa_wait_call *call, const struct pa_caller *caller, int64_t ready,
		      int64_t descriptor);

#endif
