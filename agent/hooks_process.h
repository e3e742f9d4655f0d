/* Fork by any way, for the hooks that meet one. World: hook. */
#ifndef PA_AGENT_HOOKS_PROCESS_H
#define PA_AGENT_HOOKS_PROCESS_H

#include <sys/types.h>

/* Calls real, a function that forks, with our signal held back, and makes the child's state anew. errno and result are
 * those of real; NULL: ENOSYS. */
pid_t pa_process_fork_hook(pid_t (*real)(void));

/* In a child of fork: the agent's state is made anew unless a hook has done it. errno stays. */
void pa_process_forked_hook(void);

#endif
