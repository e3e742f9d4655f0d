/* What the parts of the walker share while a walk lasts. World: signal. */
#ifndef PA_AGENT_WALK_STATE_SIG_H
#define PA_AGENT_WALK_STATE_SIG_H

#include "agent/rules_sig.h"
#include "agent/walk_sig.h"

/* Stacks hold bytes a sanitizer forbids to read, between the variables of instrumented functions (unit tests). */
#if defined(__SANITIZE_ADDRESS__)
#define PA_RAW_READ __attribute__((no_sanitize_address))
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PA_RAW_READ __attribute__((no_sanitize("address")))
#endif
#endif
#ifndef PA_RAW_READ
#define PA_RAW_READ
#endif

#define PA_WALK_GO_ON         (-1) /* a step succeeded; otherwise steps return an enum pa_stop */
#define PA_WALK_FOREIGN_BYTES (1u << 20)

#define PA_TRACK_FRAMES 64 /* so far from an interrupted frame a register is followed */
#define PA_TRACK_PASSES 4  /* in one walk */

/* A register on its way up from an interrupted frame, because the CFA of a frame further up is in it. */
struct pa_track {
	uint64_t value; /* in the present frame */
	uint64_t at;    /* where the caller's value is: an address, or an offset from the CFA */
	uint16_t left;  /* steps until it has been used; 0: nothing is followed */
	uint8_t wanted; /* 1 + the register that a rule asked for in vain; 0: none */
	uint8_t reg;
	uint8_t how; /* enum pa_rule_how; at is an address for PA_HOW_SP */
	uint8_t passes;
	bool known;
};

/* Invariant: free_lo <= a < free_hi can be read without asking, and is empty on a foreign stack; the walk's sp stays
 * below limit. */
struct pa_walk {
	uint64_t pc; /* pc == 0: the end */
	uint64_t sp;
	uint64_t fp;
	bool exact; /* pc was interrupted: it is looked up as it is */
	uint64_t free_lo;
	uint64_t free_hi;
	uint64_t limit;
	uint64_t bounds_lo;
	uint64_t bounds_hi;
	const ucontext_t *regs; /* all registers of the last interrupted frame; NULL: there was none */
	struct pa_memo *memo;   /* NULL: nothing is remembered */
	bool ended;             /* the memo knew the rest */
	unsigned age;           /* frames the walk is above it; 0: they are this frame's */
	struct pa_track track;
	struct pa_pages pages; /* of foreign stacks */
	struct pa_rules rules;
} __attribute__((may_alias)); /* lives in pa_walk_info.scratch */

_Static_assert(sizeof(struct pa_walk) <= sizeof(uint64_t) * PA_WALK_SCRATCH, "PA_WALK_SCRATCH is too small");

/* Settles what can be read freely for a stack pointer the walk has just come to. */
void pa_walk_enter_stack_sig(struct pa_walk *w);

/* Cold half of pa_walk_load: asks the kernel first. */
bool pa_walk_load_foreign_sig(struct pa_walk *w, uint64_t addr, uint64_t *value);

/* The word of the walked stack at addr. False: not readable or not aligned. */
PA_RAW_READ static inline bool pa_walk_load(struct pa_walk *w, uint64_t addr, uint64_t *value)
{
	if (__builtin_expect(addr >= w->free_lo && addr < w->free_hi && !(addr & 7), 1)) {
		*value = *(const uint64_t *)(uintptr_t)addr;
		return true;
	}
	return pa_walk_load_foreign_sig(w, addr, value);
}

/* Steps that are not a module's rule; walk_step_sig.c. Each returns PA_WALK_GO_ON or an enum pa_stop, w unchanged. */

/* Whether the instruction before a return address is a call. */
bool pa_walk_follows_call_sig(struct pa_walk *w, uint64_t ra);

/* Over what the kernel pushed for a signal, to the interrupted frame. */
int pa_walk_step_signal_sig(struct pa_walk *w);

/* Where there is no unwind information: by the frame pointer, or by the return address on top of the stack of an
 * interrupted frame; only if what is found there follows a call instruction. otherwise: what to return if not. */
int pa_walk_step_guess_sig(struct pa_walk *w, int otherwise);

/* Following a register; walk_track_sig.c. The CFA of some frames is in a register that their callees may have saved and
 * changed: the lazy-binding trampolines of ld.so keep the caller's sp in rbx. Seldom needed, so nothing of it is kept
 * on the way up: the walk starts anew from the last interrupted frame, and looks in each frame's row where the register
 * went. */

/* The walk stopped at a rule whose register nobody knew: whether it goes back to the interrupted frame, *nr with it. */
bool pa_walk_track_begin_sig(struct pa_walk *w, size_t *nr);
/* Before a step, and after it succeeded; while w->track.left. */
void pa_walk_track_look_sig(struct pa_walk *w);
void pa_walk_track_move_sig(struct pa_walk *w);

#endif
