/* Callers: hooks_socket.c, hooks_transfer.c. World: hook. */
#include "agent/conn_hook.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "agent/conn_record_hook.h"
#include "agent/session.h"
#include "agent/slots_sig.h"
#include "agent/sysdep.h"
#include "agent/timer_sig.h"

#define EVENTS 8 /* of one round of the framer */

/* ---- what a descriptor is ---------------------------------------------------------------------------------------- */

struct addresses {
	union pa_address peer, local;
	uint32_t peer_len, local_len;
};

static uint32_t ask_address(long nr, int fd, union pa_address *out)
{
	uint32_t len = sizeof(*out);

	memset(out, 0, sizeof(*out));
	if (pa_sys(nr, fd, out, &len) != 0)
		return 0;
	return len < sizeof(*out) ? len : sizeof(*out);
}

static int ask_option(int fd, int option)
{
	uint32_t len = sizeof(int);
	int value = -1;

	return pa_sys(SYS_getsockopt, fd, SOL_SOCKET, option, &value, &len) == 0 ? value : -1;
}

/* One of whose addresses is of that family. */
static bool is_stream_of(int fd, int family)
{
	return (family == AF_INET || family == AF_INET6 || family == AF_UNIX) && ask_option(fd, SO_TYPE) == SOCK_STREAM;
}

static bool is_stream(int fd)
{
	return is_stream_of(fd, ask_option(fd, SO_DOMAIN));
}

static uint16_t port_of(const union pa_address *a)
{
	return a->any.sa_family == AF_INET    ? __builtin_bswap16(a->in.sin_port)
	       : a->any.sa_family == AF_INET6 ? __builtin_bswap16(a->in6.sin6_port)
					      : 0;
}

static enum pa_proto hint_of(const union pa_address *a, uint32_t len)
{
	char path[sizeof(a->un.sun_path) + 1] = "";

	if (len && a->any.sa_family == AF_UNIX)
		memcpy(path, a->un.sun_path, sizeof(a->un.sun_path));
	return pa_frame_hint(len ? port_of(a) : 0, path);
}

/* Servers have a port that is known, a path, or the lower port. False: neither side can be told from the other. */
static bool tell_sides(const struct addresses *a, bool *is_client)
{
	const uint32_t named = offsetof(struct sockaddr_un, sun_path);

	if (a->peer.any.sa_family == AF_UNIX) {
		*is_client = a->peer_len > named;
		return a->peer_len > named || a->local_len > named;
	}
	if (hint_of(&a->peer, a->peer_len) != PA_PROTO_UNSURE)
		*is_client = true;
	else if (hint_of(&a->local, a->local_len) != PA_PROTO_UNSURE)
		*is_client = false;
	else
		*is_client = port_of(&a->local) > port_of(&a->peer);
	return true;
}

/* ---- cells ------------------------------------------------------------------------------------------------------- */

void pa_conn_init_hook(struct pa_conn_at *at, struct pa_conn *c, bool is_client, enum pa_proto hint, bool mid)
{
	c->id = pa_conn_next_id_hook();
	c->session = pa_conn_area_session_hook();
	c->pid = at->block->pid;
	c->error = 0;
	c->is_client = is_client;
	c->connecting = false;
	c->start_ns = 0;
	for (int way = 0; way < 2; way++) {
		c->order[way] = 0;
		pa_store_relaxed(&c->busy[way], 0);
		pa_store_relaxed(&c->missed[way], 0);
	}
	pa_store_relaxed(&c->is_tls, 0);
	pa_frame_init(&c->frame, PA_PROTO_UNSURE, hint, mid);
}

/* A cell that nobody else is making; its number is new. */
static struct pa_conn *make(struct pa_conn_at *at, int fd, bool is_client, enum pa_proto hint, bool mid)
{
	struct pa_conn *c = pa_conn_cell_hook(fd);

