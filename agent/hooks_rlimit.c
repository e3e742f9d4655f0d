/* RLIMIT_SIGPENDING: each of our timers takes one of the signals that the host may queue. A host that lowers the limit
 * gets its half first, so that its own timer_create is not refused afterwards (R28). RLIMIT_AS: rings nobody uses give
 * way (R54). World: hook. */
#include <stdbool.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/heap_ring_hook.h"
#include "agent/probe_sig.h"
#include "agent/real.h"
#include "agent/session.h"
#include "agent/signal.h"
#include "agent/sysdep.h"
#include "agent/thread.h"

_Static_assert(sizeof(struct rlimit) == sizeof(struct rlimit64), "one layout for both");

static bool is_shared(int resource)
{
	return resource == RLIMIT_SIGPENDING || resource == RLIMIT_AS;
}

/* Before the call: between it and a deletion another thread of the host's could be refused. A call that then fails has
 * cost samples and nothing else. A pointer the kernel cannot read is the kernel's to refuse. */
static void make_room(int resource, const void *at)
{
	const struct rlimit *limit = at;
	struct pa_pages pages = {0};

	if (!is_shared(resource) || !limit || pa_signal_retired_sig())
		return;
	pa_session_adopt_hook();
	if (!pa_session_is_mine_hook() || !pa_probe_range_sig(&pages, (uintptr_t)at, sizeof(*limit)) ||
	    limit->rlim_cur > limit->rlim_max)
		return;
	if (resource == RLIMIT_SIGPENDING) {
		pa_thread_limit_timers_hook(limit->rlim_cur);
	} else if (limit->rlim_cur != RLIM_INFINITY && pa_session_pin_sig()) {
		if (pa_heap_area.lines)
			pa_heap_rings_limit_hook((uint32_t)pa_sys(SYS_getpid), limit->rlim_cur);
		pa_session_unpin_sig();
	}
}

static bool is_this_process(pid_t pid)
{
	return pid == 0 || pid == (pid_t)pa_sys(SYS_getpid);
}

PA_EXPORT int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
	make_room((int)resource, limit);
	return PA_REAL(setrlimit)(resource, limit);
}

PA_EXPORT int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *limit)
{
	make_room((int)resource, limit);
	return PA_REAL(setrlimit64)(resource, limit);
}

PA_EXPORT int prlimit(pid_t pid, enum __rlimit_resource resource, const struct rlimit *limit, struct rlimit *old)
{
	if (limit && is_shared((int)resource) && is_this_process(pid))
		make_room((int)resource, limit);
	return PA_REAL(prlimit)(pid, resource, limit, old);
}

PA_EXPORT int prlimit64(pid_t pid, enum __rlimit_resource resource, const struct rlimit64 *limit, struct rlimit64 *old)
{
	if (limit && is_shared((int)resource) && is_this_process(pid))
		make_room((int)resource, limit);
	return PA_REAL(prlimit64)(pid, resource, limit, old);
}
