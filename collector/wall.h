/* Where threads are that do not run: at a rate, threads of all recorded processes are looked at in /proc, and the
 * stacks of those that wait are walked from outside. Nothing is stopped and nobody is signalled: the kernel tells the
 * program counter and the stack pointer of a thread that waits, the rest is read from its memory. Threads that run have
 * CPU samples.
 *
 * A thread that has not run since it was looked at last has the same stack, which costs one read. Rounds are further
 * apart when they cost more than PA_WALL_SHARE of a processor. How long a thread has waited is what the kernel counts,
 * however often it is looked at; looks decide to which stacks that time belongs. Callers: recorder.c,
 * recorder_process.c. World: plain. */
#ifndef PA_COLLECTOR_WALL_H
#define PA_COLLECTOR_WALL_H

#include <stdbool.h>
#include <stdint.h>

#define PA_WALL_PERIOD_NS UINT64_C(10000000)
#define PA_WALL_SHARE     20    /* of the time: one part in so many at most */
#define PA_WALL_WALKS     200   /* of one round */
#define PA_WALL_ROWS_MAX  65536 /* of a process */
#define PA_WALL_THREADS   4096  /* that are looked at, of a process */

struct pa_process;
struct pa_recorder;

struct pa_wall;

bool pa_wall_wanted(const struct pa_recorder *r);
/* Errors: 0 or -ENOMEM. No-op when it is not wanted. */
int pa_wall_open(struct pa_recorder *r);
/* When the first process is there: rounds begin. Idempotent. */
void pa_wall_begin(struct pa_recorder *r);
/* Once a second: what is new goes to the store. */
void pa_wall_flush(struct pa_recorder *r);
/* At a process's end: everything of it, and it is freed. */
void pa_wall_end(struct pa_process *p);
/* What was delivered goes to the recording; rounds end. */
void pa_wall_finish(struct pa_recorder *r);
void pa_wall_free(struct pa_recorder *r);

#endif
