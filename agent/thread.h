/* Per-thread state of the agent: a block in our own memory per thread that can be sampled, found by the handler
 * through the timer's sigval (so that threads which share a TLS block by raw clone stay apart), and a few words of
 * initial-exec TLS for the hooks.
 *
 * Blocks are mmap'ed in batches, never freed, reused after the thread's end. World: see each function. */
#ifndef PA_AGENT_THREAD_H
#define PA_AGENT_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/walk_sig.h"
#include "common/ring.h"

enum pa_block_state {
	PA_BLOCK_FREE = 0,
	PA_BLOCK_LIVE = 1,   /* belongs to a thread; its timer may be armed */
	PA_BLOCK_MOVING = 2, /* its timer is being replaced by whoever claimed LIVE -> MOVING */
};

#define PA_ROOT_FRAMES 31

struct pa_block {
	_Atomic uint32_t state;	   /* enum pa_block_state, by compare-and-swap */
	uint32_t pid;		   /* process and thread it belongs to, as the target counts */
	uint32_t tid;
	_Atomic int32_t timer_id;  /* kernel timer id, -1: none. The handler ignores signals of any other timer */
	uint32_t timer_signal;
	uint64_t period_ns;
	uint64_t first_ns;	   /* random phase, uniform in (0, period] */
	uint64_t armed_cpu_ns;	   /* CPU clock when armed */
	uint64_t delivered;	   /* periods delivered so far (weights) */
	uint64_t start_routine;
	struct pa_stack_bounds stack;
	/* the slot; NULL producers until the first record */
	uint32_t session;	   /* epoch of the session the slot belongs to, 0: none */
	uint32_t slot;
	bool announced;		   /* THREAD_START written */
	bool handshake_main;	   /* the thread that ran the constructor */
	struct pa_ring signal_ring;
	struct pa_ring hook_ring;
	/* the root of the last complete stack, for stacks deeper than PA_FRAMES_LEAF */
	uint32_t nr_root;
	uint64_t root[PA_ROOT_FRAMES];
	struct pa_block *next;	   /* list of all blocks, push only */
	uint64_t frames[PA_FRAMES_LEAF]; /* the handler's scratch: keeps its stack frame under 1 KiB */
	struct pa_walk_info info;
};

/* The words of a thread that hooks test. At most 256 bytes of initial-exec TLS in all. */
struct pa_tls {
	struct pa_block *block;	    /* NULL: this thread has none (yet) */
	uint32_t in_hook;	    /* depth: a hook that finds it non-zero passes through */
	bool host_blocks[2];	    /* the host believes it has blocked: [0] SIGPROF, [1] our real-time signal */
	bool filtered_ever;	    /* any of the above was ever true on this thread */
	uint64_t random;	    /* xorshift state, seeded at first use */
};

extern __thread struct pa_tls pa_tls __attribute__((tls_model("initial-exec")));

/* A thread enters (hook world): takes a block, arms the timer when the session samples. start_routine 0: unknown.
 * Errors: none visible; refused timers are noted in the recording. */
void pa_thread_enter_hook(uint64_t start_routine, uint64_t stack_size);
/* A thread leaves: deletes its timer, accounts for undelivered periods, releases slot and block. Idempotent. */
void pa_thread_leave_hook(void);

/* After fork in the child (or at the first hook of a child that fork handlers did not see): forgets the parent's
 * blocks, claims new ones, arms this thread. */
void pa_thread_after_fork_hook(void);

/* Moves every armed timer of this process to another signal (0: just deletes them all). World: hook; the caller has
 * won the claim on moving (pa_signal). */
void pa_thread_move_timers_hook(int signal);

/* Writes the process's end (exact CPU time) into this thread's hook ring. kind: enum pa_process_end_kind. For exec,
 * called again with 0 when it failed: nothing is written, sampling goes on. */
void pa_thread_process_end_hook(uint32_t kind);

/* A sentence for the report, into this thread's hook ring; dropped (and counted) when there is none. */
void pa_thread_note_hook(uint32_t code, uint64_t a, uint64_t b);

#endif
