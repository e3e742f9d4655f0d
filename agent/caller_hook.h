/* The stack of whoever called a hook, as records of the hook rings have it. World: hook. */
#ifndef PA_AGENT_CALLER_HOOK_H
#define PA_AGENT_CALLER_HOOK_H

#include <stddef.h>
#include <stdint.h>

#include "agent/heap_hook.h"
#include "agent/thread.h"

/* Walks from the caller's state. A stack deeper than max ends with PA_FRAME_TRUNCATED and the thread's remembered root,
 * and is counted in its hook ring. Returns the number of frames; *stop: enum pa_stop.
 * Shapes: frames has room for max + 1 + PA_ROOT_FRAMES; the block has its slot; inside a hook (pa_tls.in_hook). The
 * modules it met are announced by pa_announce_walk_sig(block, &block->hook_info, ...) once the record is committed. */
uint16_t pa_caller_walk_hook(struct pa_block *block, const struct pa_caller *caller, uint64_t *frames, size_t max,
			     uint16_t *stop);

#endif
