/* Bytes that come and go on descriptors: send, recv, read, write and their families. Of interest are connected stream
 * sockets; for everything else a hook costs the look at one byte. All are cancellation points: see hooks_wait.c for how
 * the hooks are made. Not seen: io_uring, splice, aio, and what libc does inside (stdio, the resolver). World: hook. */
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "agent/conn_hook.h"
#include "agent/hooks_malloc.h"

/* what -D_FORTIFY_SOURCE makes of them */
ssize_t __read_chk(int fd, void *buf, size_t len, size_t room);
ssize_t __recv_chk(int fd, void *buf, size_t len, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t room, int flags, struct sockaddr *from, socklen_t *size);

/* Around one real call. */
struct around {
	struct pa_wait_call wait;
	uint64_t start_ns;
};

static inline struct around before(int fd, enum pa_real_name real, uint32_t kind, const struct pa_caller *caller)
{
	struct around a = {.wait = {.real = pa_real_get(real), .place = {.kind = kind}}};

	a.start_ns = pa_conn_begin_hook(fd, kind == PA_WAIT_SEND);
	if (a.start_ns && (pa_load_relaxed(&pa_wait_modes) & PA_MODE_LOOP))
		pa_wait_begin_hook(&a.wait, caller);
	return a;
}

static inline void after(const struct around *a, const struct pa_transfer *t, const struct pa_caller *caller)
{
	pa_wait_end_hook(&a->wait, caller, t->n < 0 ? -1 : 1, t->fd);
	pa_conn_moved_hook(t, caller);
}

static inline void moved(const struct around *a, int fd, bool sent, const void *buf, size_t len, ssize_t n,
			 const struct pa_caller *caller)
{
	struct iovec piece = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};

	after(a, &(struct pa_transfer){.fd = fd, .sent = sent, .start_ns = a->start_ns, .iov = &piece, .nr = 1, .n = n},
	      caller);
}

static inline void moved_pieces(const struct around *a, int fd, bool sent, const struct iovec *iov, size_t nr,
				ssize_t n, const struct pa_caller *caller)
{
	after(a, &(struct pa_transfer){.fd = fd, .sent = sent, .start_ns = a->start_ns, .iov = iov, .nr = nr, .n = n},
	      caller);
}

/* What was only looked at, or came out of order, is not the stream. */
static inline bool is_stream_data(int flags)
{
	return !(flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE | MSG_TRUNC));
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

static PA_ASIDE ssize_t send_on(int fd, const void *buf, size_t len, int flags)
{
	PA_HEAP_CALLER(caller);
	struct around a = before(fd, PA_REAL_send, PA_WAIT_SEND, &caller);
	ssize_t n = PA_REAL(send)(fd, buf, len, flags);

	moved(&a, fd, true, buf, len, n, &caller);
	return n;
}

PA_EXPORT ssize_t send(int fd, const void *buf, size_t len, int flags)
{
	if (pa_conn_passes(fd) || (flags & MSG_OOB))
		return PA_REAL(send)(fd, buf, len, flags);
	return send_on(fd, buf, len, flags);
}

static PA_ASIDE ssize_t sendto_on(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to,
				  socklen_t size)
{
	PA_HEAP_CALLER(caller);
	struct around a = before(fd, PA_REAL_sendto, PA_WAIT_SEND, &caller);
	ssize_t n = PA_REAL(sendto)(fd, buf, len, flags, to, size);

	moved(&a, fd, true, buf, len, n, &caller);
	return n;
}

PA_EXPORT ssize_t sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to, socklen_t size)
{
	if (pa_conn_passes(fd) || to || (flags & MSG_OOB))
		return PA_REAL(sendto)(fd, buf, len, flags, to, size);
	return sendto_on(fd, buf, len, flags, to, size);
}

static PA_ASIDE ssize_t sendmsg_on(int fd, const struct msghdr *msg, int flags)
{
	PA_HEAP_CALLER(caller);
	struct around a = before(fd, PA_REAL_sendmsg, PA_WAIT_SEND, &caller);
	ssize_t n = PA_REAL(sendmsg)(fd, msg, flags);

	/* nothing went, or the kernel has read them */
	if (n > 0)
		moved_pieces(&a, fd, true, msg->msg_iov, msg->msg_iovlen, n, &caller);
	else
		moved(&a, fd, true, NULL, 0, n, &caller);
	return n;
}

PA_EXPORT ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	if (pa_conn_passes(fd) || (flags & MSG_OOB))
		return PA_REAL(sendmsg)(fd, msg, flags);
	return sendmsg_on(fd, msg, flags);
}

static PA_ASIDE int sendmmsg_on(int fd, struct mmsghdr *msgs, unsigned nr, int flags)
{
	PA_HEAP_CALLER(caller);
	struct around a = before(fd, PA_REAL_sendmmsg, PA_WAIT_SEND, &caller);
	int sent = PA_REAL(sendmmsg)(fd, msgs, nr, flags);

	pa_wait_end_hook(&a.wait, &caller, sent < 0 ? -1 : 1, fd);
	for (int i = 0; i < sent; i++) {
		const struct msghdr *m = &msgs[i].msg_hdr;

		pa_conn_moved_hook(&(struct pa_transfer){.fd = fd,
							 .sent = true,
							 .start_ns = a.start_ns,
							 .iov = m->msg_iov,
							 .nr = m->msg_iovlen,
							 .n = (ssize_t)msgs[i].msg_len},
				   &caller);
	}
	return sent;
}

