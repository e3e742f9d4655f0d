/* Whether the agent can live here: under a seccomp filter that was inherited at start, under valgrind. World: plain (constructor). */
#ifndef PA_AGENT_SANDBOX_H
#define PA_AGENT_SANDBOX_H

#include <stdbool.h>

/* False under valgrind. True when there is no filter, or when a throw-away copy of this process (not sharing its memory) survived every kind
 * of system call the agent makes. A filter that kills must kill the copy, not the host. */
bool pa_sandbox_allows(void);

#endif
