/* What exec and posix_spawn share. World: hook. */
#ifndef PA_AGENT_HOOKS_EXEC_H
#define PA_AGENT_HOOKS_EXEC_H

#include <stdint.h>

#include "agent/exec_probe_hook.h"

/* Whether the program the probe describes is to be executed without the agent although envp names it; notes it.
 * Returns PA_EXEC_* or 0. World: hook. */
uint32_t pa_exec_drop_hook(struct pa_exec_probe *probe, char *const envp[]);

#endif