	if (!c || !pa_claim_u32(&c->making, 0, 1))
		return NULL;
	pa_conn_init_hook(at, c, is_client, hint, mid);
	pa_conn_set_kind_hook(fd, PA_CONN_STREAM);
	pa_store_release(&c->making, 0);
	return c;
}

/* It was there before us, or came by a way we do not see. */
static struct pa_conn *find(struct pa_conn_at *at, int fd)
{
	struct addresses a;
	struct pa_conn *c;
	enum pa_proto hint;
	bool is_client;

	a.local_len = ask_address(SYS_getsockname, fd, &a.local);
	if (!is_stream_of(fd, a.local_len ? a.local.any.sa_family : AF_UNSPEC)) {
		pa_conn_set_kind_hook(fd, PA_CONN_IGNORED);
		return NULL;
	}
	a.peer_len = ask_address(SYS_getpeername, fd, &a.peer);
	if (!a.peer_len) /* not connected, or no more */
		return NULL;
	if (!tell_sides(&a, &is_client)) {
		pa_conn_set_kind_hook(fd, PA_CONN_IGNORED);
		return NULL;
	}
	hint = is_client ? hint_of(&a.peer, a.peer_len) : hint_of(&a.local, a.local_len);
	c = make(at, fd, is_client, hint, true);
	if (c)
		pa_conn_put_hook(at, c, fd,
				 &(struct pa_conn_event){
				     .event = PA_CONNECTION_FOUND, .address = &a.peer, .address_len = a.peer_len});
	return c;
}

/* A child's connections are its parent's until it uses them; then they have a number of its own. */
static void inherit(struct pa_conn_at *at, struct pa_conn *c, int fd)
{
	union pa_address peer;
	uint32_t parents = c->id, len = ask_address(SYS_getpeername, fd, &peer);

	c->pid = at->block->pid;
	c->id = pa_conn_next_id_hook();
	c->order[0] = c->order[1] = 0;
	pa_conn_put_hook(
	    at, c, fd,
	    &(struct pa_conn_event){
		.event = PA_CONNECTION_INHERITED, .address = &peer, .address_len = len, .parents = parents});
}

static struct pa_conn *conn_of(struct pa_conn_at *at, int fd)
{
	struct pa_conn *c = pa_conn_peek_hook(fd);
	uint8_t kind = pa_conn_kind(fd);

	if (kind == PA_CONN_IGNORED)
		return NULL;
	if (kind != PA_CONN_STREAM || !c || c->session != pa_conn_area_session_hook())
		return find(at, fd);
	if (c->pid != at->block->pid)
		inherit(at, c, fd);
	return c;
}

/* ---- what flows -------------------------------------------------------------------------------------------------- */

static bool is_wanted(enum pa_proto proto)
{
	uint32_t modes = pa_load_relaxed(&pa_wait_modes);

	return proto == PA_PROTO_HTTP ? (modes & PA_MODE_HTTP) != 0 : (modes & PA_MODE_DB) != 0;
}

static void put_events(struct pa_conn_at *at, struct pa_conn *c, enum pa_way way, const struct pa_frame_out *out)
{
	enum pa_proto proto = pa_load_relaxed(&c->frame.proto);

	for (uint32_t i = 0; i < out->nr; i++) {
		if (out->list[i].kind < PA_FRAME_PG_STARTUP || is_wanted(proto))
			pa_conn_put_message_hook(at, c, way, &out->list[i]);
	}
}

static void feed_piece(struct pa_conn_at *at, struct pa_conn *c, enum pa_way way, const uint8_t *buf, size_t len)
{
	struct pa_frame_event list[EVENTS];
	struct pa_frame_out out = {.list = list, .max = EVENTS};

	while (len) {
		size_t took = pa_frame_feed(&c->frame, way, buf, len, at->now_ns, &out);

		if (!took && !out.nr)
			return;
		put_events(at, c, way, &out);
		out.nr = 0;
		buf = buf ? buf + took : NULL;
		len -= took;
	}
}

