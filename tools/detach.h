/* Telling processes that nobody records them any more. World: plain. */
#ifndef PA_TOOLS_DETACH_H
#define PA_TOOLS_DETACH_H

#include <stddef.h>
#include <stdint.h>

#include "remote/agent.h"

/* Agents that are to detach. */
struct pa_detaching {
	struct pa_agent *agents;
	size_t nr, max;
};

/* Asks one to detach, if it is attached by `path` (NULL: to whomever). What cannot be asked is left out: it has ended,
 * or is attached to somebody else by now. Errors: -ENOMEM, and those of pa_agent_request with a sentence in why. */
int pa_detaching_add(struct pa_detaching *d, pid_t pid, const char *path, char *why, size_t size);

/* Steps until all have done it, at most so long; sleeps between the steps. Returns how many have not: they do it when
 * they wake up. */
size_t pa_detaching_wait(struct pa_detaching *d, uint64_t limit_ns);
void pa_detaching_fini(struct pa_detaching *d);

#endif
