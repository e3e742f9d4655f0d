/* The stack walker: from a signal's ucontext (or a caller's registers) to return addresses, by the modules' own CFI.
 *
 * Lock-free, allocation-free, no call into the loader but _dl_find_object. World: signal. */
#ifndef PA_AGENT_WALK_SIG_H
#define PA_AGENT_WALK_SIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

#include "common/wire.h"

/* The stack the thread is known to run on: addresses lo <= a < hi. Reads inside [sp, hi) need no probe when
 * lo <= sp < hi; anything else is a foreign stack and each new page is probed. 0, 0: unknown. */
struct pa_stack_bounds {
	uint64_t lo;
	uint64_t hi;
};

/* A module the walk looked up (cache miss), for the announcement of new modules. */
struct pa_walk_module {
	uint64_t start; /* mapping, first to last segment */
	uint64_t end;
	const void *link_map; /* struct link_map *; may be NULL */
};

#define PA_WALK_MODULES 8
#define PA_WALK_SCRATCH 28

struct pa_memo; /* memo_sig.h */

struct pa_walk_info {
	struct pa_memo *memo; /* in: the thread's previous walk, kept by the caller; NULL: none */
	uint16_t nr_frames;
	uint16_t stop;       /* enum pa_stop */
	uint16_t nr_modules; /* modules looked up in this walk, no two the same, at most PA_WALK_MODULES */
	bool foreign;        /* some part was on a foreign stack */
	/* registers at the frame that could not be expressed, for PA_STOP_ROW: what a remote unwinder continues from */
	uint64_t pc, sp, fp;
	struct pa_walk_module modules[PA_WALK_MODULES];
	/* the walk's own state: in here, because the interrupted thread's stack has little room */
	uint64_t scratch[PA_WALK_SCRATCH];
};

/* Looks up libc's _dl_find_object and checks what the kernel offers. Without it walks use frame pointers only.
 * Errors: -ENOSYS: no _dl_find_object in this libc.   World: plain (constructor). */
int pa_walk_init(void);

/* Walks from the interrupted context.
 * Shapes: frames has room for max entries, leaf first, in the encoding of struct pa_sample (PA_FRAME_EXACT set for the
 * leaf and for frames directly above a signal frame's context); info is filled completely. max >= 1.
 * Returns info->nr_frames.   Units: addresses.   Errors: none; info->stop says why it ended.   World: signal. */
size_t pa_walk_sig(const ucontext_t *uc, const struct pa_stack_bounds *bounds, uint64_t *frames, size_t max,
		   struct pa_walk_info *info);

/* The same for a hook: walks from the caller's own registers (pc, sp, fp as after the call returns to the hook).
 * No frame is PA_FRAME_EXACT.   World: signal. */
size_t pa_walk_here_sig(uint64_t pc, uint64_t sp, uint64_t fp, const struct pa_stack_bounds *bounds, uint64_t *frames,
			size_t max, struct pa_walk_info *info);

/* Forgets every cached rule (a module went away). O(1) but for a wrap of the generation. World: signal. */
void pa_walk_flush_sig(void);

/* Frame-pointer-only and leaf-only modes for hosts where _dl_find_object or the page probe may not be used.
 * quiet: no system call at all from now on (seccomp strict). World: signal. */
void pa_walk_set_quiet_sig(bool quiet);

/* The mapping of the module that covers an address, by _dl_find_object. Returns false, and leaves the results alone,
 * when there is none. World: signal. */
bool pa_walk_module_at_sig(uint64_t address, uint64_t *start, uint64_t *end);

#endif
