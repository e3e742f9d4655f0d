/* Where syscall() goes; its entry is in arch/. World: hook. */
#ifndef PA_AGENT_HOOKS_SECCOMP_H
#define PA_AGENT_HOOKS_SECCOMP_H

/* The function to jump to with syscall()'s arguments as they are, of which the first four matter here. What has to be
 * done before the call is done. errno stays. */
void *pa_syscall_route_hook(long number, long a, long b, long c);

/* x86-64, in assembly: jumped to with syscall()'s arguments. */
long pa_syscall_sigmask_hook(long number, long how, long set, long old, long size);
/* Sets errno from the kernel's -errno and returns -1. */
long pa_syscall_failed_hook(long result);

#endif
