/* Every way to change a thread's mask but the ones that last as long as a wait. Our signal is never blocked in the
 * kernel by these; the host reads back what it set.
 *
 * sigsuspend, sigpause, ppoll, pselect and epoll_pwait are not here on purpose: a mask for the time of a wait needs no
 * filter, because a waiting thread uses no CPU time and so has no ticks, and what fell due is delivered when the wait
 * ends. Taking our signal out of their sets could only make them return EINTR.
 *
 * Async-signal-safe as the functions they stand for. World: hook. */
#include "agent/hooks_sigmask.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "agent/real.h"
#include "agent/session.h"
#include "agent/sigmask_hook.h"
#include "agent/signal.h"

/* to stand for old functions, their names have to be used */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

typedef int mask_fn(int how, const sigset_t *set, sigset_t *old);

int pa_hook_sigblock(int mask) __asm__("sigblock");
int pa_hook_sigsetmask(int mask) __asm__("sigsetmask");
int pa_hook_siggetmask(void) __asm__("siggetmask");

/* Whether masks pass as they are: no signal of ours, nothing owed to the host. */
static inline bool untouched(void)
{
	pa_session_adopt_hook();
	return !pa_signal_filtered_sig() && !pa_signal_belief_hook();
}

static void show(sigset_t *old, uint64_t belief)
{
	if (old && belief)
		pa_sigset_put(old, pa_sigset_get(old) | belief);
}

/* The result of the call is that of real. */
static int change(mask_fn *real, int how, const sigset_t *set, sigset_t *old)
{
	uint64_t filtered = pa_signal_filtered_sig();
	struct pa_sigmask_plan plan;
	uint64_t belief;
	sigset_t kernel;
	int ret;

	if (pa_signal_mask_child_hook())
		return real(how, set, old);
	if (!set) {
		ret = real(how, set, old);
		if (ret == 0)
			show(old, pa_signal_belief_hook());
		return ret;
	}
	belief = pa_signal_settle_hook();
	plan = pa_sigmask_plan_hook(how, pa_sigset_get(set), filtered, belief, pa_signal_pinned_hook());
	if (plan.belief != belief && !pa_session_is_mine_hook()) {
		pa_signal_mask_child_enter_hook();
		return real(how, set, old);
	}
	kernel = *set;
	pa_sigset_put(&kernel, plan.kernel);
	ret = real(how, &kernel, old);
	if (ret != 0)
		return ret;
	show(old, belief);
	if (plan.belief != belief)
		pa_signal_believe_hook(plan.belief);
	return 0;
}

PA_EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	if (untouched())
		return PA_REAL(sigprocmask)(how, set, old);
	return change(PA_REAL(sigprocmask), how, set, old);
}

PA_EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	if (untouched())
		return PA_REAL(pthread_sigmask)(how, set, old);
	return change(PA_REAL(pthread_sigmask), how, set, old);
}

/* The BSD functions know the first 32 signals only. */
static int change_bsd(int how, int mask)
{
	sigset_t set, old;

	sigemptyset(&set);
	pa_sigset_put(&set, (uint32_t)mask);
	return change(PA_REAL(sigprocmask), how, &set, &old) == 0 ? (int)(uint32_t)pa_sigset_get(&old) : -1;
}

PA_EXPORT int pa_hook_sigblock(int mask)
{
	return change_bsd(SIG_BLOCK, mask);
}

PA_EXPORT int pa_hook_sigsetmask(int mask)
{
	return change_bsd(SIG_SETMASK, mask);
}

PA_EXPORT int pa_hook_siggetmask(void)
{
	return change_bsd(SIG_BLOCK, 0);
}

int pa_sigmask_change_one_hook(int how, int sig, sigset_t *old)
{
	sigset_t set;

	sigemptyset(&set);
	pa_sigset_put(&set, PA_SIGNAL_BIT(sig));
	return change(PA_REAL(sigprocmask), how, &set, old);
}

PA_EXPORT int sighold(int sig)
{
	if (untouched() || !pa_signal_is_ours_sig(sig))
		return PA_REAL(sighold)(sig);
	return pa_sigmask_change_one_hook(SIG_BLOCK, sig, NULL);
}

PA_EXPORT int sigrelse(int sig)
{
	if (untouched() || !pa_signal_is_ours_sig(sig))
		return PA_REAL(sigrelse)(sig);
	return pa_sigmask_change_one_hook(SIG_UNBLOCK, sig, NULL);
}
