/* See nudge_sig.h. World: signal. */
#include "agent/nudge_sig.h"

#include "agent/arch/arch.h"
#include "agent/command_sig.h"
#include "agent/session.h"
#include "agent/signal_state.h"

static const int candidates[] = {SIGURG, SIGWINCH};

void pa_nudge_choose_sig(int not_this)
{
	pa_nudge_give_up_sig();
	if (pa_signal_retired_sig())
		return;
	for (unsigned i = 0; i < sizeof(candidates) / sizeof(*candidates); i++) {
		if (candidates[i] == not_this)
			continue;
		/* first: whose handler is installed depends on it */
		pa_store_release(&pa_signal_state.nudge, candidates[i]);
		if (pa_signal_shim_sig(candidates[i])) {
			pa_store_release(&pa_command.nudge, (uint32_t)candidates[i]);
			return;
		}
	}
	pa_store_release(&pa_signal_state.nudge, 0);
}

void pa_nudge_give_up_sig(void)
{
	pa_store_release(&pa_command.nudge, 0);
}

void pa_nudge_handler_sig(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	if (info->si_code != SI_QUEUE || (uint64_t)(uintptr_t)info->si_value.sival_ptr != PA_NUDGE_VALUE)
		return;
	pa_add_relaxed(&pa_command.nudged, 1);
	/* it ran when it was looked at, and fell asleep meanwhile */
	if (!pa_session_is_quiet_sig())
		pa_arch_wait_again(context);
	pa_command_nudged_sig();
}
