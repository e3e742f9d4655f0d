/* Records a process that runs already under a private collector (the work behind `perfagent attach`). World: plain. */
#ifndef PA_TOOLS_ATTACH_RUN_H
#define PA_TOOLS_ATTACH_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "collector/options.h"

struct pa_attach_run {
	pid_t pid;
	const char *output; /* NULL: NAME.PID.pfa; %p and %h expand */
	struct pa_options options;
	uint64_t duration_ns; /* 0: until it ends, or we are told to */
	bool inject;          /* the agent, if it is not there */
	bool replace;         /* take it from the collector it is attached to */
	bool quiet;
};

/* Returns the exit status: 0 recorded, PA_EXIT_BAD the process never woke up to be attached to, PA_EXIT_ERROR. */
int pa_attach_run(const struct pa_attach_run *asked);

#endif
