/* Every way to set what a signal does. The host sees our signals as it would without us; its first wish for one of them
 * takes that signal out of our hands. Async-signal-safe as the functions they stand for: no lock, no allocation.
 * World: hook. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>

#include "agent/hooks_sigmask.h"
#include "agent/real.h"
#include "agent/session.h"
#include "agent/sigmask_hook.h"
#include "agent/signal.h"

/* to stand for old functions, their names have to be used */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

typedef int action_fn(int sig, const struct sigaction *act, struct sigaction *old);
typedef __sighandler_t signal_fn(int sig, __sighandler_t handler);

int __sigaction(int sig, const struct sigaction *act, struct sigaction *old);
__sighandler_t bsd_signal(int sig, __sighandler_t handler);

static bool is_shimmed(int sig)
{
	return sig >= 1 && sig <= PA_SIGNAL_MAX && (pa_signal_shimmed_sig() & PA_SIGNAL_BIT(sig));
}

/* Whether what is written here is this process's own: not in a vfork child. Under seccomp nobody may ask. */
static bool is_mine(void)
{
	return pa_signal_retired_sig() || pa_session_is_mine_hook();
}

static void get_virtual(int sig, struct sigaction *old)
{
	struct pa_kernel_action action;

	pa_signal_virtual_get_hook(sig, &action);
	old->sa_handler = (__sighandler_t)action.handler;
	pa_sigset_put(&old->sa_mask, action.mask);
	old->sa_flags = (int)action.flags;
	old->sa_restorer = (void (*)(void))action.restorer;
}

/* What was read back of `sig`, where the kernel still had our handler. */
static void hide_ours(int sig, struct sigaction *old)
{
	if (pa_signal_is_own_sig((uint64_t)old->sa_sigaction))
		get_virtual(sig, old);
}

static bool keeps_default(const struct sigaction *act)
{
	return !act || act->sa_handler == SIG_DFL;
}

/* A signal with our handler in the kernel, of which the host believes that it is SIG_DFL. */
static int shimmed_action(action_fn *real, int sig, const struct sigaction *act, struct sigaction *old)
{
	struct sigaction before;
	bool mine = !act || is_mine();
	int ret = 0;

	memset(&before, 0, sizeof(before));
	get_virtual(sig, &before);
	if (!mine) {
		/* a vfork child has signal actions of its own */
		ret = real(sig, act, NULL);
	} else if (keeps_default(act)) {
		if (act)
			pa_signal_virtual_set_hook(sig, (uint64_t)(unsigned)act->sa_flags,
						   pa_sigset_get(&act->sa_mask));
	} else {
		pa_signal_surrender_hook(sig);
		ret = real(sig, act, NULL);
	}
	if (ret == 0 && old) {
		pa_sigset_put(&old->sa_mask, pa_sigset_get(&before.sa_mask));
		old->sa_handler = before.sa_handler;
		old->sa_flags = before.sa_flags;
		old->sa_restorer = before.sa_restorer;
	}
	return ret;
}

/* A handler on alternate stacks must not be interrupted by a tick: there may be no room for it (F4). */
static bool needs_our_bits(const struct sigaction *act)
{
	return act && (act->sa_flags & SA_ONSTACK) && act->sa_handler != SIG_DFL && act->sa_handler != SIG_IGN;
}

static int change(action_fn *real, int sig, const struct sigaction *act, struct sigaction *old)
{
	uint64_t filtered = pa_signal_filtered_sig();
	uint64_t added_before, add = 0;
	struct sigaction with;
	int ret;

	if (sig < 1 || sig > PA_SIGNAL_MAX)
		return real(sig, act, old);
	if (is_shimmed(sig))
		return shimmed_action(real, sig, act, old);
	added_before = pa_signal_added_hook(sig);
	if (filtered && needs_our_bits(act) && is_mine()) {
		with = *act;
		add = filtered & ~pa_sigset_get(&act->sa_mask);
		pa_sigset_put(&with.sa_mask, pa_sigset_get(&act->sa_mask) | filtered);
		act = &with;
	}
	ret = real(sig, act, old);
	if (ret != 0)
		return ret;
	if (act && act->sa_handler != SIG_DFL && act->sa_handler != SIG_IGN)
		pa_signal_handler_mask_hook(pa_sigset_get(&act->sa_mask));
	if (act && (add || added_before) && is_mine())
		added_before = pa_signal_added_swap_hook(sig, add);
	if (old) {
		hide_ours(sig, old);
		if (added_before)
			pa_sigset_put(&old->sa_mask, pa_sigset_get(&old->sa_mask) & ~added_before);
	}
	return 0;
}

