/* What exec and posix_spawn share. World: hook. */
#ifndef PA_AGENT_HOOKS_EXEC_H
#define PA_AGENT_HOOKS_EXEC_H

#include <stdint.h>

#include "agent/exec_probe_hook.h"

/* What has to be taken out of envp, which may name the agent, for the program that the probe describes; a program that
 * goes without the agent is noted. Returns PA_EXEC_TAKE_* or 0. World: hook. */
unsigned pa_exec_take_hook(struct pa_exec_probe *probe, char *const envp[]);

#endif
