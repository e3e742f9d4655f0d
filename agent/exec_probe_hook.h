/* Whether a program to be executed can load the agent. World: hook. */
#ifndef PA_AGENT_EXEC_PROBE_HOOK_H
#define PA_AGENT_EXEC_PROBE_HOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/preload.h"

struct pa_exec_probe {
	int dirfd;          /* AT_FDCWD, or as for execveat */
	bool by_descriptor; /* dirfd is the program itself */
	bool search;        /* file is looked for along PATH, as execvp does */
	const char *file;
	/* results */
	uint32_t refused;                  /* PA_EXEC_*; 0: nothing known against it */
	uint32_t machine;                  /* ELF class << 16 | e_machine */
	char runtime[PA_PRELOAD_NAME_MAX]; /* the sanitizer's runtime it needs to be the first library; "": none */
};

/* Looks into the file. With other threads about, in a helper that has descriptors of its own, so that nobody sees one
 * of ours (F3); a process with one thread opens and closes the file itself, with all signals blocked. Shapes: the
 * inputs are filled. Errors: none; what cannot be read is not refused. */
void pa_exec_probe_hook(struct pa_exec_probe *probe);

#endif
