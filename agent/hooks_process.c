/* fork and the ends of a process. All are async-signal-safe, and so are these. World: hook. */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/figures_hook.h"
#include "agent/heap_hook.h"
#include "agent/hooks_process.h"
#include "agent/real.h"
#include "agent/session.h"
#include "agent/signal.h"
#include "agent/sysdep.h"
#include "agent/thread.h"

pid_t _Fork(void);

void pa_process_forked_hook(void)
{
	int saved = errno;

	pa_signal_forked_hook();
	/* a hook called by a fork handler of the host's may have done it */
	if (!pa_session_is_mine_hook()) {
		pa_session_forget_hook();
		pa_session_adopt_hook();
	}
	errno = saved;
}

pid_t pa_process_fork_hook(pid_t (*real)(void))
{
	struct pa_heap_thread *interrupted;
	uint64_t held;
	pid_t pid;

	if (!real) {
		errno = ENOSYS;
		return -1;
	}
	pa_session_adopt_hook();
	/* fork starts over when a signal is pending: with a big address space and a fast tick it would never end */
	pa_signal_hold_hook(&held);
	interrupted = pa_exact_fork_begin_hook();
	pid = real();
	pa_exact_fork_end_hook(interrupted, pid == 0);
	if (pid == 0)
		pa_process_forked_hook();
	pa_signal_release_hook(held);
	return pid;
}

PA_EXPORT pid_t fork(void)
{
	pid_t pid = pa_process_fork_hook(PA_REAL(fork));

	if (pid == 0)
		pa_figures_forked_hook(true);
	return pid;
}

PA_EXPORT pid_t _Fork(void)
{
	return pa_process_fork_hook(PA_REAL(_Fork));
}

static void end(void)
{
	pa_session_adopt_hook();
	pa_thread_process_end_hook(PA_PROCESS_EXIT);
}

PA_EXPORT void _exit(int status)
{
	end();
	PA_REAL(_exit)(status);
	for (;;)
		pa_sys(SYS_exit_group, status);
}

PA_EXPORT void _Exit(int status)
{
	end();
	PA_REAL(_Exit)(status);
	for (;;)
		pa_sys(SYS_exit_group, status);
}