PA_EXPORT int sendmmsg(int fd, struct mmsghdr *msgs, unsigned nr, int flags)
{
	if (pa_conn_passes(fd))
		return PA_REAL(sendmmsg)(fd, msgs, nr, flags);
	return sendmmsg_on(fd, msgs, nr, flags);
}

static PA_ASIDE ssize_t write_on(int fd, const void *buf, size_t len)
{
	PA_HEAP_CALLER(caller);
	struct around a = before(fd, PA_REAL_write, PA_WAIT_SEND, &caller);
	ssize_t n = PA_REAL(write)(fd, buf, len);

	moved(&a, fd, true, buf, len, n, &caller);
	return n;
}

PA_EXPORT ssize_t write(int fd, const void *buf, size_t len)
{
	if (pa_conn_passes(fd))
		return PA_REAL(write)(fd, buf, len);
	return write_on(fd, buf, len);
}

static PA_ASIDE ssize_t writev_on(int fd, const struct iovec *iov, int nr)
{
	PA_HEAP_CALLER(caller);
	struct around a = before(fd, PA_REAL_writev, PA_WAIT_SEND, &caller);
	ssize_t n = PA_REAL(writev)(fd, iov, nr);

	moved_pieces(&a, fd, true, iov, n > 0 ? (size_t)nr : 0, n, &caller);
	return n;
}

PA_EXPORT ssize_t writev(int fd, const struct iovec *iov, int nr)
{
	if (pa_conn_passes(fd))
		return PA_REAL(writev)(fd, iov, nr);
	return writev_on(fd, iov, nr);
}

static PA_ASIDE ssize_t sendfile_on(enum pa_real_name real, int out, int in, off_t *offset, size_t len)
{
	PA_HEAP_CALLER(caller);
	struct around a = before(out, real, PA_WAIT_SEND, &caller);
	ssize_t n = ((__typeof__(&sendfile))pa_real_get(real))(out, in, offset, len);

	moved_pieces(&a, out, true, NULL, 0, n, &caller);
	return n;
}

PA_EXPORT ssize_t sendfile(int out, int in, off_t *offset, size_t len)
{
	if (pa_conn_passes(out))
		return PA_REAL(sendfile)(out, in, offset, len);
	return sendfile_on(PA_REAL_sendfile, out, in, offset, len);
}

PA_EXPORT ssize_t sendfile64(int out, int in, off64_t *offset, size_t len)
{
	if (pa_conn_passes(out))
		return PA_REAL(sendfile64)(out, in, offset, len);
	return sendfile_on(PA_REAL_sendfile64, out, in, (off_t *)offset, len);
}

/* ---- receiving --------------------------------------------------------------------------------------------------- */

static PA_ASIDE ssize_t recv_on(int fd, void *buf, size_t len, int flags)
{
	PA_HEAP_CALLER(caller);
	struct around a = before(fd, PA_REAL_recv, PA_WAIT_RECEIVE, &caller);
	ssize_t n = PA_REAL(recv)(fd, buf, len, flags);

	moved(&a, fd, false, buf, len, n, &caller);
	return n;
}

PA_EXPORT ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	if (pa_conn_passes(fd) || !is_stream_data(flags))
		return PA_REAL(recv)(fd, buf, len, flags);
	return recv_on(fd, buf, len, flags);
}

static PA_ASIDE ssize_t recv_chk_on(int fd, void *buf, size_t len, size_t room, int flags)
{
	PA_HEAP_CALLER(caller);
	struct around a = before(fd, PA_REAL___recv_chk, PA_WAIT_RECEIVE, &caller);
	ssize_t n = PA_REAL(__recv_chk)(fd, buf, len, room, flags);

	moved(&a, fd, false, buf, len, n, &caller);
	return n;
}

PA_EXPORT ssize_t __recv_chk(int fd, void *buf, size_t len, size_t room, int flags)
{
	if (pa_conn_passes(fd) || !is_stream_data(flags))
		return PA_REAL(__recv_chk)(fd, buf, len, room, flags);
	return recv_chk_on(fd, buf, len, room, flags);
}

static PA_ASIDE ssize_t recvfrom_on(int fd, void *buf, size_t len, int flags, struct sockaddr *from, socklen_t *size)
{
	PA_HEAP_CALLER(caller);
	struct around a = before(fd, PA_REAL_recvfrom, PA_WAIT_RECEIVE, &caller);
	ssize_t n = PA_REAL(recvfrom)(fd, buf, len, flags, from, size);

	moved(&a, fd, false, buf, len, n, &caller);
	return n;
}

PA_EXPORT ssize_t recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *from, socklen_t *size)
{
	if (pa_conn_passes(fd) || !is_stream_data(flags))
		return PA_REAL(recvfrom)(fd, buf, len, flags, from, size);
	return recvfrom_on(fd, buf, len, flags, from, size);
}

