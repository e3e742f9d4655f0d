/* A recording for `perfagent leaks PID` of a process that nobody records. World: plain. */
#ifndef PA_TOOLS_LEAKS_ATTACH_H
#define PA_TOOLS_LEAKS_ATTACH_H

#include <stdbool.h>
#include <sys/types.h>

/* Runs `perfagent attach` on it, into a file that goes with us, by whatever we end but SIGKILL. Once per process of
 * ours. Errors: false: it cannot be attached to, or not be run; a sentence in why. */
bool pa_leaks_attach(pid_t pid, char *why, size_t size);
/* Whether it still runs; that its recording is there, and the process in it, comes later. */
bool pa_leaks_attaching(void);
/* Ends it and removes the file. No-op when there is none. */
void pa_leaks_detach(void);

#endif
