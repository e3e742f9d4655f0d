/* Waiting for descriptors: the epoll, poll and select families. Each call goes to the real function once, with the
 * host's own arguments, signal masks included (hooks_sigmask.c says why those need no filter). All but the makers of
 * epoll descriptors are cancellation points: the frames here unwind, and hold nothing meanwhile.
 *
 * The hook proper has a frame of its own (PA_HEAP_CALLER), reached by a jump, so that its caller is the host: this file
 * is compiled with optimisation in every build. World: hook. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "agent/hooks_malloc.h"
#include "agent/probe_sig.h"
#include "agent/wait_hook.h"

#define WORD_BITS 64

/* libc since 2.35: a hidden version, as of free_sized */
int pa_hook_epoll_pwait2(int epfd, struct epoll_event *events, int nr, const struct timespec *timeout,
			 const sigset_t *mask);
__asm__(".symver pa_hook_epoll_pwait2, epoll_pwait2@GLIBC_2.35, remove");

/* what -D_FORTIFY_SOURCE makes of poll and ppoll: the headers declare them for such programs only */
int __poll_chk(struct pollfd *fds, nfds_t nr, int timeout, size_t bytes);
int __ppoll_chk(struct pollfd *fds, nfds_t nr, const struct timespec *timeout, const sigset_t *mask, size_t bytes);

typedef int pwait2_fn(int epfd, struct epoll_event *events, int nr, const struct timespec *timeout,
		      const sigset_t *mask);

/* ---- epoll ------------------------------------------------------------------------------------------------------ */

static inline struct pa_wait_call epoll_call(int epfd, enum pa_real_name real)
{
	return (struct pa_wait_call){
	    .real = pa_real_get(real),
	    .place = {.kind = PA_WAIT_EPOLL, .born = pa_waits_epoll_born_hook(epfd), .key = (uint64_t)(int64_t)epfd},
	    .may_loop = epfd >= 0,
	};
}

static PA_ASIDE int epoll_wait_on(int epfd, struct epoll_event *events, int nr, int timeout)
{
	PA_HEAP_CALLER(caller);
	struct pa_wait_call call = epoll_call(epfd, PA_REAL_epoll_wait);
	int ret;

	pa_wait_begin_hook(&call, &caller);
	ret = PA_REAL(epoll_wait)(epfd, events, nr, timeout);
	pa_wait_end_hook(&call, &caller, ret, epfd);
	return ret;
}

PA_EXPORT int epoll_wait(int epfd, struct epoll_event *events, int nr, int timeout)
{
	if (pa_waits_off())
		return PA_REAL(epoll_wait)(epfd, events, nr, timeout);
	return epoll_wait_on(epfd, events, nr, timeout);
}

static PA_ASIDE int epoll_pwait_on(int epfd, struct epoll_event *events, int nr, int timeout, const sigset_t *mask)
{
	PA_HEAP_CALLER(caller);
	struct pa_wait_call call = epoll_call(epfd, PA_REAL_epoll_pwait);
	int ret;

	pa_wait_begin_hook(&call, &caller);
	ret = PA_REAL(epoll_pwait)(epfd, events, nr, timeout, mask);
	pa_wait_end_hook(&call, &caller, ret, epfd);
	return ret;
}

PA_EXPORT int epoll_pwait(int epfd, struct epoll_event *events, int nr, int timeout, const sigset_t *mask)
{
	if (pa_waits_off())
		return PA_REAL(epoll_pwait)(epfd, events, nr, timeout, mask);
	return epoll_pwait_on(epfd, events, nr, timeout, mask);
}

static PA_ASIDE int epoll_pwait2_on(int epfd, struct epoll_event *events, int nr, const struct timespec *timeout,
				    const sigset_t *mask)
{
	PA_HEAP_CALLER(caller);
	pwait2_fn *real = (pwait2_fn *)pa_real_get(PA_REAL_epoll_pwait2);
	struct pa_wait_call call = epoll_call(epfd, PA_REAL_epoll_pwait2);
	int ret;

	if (!real) {
		errno = ENOSYS;
		return -1;
	}
	pa_wait_begin_hook(&call, &caller);
	ret = real(epfd, events, nr, timeout, mask);
	pa_wait_end_hook(&call, &caller, ret, epfd);
	return ret;
}

