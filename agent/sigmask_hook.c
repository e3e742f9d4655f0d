/* See sigmask_hook.h. World: hook. */
#include "agent/sigmask_hook.h"

#define RT_FIRST 34 /* libc keeps 32 and 33 and takes them out of full sets */
#define RT_LAST  64

struct pa_sigmask_plan pa_sigmask_plan_hook(int how, uint64_t set, uint64_t filtered, uint64_t belief, bool pinned)
{
	struct pa_sigmask_plan plan = {.kernel = set, .belief = belief};

	switch (how) {
	case SIG_BLOCK:
		plan.kernel = set & ~filtered;
		plan.belief = belief | (set & filtered);
		break;
	case SIG_UNBLOCK:
		plan.kernel = pinned ? set & ~filtered : set;
		plan.belief = belief & ~set;
		break;
	case SIG_SETMASK:
		plan.kernel = pinned ? set | filtered : set & ~filtered;
		plan.belief = set & filtered;
		break;
	default:
		break;
	}
	return plan;
}

bool pa_sigmask_all_realtime_hook(uint64_t set)
{
	uint64_t all = 0;

	for (int sig = RT_FIRST; sig <= RT_LAST; sig++)
		all |= UINT64_C(1) << (sig - 1);
	return (set & all) == all;
}
