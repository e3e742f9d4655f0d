/* Per-thread state of the agent: a block in our own memory per thread that can be sampled, found by the handler
 * through the timer's sigval (so that threads which share a TLS block by raw clone stay apart), and a few words of
 * initial-exec TLS for the hooks.
 *
 * Blocks come from arena.c and are reused after the thread's end. World: see each function. */
#ifndef PA_AGENT_THREAD_H
#define PA_AGENT_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/lock_state.h"
#include "agent/walk_sig.h"
#include "common/ring.h"

enum pa_block_state {
	PA_BLOCK_FREE = 0,
	PA_BLOCK_LIVE = 1,   /* belongs to a thread; its timer may be armed */
	PA_BLOCK_MOVING = 2, /* its timer is being replaced by whoever claimed LIVE -> MOVING */
};

#define PA_ROOT_FRAMES 31

struct pa_loop_cell;

struct pa_block {
	_Atomic uint32_t state;   /* enum pa_block_state, by compare-and-swap; first: the rest is zeroed when taken */
	_Atomic int32_t timer_id; /* kernel timer id, -1: none. The handler ignores signals of any other timer */
	uint32_t pid;             /* process and thread it belongs to, as the target counts */
	uint32_t tid;
	uint32_t timer_signal;
	bool raw;       /* armed from the collector's list: nobody will tell us of its end */
	bool announced; /* THREAD_START written into its slot */
	bool has_slot;
	_Atomic bool tick_running; /* the handler is at work for this block: a second tick would nest */
	_Atomic uint32_t busy;     /* hooks of its thread at work with slot and rings, one in the other */
	uint32_t session;          /* pa_mapping.generation that slot and rings belong to */
	uint32_t slot;
	uint32_t nr_root;
	uint32_t last_self_ns; /* how long the handler took last time; travels in the next sample */
	uint64_t period_ns;
	uint64_t first_ns;     /* random phase, uniform in (0, period] */
	uint64_t armed_cpu_ns; /* CPU clock when armed; written by the arming thread before the timer runs */
	uint64_t delivered;    /* periods delivered so far (weights); handler only */
	uint64_t start_routine;
	void *start_arg;        /* for the wrapper of pthread_create, between parent and child */
	bool inherit_blocks[2]; /* the creator's pa_tls.host_blocks */
	struct pa_stack_bounds stack;
	struct pa_ring_producer *signal_out; /* counters of the slot, NULL until it has one */
	struct pa_ring signal_ring;
	struct pa_ring hook_ring;
	uint64_t root[PA_ROOT_FRAMES]; /* the root of the last complete stack, for stacks deeper than PA_FRAMES_LEAF */
	struct pa_walk_info info;      /* the handler's scratch: keeps its stack frame small */
	struct pa_walk_info hook_info; /* the same for walks of hooks, which the handler may interrupt */
	struct pa_loop_cell *loops;    /* its event loops (loop_area_hook.h); NULL: none */
	struct pa_locks locks;
};

/* The words of a thread that hooks test. At most 256 bytes of initial-exec TLS in all. */
struct pa_tls {
	struct pa_block *block;      /* NULL: this thread has none (yet) */
	uint32_t in_hook;            /* depth: a hook that finds it non-zero passes through */
	bool host_blocks[2];         /* the host believes it has blocked: [0] SIGPROF, [1] our real-time signal */
	bool filtered_ever;          /* any of the above was ever true on this thread */
	bool has_left;               /* it told us of its end */
	uint64_t random;             /* xorshift state, seeded at first use */
	uint64_t heap_left;          /* sampled heap: bytes up to the next sample, its own included; 0: not drawn yet */
	uint64_t heap_mean;          /* the mean of that draw */
	uint64_t hook_fp;            /* where the outermost hook at work has its frame, */
	uint64_t hook_ra;            /* and its return address, the word after that */
	struct pa_heap_thread *heap; /* exact heap: ring, clock, dictionary, remembered walk (heap_exact_hook.c) */
};

extern __thread struct pa_tls pa_tls __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* A hook begins what pa_tls.in_hook is held for, and takes from that again by itself, in the same function. Noted
 * twice: a handler's hook may come in between. */
static inline __attribute__((always_inline)) void pa_hook_begin(uint32_t by)
{
	const uint64_t *frame = __builtin_frame_address(0);
	bool is_outermost = !pa_tls.in_hook;

	if (is_outermost) {
		pa_tls.hook_fp = (uint64_t)(uintptr_t)frame;
		pa_tls.hook_ra = frame[1];
	}
	__asm__ volatile("" : : : "memory");
	pa_tls.in_hook += by;
	__asm__ volatile("" : : : "memory");
	if (is_outermost) {
		pa_tls.hook_fp = (uint64_t)(uintptr_t)frame;
		pa_tls.hook_ra = frame[1];
	}
}

/* This thread enters with the block its creator took for it (NULL: takes one): arms the timer when the session samples.
 * Errors: none visible; refused timers are noted in the recording. World: hook. */
void pa_thread_enter_hook(struct pa_block *block);
/* Arms a thread the agent did not see start, by its id. Returns false when it is gone or there is no block.
 * World: signal. */
bool pa_thread_arm_other_sig(uint32_t tid);
/* Threads the collector found running without a timer: any tick may arm them for their process. World: signal. */
void pa_thread_arm_listed_sig(uint32_t pid);
/* The calling thread was there before the session, or was armed from the list: it gets a block it knows of, so that its
 * records and its end are its own. Idempotent. World: hook. */
void pa_thread_adopt_hook(void);
/* Where the main thread's stack is. World: plain (constructor). */
void pa_thread_main_stack(struct pa_stack_bounds bounds);
/* A session has begun: arms the threads that have a block from an earlier one. World: signal. */
void pa_thread_arm_all_sig(void);
/* A thread leaves: deletes its timer, accounts for undelivered periods, releases slot and block. Idempotent. */
void pa_thread_leave_hook(void);

/* After fork in the child (or at the first hook of a child that fork handlers did not see): forgets the parent's
 * blocks, claims new ones, arms this thread. */
void pa_thread_after_fork_hook(void);

/* Moves every armed timer of this process to another signal (0: just deletes them all). World: signal; the caller has
 * won the claim on moving (pa_signal). */
void pa_thread_move_timers_sig(int signal);

/* The host is about to limit its queued signals (RLIMIT_SIGPENDING) to this: timers beyond our half are deleted, the
 * caller's last. Their threads are accounted for at their ends, as those whose timers were refused. One note a process.
 * World: hook. */
void pa_thread_limit_timers_hook(uint64_t limit);

/* Writes the process's end (exact CPU time) into this thread's hook ring. kind: enum pa_process_end_kind. For exec,
 * called again with 0 when it failed: nothing is written, sampling goes on. */
void pa_thread_process_end_hook(uint32_t kind);

/* A sentence for the report, into this thread's hook ring; dropped (and counted) when there is none, or a hook of this
 * thread is at work. World: signal. */
void pa_thread_note_sig(uint32_t code, uint64_t a, uint64_t b);

#endif