void pa_conn_feed_hook(struct pa_conn_at *at, struct pa_conn *c, enum pa_way way, const struct pa_transfer *t)
{
	size_t left = (size_t)t->n;

	if (atomic_exchange_explicit(&c->busy[way], 1, memory_order_acquire)) {
		pa_store_relaxed(&c->missed[way], 1);
		return;
	}
	if (pa_load_relaxed(&c->missed[way])) {
		pa_store_relaxed(&c->missed[way], 0);
		pa_frame_lost(&c->frame, way);
	}
	for (size_t i = 0; t->iov && i < t->nr && left; i++) {
		size_t len = t->iov[i].iov_len < left ? t->iov[i].iov_len : left;

		feed_piece(at, c, way, t->iov[i].iov_base, len);
		left -= len;
	}
	if (!t->iov)
		feed_piece(at, c, way, NULL, left);
	atomic_store_explicit(&c->busy[way], 0, memory_order_release);
}

/* Both ways begin anew: what was framed so far led to encryption, or was it. */
static void begin_tls(struct pa_conn_at *at, struct pa_conn *c, int fd)
{
	/* a connection whose handshake was seen has said nothing yet */
	bool mid = pa_load_relaxed(&c->frame.proto) != PA_PROTO_OPAQUE;
	union pa_address a;
	uint32_t len = ask_address(c->is_client ? SYS_getpeername : SYS_getsockname, fd, &a);

	if (atomic_exchange_explicit(&c->busy[0], 1, memory_order_acquire))
		return;
	if (!atomic_exchange_explicit(&c->busy[1], 1, memory_order_acquire)) {
		pa_frame_init(&c->frame, PA_PROTO_UNSURE, hint_of(&a, len), mid);
		pa_conn_set_kind_hook(fd, PA_CONN_STREAM);
		pa_store_release(&c->is_tls, 1);
		pa_conn_put_hook(at, c, fd, &(struct pa_conn_event){.event = PA_CONNECTION_TLS});
		pa_store_release(&c->busy[1], 0);
	}
	pa_store_release(&c->busy[0], 0);
}

struct pa_conn *pa_conn_tls_hook(struct pa_conn_at *at, int fd)
{
	struct pa_conn *c = pa_conn_peek_hook(fd);

	/* what was taken for a protocol that is none of ours */
	if (pa_conn_kind(fd) == PA_CONN_IGNORED && (!c || c->session != pa_conn_area_session_hook() ||
						    c->pid != at->block->pid || pa_load_relaxed(&c->is_tls)))
		return NULL;
	if (pa_conn_kind(fd) != PA_CONN_IGNORED)
		c = conn_of(at, fd);
	if (c && !pa_load_acquire(&c->is_tls))
		begin_tls(at, c, fd);
	return c && pa_load_acquire(&c->is_tls) ? c : NULL;
}

static void end_of_way(struct pa_conn_at *at, struct pa_conn *c, enum pa_way way)
{
	struct pa_frame_event list[2];
	struct pa_frame_out out = {.list = list, .max = 2};

	if (atomic_exchange_explicit(&c->busy[way], 1, memory_order_acquire))
		return;
	pa_frame_close(&c->frame, way, at->now_ns, &out);
	put_events(at, c, way, &out);
	atomic_store_explicit(&c->busy[way], 0, memory_order_release);
}

/* It takes no more looking at: nothing that we know, nothing that can be read, nothing that is wanted. */
static bool is_settled(int fd, const struct pa_conn *c)
{
	enum pa_proto proto = pa_load_relaxed(&c->frame.proto);

	if (proto == PA_PROTO_OPAQUE)
		return true; /* its end is of interest */
	if (proto != PA_PROTO_NONE && (proto == PA_PROTO_UNSURE || is_wanted(proto)))
		return false;
	pa_conn_set_kind_hook(fd, PA_CONN_IGNORED);
	return true;
}

static bool is_fatal(int error)
{
	return error != EAGAIN && error != EWOULDBLOCK && error != EINTR && error != ENOTCONN && error != EINVAL &&
	       error != EFAULT && error != EMSGSIZE;
}

