/* Choosing the signal, once a session wants samples. World: plain. */
#include <errno.h>
#include <string.h>
#include <sys/time.h>

#include "agent/real.h"
#include "agent/session.h"
#include "agent/signal_state.h"
#include "agent/sysdep.h"
#include "agent/thread.h"

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

/* An interval timer survives exec: then the SIGPROF to come is not ours. */
static bool profiling_timer_runs(void)
{
	struct itimerval now;

	return pa_sys(SYS_getitimer, ITIMER_PROF, &now) == 0 && (now.it_value.tv_sec || now.it_value.tv_usec);
}

int pa_signal_install(void)
{
	int current = 0;

	if (!pa_claim_u32(&state.chosen, 0, 1))
		return pa_signal_current_sig() ? 0 : -EBUSY;
	learn_restorer();
	pa_store_relaxed(&state.onstack, pa_load_relaxed(&state.small_altstack) == 0);
	if (!profiling_timer_runs() && pa_signal_shim_sig(SIGPROF))
		current = SIGPROF;
	pa_store_relaxed(&state.realtime, pa_signal_pick_sig(0));
	if (!current)
		current = pa_load_relaxed(&state.realtime);
	pa_store_release(&state.current, current);
	pa_signal_refilter_sig();
	if (!current) {
		pa_thread_note_sig(PA_NOTE_NO_SIGNAL, 0, 0);
		return -EBUSY;
	}
	return 0;
}
