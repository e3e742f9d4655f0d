/* See attach_sig.h. World: signal. */
#include "agent/attach_sig.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "agent/addrset_hook.h"
#include "agent/announce_sig.h"
#include "agent/arena.h"
#include "agent/command_sig.h"
#include "agent/heap_hook.h"
#include "agent/heap_thread_hook.h"
#include "agent/libs_sig.h"
#include "agent/session.h"
#include "agent/signal.h"
#include "agent/slots_sig.h"
#include "agent/stream_sig.h"
#include "agent/stream_sig.h"
#include "agent/sysdep.h"
#include "agent/thread.h"
#include "agent/timer_sig.h"
#include "agent/wait_hook.h"
#include "agent/walk_sig.h"

#define DEADLINE_MS 20 /* whoever asked for it is listening */

/* How long to wait for threads that are in the middle of a record: most are through at once, one that waits for room in
 * its heap ring takes up to 10 ms in one go. The first look comes after a pause: see pa_heap_threads_idle_sig. */
#define LOOKS    60
#define PAUSE_NS 100000

/* A thread that had no turn for longer, or none at all: hooks look again. */
#define TIDY_NS    1000000u
#define TIDY_TRIES 1000

static uint32_t hello_flags;
static bool leaving; /* what was mapped for the last session still is */
static _Atomic uint64_t tidy_ns;
static unsigned tidy_tries;

void pa_attach_init(uint32_t flags)
{
	hello_flags = flags;
}

static bool is_idle(uint32_t pid)
{
	bool threads = pa_heap_threads_idle_sig(pid);

	return pa_slots_idle_sig() && threads;
}

static void bury(void)
{
	pa_stream_end_sig();
	pa_slots_bury_sig();
	pa_heap_area_bury_sig();
	pa_heap_threads_rest_sig();
	pa_addrset_clear_sig();
	leaving = false;
	if (pa_heap_true_sig() == PA_HEAP_TIDY)
		pa_heap_set_sig(PA_HEAP_OFF);
}

static void wait_and_bury(void)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	uint32_t pid = (uint32_t)pa_sys(SYS_getpid);

	for (int i = 0; leaving && i < LOOKS; i++) {
		pa_heap_threads_idle_sig(pid);
		pa_sys(SYS_nanosleep, &pause, NULL);
		if (is_idle(pid))
			bury();
	}
	if (!leaving)
		return;
	tidy_tries = 0;
	pa_store_relaxed(&tidy_ns, pa_now_sig() + TIDY_NS);
	pa_heap_set_sig(PA_HEAP_TIDY);
}

bool pa_attach_may_tidy_sig(void)
{
	return pa_now_sig() >= pa_load_relaxed(&tidy_ns);
}

void pa_attach_tidy_sig(void)
{
	if (!leaving || pa_session_open_sig() || !pa_attach_may_tidy_sig())
		return;
	if (is_idle((uint32_t)pa_sys(SYS_getpid)))
		bury();
	else if (++tidy_tries == TIDY_TRIES)
		pa_heap_set_sig(PA_HEAP_OFF);
	pa_store_relaxed(&tidy_ns, pa_now_sig() + TIDY_NS);
}

void pa_attach_leave_sig(void)
{
	if (pa_session_open_sig()) {
		pa_heap_set_sig(PA_HEAP_OFF);
		pa_waits_quiet_sig();
		pa_libs_stop_sig();
		pa_stream_close_sig(pa_tls.block);
		pa_slots_close_sig();
		pa_thread_move_timers_sig(0);
		pa_command.session_inode = 0;
		leaving = true;
	}
	wait_and_bury();
}

static void remember(const char *path)
{
	size_t i = 0;

	for (; i < sizeof(pa_command.session_path) - 1 && path[i]; i++)
		pa_command.session_path[i] = path[i];
	pa_command.session_path[i] = '\0';
}

int pa_attach_open_sig(const struct pa_offer *offer, const char *path)
{
	int err;

	pa_announce_begin_sig();
	pa_walk_flush_sig();
	pa_heap_area_open_sig(&offer->heap);
	err = pa_slots_open_sig(offer->base, &offer->mapping);
	if (err) {
		pa_session_decline_sig(offer);
		pa_heap_area_open_sig(&(struct pa_heap_area){0});
		return err;
	}
	pa_command.session_inode = offer->inode;
	remember(path);
	if (pa_session_wants_cpu_sig())
		pa_signal_install_sig();
	return 0;
}

void pa_attach_tell_sig(void)
{
	uint64_t start, end;

	if (!pa_session_pin_sig())
		return;
	pa_arena_first_region_sig(&start, &end);
	pa_store_relaxed(&pa_mapping.control->own_start, start);
	pa_store_relaxed(&pa_mapping.control->own_end, end);
	pa_heap_begin_sig();
	pa_waits_start_sig();
	pa_session_unpin_sig();
}

int pa_attach_sig(const char *path, uint32_t command)
{
	struct pa_connect how = {.path = path, .flags = hello_flags, .command = command, .deadline_ms = DEADLINE_MS};
	struct pa_offer offer;
	int err;

	pa_attach_leave_sig();
	if (leaving)
		return -EAGAIN;
	err = pa_session_answer_sig(&how, &offer);
	err = err ? err : pa_attach_open_sig(&offer, path);
	if (err)
		return err;
	pa_thread_arm_all_sig();
	pa_attach_tell_sig();
	return 0;
}
