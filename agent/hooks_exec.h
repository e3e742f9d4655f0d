/* What exec and posix_spawn share. World: hook. */
#ifndef PA_AGENT_HOOKS_EXEC_H
#define PA_AGENT_HOOKS_EXEC_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/exec_probe_hook.h"

/* What has to be taken out of envp, or put in, for the program that the probe describes; a program that goes without
 * the agent is noted. Returns PA_EXEC_* or 0. World: hook. */
unsigned pa_exec_take_hook(struct pa_exec_probe *probe, char *const envp[]);

/* A copy of envp changed so. Shapes and errors as pa_exec_env_without_hook. World: hook. */
bool pa_exec_env_change_hook(char *const envp[], unsigned take, char **copy, char *preload);

/* The constructor's: where the environment that we were started with names us. World: hook. */
void pa_exec_remember_hook(char *const envp[]);

#endif
