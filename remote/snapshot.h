/* All threads of a process at one moment: what they are, their registers, and a copy of their stacks. World: plain. */
#ifndef PA_REMOTE_SNAPSHOT_H
#define PA_REMOTE_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "remote/registers.h"
#include "remote/stop.h"
#include "remote/walk.h"

struct pa_snapshot_thread {
	pid_t tid;
	pid_t inner_tid; /* in the process's own pid namespace; tid when that is ours */
	char name[32];   /* any bytes */
	char state;      /* R S D T Z ... as in /proc, before it was stopped; '?': not known */
	char wchan[64];  /* where in the kernel it slept; "": not known */
	long syscall;    /* the call it waited in; -1: none, or not known */
	enum pa_thread_hold hold;
	int error; /* why there are no registers: errno */
	struct pa_registers registers;
	struct pa_stack_copy stack;
};

struct pa_snapshot {
	pid_t pid;
	struct pa_snapshot_thread *threads; /* by tid */
	size_t nr;
	uint64_t stopped_ns; /* for how long */
};

/* Stops the process, copies, and lets it go on: all in a thread that ends before this returns, so that threads which
 * did not stop in time are not stopped later. Up to PA_SNAPSHOT_STACK bytes of each stack, less when there are very
 * many. Shapes: s is overwritten; to be freed also after an error. Errors: 0 and those of pa_stop_all. */
#define PA_SNAPSHOT_STACK (256u << 10)
#define PA_SNAPSHOT_TOTAL (128u << 20)
int pa_snapshot_take(struct pa_snapshot *s, pid_t pid);
void pa_snapshot_free(struct pa_snapshot *s);

#endif
