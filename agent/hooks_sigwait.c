/* Waiting for signals by their number. A host that waits for SIGPROF, or for a real-time signal of ours in particular,
 * gets it for itself; one that waits for everything gets everything but our real-time signal. Waits are cancellation
 * points: the frames here unwind. World: hook. */
#include <signal.h>
#include <sys/signalfd.h>
#include <time.h>

#include "agent/real.h"
#include "agent/session.h"
#include "agent/sigmask_hook.h"
#include "agent/signal.h"

/* Gives way to an interest in our signals. Returns the bits the host must not wait for. */
static uint64_t give_way(const sigset_t *set)
{
	uint64_t wanted, realtime;

	pa_session_adopt_hook();
	wanted = pa_sigset_get(set) & pa_signal_filtered_sig();
	if (!wanted || !pa_session_is_mine_hook())
		return 0;
	if (wanted & PA_SIGNAL_BIT(SIGPROF))
		pa_signal_yield_hook(SIGPROF);
	realtime = wanted & ~PA_SIGNAL_BIT(SIGPROF);
	if (realtime && !pa_sigmask_all_realtime_hook(pa_sigset_get(set)))
		pa_signal_yield_hook(__builtin_ctzll(realtime) + 1);
	return pa_sigset_get(set) & pa_signal_filtered_sig();
}

static const sigset_t *without(const sigset_t *set, uint64_t bits, sigset_t *copy)
{
	if (!bits)
		return set;
	*copy = *set;
	pa_sigset_put(copy, pa_sigset_get(set) & ~bits);
	return copy;
}

PA_EXPORT int sigwait(const sigset_t *set, int *sig)
{
	sigset_t copy;

	return PA_REAL(sigwait)(without(set, give_way(set), &copy), sig);
}

PA_EXPORT int sigwaitinfo(const sigset_t *set, siginfo_t *info)
{
	sigset_t copy;

	return PA_REAL(sigwaitinfo)(without(set, give_way(set), &copy), info);
}

PA_EXPORT int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
	sigset_t copy;

	return PA_REAL(sigtimedwait)(without(set, give_way(set), &copy), info, timeout);
}

PA_EXPORT int signalfd(int fd, const sigset_t *set, int flags)
{
	sigset_t copy;

	return PA_REAL(signalfd)(fd, without(set, give_way(set), &copy), flags);
}
