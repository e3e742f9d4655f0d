/* Event loops of a recording: what their records add up to each second, which iterations kept them from their events
 * for long, and what these waited for. Callers: recorder*.c, records.c. World: plain. */
#ifndef PA_COLLECTOR_LOOPS_H
#define PA_COLLECTOR_LOOPS_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/drain.h"
#include "common/waitwire.h"

#define PA_LOOP_BLOCKED_NS  UINT64_C(50000000) /* an iteration this long blocks, when nobody says otherwise */
#define PA_LOOPS_MAX        16384              /* of a process */
#define PA_LOOP_WAITS_MAX   65536              /* kinds and stacks of long waits, of a process */
#define PA_LOOP_BLOCKED_MAX 100000             /* rows of a recording; the histogram counts all */

struct pa_process;
struct pa_recorder;
struct pa_recording_session;
struct pa_thread;

bool pa_loops_wanted(const struct pa_recorder *r);
/* Once a second: what is new goes to the store. At a process's end: everything, and it is freed. */
void pa_loops_flush(struct pa_recording_session *rs);
void pa_loops_end(struct pa_process *p);
/* Reads the control page. */
void pa_loops_losses(struct pa_recording_session *rs);
/* Handlers of records. */
void pa_loops_on_loop(void *arg, const struct pa_drain_origin *from, const struct pa_record *record);
void pa_loops_on_iteration(void *arg, const struct pa_drain_origin *from, const struct pa_record *record);
void pa_loops_on_wait(void *arg, const struct pa_drain_origin *from, const struct pa_record *record);

#endif
