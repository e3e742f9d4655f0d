/* Waits for locks of a recording, added up by where they waited. Who had the lock is known from the lock itself (a
 * thread) and, when that thread had to wait for it, too, from its own records (a stack). Callers: recorder*.c,
 * records.c. World: plain. */
#ifndef PA_COLLECTOR_LOCKS_H
#define PA_COLLECTOR_LOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/drain.h"
#include "common/lockwire.h"

#define PA_LOCK_SITES_MAX 16384             /* of a process */
#define PA_LOCK_SLOW_NS   UINT64_C(1000000) /* waits from here on have a row */
#define PA_LOCK_SLOW_MAX  20000             /* rows of a recording */
#define PA_LOCK_JOIN_NS   UINT64_C(50000)   /* a join that is shorter found the thread's end there */

struct pa_process;
struct pa_thread;
struct pa_recorder;
struct pa_recording_session;

bool pa_locks_wanted(const struct pa_recorder *r);
/* Once a second: what is new goes to the store. At a process's end: everything, and it is freed. */
void pa_locks_flush(struct pa_recording_session *rs);
void pa_locks_end(struct pa_process *p);
/* What it waited for then stays unfinished. */
void pa_locks_thread_ended(struct pa_thread *t);
/* Handlers of records. */
void pa_locks_on_wait(void *arg, const struct pa_drain_origin *from, const struct pa_record *record);
void pa_locks_on_done(void *arg, const struct pa_drain_origin *from, const struct pa_record *record);

#endif
