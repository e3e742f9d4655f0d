/* Callers: heap_sampled_hook.c, wait_hook.c, conn_record_hook.c. World: hook. */
#include "agent/caller_hook.h"

#include "agent/slots_sig.h"
#include "agent/walk_sig.h"

uint16_t pa_caller_walk_hook(struct pa_block *block, const struct pa_caller *caller, uint64_t *frames, size_t max,
			     uint16_t *stop)
{
	struct pa_walk_info *info = &block->hook_info;
	uint16_t nr = (uint16_t)pa_walk_here_sig(caller->pc, caller->sp, caller->fp, &block->stack, frames, max, info);

	*stop = info->stop;
	if (info->stop != PA_STOP_DEPTH)
		return nr;
	pa_bump(&block->hook_ring.out->truncated, 1);
	frames[nr++] = PA_FRAME_TRUNCATED;
	pa_copy_words(frames + nr, block->root, block->nr_root);
	return (uint16_t)(nr + block->nr_root);
}
