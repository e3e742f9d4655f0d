/* A mask changed as the host would change it, for hooks that do so by themselves. World: hook. */
#ifndef PA_AGENT_HOOKS_SIGMASK_H
#define PA_AGENT_HOOKS_SIGMASK_H

#include <signal.h>

/* sigprocmask with a set of one signal, through our hook: result and *old (may be NULL) are the host's view. */
int pa_sigmask_change_one_hook(int how, int sig, sigset_t *old);

#endif