/* ---- around the calls -------------------------------------------------------------------------------------------- */

uint64_t pa_conn_begin_hook(int fd, bool sends)
{
	return pa_conn_passes(fd) ? 0 : sends ? pa_now_sig() : 1;
}

void pa_conn_moved_hook(const struct pa_transfer *t, const struct pa_caller *caller)
{
	int error = t->n < 0 ? errno : 0;
	struct pa_conn_at at;
	struct pa_conn *c;

	if (!t->start_ns || (t->n < 0 && !is_fatal(error)) || pa_conn_kind(t->fd) == PA_CONN_IGNORED)
		return;
	if (!pa_conn_enter_hook(&at, caller)) {
		/* a signal handler inside a hook, for one */
		c = pa_conn_kind(t->fd) == PA_CONN_STREAM ? pa_conn_peek_hook(t->fd) : NULL;
		if (c && t->n > 0)
			pa_store_relaxed(&c->missed[c->is_client == t->sent ? PA_TO_SERVER : PA_TO_CLIENT], 1);
		return;
	}
	at.now_ns = t->sent ? t->start_ns : pa_now_sig();
	c = conn_of(&at, t->fd);
	if (c) {
		enum pa_way way = c->is_client == t->sent ? PA_TO_SERVER : PA_TO_CLIENT;

		if (c->connecting && t->n >= 0)
			pa_conn_connected_hook(&at, c, t->fd, 0);
		if (t->n < 0)
			c->error = error;
		else if (t->n > 0 && !pa_load_relaxed(&c->is_tls) && !is_settled(t->fd, c))
			pa_conn_feed_hook(&at, c, way, t);
		else if (t->n == 0 && !t->sent && t->iov && t->iov[0].iov_len)
			end_of_way(&at, c, way);
	}
	pa_conn_leave_hook(&at);
}

void pa_conn_reset_hook(int fd)
{
	if (!pa_conns_off() && fd >= 0 && pa_conn_kind(fd) != PA_CONN_UNKNOWN && pa_session_is_mine_hook())
		pa_conn_set_kind_hook(fd, PA_CONN_UNKNOWN);
}

void pa_conn_connected_hook(struct pa_conn_at *at, struct pa_conn *c, int fd, int error)
{
	union pa_address peer;
	uint32_t len = ask_address(SYS_getpeername, fd, &peer);

	c->connecting = false;
	pa_conn_put_hook(at, c, fd,
			 &(struct pa_conn_event){.event = PA_CONNECTION_CONNECT,
						 .error = error,
						 .start_ns = c->start_ns,
						 .address = &peer,
						 .address_len = len});
}

/* A connect() that is over, or goes on in the background. */
static void begin_connection(struct pa_conn_at *at, int fd, int error, const union pa_address *peer, uint32_t len,
			     uint64_t start_ns)
{
	struct pa_conn *c = make(at, fd, true, hint_of(peer, len), false);

	if (!c)
		return;
	c->start_ns = start_ns;
	c->connecting = error == EINPROGRESS || error == EINTR;
	if (c->connecting)
		return;
	pa_conn_put_hook(at, c, fd,
			 &(struct pa_conn_event){.event = PA_CONNECTION_CONNECT,
						 .error = error,
						 .start_ns = start_ns,
						 .address = peer,
						 .address_len = len});
	if (error)
		pa_conn_set_kind_hook(fd, PA_CONN_UNKNOWN);
}

void pa_conn_connect_hook(int fd, int ret, uint64_t start_ns, const struct sockaddr *address, socklen_t len,
			  const struct pa_caller *caller)
{
	int error = ret ? errno : 0;
	union pa_address peer;
	struct pa_conn_at at;
	struct pa_conn *c = pa_conn_kind(fd) == PA_CONN_STREAM ? pa_conn_peek_hook(fd) : NULL;

	if (!start_ns || error == EBADF || error == ENOTSOCK || error == EFAULT || error == EALREADY ||
	    (unsigned)fd >= PA_CONN_FDS || !is_stream(fd) || !pa_conn_enter_hook(&at, caller))
		return;
	memset(&peer, 0, sizeof(peer));
	len = len < sizeof(peer) ? len : sizeof(peer);
	/* the kernel has read it: the error is none about it */
	memcpy(&peer, address, len);
	at.now_ns = pa_now_sig();
	if (error != EISCONN)
		begin_connection(&at, fd, error, &peer, len, start_ns);
	else if (c && c->connecting && c->session == pa_conn_area_session_hook())
		pa_conn_connected_hook(&at, c, fd, 0);
	pa_conn_leave_hook(&at);
}

