/* Moving the ticks to another signal, and signals of the host's that reach our handler: words by compare-and-swap and
 * raw system calls. World: signal. */
#include <string.h>
#include <time.h>
#include <ucontext.h>

#include "agent/session.h"
#include "agent/signal_state.h"
#include "agent/sysdep.h"
#include "agent/thread.h"

#define state pa_signal_state

static bool claim_moving(unsigned tries)
{
	struct timespec ms = {.tv_nsec = 1000000};

	while (!pa_claim_u32(&state.moving, 0, 1)) {
		if (tries-- == 0)
			return false;
		pa_sys(SYS_nanosleep, &ms, NULL);
	}
	return true;
}

/* Old ticks that wait on other threads would be taken for the host's own: ignoring a signal discards them. The host's
 * are hardly among them, because it could not block the signal so far. */
static void flush(int sig)
{
	struct pa_kernel_action ours, ignore;

	memset(&ignore, 0, sizeof(ignore));
	ignore.handler = (uint64_t)SIG_IGN;
	pa_signal_own_action_sig(sig, &ours);
	if (!(pa_signal_shimmed_sig() & PA_SIGNAL_BIT(sig)))
		return;
	pa_signal_action_sig(sig, &ignore, NULL);
	pa_signal_action_sig(sig, &ours, NULL);
}

bool pa_signal_demote_sig(int sig, unsigned tries)
{
	int current;

	if (!pa_signal_is_ours_sig(sig))
		return true;
	if (!claim_moving(tries))
		return false;
	current = pa_load_relaxed(&state.current);
	if (sig == pa_load_relaxed(&state.realtime))
		pa_store_relaxed(&state.realtime, pa_signal_pick_sig(sig));
	if (sig == current) {
		current = pa_load_relaxed(&state.realtime);
		pa_store_release(&state.current, current);
		pa_signal_refilter_sig();
		pa_thread_move_timers_sig(current);
		flush(sig);
		pa_thread_note_sig(current ? PA_NOTE_SIGNAL_MOVED : PA_NOTE_NO_SIGNAL, (uint64_t)current, 0);
	} else if (pa_signal_is_ours_sig(sig)) {
		pa_signal_refilter_sig();
	}
	pa_store_release(&state.moving, 0);
	return true;
}

/* The very same signal once more, to this thread or, when it had been sent to the process, to that. */
static void send_again(int sig, siginfo_t *info)
{
	long pid = pa_sys(SYS_getpid);

	if (info->si_code == SI_TKILL)
		pa_sys(SYS_rt_tgsigqueueinfo, pid, pa_sys(SYS_gettid), sig, info);
	else
		pa_sys(SYS_rt_sigqueueinfo, pid, sig, info);
}

/* sigset_t's first word is the kernel's mask. */
static void block_on_return(void *context, uint64_t bits)
{
	ucontext_t *uc = context;
	uint64_t mask;

	memcpy(&mask, &uc->uc_sigmask, sizeof(mask));
	mask |= bits;
	memcpy(&uc->uc_sigmask, &mask, sizeof(mask));
}

void pa_signal_foreign_sig(int sig, siginfo_t *info, void *context)
{
	struct pa_kernel_action fatal;

	if (!(pa_signal_shimmed_sig() & PA_SIGNAL_BIT(sig))) {
		send_again(sig, info); /* the host's own action is in place by now */
	} else if (pa_tls.host_blocks[sig != SIGPROF]) {
		pa_signal_demote_sig(sig, 0);
		pa_tls.host_blocks[sig != SIGPROF] = false;
		block_on_return(context, PA_SIGNAL_BIT(sig));
		send_again(sig, info);
	} else {
		memset(&fatal, 0, sizeof(fatal));
		pa_signal_action_sig(sig, &fatal, NULL);
		pa_sys(SYS_rt_tgsigqueueinfo, pa_sys(SYS_getpid), pa_sys(SYS_gettid), sig, info);
	}
}

void pa_signal_tick_sig(void *context)
{
	uint64_t filtered = pa_signal_filtered_sig();

	if (!pa_tls.host_blocks[0] || (filtered & PA_SIGNAL_BIT(SIGPROF)))
		return;
	pa_tls.host_blocks[0] = false;
	block_on_return(context, PA_SIGNAL_BIT(SIGPROF));
}
