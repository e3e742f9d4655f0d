/* All threads of a process, stopped for a moment by ptrace(2) and let go again.
 *
 * The tracer is the calling thread: every function has to be called by the one that called pa_stop_all. When that
 * thread ends, or the whole process is killed, the kernel lets go of everything; so run it in a thread that ends soon,
 * because threads in uninterruptible sleep are given up and would stop when they wake. Signals that arrive meanwhile
 * are delivered when the thread goes on; processes that were stopped by SIGSTOP stay so. World: plain. */
#ifndef PA_REMOTE_STOP_H
#define PA_REMOTE_STOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "remote/registers.h"

enum pa_thread_hold {
	PA_HOLD_ASKED,   /* seized, not yet stopped */
	PA_HOLD_STOPPED, /* registers can be read */
	PA_HOLD_GONE,    /* it ended */
	PA_HOLD_REFUSED, /* it could not be seized: see error */
	PA_HOLD_LOST,    /* seized, but it did not stop in time */
	PA_HOLD_FREE,    /* let go */
};

struct pa_stopped {
	pid_t tid;
	enum pa_thread_hold hold;
	int error;  /* errno of a refusal; STOPPED: why there are no registers, ENOEXEC: a 32-bit program's */
	int signal; /* one that is being delivered: given back when the thread goes on */
	struct pa_registers registers; /* STOPPED and no error */
};

struct pa_stopping {
	pid_t pid;
	struct pa_stopped *threads;
	size_t nr, room;
	uint64_t began_ns; /* CLOCK_MONOTONIC before the first thread was asked to stop */
	uint64_t ended_ns; /* after the last one was let go */
};

/* Makes the calling thread, the tracer, as quick as it may be: while it waits for a processor, the target stands. */
void pa_stop_hurry(void);

/* Stops all threads, those that appear meanwhile included.
 * Shapes: s is overwritten; pa_stop_release is due afterwards, whatever the result. Units: limit_ns for the threads
 * that can run; those in uninterruptible sleep are given up after PA_STOP_ASLEEP_NS. An answer of EINTR that only the
 * stop is to blame for is taken back (pa_registers_hide_stop). Errors: 0: every thread is STOPPED, GONE, REFUSED or
 * LOST, and at least one is STOPPED; -ESRCH no such process; -EPERM not allowed; -ETIMEDOUT none stopped; -ENOMEM. */
#define PA_STOP_ASLEEP_NS 20000000u
#define PA_STOP_LIMIT_NS  1000000000u
int pa_stop_all(struct pa_stopping *s, pid_t pid, uint64_t limit_ns);

/* Lets one STOPPED thread go on. */
void pa_stop_let_go(struct pa_stopping *s, struct pa_stopped *thread);
/* Lets all go on and frees the list of threads; the times stay. */
void pa_stop_resume(struct pa_stopping *s);
void pa_stop_release(struct pa_stopping *s);

#endif
