/* The part of signal.h that hooks use: a thread's mask and what its host believes of it. World: hook. */
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>

#include "agent/nudge_sig.h"
#include "agent/real.h"
#include "agent/session.h"
#include "agent/signal_state.h"
#include "agent/sysdep.h"
#include "agent/thread.h"

#define state               pa_signal_state
#define YIELD_TRIES         50   /* milliseconds another thread may take to move the timers */
#define HANDLER_BYTES       4096 /* what our handler needs beside the kernel's frame */
#define PA_AT_MINSIGSTKSZ   51   /* newer than the oldest libc whose headers may be in use */
#define FRAME_BYTES_UNKNOWN 4096 /* AVX-512 frames take 3.4 KiB */

/* Signals this thread holds back around a fork: nobody's belief. */
static __thread uint64_t held __attribute__((tls_model("initial-exec")));
/* The vfork child that set a mask on this thread's TLS: in it the kernel's mask is the host's. */
static __thread uint32_t mask_child __attribute__((tls_model("initial-exec")));

int pthread_attr_getsigmask_np(const pthread_attr_t *attr, sigset_t *set); /* newer than the oldest headers in use */

static uint64_t change_mask(int how, uint64_t bits)
{
	uint64_t before = 0;

	pa_sys(SYS_rt_sigprocmask, how, &bits, &before, 8);
	return before;
}

uint64_t pa_signal_belief_hook(void)
{
	int realtime = pa_load_relaxed(&state.realtime);
	uint64_t belief = pa_tls.host_blocks[0] ? PA_SIGNAL_BIT(SIGPROF) : 0;

	if (pa_tls.host_blocks[1] && realtime)
		belief |= PA_SIGNAL_BIT(realtime);
	return belief;
}

void pa_signal_believe_hook(uint64_t belief)
{
	int realtime = pa_load_relaxed(&state.realtime);

	pa_tls.host_blocks[0] = belief & PA_SIGNAL_BIT(SIGPROF);
	pa_tls.host_blocks[1] = realtime && (belief & PA_SIGNAL_BIT(realtime));
	if (belief)
		pa_tls.filtered_ever = true;
}

uint64_t pa_signal_settle_hook(void)
{
	uint64_t belief = pa_signal_belief_hook();
	uint64_t overdue = belief & ~pa_signal_filtered_sig();

	if (overdue) {
		change_mask(SIG_BLOCK, overdue);
		belief &= ~overdue;
		pa_signal_believe_hook(belief);
	}
	return belief;
}

void pa_signal_inherit_hook(const pthread_attr_t *attr, bool blocks[2])
{
	sigset_t set;

	memcpy(blocks, pa_tls.host_blocks, sizeof(pa_tls.host_blocks));
	/* such a thread begins with that mask, ours included, and arming finds it there */
	if (attr && PA_REAL(pthread_attr_getsigmask_np) && PA_REAL(pthread_attr_getsigmask_np)(attr, &set) == 0)
		memset(blocks, 0, sizeof(pa_tls.host_blocks));
}

bool pa_signal_pinned_hook(void)
{
	stack_t now;

	return pa_load_relaxed(&state.host_onstack) && pa_sys(SYS_sigaltstack, NULL, &now) == 0 &&
	       (now.ss_flags & SS_ONSTACK);
}

/* Somebody took our signal by a system call of his own (a language runtime): it is his, and no shim of ours. */
static void check_taken(void)
{
	int current = pa_signal_current_sig();
	struct pa_kernel_action now;

	if (!current || pa_signal_action_sig(current, NULL, &now) != 0 || now.handler == (uint64_t)pa_cpu_handler_sig)
		return;
	atomic_fetch_and(&state.shimmed, ~PA_SIGNAL_BIT(current));
	pa_thread_note_sig(PA_NOTE_HANDLER_REPLACED, (uint64_t)current, 0);
	pa_signal_demote_sig(current, YIELD_TRIES);
}

void pa_signal_thread_arm_hook(void)
{
	uint64_t filtered, blocked;

	check_taken();
	filtered = pa_signal_filtered_sig() & ~held;
	if (!filtered || pa_signal_pinned_hook())
		return;
	blocked = change_mask(SIG_BLOCK, 0) & filtered;
	if (!blocked)
		return;
	/* the belief first: what is pending is delivered by the unblocking */
	pa_signal_believe_hook(pa_signal_belief_hook() | blocked);
	change_mask(SIG_UNBLOCK, blocked);
}

void pa_signal_yield_hook(int sig)
{
	bool believed = pa_signal_belief_hook() & PA_SIGNAL_BIT(sig);

	if (!pa_signal_is_ours_sig(sig))
		return;
	pa_signal_demote_sig(sig, YIELD_TRIES);
	if (believed) {
		change_mask(SIG_BLOCK, PA_SIGNAL_BIT(sig));
		pa_tls.host_blocks[sig != SIGPROF] = false;
	}
	pa_signal_thread_arm_hook();
}

