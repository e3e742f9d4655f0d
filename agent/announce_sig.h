/* Tells the collector about modules the walker has met, once each, with build-id: a library that lives for a
 * millisecond still gets its name. World: signal. */
#ifndef PA_AGENT_ANNOUNCE_SIG_H
#define PA_AGENT_ANNOUNCE_SIG_H

#include "agent/thread.h"

/* Writes a MODULE record into the block's signal ring for each module of block->info that is new to this process. */
void pa_announce_modules_sig(struct pa_block *block, uint64_t time_ns);

/* The same for a walk of a hook: into the block's hook ring. Only inside a hook (pa_tls.in_hook). */
void pa_announce_walk_sig(struct pa_block *block, const struct pa_walk_info *info, uint64_t time_ns);

/* A session begins, for which every module is new. */
void pa_announce_begin_sig(void);

/* After dlclose: what lies at an address has to be looked at again. */
void pa_announce_recheck_sig(void);

/* Finds the GNU build-id of a mapped module.
 * Shapes: start..end is the mapping, out has PA_BUILD_ID_MAX bytes. Returns its length, 0: none. Every page is probed
 * before it is read. */
uint32_t pa_build_id_sig(uint64_t start, uint64_t end, uint8_t *out);

#endif
