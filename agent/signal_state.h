/* State shared by signal.c, signal_sig.c and signal_hook.c, and by nobody else. Every word is written by the holder of
 * `moving` (or the constructor) and read by anybody, but for those said otherwise. */
#ifndef PA_AGENT_SIGNAL_STATE_H
#define PA_AGENT_SIGNAL_STATE_H

#include "agent/signal.h"
#include "common/atomics.h"

struct pa_signal_state {
	_Atomic uint32_t moving; /* claim: one thread moves ticks or picks signals */
	_Atomic uint32_t chosen; /* pa_signal_install has run */
	_Atomic int current;     /* signal of the ticks, 0: none */
	_Atomic int nudge;       /* by which a collector draws attention to a request (nudge_sig.h), 0: none */
	_Atomic int realtime;    /* the spare, or the current one when that is a real-time signal; 0: none */
	_Atomic uint64_t filtered;
	_Atomic uint64_t shimmed;
	_Atomic bool retired;
	_Atomic bool onstack; /* our action has SA_ONSTACK */
	_Atomic bool
	    host_blocks; /* some handler of the host runs with our signal blocked; set by any thread, never cleared */
	_Atomic bool
	    host_onstack; /* some handler of the host runs on alternate stacks; set by any thread, never cleared */
	_Atomic uint64_t restorer;       /* libc's, for our own rt_sigaction calls; 0 where there is none */
	_Atomic uint64_t libc_flags;     /* SA_RESTORER where libc sets it */
	_Atomic uint64_t small_altstack; /* the smallest alternate stack seen, 0: none; any thread */
	/* [0] SIGPROF, [1] realtime, [2] the nudge: what the host set with SIG_DFL; any thread */
	_Atomic uint64_t virtual_flags[3];
	_Atomic uint64_t virtual_mask[3];
	_Atomic uint64_t added[PA_SIGNAL_MAX + 1]; /* per signal: what we added to the host's sa_mask; any thread */
};

extern struct pa_signal_state pa_signal_state;

/* Index into the virtual arrays. */
static inline unsigned pa_signal_index(int sig)
{
	if (sig == SIGPROF)
		return 0;
	return sig < PA_SIGNAL_REALTIME ? 2 : 1;
}

/* Installs our handler for `sig` if the host has nothing there. Returns false if it has. World: signal. */
bool pa_signal_shim_sig(int sig);
/* The next free real-time signal, shimmed; 0: none. World: signal. */
int pa_signal_pick_sig(int not_this);
/* The filtered set follows current and realtime; the sa_masks of the host's handlers on alternate stacks follow it.
 * World: signal. */
void pa_signal_refilter_sig(void);
/* Our action for `sig` as it should be now. World: signal. */
void pa_signal_own_action_sig(int sig, struct pa_kernel_action *action);

#endif
