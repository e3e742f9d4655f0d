/* What is spoken on the program's connections: socket hooks tell which calls were made, the framers (common/frame.h)
 * find the messages in them, and those that the session wants become MESSAGE records; beginnings and ends of
 * connections become CONNECTION records.
 *
 * Never in the way of the call: the real one is made once, with the host's own arguments, and nothing is held
 * meanwhile. Bytes are looked at where the program keeps them, before its call returns. Two threads in one way of one
 * connection: one is looked at, the other's bytes are missed, and the framer finds its way again. World: hook. */
#ifndef PA_AGENT_CONN_HOOK_H
#define PA_AGENT_CONN_HOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "agent/conn_area_hook.h"
#include "agent/wait_hook.h"

#define PA_CONN_MODES (PA_MODE_DB | PA_MODE_HTTP)

/* Whether nobody wants to know of connections now. */
static inline bool pa_conns_off(void)
{
	return __builtin_expect(!(pa_load_relaxed(&pa_wait_modes) & PA_CONN_MODES), 1);
}

/* Whether a transfer on this descriptor is of no interest: no stream socket, or nobody listens. */
static inline bool pa_conn_passes(int fd)
{
	return pa_conns_off() || pa_conn_kind(fd) == PA_CONN_IGNORED;
}

/* Around a call that transfers bytes. begin: the clock, before a call that sends; 0: not to be looked at. What is
 * received has its time after the call. */
uint64_t pa_conn_begin_hook(int fd, bool sends);

/* After it: n bytes went (n < 0: none, errno says why) out of, or into, the nr pieces at iov. start_ns: from begin. */
struct pa_transfer {
	int fd;
	bool sent; /* else received */
	uint64_t start_ns;
	const struct iovec *iov; /* NULL: they cannot be seen (sendfile) */
	size_t nr;
	ssize_t n;
};
void pa_conn_moved_hook(const struct pa_transfer *t, const struct pa_caller *caller);

/* socket(), socketpair(), or a descriptor that takes another's number: nothing is known of it. */
void pa_conn_reset_hook(int fd);
/* connect() has returned ret; errno as it left it. */
void pa_conn_connect_hook(int fd, int ret, uint64_t start_ns, const struct sockaddr *address, socklen_t len,
			  const struct pa_caller *caller);
/* The program asks how connecting went, and was told `error`. */
void pa_conn_asked_hook(int fd, int error, const struct pa_caller *caller);
/* accept() gave it. */
void pa_conn_accept_hook(int fd, const struct pa_caller *caller);
/* Before close(), dup2() and the like: first to last are about to be closed. */
void pa_conn_close_hook(int first, int last, const struct pa_caller *caller);

#endif
