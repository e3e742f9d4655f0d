/* Holding all signals off for a moment, ours and the host's. World: signal. */
#ifndef PA_AGENT_SIGNALS_SIG_H
#define PA_AGENT_SIGNALS_SIG_H

#include <signal.h>
#include <stdint.h>

#include "agent/sysdep.h"

/* Returns the thread's mask as it was. */
static inline uint64_t pa_signals_hold(void)
{
	uint64_t all = ~UINT64_C(0), before = 0;

	pa_sys(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, 8);
	return before;
}

static inline void pa_signals_let(uint64_t before)
{
	pa_sys(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, 8);
}

#endif
