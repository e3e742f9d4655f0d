/* syscall(), left by a jump: a child of clone returns through it on another stack. All seven arguments are in registers
 * here, so that the call at the end is a jump in any optimised build. World: hook. */
#include "agent/hooks_seccomp.h"
#include "agent/real.h"

typedef long syscall_fn(long number, long a, long b, long c, long d, long e, long f);

long pa_arch_hook_syscall(long number, long a, long b, long c, long d, long e, long f) __asm__("syscall");

PA_EXPORT long pa_arch_hook_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	return ((syscall_fn *)pa_syscall_route_hook(number, a, b, c))(number, a, b, c, d, e, f);
}