void pa_signal_surrender_hook(int sig)
{
	pa_signal_yield_hook(sig);
	atomic_fetch_and(&state.shimmed, ~PA_SIGNAL_BIT(sig));
	if (sig == pa_load_relaxed(&state.nudge))
		pa_nudge_choose_sig(sig);
}

void pa_signal_retire_hook(void)
{
	if (!pa_signal_filtered_sig() && !pa_signal_shimmed_sig())
		return;
	pa_store_release(&state.retired, true);
	pa_store_release(&state.filtered, 0);
	pa_signal_settle_hook();
	pa_store_release(&state.current, 0);
}

void pa_signal_hold_hook(uint64_t *hold)
{
	uint64_t filtered = pa_signal_filtered_sig();

	*hold = filtered ? filtered & ~change_mask(SIG_BLOCK, filtered) : 0;
	held |= *hold;
}

void pa_signal_release_hook(uint64_t hold)
{
	held &= ~hold;
	if (hold)
		change_mask(SIG_UNBLOCK, hold);
}

void pa_signal_repair_hook(int sig)
{
	struct pa_kernel_action ours;

	pa_signal_own_action_sig(sig, &ours);
	pa_signal_action_sig(sig, &ours, NULL);
}

void pa_signal_forked_hook(void)
{
	if (!pa_exchange(&state.moving, 0))
		return;
	pa_signal_refilter_sig();
}

bool pa_signal_mask_child_hook(void)
{
	uint32_t pid;

	if (!mask_child)
		return false;
	pid = (uint32_t)pa_sys(SYS_getpid);
	if (pa_session_is_mine_hook())
		mask_child = 0;
	return mask_child == pid;
}

void pa_signal_mask_child_enter_hook(void)
{
	uint64_t belief = pa_signal_belief_hook();

	if (belief)
		change_mask(SIG_BLOCK, belief);
	mask_child = (uint32_t)pa_sys(SYS_getpid);
}

uint64_t pa_signal_exec_mask_hook(void)
{
	uint64_t belief = pa_signal_belief_hook();

	if (!belief || pa_signal_mask_child_hook())
		return belief;
	return change_mask(SIG_BLOCK, belief);
}

void pa_signal_exec_failed_hook(uint64_t before)
{
	uint64_t ours = pa_signal_belief_hook() & pa_signal_filtered_sig() & ~before;

	if (ours && !pa_signal_mask_child_hook())
		change_mask(SIG_UNBLOCK, ours);
}

void pa_signal_virtual_get_hook(int sig, struct pa_kernel_action *action)
{
	unsigned i = pa_signal_index(sig);

	action->handler = (uint64_t)SIG_DFL;
	action->flags = pa_load_relaxed(&state.virtual_flags[i]);
	action->mask = pa_load_relaxed(&state.virtual_mask[i]);
	action->restorer = action->flags & pa_load_relaxed(&state.libc_flags) ? pa_load_relaxed(&state.restorer) : 0;
}

void pa_signal_virtual_set_hook(int sig, uint64_t flags, uint64_t mask)
{
	unsigned i = pa_signal_index(sig);

	pa_store_relaxed(&state.virtual_flags[i], flags | pa_load_relaxed(&state.libc_flags));
	pa_store_relaxed(&state.virtual_mask[i], mask & ~(PA_SIGNAL_BIT(SIGKILL) | PA_SIGNAL_BIT(SIGSTOP)));
}

uint64_t pa_signal_added_swap_hook(int sig, uint64_t bits)
{
	if (bits)
		pa_store_relaxed(&state.host_onstack, true);
	return pa_exchange(&state.added[sig], bits);
}

uint64_t pa_signal_added_hook(int sig)
{
	return pa_load_relaxed(&state.added[sig]);
}

static uint64_t smallest_useful_altstack(void)
{
	uint64_t frame = getauxval(PA_AT_MINSIGSTKSZ);

	return (frame ? frame : FRAME_BYTES_UNKNOWN) + HANDLER_BYTES;
}

void pa_signal_altstack_hook(uint64_t bytes)
{
	uint64_t shimmed = pa_signal_shimmed_sig();
	struct pa_kernel_action ours;

	if (bytes >= smallest_useful_altstack())
		return;
	pa_store_relaxed(&state.small_altstack, bytes);
	if (!atomic_exchange(&state.onstack, false) || !shimmed)
		return;
	for (int sig = 1; sig <= PA_SIGNAL_MAX; sig++) {
		if (!(shimmed & PA_SIGNAL_BIT(sig)))
			continue;
		pa_signal_own_action_sig(sig, &ours);
		pa_signal_action_sig(sig, &ours, NULL);
	}
	pa_thread_note_sig(PA_NOTE_ALTSTACK_SMALL, bytes, 0);
}

void pa_signal_handler_mask_hook(uint64_t mask)
{
	if (mask & pa_signal_filtered_sig())
		pa_store_relaxed(&state.host_blocks, true);
}