PA_EXPORT int pa_hook_epoll_pwait2(int epfd, struct epoll_event *events, int nr, const struct timespec *timeout,
				   const sigset_t *mask)
{
	pwait2_fn *real = (pwait2_fn *)pa_load_relaxed(&pa_real_table[PA_REAL_epoll_pwait2]);

	if (PA_LIKELY(real) && pa_waits_off())
		return real(epfd, events, nr, timeout, mask);
	return epoll_pwait2_on(epfd, events, nr, timeout, mask);
}

PA_EXPORT int epoll_create(int size)
{
	int fd = PA_REAL(epoll_create)(size);

	if (fd >= 0)
		pa_waits_epoll_made_hook(fd);
	return fd;
}

PA_EXPORT int epoll_create1(int flags)
{
	int fd = PA_REAL(epoll_create1)(flags);

	if (fd >= 0)
		pa_waits_epoll_made_hook(fd);
	return fd;
}

/* ---- poll ------------------------------------------------------------------------------------------------------- */

/* One descriptor is a driver's way to wait for its server, none is a sleep: only several can be a loop's. */
static inline struct pa_wait_call poll_call(nfds_t nr, uint64_t pc, enum pa_real_name real)
{
	return (struct pa_wait_call){
	    .real = pa_real_get(real),
	    .place = {.kind = PA_WAIT_POLL, .key = pc, .watched = nr > UINT32_MAX ? UINT32_MAX : (uint32_t)nr},
	    .may_loop = nr > 1,
	};
}

/* The real call has read them: ret is not an error. */
static inline int64_t polled(const struct pollfd *fds, nfds_t nr, int ret)
{
	return nr == 1 && ret >= 0 ? fds[0].fd : -1;
}

static PA_ASIDE int poll_on(struct pollfd *fds, nfds_t nr, int timeout)
{
	PA_HEAP_CALLER(caller);
	struct pa_wait_call call = poll_call(nr, caller.pc, PA_REAL_poll);
	int ret;

	pa_wait_begin_hook(&call, &caller);
	ret = PA_REAL(poll)(fds, nr, timeout);
	pa_wait_end_hook(&call, &caller, ret, call.block ? polled(fds, nr, ret) : -1);
	return ret;
}

PA_EXPORT int poll(struct pollfd *fds, nfds_t nr, int timeout)
{
	if (pa_waits_off())
		return PA_REAL(poll)(fds, nr, timeout);
	return poll_on(fds, nr, timeout);
}

static PA_ASIDE int poll_chk_on(struct pollfd *fds, nfds_t nr, int timeout, size_t bytes)
{
	PA_HEAP_CALLER(caller);
	struct pa_wait_call call = poll_call(nr, caller.pc, PA_REAL___poll_chk);
	int ret;

	pa_wait_begin_hook(&call, &caller);
	ret = PA_REAL(__poll_chk)(fds, nr, timeout, bytes);
	pa_wait_end_hook(&call, &caller, ret, call.block ? polled(fds, nr, ret) : -1);
	return ret;
}

PA_EXPORT int __poll_chk(struct pollfd *fds, nfds_t nr, int timeout, size_t bytes)
{
	if (pa_waits_off())
		return PA_REAL(__poll_chk)(fds, nr, timeout, bytes);
	return poll_chk_on(fds, nr, timeout, bytes);
}

static PA_ASIDE int ppoll_on(struct pollfd *fds, nfds_t nr, const struct timespec *timeout, const sigset_t *mask)
{
	PA_HEAP_CALLER(caller);
	struct pa_wait_call call = poll_call(nr, caller.pc, PA_REAL_ppoll);
	int ret;

	pa_wait_begin_hook(&call, &caller);
	ret = PA_REAL(ppoll)(fds, nr, timeout, mask);
	pa_wait_end_hook(&call, &caller, ret, call.block ? polled(fds, nr, ret) : -1);
	return ret;
}

PA_EXPORT int ppoll(struct pollfd *fds, nfds_t nr, const struct timespec *timeout, const sigset_t *mask)
{
	if (pa_waits_off())
		return PA_REAL(ppoll)(fds, nr, timeout, mask);
	return ppoll_on(fds, nr, timeout, mask);
}

static PA_ASIDE int ppoll_chk_on(struct pollfd *fds, nfds_t nr, const struct timespec *timeout, const sigset_t *mask,
				 size_t bytes)
{
	PA_HEAP_CALLER(caller);
	struct pa_wait_call call = poll_call(nr, caller.pc, PA_REAL___ppoll_chk);
	int ret;

	pa_wait_begin_hook(&call, &caller);
	ret = PA_REAL(__ppoll_chk)(fds, nr, timeout, mask, bytes);
	pa_wait_end_hook(&call, &caller, ret, call.block ? polled(fds, nr, ret) : -1);
	return ret;
}

