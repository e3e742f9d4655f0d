/* Putting the agent into a process that was not started with it, for `perfagent attach --inject`. World: plain. */
#ifndef PA_TOOLS_ATTACH_INJECT_H
#define PA_TOOLS_ATTACH_INJECT_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "collector/recorder.h"
#include "remote/inject.h"

struct pa_attach_inject {
	struct pa_injection injection;
	char library[PATH_MAX];
	bool hooked; /* the process's calls go through the agent because of us */
};

/* Loads the agent and puts it in front of libc; a process that was started with it is left as it is. All that can be
 * attached to afterwards. Errors: false, said on stderr: the process is untouched, or has a library more. */
bool pa_attach_inject(struct pa_attach_inject *a, pid_t pid, const char *subject);

/* What it was held up for: a note in the recording, a hint on stderr for a person. */
void pa_attach_inject_tell(const struct pa_attach_inject *a, struct pa_recorder *recorder, bool quiet);

/* At the end: where detaching has not taken the agent out of the way again, because it never was attached to, it is
 * done now. The library stays. */
void pa_attach_inject_undo(struct pa_attach_inject *a);

#endif
