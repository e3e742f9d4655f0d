/* prctl and syscall: seccomp, and forks that bypass libc. A filter may forbid, with death, what the agent calls (S10),
 * so the agent is quiet before one takes effect, and stays so if the host's call fails. World: hook. */
#include "agent/hooks_seccomp.h"

#include <errno.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/heap_hook.h"
#include "agent/hooks_process.h"
#include "agent/probe_sig.h"
#include "agent/real.h"
#include "agent/session.h"
#include "agent/signal.h"
#include "agent/thread.h"

typedef int prctl_fn(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
typedef long syscall_fn(long number, long a, long b, long c, long d, long e);

/* libc declares it with "..."; the arguments are words in registers either way */
int pa_hook_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d) __asm__("prctl");

static void be_quiet(void)
{
	pa_session_adopt_hook();
	if (pa_session_is_mine_hook()) {
		pa_session_quiet_hook();
		pa_signal_retire_hook();
	}
}

/* A filter program that is NULL is the usual way to ask whether filters are to be had. */
static bool enters_by_prctl(unsigned long mode, unsigned long program)
{
	return mode == SECCOMP_MODE_STRICT || (mode == SECCOMP_MODE_FILTER && program);
}

static bool enters_by_seccomp(unsigned long operation, unsigned long program)
{
	return operation == SECCOMP_SET_MODE_STRICT || (operation == SECCOMP_SET_MODE_FILTER && program);
}

PA_EXPORT int pa_hook_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
	if (option == PR_SET_SECCOMP && enters_by_prctl(a, b))
		be_quiet();
	return ((prctl_fn *)PA_REAL(prctl))(option, a, b, c, d);
}

/* fork and clone take no more than five arguments. */
static long forking_syscall(long number, long a, long b, long c, long d, long e)
{
	struct pa_heap_thread *interrupted;
	uint64_t held;
	long pid;

	pa_session_adopt_hook();
	pa_signal_hold_hook(&held);
	interrupted = pa_exact_fork_begin_hook();
	pid = ((syscall_fn *)PA_REAL(syscall))(number, a, b, c, d, e);
	pa_exact_fork_end_hook(interrupted, pid == 0);
	if (pid == 0)
		pa_process_forked_hook();
	pa_signal_release_hook(held);
	return pid;
}

/* clone3 takes its arguments in memory, of which the kernel says whether it can be read. */
static bool forks_by_args(unsigned long args, unsigned long size)
{
	struct pa_pages none = {0, 0};
	struct clone_args copy;

	if (size < sizeof(copy.flags) * 8 || !pa_probe_range_sig(&none, args, 64))
		return false;
	memcpy(&copy, (const void *)args, 64);
	return !(copy.flags & CLONE_VM) && !copy.stack;
}

static inline bool forks(long number, unsigned long flags, unsigned long stack)
{
#ifdef SYS_fork
	if (number == SYS_fork)
		return true;
#endif
	/* with a stack of its own the child does not come back through us: its first hook makes its state */
	if (number == SYS_clone3)
		return forks_by_args(flags, stack);
	return number == SYS_clone && !(flags & CLONE_VM) && !stack;
}

/* What syscall() does with a result between -4095 and -1. */
long pa_syscall_failed_hook(long result)
{
	errno = (int)-result;
	return -1;
}

void *pa_syscall_route_hook(long number, long a, long b, long c)
{
#if defined(__x86_64__) /* elsewhere the number stays in a register for the handler to see */
	if (number == SYS_rt_sigprocmask)
		return (void *)pa_syscall_sigmask_hook;
#endif
	if (__builtin_expect(forks(number, (unsigned long)a, (unsigned long)b), 0))
		return (void *)forking_syscall;
	if ((number == SYS_seccomp && enters_by_seccomp((unsigned long)a, (unsigned long)c)) ||
	    (number == SYS_prctl && a == PR_SET_SECCOMP && enters_by_prctl((unsigned long)b, (unsigned long)c)))
		be_quiet();
	return pa_real_get(PA_REAL_syscall);
}
