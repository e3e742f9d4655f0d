/* Runs one command under a private collector (the work behind `perfagent record`). World: plain. */
#ifndef PA_TOOLS_RECORD_RUN_H
#define PA_TOOLS_RECORD_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/options.h"

#define PA_EXIT_TROUBLE    125 /* ours, before the command ran */
#define PA_EXIT_CANNOT_RUN 126
#define PA_EXIT_NOT_FOUND  127

struct pa_record_run {
	const char *output; /* NULL: COMMAND.PID.pfa; %p and %h expand */
	struct pa_options options;
	uint64_t duration_ns; /* 0: as long as the command lives */
	bool quiet;
	char **argv;
};

/* Returns the exit status of `record`: the command's own, or one of PA_EXIT_*. */
int pa_record_run(const struct pa_record_run *run);

/* The name of the recording. Shapes: template NULL: the default; out of size bytes. Errors: -ENAMETOOLONG. */
int pa_record_name(const char *template, const char *command, uint32_t pid, char *out, size_t size);
/* The absolute path of libperfagent.so: beside the running program, else in the library directory it was built for.
 * Errors: -ENOENT, out then holds where it was looked for. */
int pa_record_library(char *out, size_t size);

#endif
