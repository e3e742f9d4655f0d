/* The stacks of another process from outside: copied while its threads are stopped, walked and named when they run
 * again. Nothing is written to the process. World: plain. */
#ifndef PA_REMOTE_WALK_H
#define PA_REMOTE_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "collector/symbolize.h"
#include "common/wire.h"
#include "remote/registers.h"

/* What lies above the stack pointer of one thread, whole pages. */
struct pa_stack_copy {
	uint64_t start;
	size_t len;
	uint8_t *bytes; /* owned */
};

/* Copies up to max bytes from below the stack pointer upwards, as far as memory goes. The thread is stopped.
 * Errors: 0 (also when nothing could be read: len is 0), -ENOMEM. */
int pa_stack_copy(struct pa_stack_copy *copy, pid_t pid, uint64_t sp, size_t max);
void pa_stack_copy_free(struct pa_stack_copy *copy);

/* What is known of one process: its modules and their unwind tables and names. */
struct pa_walker;

/* Reads the process's mappings. with_names false: for walks alone. Errors: NULL with errno. */
struct pa_walker *pa_walker_new(pid_t pid, bool with_names);
void pa_walker_free(struct pa_walker *w);
/* Reads the mappings again, after a stop; what was known stays known. Errors: 0 or -errno. */
int pa_walker_rescan(struct pa_walker *w);

struct pa_walk {
	uint64_t frames[PA_FRAMES_MAX]; /* as in struct pa_sample: leaf first, PA_FRAME_EXACT */
	size_t nr;
	enum pa_stop stop;
	bool beyond; /* memory outside of the copy was read, as it is now */
};

/* One of the files that are mapped now. */
struct pa_modfile;
struct pa_walker_module {
	const struct pa_modfile *file; /* lent */
	uint64_t start, end, bias;
};
/* Shapes: visits each mapped image once; a result of fn that is not 0 ends the visit and is returned. */
int pa_walker_modules(struct pa_walker *w, int (*fn)(void *arg, const struct pa_walker_module *module), void *arg);

/* Walks one stack. Shapes: copy NULL: the thread is stopped now, memory is read as it is. nr is at least 1. */
void pa_walker_walk(struct pa_walker *w, const struct pa_registers *registers, const struct pa_stack_copy *copy,
		    struct pa_walk *out);

/* Where a frame's code is. */
struct pa_place {
	const char *module; /* path as the target sees it, lent; NULL: code in no file */
	uint64_t offset;    /* ELF virtual address in the module */
	uint64_t address;   /* in the process, of the instruction itself (the call, not what follows it) */
};
void pa_walker_place(struct pa_walker *w, uint64_t frame, struct pa_place *out);

/* The names of a frame, innermost inlined function first; those of a perf map for code in no file.
 * Shapes: out has room for max levels, strings are lent until the walker goes. Returns how many, 0: it has no name. */
size_t pa_walker_name(struct pa_walker *w, uint64_t frame, struct pa_symbol *out, size_t max);

#endif