static inline bool engaged(void)
{
	pa_session_adopt_hook();
	return pa_signal_shimmed_sig() || pa_signal_filtered_sig();
}

PA_EXPORT int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	if (!engaged())
		return PA_REAL(sigaction)(sig, act, old);
	return change(PA_REAL(sigaction), sig, act, old);
}

PA_EXPORT int __sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	if (!engaged())
		return PA_REAL(__sigaction)(sig, act, old);
	return change(PA_REAL(__sigaction), sig, act, old);
}

/* The older functions set no SA_ONSTACK; of them only a wish for our signals matters. */
static __sighandler_t set_handler(signal_fn *real, int sig, __sighandler_t handler)
{
	__sighandler_t old;

	if (!engaged() || !is_shimmed(sig))
		return real(sig, handler);
	if (handler == SIG_ERR) {
		errno = EINVAL;
		return SIG_ERR;
	}
	if (is_mine()) {
		if (handler == SIG_DFL)
			return SIG_DFL;
		pa_signal_surrender_hook(sig);
		old = real(sig, handler);
		return old == SIG_ERR ? SIG_ERR : SIG_DFL;
	}
	old = real(sig, handler);
	return pa_signal_is_own_sig((uint64_t)old) ? SIG_DFL : old;
}

/* Headers may have turned `signal` into another name. */
__sighandler_t pa_hook_signal(int sig, __sighandler_t handler) __asm__("signal");

PA_EXPORT __sighandler_t pa_hook_signal(int sig, __sighandler_t handler)
{
	return set_handler(PA_REAL(signal), sig, handler);
}

PA_EXPORT __sighandler_t bsd_signal(int sig, __sighandler_t handler)
{
	return set_handler(PA_REAL(bsd_signal), sig, handler);
}

PA_EXPORT __sighandler_t ssignal(int sig, __sighandler_t handler)
{
	return set_handler(PA_REAL(ssignal), sig, handler);
}

PA_EXPORT __sighandler_t sysv_signal(int sig, __sighandler_t handler)
{
	return set_handler(PA_REAL(sysv_signal), sig, handler);
}

PA_EXPORT __sighandler_t __sysv_signal(int sig, __sighandler_t handler)
{
	return set_handler(PA_REAL(__sysv_signal), sig, handler);
}

/* sigset(sig, SIG_HOLD) blocks; with a handler it sets that and unblocks. It returns SIG_HOLD for a signal that was
 * blocked before, else the handler. */
PA_EXPORT __sighandler_t sigset(int sig, __sighandler_t handler)
{
	sigset_t before;

	if (!engaged() || !is_shimmed(sig) || !is_mine())
		return PA_REAL(sigset)(sig, handler);
	if (handler != SIG_HOLD && handler != SIG_DFL) {
		pa_signal_surrender_hook(sig);
		return PA_REAL(sigset)(sig, handler) == SIG_HOLD ? SIG_HOLD : SIG_DFL;
	}
	if (pa_sigmask_change_one_hook(handler == SIG_HOLD ? SIG_BLOCK : SIG_UNBLOCK, sig, &before) != 0)
		return SIG_ERR;
	return pa_sigset_get(&before) & PA_SIGNAL_BIT(sig) ? SIG_HOLD : SIG_DFL;
}

PA_EXPORT int sigignore(int sig)
{
	if (engaged() && is_shimmed(sig) && is_mine())
		pa_signal_surrender_hook(sig);
	return PA_REAL(sigignore)(sig);
}

/* libc reads the action, changes SA_RESTART and sets it again, past our hooks. */
PA_EXPORT int siginterrupt(int sig, int interrupt)
{
	int ret = PA_REAL(siginterrupt)(sig, interrupt);

	if (engaged() && is_shimmed(sig) && is_mine())
		pa_signal_repair_hook(sig);
	return ret;
}

PA_EXPORT int sigaltstack(const stack_t *stack, stack_t *old)
{
	if (stack && !(stack->ss_flags & SS_DISABLE))
		pa_signal_altstack_hook(stack->ss_size);
	return PA_REAL(sigaltstack)(stack, old);
}

PA_EXPORT int setitimer(__itimer_which_t which, const struct itimerval *value, struct itimerval *old)
{
	pa_session_adopt_hook();
	if (which == ITIMER_PROF && value && (value->it_value.tv_sec || value->it_value.tv_usec) &&
	    pa_signal_is_ours_sig(SIGPROF) && pa_session_is_mine_hook())
		pa_signal_yield_hook(SIGPROF);
	return PA_REAL(setitimer)(which, value, old);
}
