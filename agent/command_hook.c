/* See command_hook.h. World: hook. */
#include "agent/command_hook.h"

#include "agent/attach_sig.h"
#include "agent/command_sig.h"
#include "agent/session.h"
#include "agent/signals_sig.h"
#include "agent/slots_sig.h"
#include "agent/sysdep.h"
#include "agent/thread.h"
#include "agent/timer_sig.h"

static void take(void)
{
	uint64_t began_ns = pa_now_sig(), mask = pa_signals_hold();
	bool attached = pa_command_take_sig();

	pa_signals_let(mask);
	if (!attached)
		return;
	pa_thread_adopt_hook();
	pa_thread_note_sig(PA_NOTE_STARTED, pa_now_sig() - began_ns, 0);
}

static void tidy(void)
{
	uint64_t mask = pa_signals_hold();

	pa_command_tidy_sig();
	pa_signals_let(mask);
}

/* What to act by meanwhile. */
static uint32_t mode_now(void)
{
	uint32_t mode = pa_heap_true_sig();

	return mode > PA_HEAP_EARLY ? PA_HEAP_OFF : mode;
}

__attribute__((noinline, cold)) uint32_t pa_command_hook(void)
{
	if (pa_tls.in_hook)
		return mode_now();
	if (pa_session_is_quiet_sig()) {
		pa_command_refuse_sig();
		return mode_now();
	}
	pa_session_adopt_only_hook();
	if (!pa_session_is_mine_hook())
		return mode_now();
	if (pa_load_relaxed(&pa_heap_mode) == PA_TRIGGER_COMMAND)
		take();
	if (pa_heap_true_sig() == PA_HEAP_START)
		pa_heap_start_hook();
	if (pa_heap_true_sig() == PA_HEAP_TIDY && pa_attach_may_tidy_sig())
		tidy();
	return mode_now();
}

bool pa_command_session_ended_hook(_Atomic uint32_t *busy)
{
	uint64_t mask;

	if (__builtin_expect(!pa_session_ended_sig(), 1) || !pa_session_is_mine_hook())
		return false;
	mask = pa_signals_hold();
	if (busy)
		pa_store_release(busy, 0);
	pa_command_ended_sig();
	pa_signals_let(mask);
	return true;
}
