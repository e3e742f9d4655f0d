/* Which signal carries our ticks, what the kernel has installed for it, and what the host believes about it.
 *
 * SIGPROF is the default and is never shared: as soon as the host shows interest in SIGPROF or ITIMER_PROF (or had it
 * ignored at start), the timers move to a free real-time signal. Three sets of signals, each one word:
 *
 *   current   the signal of the ticks; one or none
 *   filtered  current and the spare real-time signal the ticks would move to. Never blocked in the kernel through a
 *             hook, so that a move finds them deliverable on every thread; what the host believes is in
 * pa_tls.host_blocks shimmed   our handler is installed, the host believes in SIG_DFL. filtered is a part of it; a
 * signal the host waits for without a handler is shimmed and no longer filtered
 *
 * A belief in host_blocks whose signal is not filtered any more is overdue: the next mask call makes it true.
 * World: see each function. Files: signal.c, signal_sig.c, signal_hook.c, signal_move_sig.c. */
#ifndef PA_AGENT_SIGNAL_H
#define PA_AGENT_SIGNAL_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#define PA_SIGNAL_BIT(sig) (UINT64_C(1) << ((sig)-1))
#define PA_SIGNAL_MAX      64
#define PA_SIGNAL_REALTIME 34 /* as glibc's SIGRTMIN: it keeps 32 and 33 */

/* What the kernel takes and gives in rt_sigaction; the same layout on x86-64 and aarch64. */
struct pa_kernel_action {
	uint64_t handler;
	uint64_t flags;
	uint64_t restorer;
	uint64_t mask;
};

/* Our signal now: 0 before pa_signal_install or when there is none to be had. World: signal. */
int pa_signal_current_sig(void);

/* Whether a signal number is one the host must not see blocked, waited for or read as handled because it is ours. */
bool pa_signal_is_ours_sig(int sig);

/* The sets described above, as masks. World: signal. */
uint64_t pa_signal_filtered_sig(void);
uint64_t pa_signal_shimmed_sig(void);

/* Raw rt_sigaction; act or old may be NULL. Errors: -errno. World: signal. */
int pa_signal_action_sig(int sig, const struct pa_kernel_action *act, struct pa_kernel_action *old);

/* Learns what libc puts into the actions it installs. World: plain (constructor). */
void pa_signal_learn(void);

/* Chooses the signal and installs the handler `pa_cpu_handler_sig` with it; threads unblock it when they are armed.
 * Idempotent. Called once a session wants samples. Errors: -EBUSY: no free signal. World: signal. */
int pa_signal_install_sig(void);

/* Whether an action's handler is one of ours. World: signal. */
bool pa_signal_is_own_sig(uint64_t handler);

/* Unblocks our signal for the calling thread in the kernel and remembers what the host thinks (pa_tls.host_blocks).
 * World: hook; called when a thread's timer is armed. */
void pa_signal_thread_arm_hook(void);

/* Whether the host ever installed a handler that runs with our signal blocked (its sa_mask). World: signal. */
bool pa_signal_handlers_block_sig(void);
/* A handler was installed with this mask. World: hook. */
void pa_signal_handler_mask_hook(uint64_t mask);

/* The host is interested in `sig` (ours) without handling it: move the ticks to another one, or stop CPU sampling when
 * there is none. The shim stays. Safe to be called by several threads at once; one does the work. World: hook. */
void pa_signal_yield_hook(int sig);

/* The same for a host that is about to install a handler or SIG_IGN: after it nothing of ours is pending for `sig`,
 * this thread's mask for it is the real one, and the host's action can be installed as it is, over our handler. World:
 * hook. */
void pa_signal_surrender_hook(int sig);

/* Nothing of ours is wanted any more (seccomp): the host's masks and actions pass as they are. World: hook. */
void pa_signal_retire_hook(void);
/* Whether that was called in this process or one it was forked from. World: signal. */
bool pa_signal_retired_sig(void);

/* Our action for a shimmed signal as it should be, after somebody changed it behind the hooks. World: hook. */
void pa_signal_repair_hook(int sig);

/* In a forked child: the thread that was moving ticks in the parent is not there. World: hook. */
void pa_signal_forked_hook(void);

/* Blocks, and restores, our signal in the kernel around a call that a tick would make restart for ever (fork).
 * Shapes: state is opaque, filled by the first. World: hook. */
void pa_signal_hold_hook(uint64_t *state);
void pa_signal_release_hook(uint64_t state);

/* The kernel mask the host believes in, for exec: sets it for real; returns what it was. World: hook. */
uint64_t pa_signal_exec_mask_hook(void);
/* Takes that back when the exec failed. World: hook. */
void pa_signal_exec_failed_hook(uint64_t before);

/* What the host believes this thread blocks, of SIGPROF and our real-time signal, as a mask. World: hook. */
uint64_t pa_signal_belief_hook(void);
void pa_signal_believe_hook(uint64_t belief);
/* What a thread about to be created with attr (or NULL) inherits of this thread's host_blocks. World: hook. */
void pa_signal_inherit_hook(const pthread_attr_t *attr, bool blocks[2]);
/* Makes overdue beliefs true in the kernel; returns what is left of the belief. World: hook. */
uint64_t pa_signal_settle_hook(void);

/* A child by vfork runs on its parent's TLS. Once it changes its mask, that mask is passed to the kernel as it is and
 * host_blocks stays the parent's. True in such a child. World: hook. */
bool pa_signal_mask_child_hook(void);
/* Makes this process (a vfork child, see pa_session_is_mine_hook) such a child: its mask becomes the one the host
 * believes in. World: hook. */
void pa_signal_mask_child_enter_hook(void);

/* What the host set last for a shimmed signal: SIG_DFL with its flags and mask, as the kernel would give them back. */
void pa_signal_virtual_get_hook(int sig, struct pa_kernel_action *action);
void pa_signal_virtual_set_hook(int sig, uint64_t flags, uint64_t mask);

/* The host's handlers on alternate stacks have the filtered signals in their sa_mask (F4): remembers that the action
 * the host installs for `sig` got `bits` more than it asked for; returns what the one before had got. World: hook. */
uint64_t pa_signal_added_swap_hook(int sig, uint64_t bits);
uint64_t pa_signal_added_hook(int sig);
/* Whether this thread runs on an alternate stack where a tick must not nest. World: hook. */
bool pa_signal_pinned_hook(void);

/* The host is about to use an alternate stack of `bytes`: our handler leaves alternate stacks alone when that is too
 * small for it. World: hook. */
void pa_signal_altstack_hook(uint64_t bytes);

/* The handler (cpu_sig.c). */
void pa_cpu_handler_sig(int sig, siginfo_t *info, void *context);

/* Our handler was called for a signal that is no tick of ours: what happens is what would happen without us. The host
 * believes in SIG_DFL: the process dies of the signal, or, where the host believes it has the signal blocked, it
 * becomes pending and blocked for real, and the ticks move. context is the handler's third argument. World: signal. */
void pa_signal_foreign_sig(int sig, siginfo_t *info, void *context);

/* In each tick: an overdue belief of this thread becomes true when the handler returns. World: signal. */
void pa_signal_tick_sig(void *context);

/* Moves the ticks away from `sig` if they are on it; the working half of yield, for handlers too: tries is how often to
 * wait (a millisecond each) for another thread at the same work. Returns false when that thread was still at it.
 * World: signal. */
bool pa_signal_demote_sig(int sig, unsigned tries);

#endif
