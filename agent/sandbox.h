/* Whether a seccomp filter inherited at start lets the agent live. World: plain (constructor). */
#ifndef PA_AGENT_SANDBOX_H
#define PA_AGENT_SANDBOX_H

#include <stdbool.h>

/* True when there is no filter, or when a throw-away copy of this process (not sharing its memory) survived every kind
 * of system call the agent makes. A filter that kills must kill the copy, not the host. */
bool pa_sandbox_allows(void);

#endif