PA_EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t nr, const struct timespec *timeout, const sigset_t *mask,
			  size_t bytes)
{
	if (pa_waits_off())
		return PA_REAL(__ppoll_chk)(fds, nr, timeout, mask, bytes);
	return ppoll_chk_on(fds, nr, timeout, mask, bytes);
}

/* ---- select ----------------------------------------------------------------------------------------------------- */

/* Whether the words of a set can be read: bad pointers are for the real call to complain of. */
static bool can_read(const struct pa_caller *caller, const fd_set *set, uint32_t words)
{
	uint64_t at = (uint64_t)(uintptr_t)set;
	const struct pa_block *block = pa_tls.block;
	struct pa_pages pages = {0};

	if (block && at >= caller->sp && caller->sp >= block->stack.lo && at + words * 8ull <= block->stack.hi)
		return true;
	return pa_probe_range_sig(&pages, at, words * 8ull);
}

/* How many descriptors are in the sets, 0: none or unknown. */
static uint32_t selected(const struct pa_caller *caller, int nr, const fd_set *const sets[3])
{
	uint32_t words = (uint32_t)(nr + WORD_BITS - 1) / WORD_BITS, count = 0;
	bool readable[3];

	for (int s = 0; s < 3; s++)
		readable[s] = sets[s] && can_read(caller, sets[s], words);
	for (uint32_t i = 0; i < words; i++) {
		uint32_t last = (uint32_t)nr - i * WORD_BITS;
		uint64_t any = 0;

		for (int s = 0; s < 3; s++)
			any |= readable[s] ? ((const uint64_t *)sets[s])[i] : 0;
		if (last < WORD_BITS)
			any &= (UINT64_C(1) << last) - 1;
		/* the builtin would be a call into libgcc */
		for (; any; any &= any - 1)
			count++;
	}
	return count;
}

/* Shapes: nr as given by the host, who may be wrong. */
static struct pa_wait_call select_call(const struct pa_caller *caller, int nr, const fd_set *in, const fd_set *out,
				       const fd_set *other, enum pa_real_name real)
{
	const fd_set *const sets[3] = {in, out, other};
	uint32_t watched = nr > 1 && nr <= FD_SETSIZE ? selected(caller, nr, sets) : 0;

	return (struct pa_wait_call){
	    .real = pa_real_get(real),
	    .place = {.kind = PA_WAIT_SELECT, .key = caller->pc, .watched = watched},
	    .may_loop = watched > 1,
	};
}

static PA_ASIDE int select_on(int nr, fd_set *in, fd_set *out, fd_set *other, struct timeval *timeout)
{
	PA_HEAP_CALLER(caller);
	struct pa_wait_call call = select_call(&caller, nr, in, out, other, PA_REAL_select);
	int ret;

	pa_wait_begin_hook(&call, &caller);
	ret = PA_REAL(select)(nr, in, out, other, timeout);
	pa_wait_end_hook(&call, &caller, ret, -1);
	return ret;
}

PA_EXPORT int select(int nr, fd_set *in, fd_set *out, fd_set *other, struct timeval *timeout)
{
	if (pa_waits_off())
		return PA_REAL(select)(nr, in, out, other, timeout);
	return select_on(nr, in, out, other, timeout);
}

static PA_ASIDE int pselect_on(int nr, fd_set *in, fd_set *out, fd_set *other, const struct timespec *timeout,
			       const sigset_t *mask)
{
	PA_HEAP_CALLER(caller);
	struct pa_wait_call call = select_call(&caller, nr, in, out, other, PA_REAL_pselect);
	int ret;

	pa_wait_begin_hook(&call, &caller);
	ret = PA_REAL(pselect)(nr, in, out, other, timeout, mask);
	pa_wait_end_hook(&call, &caller, ret, -1);
	return ret;
}

PA_EXPORT int pselect(int nr, fd_set *in, fd_set *out, fd_set *other, const struct timespec *timeout,
		      const sigset_t *mask)
{
	if (pa_waits_off())
		return PA_REAL(pselect)(nr, in, out, other, timeout, mask);
	return pselect_on(nr, in, out, other, timeout, mask);
}
