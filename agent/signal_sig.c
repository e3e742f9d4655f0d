/* The sets of signal.h and the kernel's actions for them. World: signal. */
#include <errno.h>
#include <string.h>
#include <sys/time.h>

#include "agent/hot.h"
#include "agent/nudge_sig.h"
#include "agent/signal_state.h"
#include "agent/sysdep.h"
#include "agent/thread.h"

struct pa_signal_state pa_signal_state PA_HOT;

#define state pa_signal_state

/* Faults inside our handler are the host's to see as ever; everything else waits until it returns, so that no handler
 * of the host can jump out of ours. */
#define SYNCHRONOUS                                                                                                    \
	(PA_SIGNAL_BIT(SIGSEGV) | PA_SIGNAL_BIT(SIGBUS) | PA_SIGNAL_BIT(SIGILL) | PA_SIGNAL_BIT(SIGFPE) |              \
	 PA_SIGNAL_BIT(SIGTRAP) | PA_SIGNAL_BIT(SIGSYS) | PA_SIGNAL_BIT(SIGABRT))

/* glibc and its applications use the topmost few and the first */
#define RT_KEEP_TOP    3
#define RT_KEEP_BOTTOM 1

int pa_signal_current_sig(void)
{
	return pa_load_acquire(&state.current);
}

bool pa_signal_handlers_block_sig(void)
{
	return pa_load_relaxed(&state.host_blocks);
}

uint64_t pa_signal_filtered_sig(void)
{
	return pa_load_acquire(&state.filtered);
}

uint64_t pa_signal_shimmed_sig(void)
{
	return pa_load_acquire(&state.shimmed);
}

bool pa_signal_retired_sig(void)
{
	return pa_load_relaxed(&state.retired);
}

bool pa_signal_is_ours_sig(int sig)
{
	return sig >= 1 && sig <= PA_SIGNAL_MAX && (pa_signal_filtered_sig() & PA_SIGNAL_BIT(sig));
}

int pa_signal_action_sig(int sig, const struct pa_kernel_action *act, struct pa_kernel_action *old)
{
	return (int)pa_sys(SYS_rt_sigaction, sig, act, old, 8);
}

bool pa_signal_is_own_sig(uint64_t handler)
{
	return handler == (uint64_t)pa_cpu_handler_sig || handler == (uint64_t)pa_nudge_handler_sig;
}

void pa_signal_own_action_sig(int sig, struct pa_kernel_action *action)
{
	bool is_nudge = sig == pa_load_relaxed(&state.nudge);

	action->handler = is_nudge ? (uint64_t)pa_nudge_handler_sig : (uint64_t)pa_cpu_handler_sig;
	action->flags = SA_SIGINFO | SA_RESTART | pa_load_relaxed(&state.libc_flags) |
			(pa_load_relaxed(&state.onstack) ? (uint64_t)SA_ONSTACK : 0);
	action->restorer = pa_load_relaxed(&state.restorer);
	action->mask = ~SYNCHRONOUS;
}

bool pa_signal_shim_sig(int sig)
{
	struct pa_kernel_action ours, old;

	if (pa_signal_action_sig(sig, NULL, &old) != 0 || old.handler != (uint64_t)SIG_DFL)
		return false;
	pa_signal_own_action_sig(sig, &ours);
	if (pa_signal_action_sig(sig, &ours, &old) != 0)
		return false;
	if (old.handler != (uint64_t)SIG_DFL) { /* the host came between the two calls */
		pa_signal_action_sig(sig, &old, NULL);
		return false;
	}
	pa_store_relaxed(&state.virtual_flags[pa_signal_index(sig)], old.flags);
	pa_store_relaxed(&state.virtual_mask[pa_signal_index(sig)], old.mask);
	atomic_fetch_or(&state.shimmed, PA_SIGNAL_BIT(sig));
	return true;
}

int pa_signal_pick_sig(int not_this)
{
	uint64_t pending = 0;

	/* one that is pending is in use: somebody will wait for it */
	pa_sys(SYS_rt_sigpending, &pending, 8);
	for (int sig = PA_SIGNAL_MAX - RT_KEEP_TOP; sig >= PA_SIGNAL_REALTIME + RT_KEEP_BOTTOM; sig--) {
		if (sig != not_this && !((pa_signal_shimmed_sig() | pending) & PA_SIGNAL_BIT(sig)) &&
		    pa_signal_shim_sig(sig))
			return sig;
	}
	return 0;
}

/* The sa_mask of one of the host's handlers on alternate stacks gets the filtered signals, and loses what it got
 * before. */
static void follow_mask(int sig, uint64_t filtered)
{
	uint64_t added = pa_load_relaxed(&state.added[sig]);
	struct pa_kernel_action action;
	uint64_t host_mask;

	if (pa_signal_action_sig(sig, NULL, &action) != 0 || action.handler <= (uint64_t)SIG_IGN ||
	    pa_signal_is_own_sig(action.handler) || !(action.flags & SA_ONSTACK))
		return;
	host_mask = action.mask & ~added;
	pa_store_relaxed(&state.host_onstack, true);
	pa_store_relaxed(&state.added[sig], filtered & ~host_mask);
	if (action.mask == (host_mask | filtered))
		return;
	action.mask = host_mask | filtered;
	pa_signal_action_sig(sig, &action, NULL);
}

void pa_signal_refilter_sig(void)
{
	int current = pa_load_relaxed(&state.current), realtime = pa_load_relaxed(&state.realtime);
	uint64_t filtered = (current ? PA_SIGNAL_BIT(current) : 0) | (realtime ? PA_SIGNAL_BIT(realtime) : 0);

	pa_store_release(&state.filtered, filtered);
	for (int sig = 1; sig <= PA_SIGNAL_MAX; sig++)
		follow_mask(sig, filtered);
}

/* An interval timer survives exec: then the SIGPROF to come is not ours. */
static bool profiling_timer_runs(void)
{
	struct itimerval now;

	return pa_sys(SYS_getitimer, ITIMER_PROF, &now) == 0 && (now.it_value.tv_sec || now.it_value.tv_usec);
}

int pa_signal_install_sig(void)
{
	int current = 0;

	if (!pa_claim_u32(&state.chosen, 0, 1))
		return pa_signal_current_sig() ? 0 : -EBUSY;
	if (!profiling_timer_runs() && pa_signal_shim_sig(SIGPROF))
		current = SIGPROF;
	pa_store_relaxed(&state.realtime, pa_signal_pick_sig(0));
	if (!current)
		current = pa_load_relaxed(&state.realtime);
	pa_store_release(&state.current, current);
	pa_signal_refilter_sig();
	return current ? 0 : -EBUSY;
}