void pa_conn_asked_hook(int fd, int error, const struct pa_caller *caller)
{
	struct pa_conn *c = pa_conn_kind(fd) == PA_CONN_STREAM ? pa_conn_peek_hook(fd) : NULL;
	struct pa_conn_at at;

	if (!c || !c->connecting || c->session != pa_conn_area_session_hook() || !pa_conn_enter_hook(&at, caller))
		return;
	at.now_ns = pa_now_sig();
	pa_conn_connected_hook(&at, c, fd, error);
	if (error)
		pa_conn_set_kind_hook(fd, PA_CONN_UNKNOWN);
	pa_conn_leave_hook(&at);
}

void pa_conn_accept_hook(int fd, const struct pa_caller *caller)
{
	struct addresses a;
	struct pa_conn_at at;
	struct pa_conn *c;

	if (fd < 0 || pa_conns_off() || !pa_conn_enter_hook(&at, caller))
		return;
	pa_conn_set_kind_hook(fd, PA_CONN_UNKNOWN);
	a.local_len = ask_address(SYS_getsockname, fd, &a.local);
	if (is_stream_of(fd, a.local_len ? a.local.any.sa_family : AF_UNSPEC)) {
		at.now_ns = pa_now_sig();
		a.peer_len = ask_address(SYS_getpeername, fd, &a.peer);
		c = make(&at, fd, false, hint_of(&a.local, a.local_len), false);
		if (c)
			pa_conn_put_hook(&at, c, fd,
					 &(struct pa_conn_event){.event = PA_CONNECTION_ACCEPT,
								 .address = &a.peer,
								 .address_len = a.peer_len});
	}
	pa_conn_leave_hook(&at);
}

static void close_one(struct pa_conn_at *at, int fd)
{
	struct pa_conn *c = pa_conn_kind(fd) == PA_CONN_STREAM ? pa_conn_peek_hook(fd) : NULL;

	pa_conn_set_kind_hook(fd, PA_CONN_UNKNOWN);
	if (!c || !at->block || c->session != pa_conn_area_session_hook() || c->pid != at->block->pid)
		return;
	if (c->connecting)
		pa_conn_connected_hook(at, c, fd, ECANCELED);
	pa_conn_put_hook(at, c, fd, &(struct pa_conn_event){.event = PA_CONNECTION_CLOSE, .error = c->error});
}

static bool any_kind(int first, int last)
{
	for (int fd = first; fd <= last; fd++) {
		if (pa_conn_kind(fd) != PA_CONN_UNKNOWN)
			return true;
	}
	return false;
}

void pa_conn_close_hook(int first, int last, const struct pa_caller *caller)
{
	struct pa_conn_at at = {0};
	int highest = pa_conn_highest_hook();
	bool entered;

	first = first < 0 ? 0 : first;
	last = last < highest ? last : highest - 1;
	/* a child by vfork closes descriptors of its own, but has its parent's memory */
	if (pa_conns_off() || !any_kind(first, last) || !pa_session_is_mine_hook())
		return;
	entered = pa_conn_enter_hook(&at, caller);
	at.now_ns = entered ? pa_now_sig() : 0;
	at.block = entered ? at.block : NULL;
	for (int fd = first; fd <= last; fd++) {
		if (pa_conn_kind(fd) != PA_CONN_UNKNOWN)
			close_one(&at, fd);
	}
	if (entered)
		pa_conn_leave_hook(&at);
}
