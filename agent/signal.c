/* What is learnt of signals before anything is installed. World: plain. */
#include "agent/real.h"
#include "agent/signal_state.h"

#define state              pa_signal_state
#define KERNEL_SA_RESTORER 0x04000000u /* not in libc's headers */

/* libc's trampoline behind a handler is one that debuggers and unwinders know; ours would be another. The C library
 * shows it after an action was installed through it: SIGURG, which does nothing by default, is set to SIG_DFL as it is.
 */
static void learn_restorer(void)
{
	struct pa_kernel_action before, after;
	struct sigaction same;

	if (pa_signal_action_sig(SIGURG, NULL, &before) != 0 || PA_REAL(sigaction)(SIGURG, NULL, &same) != 0)
		return;
	PA_REAL(sigaction)(SIGURG, &same, NULL);
	if (pa_signal_action_sig(SIGURG, NULL, &after) == 0) {
		pa_store_relaxed(&state.restorer, after.restorer);
		pa_store_relaxed(&state.libc_flags, after.flags & KERNEL_SA_RESTORER);
	}
	pa_signal_action_sig(SIGURG, &before, NULL);
}

void pa_signal_learn(void)
{
	learn_restorer();
	pa_store_relaxed(&state.onstack, pa_load_relaxed(&state.small_altstack) == 0);
}
