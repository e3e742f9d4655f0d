/* Raw system calls: for handlers (no libc wrapper, no errno) and for calls the agent itself interposes. World: signal.
 */
#ifndef PA_AGENT_SYSDEP_H
#define PA_AGENT_SYSDEP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "agent/arch/arch.h"

/* Returns the result, or -errno. */
#define pa_sys(...)                                 PA_SYS_PICK(__VA_ARGS__, pa_sys6, pa_sys5, pa_sys4, pa_sys3, pa_sys2, pa_sys1, pa_sys0)(__VA_ARGS__)
#define PA_SYS_PICK(n, a, b, c, d, e, f, name, ...) name
#define pa_sys0(n)                                  pa_arch_syscall((n), 0, 0, 0, 0, 0, 0)
#define pa_sys1(n, a)                               pa_arch_syscall((n), (long)(a), 0, 0, 0, 0, 0)
#define pa_sys2(n, a, b)                            pa_arch_syscall((n), (long)(a), (long)(b), 0, 0, 0, 0)
#define pa_sys3(n, a, b, c)                         pa_arch_syscall((n), (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define pa_sys4(n, a, b, c, d)                      pa_arch_syscall((n), (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define pa_sys5(n, a, b, c, d, e)                   pa_arch_syscall((n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define pa_sys6(n, a, b, c, d, e, f)                                                                                   \
	pa_arch_syscall((n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* Whether no thread of this process, which is pid, has that id. World: hook. */
static inline bool pa_thread_is_gone_hook(uint32_t pid, uint32_t tid)
{
	return pa_sys(SYS_tgkill, pid, tid, 0) == -3; /* ESRCH */
}

#endif
