#include "collector/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "collector/proc.h"

#define HELLO_WAIT_NS 1000000000u
#define SWEEP_NS      250000000u

struct client {
	struct pa_watch watch;
	struct pa_listener *l;
	uint64_t since_ns;
	struct client *next;
};

struct pa_listener {
	struct pa_watch watch;
	struct pa_timer sweep;
	struct pa_loop *loop;
	struct pa_listener_ops ops;
	struct client *clients; /* newest first */
	uint32_t nr_clients;
	uint64_t rejected;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* "" when abstract */
};

static void drop(struct client *c)
{
	struct pa_listener *l = c->l;

	for (struct client **at = &l->clients; *at; at = &(*at)->next) {
		if (*at == c) {
			*at = c->next;
			break;
		}
	}
	pa_loop_unwatch(l->loop, &c->watch);
	close(c->watch.fd);
	free(c);
	l->nr_clients--;
}

/* Whether two processes share their memory: what a CLONE_VM helper and its target do. Not permitted: believed. */
static bool same_memory(uint32_t a, uint32_t b)
{
	long r = syscall(SYS_kcmp, (pid_t)a, (pid_t)b, KCMP_VM, 0, 0);

	return r == 0 || (r < 0 && errno != ESRCH);
}

/* From the credentials' pid to the target: the peer itself, or the parent it shares its memory with. */
static uint32_t target_of(uint32_t peer, const struct pa_hello *hello)
{
	struct pa_proc_status self, parent;

	if (peer == 0 || pa_proc_status(peer, &self))
		return 0;
	if (self.inner_pid == hello->pid)
		return peer;
	if (pa_proc_status(self.parent, &parent) || parent.inner_pid != hello->pid || parent.uid != self.uid)
		return 0;
	return same_memory(peer, self.parent) ? self.parent : 0;
}

static bool identify(int fd, const struct pa_hello *hello, struct pa_peer *peer)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return false;
	peer->uid = cred.uid;
	peer->gid = cred.gid;
	peer->connection = fd;
	/* while the client waits for its answer, neither it nor its parent's number can be given to another process */
	peer->pid = target_of((uint32_t)cred.pid, hello);
	peer->pidfd = peer->pid ? (int)syscall(SYS_pidfd_open, (pid_t)peer->pid, 0) : -1;
	return true;
}

static bool answer(int fd, struct pa_config *config, int memfd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {config, sizeof(*config)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (memfd >= 0) {
		struct cmsghdr *cmsg;

		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &memfd, sizeof(int));
	}
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof(*config);
}

uint32_t pa_listener_judge(const void *message, size_t len, struct pa_config *config)
{
	int err = pa_wire_check_hello(message, len);

	memset(config, 0, sizeof(*config));
	config->head = (struct pa_msg_head){
	    .magic = PA_WIRE_MAGIC,
	    .major = PA_WIRE_MAJOR,
	    .minor = PA_WIRE_MINOR,
	    .size = sizeof(*config),
	    .type = PA_MSG_CONFIG,
	};
	config->status = PA_CONFIG_OK;
	if (err)
		config->status = err == -EPROTONOSUPPORT ? PA_CONFIG_REFUSED_VERSION : PA_CONFIG_REFUSED_BAD;
	return config->status;
}

static void serve(struct client *c, const struct pa_hello *hello, size_t len)
{
	struct pa_listener *l = c->l;
	struct pa_peer peer = {.pidfd = -1};
	struct pa_grant grant = {.memfd = -1};
	struct pa_config config;
	bool ok;

	if (pa_listener_judge(hello, len, &config) != PA_CONFIG_OK) {
		l->rejected++;
		answer(c->watch.fd, &config, -1);
		return;
	}
	if (!identify(c->watch.fd, hello, &peer)) {
		l->rejected++;
		return;
	}
	l->ops.hello(l->ops.arg, hello, &peer, &grant);
	config.status = grant.status;
	config.file_size = grant.status == PA_CONFIG_OK ? grant.file_size : 0;
	ok = answer(c->watch.fd, &config, grant.status == PA_CONFIG_OK ? grant.memfd : -1);
	if (grant.status == PA_CONFIG_OK)
		l->ops.answered(l->ops.arg, ok);
	if (peer.pidfd >= 0)
		close(peer.pidfd);
}

