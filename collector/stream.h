/* One agent that sends its rings over a connection (common/stream.h): its messages are applied to a session whose file
 * nobody else maps, and which is drained like any other. What the collector writes into the control page goes back the
 * same way. Nothing a client says is believed: slots, sizes and positions are checked, and the first message that makes
 * no sense ends the session. World: plain. */
#ifndef PA_COLLECTOR_STREAM_H
#define PA_COLLECTOR_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/loop.h"
#include "collector/session.h"
#include "common/stream.h"

struct pa_stream_ops {
	/* a ring has no room for what arrived: the session has to be drained now */
	void (*full)(void *arg);
	void *arg;
};

struct pa_streamed;

/* Whether a session of that geometry can be streamed. */
bool pa_streamed_fits(const struct pa_geometry *geometry);

/* Takes a duplicate of the connection; the session stays the caller's and has to outlive it. Errors: -errno. */
int pa_streamed_new(struct pa_loop *loop, struct pa_session *s, int connection, const struct pa_stream_ops *ops,
		    struct pa_streamed **out);
/* The CONFIG is on its way: sends the layout, and listens from now on. Errors: -errno. */
int pa_streamed_start(struct pa_streamed *st);
/* Closes: the agent goes dormant. NULL allowed. */
void pa_streamed_free(struct pa_streamed *st);

/* Applies what waits in the socket; NULL allowed. */
void pa_streamed_receive(struct pa_streamed *st);
/* Sends what has changed in the control page, if anything has; NULL allowed. */
void pa_streamed_push(struct pa_streamed *st);
/* A process of the target has ended, by its own number: its slots are free. NULL allowed. */
void pa_streamed_gone(struct pa_streamed *st, uint32_t inner_pid);

/* Whether some process still holds the other end. */
bool pa_streamed_is_open(const struct pa_streamed *st);
/* Whether it was us who closed it, because of what was sent. */
bool pa_streamed_is_bad(const struct pa_streamed *st);

/* Applies one packet to the session: the whole judgement, without the socket (units, fuzz_stream).
 * Errors: -EAGAIN: drain the session and try again; -EPROTO: it makes no sense; -errno of writing the file. */
int pa_stream_apply(struct pa_session *s, const void *packet, size_t len);

#endif
