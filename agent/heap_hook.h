/* The heap engine behind the allocation hooks: what a hook (hooks_malloc.c, hooks_mmap.c) calls, in three states.
 *
 *   off      the hook tests pa_heap_mode and jumps to the real function
 *   sampled  real call; size >= pa_tls.heap_left: pa_sampled_alloc_hook, else heap_left -= size. A free looks into a
 * filter of counting bytes (addrset_hook.h) and calls pa_sampled_free_hook when it may be a sampled address exact every
 * call: one of pa_exact_*_hook, which writes into this thread's heap ring
 *
 * The order of things: an allocation is recorded after the real call, a free before it; a realloc takes its stamp
 * before the real call and records only when that succeeded. The caller holds pa_tls.in_hook while a pa_exact_* or a
 * pa_sampled_* function runs and for the whole of any hook whose real function might call another one of ours.
 * World: hook. */
#ifndef PA_AGENT_HEAP_HOOK_H
#define PA_AGENT_HEAP_HOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/hot.h"
#include "common/wire.h"

struct pa_heap_thread;

/* What hooks do at present, enum pa_heap_mode or PA_HEAP_EARLY: this process's own copy on the page of hot words, so
 * that a hook touches no shared memory while nothing is recorded. */
extern _Atomic uint32_t pa_heap_mode PA_NEAR;

/* Before the constructor has run, and after it as long as memory of bootstrap_hook.h is about in a process of which
 * nothing is recorded: hooks look for the real function, and for whose a pointer is. What the word begins with. */
#define PA_HEAP_EARLY 3

/* A session wants allocations, and the next hook is to set that up; PA_TRIGGER_COMMAND, which lies between the two,
 * says that a collector has a request (common/command.h). All above are for pa_command_hook. */
#define PA_HEAP_START 5
/* The memory of a session that was left is still in use: a hook that comes later is to look again. */
#define PA_HEAP_TIDY 6

/* pa_heap_mode is SAMPLED or EXACT, and mappings count as well (PA_HEAP_MMAP). */
extern _Atomic bool pa_heap_maps PA_NEAR;

/* pa_tls.in_hook goes up by this around a real function: a hook called from within it is a part of that call and
 * passes through. By one: an engine is at work, and what passes through then (a signal handler's) is counted. */
#define PA_HOOK_IN_REAL 0x10000u

/* Where a hook was called from: the state after its return. Stacks are walked from here, so that no frame of ours is on
 * them. PA_HEAP_CALLER fills it in the hook function itself, which has a frame pointer for that. */
struct pa_caller {
	uint64_t pc;
	uint64_t sp;
	uint64_t fp;
};

#define PA_HEAP_CALLER(name)                                                                                           \
	const uint64_t *name##_frame = __builtin_frame_address(0);                                                     \
	struct pa_caller name = {.pc = (uint64_t)(uintptr_t)__builtin_return_address(0),                               \
				 .sp = (uint64_t)(uintptr_t)(name##_frame + 2),                                        \
				 .fp = name##_frame[0]}

/* Finds out whether the heap is one to be recorded. World: plain (constructor). */
void pa_heap_init(void);

/* A session has begun: if it wants allocations, the next hook finds PA_HEAP_START. World: signal. */
void pa_heap_begin_sig(void);
/* PA_HEAP_START was found: reads the control page, sets up the mode, declines (with a note) under a sanitizer or before
 * an allocator that is not ours to see. Nothing but pa_heap_mode = off on any error. */
void pa_heap_start_hook(void);

/* The mode, with a request or without: what it is, from now on, and again after the request was seen. World: signal. */
uint32_t pa_heap_true_sig(void);
void pa_heap_set_sig(uint32_t mode);
void pa_heap_restore_sig(void);

/* The real functions are known: hooks jump to them from now on. World: plain (constructor). */
void pa_heap_settle(void);

/* In a forked child (pa_session_adopt_hook): blocks of the parent are unknown here, rings and samples are its own. */
void pa_heap_after_fork_hook(void);

/* A thread leaves: its heap ring and its memory are for others. Idempotent. What it allocates after that is recorded by
 * a new claim, or counted in heap_unrecorded. */
void pa_heap_thread_leave_hook(void);

/* A hook finds pa_tls.in_hook held. Whether that was by one whose frame is gone, because a signal handler jumped out of
 * it: then nothing is held any more, and one event is counted in heap_unrecorded. Shapes: frame: the caller's. */
bool pa_heap_resume_hook(const void *frame);

/* No system call from now on (seccomp strict), or nobody listens any more: off, for good. */
void pa_heap_quiet_hook(void);

/* ---- sampled: heap_sampled_hook.c ------------------------------------------------------------------------------- */

/* An allocation of `size` bytes at p comes up to heap_left, which has not been moved for it. Nothing happens when p is
 * NULL (it failed); a new thread draws first, and then looks again. */
void pa_sampled_alloc_hook(const void *p, size_t size, const struct pa_caller *caller);
/* The same for a mapping: mmap, brk. */
void pa_sampled_map_hook(const void *p, size_t size, const struct pa_caller *caller);
/* p may be sampled: if so forgets and records it. Returns whether it was. */
bool pa_sampled_free_hook(const void *p);
/* Around a real realloc of a p that may be sampled: take forgets it without a record (false: it was not sampled); then
 * either keep (the call failed: it is as it was) or freed (records the free at `time_ns`, taken before the call). */
bool pa_sampled_take_hook(const void *p, uint64_t *time_ns);
void pa_sampled_keep_hook(const void *p);
void pa_sampled_freed_hook(const void *p, uint64_t time_ns);

/* ---- exact: heap_exact_hook.c ----------------------------------------------------------------------------------- */

void pa_exact_alloc_hook(const void *p, size_t size, const struct pa_caller *caller);
void pa_exact_free_hook(const void *p);
/* The clock of the ring, before a real realloc; 0: this thread cannot record now. */
uint64_t pa_exact_stamp_hook(void);
/* The realloc succeeded: a free stamped then, an allocation stamped now. old NULL: an allocation only; p NULL: a free
 * only. */
void pa_exact_realloc_hook(const void *old, uint64_t stamp, const void *p, size_t size, const struct pa_caller *caller);
void pa_exact_map_hook(const void *p, size_t size, const struct pa_caller *caller);
void pa_exact_unmap_hook(const void *p, size_t size);

/* The calling thread gives its ring and its memory to others (pa_heap_thread_leave_hook). Idempotent; without a system
 * call but getpid. */
void pa_exact_leave_hook(void);
/* A hook of this thread was left in the middle: its memory and its ring are taken anew with the next event. */
void pa_exact_abandon_hook(void);
/* In a forked child (pa_heap_after_fork_hook): the ring and what this thread knows are the parent's. */
void pa_exact_forget_hook(void);
/* Around a fork. A signal handler may fork in the middle of an event, and the child return from it: what the event uses
 * is kept for the child, and leads nowhere there. begin returns what end is given: NULL: nothing of the kind. */
struct pa_heap_thread *pa_exact_fork_begin_hook(void);
void pa_exact_fork_end_hook(struct pa_heap_thread *t, bool is_child);
#endif
