/* What a pc just behind a system call instruction tells. World: signal. */
#ifndef PA_AGENT_ARCH_BEHIND_H
#define PA_AGENT_ARCH_BEHIND_H

enum pa_arch_behind {
	PA_BEHIND_NOTHING = 0,
	PA_BEHIND_CALL = 1,    /* a system call that returns here */
	PA_BEHIND_SIGMASK = 2, /* rt_sigprocmask: what it unblocked is delivered here */
};

#endif