static void client_ready(struct pa_watch *watch, uint32_t events)
{
	struct client *c = watch->arg;
	union {
		struct pa_hello hello;
		char bytes[4096]; /* a newer minor's may be longer; what is longer than this is refused */
	} in;
	ssize_t n = recv(watch->fd, &in, sizeof(in), MSG_DONTWAIT | MSG_TRUNC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		serve(c, &in.hello, (size_t)n > sizeof(in) ? 1 : (size_t)n);
	else
		c->l->rejected++;
	drop(c);
}

static void sweep(struct pa_timer *timer)
{
	struct pa_listener *l = timer->arg;
	uint64_t now = pa_now_ns();

	for (struct client *c = l->clients, *next; c; c = next) {
		next = c->next;
		if (now - c->since_ns > HELLO_WAIT_NS) {
			l->rejected++;
			drop(c);
		}
	}
	if (l->clients)
		pa_loop_arm(l->loop, &l->sweep, SWEEP_NS);
}

static void drop_oldest(struct pa_listener *l)
{
	struct client *c = l->clients;

	while (c && c->next)
		c = c->next;
	if (c) {
		l->rejected++;
		drop(c);
	}
}

static void new_client(struct pa_watch *watch, uint32_t events)
{
	struct pa_listener *l = watch->arg;
	int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *c;

	if (fd < 0)
		return;
	if (l->nr_clients >= PA_LISTENER_CLIENTS)
		drop_oldest(l);
	c = calloc(1, sizeof(*c));
	if (!c) {
		close(fd);
		return;
	}
	c->l = l;
	c->since_ns = pa_now_ns();
	c->watch = (struct pa_watch){.fd = fd, .fn = client_ready, .arg = c};
	if (pa_loop_watch(l->loop, &c->watch, EPOLLIN)) {
		close(fd);
		free(c);
		return;
	}
	c->next = l->clients;
	l->clients = c;
	l->nr_clients++;
	if (!l->sweep.on)
		pa_loop_arm(l->loop, &l->sweep, SWEEP_NS);
}

static int fill_address(const char *name, struct sockaddr_un *addr, socklen_t *len)
{
	size_t n = strlen(name);

	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	if (n == 0 || (name[0] == '@' && n == 1))
		return -EINVAL;
	if (n >= sizeof(addr->sun_path))
		return -ENAMETOOLONG;
	memcpy(addr->sun_path, name, n);
	if (name[0] == '@')
		addr->sun_path[0] = 0;
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (name[0] != '@'));
	return 0;
}

/* A socket file whose listener has died is in the way; one that answers is not ours to remove. */
static int remove_stale(const struct sockaddr_un *addr, socklen_t len)
{
	struct stat st;
	int fd, err = 0;

	if (lstat(addr->sun_path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EADDRINUSE;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)addr, len) == 0 || errno != ECONNREFUSED)
		err = -EADDRINUSE;
	close(fd);
	if (!err && unlink(addr->sun_path))
		err = -errno;
	return err;
}

static int open_socket(struct pa_listener *l, const char *name)
{
	struct sockaddr_un addr;
	socklen_t len = 0;
	int err = fill_address(name, &addr, &len);
	int fd;

	if (!err && addr.sun_path[0])
		err = remove_stale(&addr, len);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&addr, len)) {
		err = -errno;
		close(fd);
		return err;
	}
	memcpy(l->path, addr.sun_path, sizeof(l->path));
	l->watch = (struct pa_watch){.fd = fd, .fn = new_client, .arg = l};
	if (listen(fd, PA_LISTENER_CLIENTS))
		return -errno;
	return pa_loop_watch(l->loop, &l->watch, EPOLLIN);
}

static struct pa_listener *new_listener(struct pa_loop *loop, const struct pa_listener_ops *ops)
{
	struct pa_listener *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->loop = loop;
	l->ops = *ops;
	l->watch.fd = -1;
	l->sweep = (struct pa_timer){.fn = sweep, .arg = l};
	return l;
}

int pa_listener_adopt(struct pa_loop *loop, int fd, const struct pa_listener_ops *ops, struct pa_listener **out)
{
	struct pa_listener *l = new_listener(loop, ops);
	int err;

	if (!l) {
		close(fd);
		return -ENOMEM;
	}
	l->watch = (struct pa_watch){.fd = fd, .fn = new_client, .arg = l};
	err = pa_loop_watch(loop, &l->watch, EPOLLIN);
	if (err)
		pa_listener_close(l);
	else
		*out = l;
	return err;
}

int pa_listener_open(struct pa_loop *loop, const char *name, const struct pa_listener_ops *ops,
		     struct pa_listener **out)
{
	struct pa_listener *l = new_listener(loop, ops);
	int err;

	if (!l)
		return -ENOMEM;
	err = open_socket(l, name);
	if (err) {
		pa_listener_close(l);
		return err;
	}
	*out = l;
	return 0;
}

void pa_listener_close(struct pa_listener *l)
{
	if (!l)
		return;
	while (l->clients)
		drop(l->clients);
	pa_loop_disarm(l->loop, &l->sweep);
	if (l->watch.fd >= 0) {
		pa_loop_unwatch(l->loop, &l->watch);
		close(l->watch.fd);
	}
	if (l->path[0])
		unlink(l->path);
	free(l);
}

uint64_t pa_listener_rejected(const struct pa_listener *l)
{
	return l->rejected;
}
