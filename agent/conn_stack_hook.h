/* Stacks of those who send, as the records of a thread refer to them: frames once, then a number. The latest few are
 * remembered with every word of the stack that their walks read: where all of them still hold what they held, the stack
 * is the same, and nothing is walked. World: hook. */
#ifndef PA_AGENT_CONN_STACK_HOOK_H
#define PA_AGENT_CONN_STACK_HOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/heap_hook.h"
#include "agent/memo_sig.h"
#include "agent/thread.h"
#include "common/waitwire.h"

#define PA_SAID_CALLERS 4
#define PA_SAID_WORDS   80 /* of the stack: two a frame at most */

/* A caller that was walked. */
struct pa_said_caller {
	uint64_t pc, sp, fp;
	uint32_t nr;                /* words */
	uint16_t number;            /* of its stack, 0: none here */
	bool needs_fp;              /* fp counts */
	uint16_t at[PA_SAID_WORDS]; /* words above sp */
	uint64_t words[PA_SAID_WORDS];
};

/* What a thread's hook ring has said of stacks. */
struct pa_said {
	uint32_t session; /* pa_mapping.generation of then, */
	uint32_t flushes; /* the modules of then (rules_sig.h), */
	uint32_t pid;     /* and whose it is */
	uint32_t tid;
	uint32_t next;                   /* caller to be replaced */
	uint64_t hashes[PA_CONN_STACKS]; /* by number less one; 0: none */
	struct pa_said_caller callers[PA_SAID_CALLERS];
	struct pa_memo memo;
};

#define PA_SAID_BYTES ((sizeof(struct pa_said) + PA_MEMO_FRAMES * sizeof(struct pa_memo_frame) + 63) & ~63ul)

/* What was found out of a stack, until the record that says so is committed. */
struct pa_said_news {
	struct pa_said *said;
	struct pa_said_caller *caller; /* to be remembered; NULL: it cannot be */
	uint64_t defines;              /* hash of frames that are in the record; 0: none are */
	uint16_t number;
};

/* The number of the caller's stack, and into frames, if its frames have to be in the record, those: *nr_frames is then
 * not 0. *walked: modules may have been met. Returns 0: it has no number, for want of memory.
 * Shapes: as pa_caller_walk_hook. */
uint16_t pa_conn_stack_hook(struct pa_block *block, const struct pa_caller *caller, uint64_t *frames,
			    uint16_t *nr_frames, uint16_t *stop, struct pa_said_news *news);

/* The record was committed. */
void pa_conn_stack_said_hook(struct pa_said_news *news);

#endif