static PA_ASIDE ssize_t recvfrom_chk_on(int fd, void *buf, size_t len, size_t room, int flags, struct sockaddr *from,
					socklen_t *size)
{
	PA_HEAP_CALLER(caller);
	struct around a = before(fd, PA_REAL___recvfrom_chk, PA_WAIT_RECEIVE, &caller);
	ssize_t n = PA_REAL(__recvfrom_chk)(fd, buf, len, room, flags, from, size);

	moved(&a, fd, false, buf, len, n, &caller);
	return n;
}

PA_EXPORT ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t room, int flags, struct sockaddr *from,
				 socklen_t *size)
{
	if (pa_conn_passes(fd) || !is_stream_data(flags))
		return PA_REAL(__recvfrom_chk)(fd, buf, len, room, flags, from, size);
	return recvfrom_chk_on(fd, buf, len, room, flags, from, size);
}

static PA_ASIDE ssize_t recvmsg_on(int fd, struct msghdr *msg, int flags)
{
	PA_HEAP_CALLER(caller);
	struct around a = before(fd, PA_REAL_recvmsg, PA_WAIT_RECEIVE, &caller);
	ssize_t n = PA_REAL(recvmsg)(fd, msg, flags);

	if (n >= 0)
		moved_pieces(&a, fd, false, msg->msg_iov, msg->msg_iovlen, n, &caller);
	else
		moved(&a, fd, false, NULL, 0, n, &caller);
	return n;
}

PA_EXPORT ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	if (pa_conn_passes(fd) || !is_stream_data(flags))
		return PA_REAL(recvmsg)(fd, msg, flags);
	return recvmsg_on(fd, msg, flags);
}

static PA_ASIDE int recvmmsg_on(int fd, struct mmsghdr *msgs, unsigned nr, int flags, struct timespec *timeout)
{
	PA_HEAP_CALLER(caller);
	struct around a = before(fd, PA_REAL_recvmmsg, PA_WAIT_RECEIVE, &caller);
	int got = PA_REAL(recvmmsg)(fd, msgs, nr, flags, timeout);

	pa_wait_end_hook(&a.wait, &caller, got < 0 ? -1 : 1, fd);
	for (int i = 0; i < got; i++) {
		const struct msghdr *m = &msgs[i].msg_hdr;

		pa_conn_moved_hook(&(struct pa_transfer){.fd = fd,
							 .start_ns = a.start_ns,
							 .iov = m->msg_iov,
							 .nr = m->msg_iovlen,
							 .n = (ssize_t)msgs[i].msg_len},
				   &caller);
	}
	return got;
}

PA_EXPORT int recvmmsg(int fd, struct mmsghdr *msgs, unsigned nr, int flags, struct timespec *timeout)
{
	if (pa_conn_passes(fd) || !is_stream_data(flags))
		return PA_REAL(recvmmsg)(fd, msgs, nr, flags, timeout);
	return recvmmsg_on(fd, msgs, nr, flags, timeout);
}

static PA_ASIDE ssize_t read_on(int fd, void *buf, size_t len)
{
	PA_HEAP_CALLER(caller);
	struct around a = before(fd, PA_REAL_read, PA_WAIT_RECEIVE, &caller);
	ssize_t n = PA_REAL(read)(fd, buf, len);

	moved(&a, fd, false, buf, len, n, &caller);
	return n;
}

PA_EXPORT ssize_t read(int fd, void *buf, size_t len)
{
	if (pa_conn_passes(fd))
		return PA_REAL(read)(fd, buf, len);
	return read_on(fd, buf, len);
}

static PA_ASIDE ssize_t read_chk_on(int fd, void *buf, size_t len, size_t room)
{
	PA_HEAP_CALLER(caller);
	struct around a = before(fd, PA_REAL___read_chk, PA_WAIT_RECEIVE, &caller);
	ssize_t n = PA_REAL(__read_chk)(fd, buf, len, room);

	moved(&a, fd, false, buf, len, n, &caller);
	return n;
}

PA_EXPORT ssize_t __read_chk(int fd, void *buf, size_t len, size_t room)
{
	if (pa_conn_passes(fd))
		return PA_REAL(__read_chk)(fd, buf, len, room);
	return read_chk_on(fd, buf, len, room);
}

static PA_ASIDE ssize_t readv_on(int fd, const struct iovec *iov, int nr)
{
	PA_HEAP_CALLER(caller);
	struct around a = before(fd, PA_REAL_readv, PA_WAIT_RECEIVE, &caller);
	ssize_t n = PA_REAL(readv)(fd, iov, nr);

	if (n >= 0)
		moved_pieces(&a, fd, false, iov, (size_t)nr, n, &caller);
	else
		moved(&a, fd, false, NULL, 0, n, &caller);
	return n;
}

PA_EXPORT ssize_t readv(int fd, const struct iovec *iov, int nr)
{
	if (pa_conn_passes(fd))
		return PA_REAL(readv)(fd, iov, nr);
	return readv_on(fd, iov, nr);
}
