/* The least a preloaded library can do: look the next function up once, and call it. */
#include <dlfcn.h>
#include <poll.h>
#include <sys/epoll.h>

int poll(struct pollfd *list, nfds_t nr, int timeout)
{
	static int (*next)(struct pollfd *, nfds_t, int);

	if (!next)
		next = (int (*)(struct pollfd *, nfds_t, int))dlsym(RTLD_NEXT, "poll");
	return next(list, nr, timeout);
}

int epoll_wait(int epfd, struct epoll_event *events, int nr, int timeout)
{
	static int (*next)(int, struct epoll_event *, int, int);

	if (!next)
		next = (int (*)(int, struct epoll_event *, int, int))dlsym(RTLD_NEXT, "epoll_wait");
	return next(epfd, events, nr, timeout);
}
