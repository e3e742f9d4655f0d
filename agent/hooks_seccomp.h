/* Where syscall() goes; its entry is in arch/. World: hook. */
#ifndef PA_AGENT_HOOKS_SECCOMP_H
#define PA_AGENT_HOOKS_SECCOMP_H

/* The function to jump to with syscall()'s arguments as they are, of which the first four matter here. What has to be
 * done before the call is done. errno stays. */
void *pa_syscall_route_hook(long number, long a, long b, long c);

#endif
