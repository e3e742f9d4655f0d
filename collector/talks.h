/* What a program's connections say: records of connections and messages, in the order of time, through a decoder each,
 * to exchanges (exchanges.h) and pools (pools.h). Messages of one connection may come from the rings of several
 * threads: what a look at the rings finds is put in order before it is decoded. Callers: recorder*.c, records.c.
 * World: plain. */
#ifndef PA_COLLECTOR_TALKS_H
#define PA_COLLECTOR_TALKS_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/drain.h"

#define PA_TALKS_BYTES_MAX  (32u << 20)  /* of records that wait for their order, of a recording */
#define PA_TALKS_CONNS_MAX  16384        /* of a process */
#define PA_TALKS_DECODE_MAX (256u << 20) /* bytes of all decoders of a recording */

struct pa_process;
struct pa_recorder;
struct pa_recording_session;
struct pa_talks;

bool pa_talks_wanted(const struct pa_recorder *r);
/* After the rings of a session were looked at: what is no younger than that look began is in order now. */
void pa_talks_pass(struct pa_recording_session *rs, uint64_t began_ns);
/* Once a second: what is new goes to the store. At a process's end: everything, and it is freed. */
void pa_talks_flush(struct pa_recording_session *rs);
void pa_talks_end(struct pa_process *p);
void pa_talks_free(struct pa_talks *t); /* the recording's; NULL allowed */
/* Handler of both records. */
void pa_talks_on_record(void *arg, const struct pa_drain_origin *from, const struct pa_record *record);

#endif
