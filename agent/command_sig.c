/* See command_sig.h. World: signal. */
#include "agent/command_sig.h"

#include <errno.h>

#include "agent/attach_sig.h"
#include "agent/got_sig.h"
#include "agent/heap_hook.h"
#include "agent/nudge_sig.h"
#include "agent/session.h"
#include "agent/slots_sig.h"
#include "agent/sysdep.h"
#include "agent/thread.h"

struct pa_command pa_command;

/* Claim: one thread takes requests, opens and closes sessions. */
static _Atomic uint32_t working;

static void set_state(void)
{
	uint32_t state = pa_session_is_quiet_sig() ? PA_AGENT_QUIET
			 : pa_session_open_sig()   ? PA_AGENT_ATTACHED
						   : PA_AGENT_DORMANT;

	if (pa_load_relaxed(&pa_command.state) != PA_AGENT_DISABLED)
		pa_store_release(&pa_command.state, state);
}

void pa_command_init(uint32_t state)
{
	pa_command.magic = PA_WIRE_MAGIC;
	pa_command.major = PA_COMMAND_MAJOR;
	pa_command.trigger = (uint64_t)(uintptr_t)&pa_heap_mode;
	pa_store_relaxed(&pa_command.pid, (uint32_t)pa_sys(SYS_getpid));
	pa_store_release(&pa_command.state, state);
}

static int work_off(uint32_t seq)
{
	uint32_t kind = pa_command.kind, flags = pa_command.flags;

	if (kind == PA_COMMAND_DETACH) {
		pa_attach_leave_sig();
		pa_got_unhook_sig();
		return 0;
	}
	if (kind != PA_COMMAND_ATTACH)
		return -EINVAL;
	if ((flags & PA_COMMAND_IF_DORMANT) && pa_session_open_sig())
		return -EBUSY;
	return pa_attach_sig(pa_command.path, seq);
}

bool pa_command_take_sig(void)
{
	bool attached = false;
	uint32_t seq;

	if (!pa_claim_u32(&working, 0, 1))
		return false;
	/* pairs with the order in which it was written: the rest of the request is there */
	seq = pa_load_acquire(&pa_command.seq);
	pa_heap_restore_sig();
	if (seq != pa_load_relaxed(&pa_command.done)) {
		int result = work_off(seq);

		attached = !result && pa_session_open_sig();
		set_state();
		pa_store_relaxed(&pa_command.result, result);
		pa_store_release(&pa_command.done, seq);
	}
	pa_store_release(&working, 0);
	return attached;
}

/* What a tick does for threads without one. */
static void arm_listed(void)
{
	if (!pa_session_pin_sig())
		return;
	pa_thread_arm_listed_sig((uint32_t)pa_sys(SYS_getpid));
	pa_session_unpin_sig();
}

static void arm_this_thread(void)
{
	if (!pa_session_pin_sig())
		return;
	pa_thread_arm_other_sig((uint32_t)pa_sys(SYS_gettid));
	pa_session_unpin_sig();
}

void pa_command_nudged_sig(void)
{
	if (!pa_session_is_mine_sig())
		return;
	/* a hook is at work here: the request is for the next one */
	if (!pa_tls.in_hook && pa_command_take_sig())
		arm_this_thread();
	pa_command_ended_sig();
	arm_listed();
}

void pa_command_ended_sig(void)
{
	if (!pa_session_ended_sig() || !pa_claim_u32(&working, 0, 1))
		return;
	if (pa_session_ended_sig())
		pa_attach_leave_sig();
	set_state();
	pa_store_release(&working, 0);
}

void pa_command_tidy_sig(void)
{
	if (!pa_claim_u32(&working, 0, 1))
		return;
	pa_attach_tidy_sig();
	pa_store_release(&working, 0);
}

void pa_command_quiet_sig(void)
{
	set_state();
	pa_nudge_give_up_sig();
}

void pa_command_refuse_sig(void)
{
	pa_heap_restore_sig();
	pa_store_relaxed(&pa_command.result, -EPERM);
	pa_store_release(&pa_command.done, pa_load_relaxed(&pa_command.seq));
}

void pa_command_forked_sig(uint32_t pid)
{
	/* a session is open or closed by one store: half of one is none */
	if (pa_load_relaxed(&working))
		pa_store_relaxed(&pa_command.done, pa_load_relaxed(&pa_command.seq));
	pa_store_relaxed(&working, 0);
	pa_store_relaxed(&pa_command.pid, pid);
	set_state();
}
