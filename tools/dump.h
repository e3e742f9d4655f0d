/* What `perfagent dump` found, and its two ways out. World: plain. */
#ifndef PA_TOOLS_DUMP_H
#define PA_TOOLS_DUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "remote/snapshot.h"
#include "remote/walk.h"

#define PA_DUMP_LEVELS 64 /* inlined functions of one frame */

/* Threads whose stacks are equal. */
struct pa_dump_group {
	struct pa_walk walk;
	const struct pa_snapshot_thread **threads; /* by tid */
	size_t nr;
};

struct pa_dump {
	const struct pa_snapshot *snapshot;
	struct pa_walker *walker;
	const char *command; /* argv joined by blanks */
	pid_t inner_pid;
	bool lines; /* file and line, too */
	struct pa_dump_group *groups;
	size_t nr_groups;
};

/* Errors: those of the stream. */
void pa_dump_text(const struct pa_dump *d, FILE *out);
void pa_dump_json(const struct pa_dump *d, FILE *out);

/* "waiting in futex", "running", "stopped by a signal": of a thread that has a stack. Shapes: out holds at least 128
 * bytes. */
void pa_dump_state(const struct pa_snapshot_thread *t, char *out, size_t size);
/* Why a thread has no stack; NULL when it has one, or has ended in the meantime and is no more. */
const char *pa_dump_missing(const struct pa_snapshot_thread *t);
/* Why a walk did not reach the outermost frame; NULL when it did. */
const char *pa_dump_unfinished(const struct pa_walk *walk);

#endif
