/* The Unix socket agents connect to: one HELLO in, one CONFIG out, connection closed.
 *
 * A target waits for the answer, so nothing here blocks or takes long; a client that says nothing is dropped after a
 * second; at most PA_LISTENER_CLIENTS wait at once (the oldest is dropped for a new one). World: plain. */
#ifndef PA_COLLECTOR_LISTENER_H
#define PA_COLLECTOR_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/loop.h"
#include "common/wire.h"

#define PA_LISTENER_CLIENTS 256

/* Who asks. */
struct pa_peer {
	uint32_t pid; /* the target's, as the collector sees it; 0: not visible from here (another pid namespace) */
	uint32_t uid; /* by SO_PEERCRED */
	uint32_t gid;
	int pidfd;      /* of the target, -1: none; the handler takes it over by setting it to -1 */
	int connection; /* lent: a handler that goes on with it takes a duplicate */
};

/* What is answered. */
struct pa_grant {
	uint32_t status; /* enum pa_config_status */
	int memfd;       /* lent; only when status is PA_CONFIG_OK */
	uint64_t file_size;
};

struct pa_listener;

/* Decides on a HELLO that has been checked; must be quick. `answered` follows once the CONFIG is on its way (ok) or
 * could not be sent (not ok: the agent stays dormant); for a grant that was not OK it is not called. */
struct pa_listener_ops {
	void (*hello)(void *arg, const struct pa_hello *hello, struct pa_peer *peer, struct pa_grant *grant);
	void (*answered)(void *arg, bool ok);
	void *arg;
};

/* Listens on `name`: a path (an old socket file nobody listens on is replaced), or '@' and an abstract name.
 * Errors: -errno: -ENAMETOOLONG, -EADDRINUSE (somebody listens there), ... */
int pa_listener_open(struct pa_loop *loop, const char *name, const struct pa_listener_ops *ops,
		     struct pa_listener **out);
/* The same on a socket that listens already and is somebody else's to remove: it was handed to us. Takes fd over, in
 * case of an error too. */
int pa_listener_adopt(struct pa_loop *loop, int fd, const struct pa_listener_ops *ops, struct pa_listener **out);
/* Closes, and unlinks the path if it was one that we made. NULL allowed. */
void pa_listener_close(struct pa_listener *l);

/* Connections that were dropped or refused before the handler was asked. */
uint64_t pa_listener_rejected(const struct pa_listener *l);

/* Judges one message as it would come from a client and fills the answer; the whole decision without the socket (unit
 * tests, fuzz_control). Returns the status of the CONFIG. */
uint32_t pa_listener_judge(const void *message, size_t len, struct pa_config *config);

#endif
