/* What a thread notes of locks that it had to wait for and has not given back yet. Part of struct pa_block.
 * World: signal. */
#ifndef PA_AGENT_LOCK_STATE_H
#define PA_AGENT_LOCK_STATE_H

#include <stdint.h>

#define PA_LOCKS_HELD 8 /* more at once are written at once, the oldest first */

struct pa_lock_noted {
	uint64_t held; /* address of what has to be given back */
	uint64_t start_ns, got_ns;
	uint32_t order;
	uint16_t outcome;
	uint16_t reserved;
	uint32_t generation; /* of the session that has its LOCK_WAIT */
};

struct pa_locks {
	uint32_t nr;
	uint32_t order; /* of the latest wait */
	struct pa_lock_noted noted[PA_LOCKS_HELD];
};

#endif
