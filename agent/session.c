/* Session state of this process. What must not survive a fork hangs off one page the kernel wipes in the child; the
 * mapping itself (slots_sig.c, mapping_sig.c) is inherited and stays good. Callers: init.c, every hook. World: hook. */
#include "agent/session.h"

#include <string.h>
#include <sys/mman.h>

#include "agent/command_hook.h"
#include "agent/command_sig.h"
#include "agent/heap_hook.h"
#include "agent/hot.h"
#include "agent/signal.h"
#include "agent/slots_sig.h"
#include "agent/stream_sig.h"
#include "agent/sysdep.h"
#include "agent/wait_hook.h"
#include "agent/walk_sig.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

/* On a page of its own; all zero in a child that nobody has adopted yet. */
struct own {
	_Atomic uint32_t pid;      /* the process this state belongs to */
	_Atomic uint32_t adopting; /* one thread of the child does it */
};

static struct own fallback; /* until the page is there: dormant */
static struct own *own = &fallback;
/* Not on that page: seccomp filters stay with the children. */
static _Atomic bool quiet PA_HOT;

int pa_session_state_init(void)
{
	long at = pa_sys(SYS_mmap, 0, (1 + PA_SLOTS_PAGES) * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);

	if (at < 0 && at > -4096)
		return (int)at;
	/* an older kernel refuses: then the fork hook alone tells a child from its parent */
	pa_sys(SYS_madvise, at, 4096, MADV_WIPEONFORK);
	own = (struct own *)at;
	pa_slots_place((void *)(at + 4096));
	pa_store_release(&own->pid, (uint32_t)pa_sys(SYS_getpid));
	return 0;
}

bool pa_session_is_mine_sig(void)
{
	/* under seccomp even this question may be deadly */
	return !pa_load_relaxed(&quiet) && pa_load_acquire(&own->pid) == (uint32_t)pa_sys(SYS_getpid);
}

bool pa_session_is_mine_hook(void)
{
	return pa_session_is_mine_sig();
}

bool pa_session_is_quiet_sig(void)
{
	return pa_load_relaxed(&quiet);
}

void pa_session_adopt_hook(void)
{
	if (__builtin_expect(pa_load_acquire(&own->pid) == 0, 0))
		pa_session_adopt_only_hook();
	pa_command_look_hook();
}

void pa_session_adopt_only_hook(void)
{
	uint32_t pid;

	if (pa_load_acquire(&own->pid) != 0 || own == &fallback || !pa_claim_u32(&own->adopting, 0, 1))
		return;
	pid = pa_load_relaxed(&quiet) ? UINT32_MAX : (uint32_t)pa_sys(SYS_getpid);
	pa_slots_forked_sig();
	pa_command_forked_sig(pid);
	pa_store_release(&own->pid, pid);
	if (!pa_load_relaxed(&quiet))
		pa_thread_after_fork_hook();
	pa_heap_after_fork_hook();
	pa_waits_after_fork_sig();
}

void pa_session_forget_hook(void)
{
	pa_store_release(&own->pid, 0);
	pa_store_release(&own->adopting, 0);
}

bool pa_session_sampling_sig(void)
{
	return pa_session_open_sig() && !pa_load_relaxed(&quiet) &&
	       pa_load_relaxed(&pa_mapping.control->state) == PA_SESSION_SAMPLING && !pa_session_ended_sig();
}

void pa_session_quiet_hook(void)
{
	if (pa_load_relaxed(&quiet))
		return;
	pa_thread_note_sig(PA_NOTE_SECCOMP, 0, 0);
	pa_stream_goodbye_sig(pa_tls.block);
	pa_stream_quiet_sig();
	pa_heap_quiet_hook();
	pa_waits_quiet_sig();
	pa_store_release(&quiet, true);
	pa_command_quiet_sig();
	pa_thread_move_timers_sig(0);
	pa_walk_set_quiet_sig(true);
}
