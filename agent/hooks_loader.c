/* dlclose: what the walker remembers of unloaded code has to be forgotten. dlopen is not interposed: the loader takes
 * its caller from the return address (F1), and rules are never kept for a pc in no module. World: hook. */
#include <dlfcn.h>
#include <link.h>

#include "agent/announce_sig.h"
#include "agent/got_sig.h"
#include "agent/real.h"
#include "agent/reference.h"
#include "agent/ring_sig.h"
#include "agent/session.h"
#include "agent/slots_sig.h"
#include "agent/thread.h"
#include "agent/timer_sig.h"
#include "agent/walk_sig.h"

static void record_unmap(uint64_t start, uint64_t end)
{
	struct pa_block *block = pa_tls.block;
	struct pa_unmap *unmap;
	uint32_t before;

	if (!block || pa_tls.in_hook || !pa_session_enter_sig(block, &before))
		return;
	pa_hook_begin(1);
	unmap = pa_record_begin_sig(block, &block->hook_ring, PA_REC_UNMAP, sizeof(*unmap), pa_now_sig(), 0);
	if (unmap) {
		unmap->start = start;
		unmap->end = end;
		pa_ring_commit(&block->hook_ring);
	}
	pa_tls.in_hook--;
	pa_session_leave_sig(block, before);
}

PA_EXPORT int dlclose(void *handle)
{
	const volatile struct link_map *map = handle; /* libc declares it nonnull; hosts pass NULL all the same */
	uint64_t start = 0, end = 0;
	bool tell;
	int ret;

	pa_session_adopt_hook();
	tell = map && pa_session_sampling_sig() && pa_walk_module_at_sig((uint64_t)map->l_ld, &start, &end);
	pa_got_unloading_sig();
	ret = PA_REAL(dlclose)(handle);
	pa_got_unloaded_sig();
	/* the loader may have unmapped more than this one (its dependencies), or nothing: forget in any case */
	pa_walk_flush_sig();
	pa_announce_recheck_sig();
	if (pa_reference_flush)
		pa_reference_flush();
	if (tell && !pa_walk_module_at_sig(start, &start, &end))
		record_unmap(start, end);
	return ret;
}
