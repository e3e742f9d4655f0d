/* Connections begin and end: socket, connect, accept, close, dup and their families. See hooks_wait.c for how the hooks
 * are made. World: hook. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/conn_hook.h"
#include "agent/hooks_malloc.h"
#include "agent/timer_sig.h"

/* libc since 2.34: hidden versions, as of free_sized */
int pa_hook_close_range(unsigned first, unsigned last, int flags);
void pa_hook_closefrom(int first);
__asm__(".symver pa_hook_close_range, close_range@GLIBC_2.34, remove");
__asm__(".symver pa_hook_closefrom, closefrom@GLIBC_2.34, remove");

typedef int close_range_fn(unsigned first, unsigned last, int flags);
typedef void closefrom_fn(int first);

PA_EXPORT int socket(int domain, int type, int protocol)
{
	int fd = PA_REAL(socket)(domain, type, protocol);

	pa_conn_reset_hook(fd);
	return fd;
}

PA_EXPORT int socketpair(int domain, int type, int protocol, int fds[2])
{
	int ret = PA_REAL(socketpair)(domain, type, protocol, fds);

	if (ret == 0) {
		pa_conn_reset_hook(fds[0]);
		pa_conn_reset_hook(fds[1]);
	}
	return ret;
}

static PA_ASIDE int connect_on(int fd, const struct sockaddr *address, socklen_t len)
{
	PA_HEAP_CALLER(caller);
	struct pa_wait_call wait = {.real = pa_real_get(PA_REAL_connect), .place = {.kind = PA_WAIT_CONNECT}};
	uint64_t start_ns = pa_now_sig();
	int ret;

	if (pa_load_relaxed(&pa_wait_modes) & PA_MODE_LOOP)
		pa_wait_begin_hook(&wait, &caller);
	ret = PA_REAL(connect)(fd, address, len);
	pa_wait_end_hook(&wait, &caller, ret, fd);
	pa_conn_connect_hook(fd, ret, start_ns, address, len, &caller);
	return ret;
}

PA_EXPORT int connect(int fd, const struct sockaddr *address, socklen_t len)
{
	if (pa_conns_off())
		return PA_REAL(connect)(fd, address, len);
	return connect_on(fd, address, len);
}

static PA_ASIDE int accept_on(int fd, struct sockaddr *from, socklen_t *len)
{
	PA_HEAP_CALLER(caller);
	struct pa_wait_call wait = {.real = pa_real_get(PA_REAL_accept), .place = {.kind = PA_WAIT_ACCEPT}};
	int got;

	if (pa_load_relaxed(&pa_wait_modes) & PA_MODE_LOOP)
		pa_wait_begin_hook(&wait, &caller);
	got = PA_REAL(accept)(fd, from, len);
	pa_wait_end_hook(&wait, &caller, got < 0 ? -1 : 1, fd);
	pa_conn_accept_hook(got, &caller);
	return got;
}

PA_EXPORT int accept(int fd, struct sockaddr *from, socklen_t *len)
{
	if (pa_conns_off())
		return PA_REAL(accept)(fd, from, len);
	return accept_on(fd, from, len);
}

static PA_ASIDE int accept4_on(int fd, struct sockaddr *from, socklen_t *len, int flags)
{
	PA_HEAP_CALLER(caller);
	struct pa_wait_call wait = {.real = pa_real_get(PA_REAL_accept4), .place = {.kind = PA_WAIT_ACCEPT}};
	int got;

	if (pa_load_relaxed(&pa_wait_modes) & PA_MODE_LOOP)
		pa_wait_begin_hook(&wait, &caller);
	got = PA_REAL(accept4)(fd, from, len, flags);
	pa_wait_end_hook(&wait, &caller, got < 0 ? -1 : 1, fd);
	pa_conn_accept_hook(got, &caller);
	return got;
}

PA_EXPORT int accept4(int fd, struct sockaddr *from, socklen_t *len, int flags)
{
	if (pa_conns_off())
		return PA_REAL(accept4)(fd, from, len, flags);
	return accept4_on(fd, from, len, flags);
}

/* A program that connects in the background asks with this how it went. */
static PA_ASIDE int getsockopt_on(int fd, int level, int name, void *value, socklen_t *len)
{
	PA_HEAP_CALLER(caller);
	int ret = PA_REAL(getsockopt)(fd, level, name, value, len);

	if (ret == 0 && *len == sizeof(int))
		pa_conn_asked_hook(fd, *(const int *)value, &caller);
	return ret;
}

PA_EXPORT int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	if (pa_conns_off() || level != SOL_SOCKET || name != SO_ERROR)
		return PA_REAL(getsockopt)(fd, level, name, value, len);
	return getsockopt_on(fd, level, name, value, len);
}

/* ---- ends: told before the real call, after which the number may be another thread's -------------------------------
 */

static PA_ASIDE int close_on(int fd)
{
	PA_HEAP_CALLER(caller);

	pa_conn_close_hook(fd, fd, &caller);
	return PA_REAL(close)(fd);
}

PA_EXPORT int close(int fd)
{
	if (pa_conns_off() || fd < 0 || fd >= PA_CONN_FDS || pa_conn_kind(fd) == PA_CONN_UNKNOWN)
		return PA_REAL(close)(fd);
	return close_on(fd);
}

static PA_ASIDE int dup2_on(int from, int to)
{
	PA_HEAP_CALLER(caller);

	if (from != to)
		pa_conn_close_hook(to, to, &caller);
	return PA_REAL(dup2)(from, to);
}

PA_EXPORT int dup2(int from, int to)
{
	if (pa_conns_off() || to < 0 || to >= PA_CONN_FDS || pa_conn_kind(to) == PA_CONN_UNKNOWN)
		return PA_REAL(dup2)(from, to);
	return dup2_on(from, to);
}

static PA_ASIDE int dup3_on(int from, int to, int flags)
{
	PA_HEAP_CALLER(caller);

	if (from != to)
		pa_conn_close_hook(to, to, &caller);
	return PA_REAL(dup3)(from, to, flags);
}

PA_EXPORT int dup3(int from, int to, int flags)
{
	if (pa_conns_off() || to < 0 || to >= PA_CONN_FDS || pa_conn_kind(to) == PA_CONN_UNKNOWN)
		return PA_REAL(dup3)(from, to, flags);
	return dup3_on(from, to, flags);
}

static PA_ASIDE int close_range_on(unsigned first, unsigned last, int flags)
{
	PA_HEAP_CALLER(caller);
	close_range_fn *real = (close_range_fn *)pa_real_get(PA_REAL_close_range);

	if (!real) {
		errno = ENOSYS;
		return -1;
	}
	/* with CLOEXEC they are closed later, with UNSHARE in a table of their own */
	if (!flags && first <= last && first < PA_CONN_FDS)
		pa_conn_close_hook((int)first, last < PA_CONN_FDS ? (int)last : PA_CONN_FDS - 1, &caller);
	return real(first, last, flags);
}

PA_EXPORT int pa_hook_close_range(unsigned first, unsigned last, int flags)
{
	return close_range_on(first, last, flags);
}

static PA_ASIDE void closefrom_on(int first)
{
	PA_HEAP_CALLER(caller);
	closefrom_fn *real = (closefrom_fn *)pa_real_get(PA_REAL_closefrom);

	if (!real)
		return;
	pa_conn_close_hook(first, PA_CONN_FDS - 1, &caller);
	real(first);
}

PA_EXPORT void pa_hook_closefrom(int first)
{
	closefrom_on(first);
}
