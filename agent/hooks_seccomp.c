/* prctl and syscall: seccomp, and forks that bypass libc. A filter may forbid, with death, what the agent calls (S10), so
 * the agent is quiet before one takes effect, and stays so if the host's call fails.
 *
 * syscall() must be left by a jump: a child of clone or vfork returns through it on a stack that is not, or no more, the
 * caller's. The compiler makes the calls at the end of it jumps. World: hook. */
#include <errno.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/hooks_process.h"
#include "agent/real.h"
#include "agent/session.h"
#include "agent/signal.h"
#include "agent/thread.h"

typedef int prctl_fn(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
typedef long syscall_fn(long number, long a, long b, long c, long d, long e, long f);

/* libc declares both with "..."; their arguments are words in registers either way */
int pa_hook_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d) __asm__("prctl");
long pa_hook_syscall(long number, long a, long b, long c, long d, long e, long f) __asm__("syscall");

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

static __attribute__((noinline)) long forking_syscall(syscall_fn *real, long number, long a, long b, long c, long d, long e)
{
	uint64_t held;
	long pid;

	pa_session_adopt_hook();
	pa_signal_hold_hook(&held);
	pid = real(number, a, b, c, d, e, 0);
	if (pid == 0)
		pa_process_forked_hook();
	pa_signal_release_hook(held);
	return pid;
}

static inline bool forks(long number, unsigned long flags, unsigned long stack)
{
#ifdef SYS_fork
	if (number == SYS_fork)
		return true;
#endif
	/* with a stack of its own the child does not come back through us: its first hook makes its state */
	return number == SYS_clone && !(flags & CLONE_VM) && !stack;
}

PA_EXPORT long pa_hook_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	syscall_fn *real = (syscall_fn *)PA_REAL(syscall);

	if (__builtin_expect(forks(number, (unsigned long)a, (unsigned long)b), 0))
		return forking_syscall(real, number, a, b, c, d, e);
	if ((number == SYS_seccomp && enters_by_seccomp((unsigned long)a, (unsigned long)c)) ||
	    (number == SYS_prctl && a == PR_SET_SECCOMP && enters_by_prctl((unsigned long)b, (unsigned long)c)))
		be_quiet();
	return real(number, a, b, c, d, e, f);
}
