/* What the handshake does otherwise when its connection stays (common/stream.h). World: plain (constructor). */
#ifndef PA_AGENT_STREAM_CONNECT_H
#define PA_AGENT_STREAM_CONNECT_H

#include "agent/slots_sig.h"
#include "common/stream.h"

/* A socket in the host's own table, under a high number, close-on-exec. For the time between two system calls it has
 * the lowest free number: where other threads run they could get another one than they would have, so then there is
 * none.   Errors: -errno; -EBUSY: the process has more than one thread. */
int pa_stream_open(void);

/* The CONFIG, then the layout, each waiting in the socket. Errors: -errno; -ECONNREFUSED: not wanted. */
int pa_stream_read_config(int sock);
int pa_stream_read_layout(int sock, struct pa_stream_layout *layout);

/* Makes the session's memory after a layout that has been checked, and notes what the descriptor is. Fewer slots where
 * the address space is limited.   Shapes: m as check_control has filled it; m->nr_slots may shrink.
 * Errors: -errno. */
int pa_stream_start(int sock, const struct pa_control *control, struct pa_mapping *m, void **base);

#endif
