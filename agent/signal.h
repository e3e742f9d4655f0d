/* Which signal carries our ticks, what the kernel has installed for it, and what the host believes about it.
 *
 * SIGPROF is the default and is never shared: as soon as the host shows interest in SIGPROF or ITIMER_PROF (or had it
 * ignored at start), the timers move to a free real-time signal. World: see each function. */
#ifndef PA_AGENT_SIGNAL_H
#define PA_AGENT_SIGNAL_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* Our signal now: 0 before pa_signal_install or when there is none to be had. World: signal. */
int pa_signal_current_sig(void);

/* Whether a signal number is one the host must not see blocked, waited for or read as handled because it is ours. */
bool pa_signal_is_ours_sig(int sig);

/* Chooses the signal and installs the handler `pa_cpu_handler_sig` with it; unblocks it for the calling thread.
 * Idempotent. Called once a session wants samples. Errors: -EBUSY: no free signal (noted). World: plain. */
int pa_signal_install(void);

/* Unblocks our signal for the calling thread in the kernel and remembers what the host thinks (pa_tls.host_blocks).
 * World: hook; called when a thread's timer is armed. */
void pa_signal_thread_arm_hook(void);

/* The host wants `sig` (ours) for itself: move to another one, or stop CPU sampling when there is none. Safe to be
 * called by several threads at once; one does the work. World: hook. */
void pa_signal_yield_hook(int sig);

/* Blocks, and restores, our signal in the kernel around a call that a tick would make restart for ever (fork).
 * Shapes: state is opaque, filled by the first. World: hook. */
void pa_signal_hold_hook(uint64_t *state);
void pa_signal_release_hook(uint64_t state);

/* The kernel mask the host believes in, for exec: sets it for real; returns what it was. World: hook. */
uint64_t pa_signal_exec_mask_hook(void);

/* The handler (cpu_sig.c). */
void pa_cpu_handler_sig(int sig, siginfo_t *info, void *context);

#endif
