/* What the calls on sockets answer: results, errno, bytes, what is left where they fail. The same with and without the
 * agent. What is said is Redis, so that the agent follows it.
 *
 *   sockets results    each call of the send and receive families: all, some, none, bad descriptors and pointers
 *   sockets blocking   nonblocking, time limits, a full peer, EINTR, in parts
 *   sockets ends       shutdown, a peer that is gone, reset, SIGPIPE, connect that fails, in the background, twice
 *   sockets numbers    dup2 and dup3 over a socket, close_range, closefrom, the number again, bad descriptors
 *   sockets children   fork uses its parent's connection, vfork closes descriptors of its own
 *   sockets threads    threads share a socket; one closes it
 *   sockets cancel     cancelled in recv, read, send, accept, connect, with their cleanup handlers
 *   sockets fortified  the names that programs built with _FORTIFY_SOURCE call
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "target.h"

static void *volatile nowhere = (void *)16; /* what compilers do not see through */
static volatile int too_many = -1;

#define NOWHERE ((void *)nowhere)
static const char ask[] = "*2\r\n$3\r\nGET\r\n$5\r\nkey:1\r\n";
static const char tell[] = "$5\r\nvalue\r\n";
#define SIZE  ((ssize_t)sizeof(ask) - 1)
#define TSIZE ((ssize_t)sizeof(tell) - 1)

static struct sockaddr_in address; /* of the listener */
static int listener;

/* The result, and errno where it failed: a success leaves it alone, which is to be seen, too. */
#define SHOW(what, call)                                                                                               \
	do {                                                                                                           \
		errno = 4242;                                                                                          \
		long ret_ = (long)(call);                                                                              \
		printf("%s: %ld %d\n", what, ret_, errno);                                                             \
	} while (0)

static void listen_here(void)
{
	socklen_t len = sizeof(address);

	listener = socket(AF_INET, SOCK_STREAM, 0);
	address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	target_need(listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 &&
			listen(listener, 16) == 0 && getsockname(listener, (struct sockaddr *)&address, &len) == 0,
		    "listen");
}

/* A connection within the program: [0] asks, [1] answers. */
static void connect_pair(int v[2])
{
	v[0] = socket(AF_INET, SOCK_STREAM, 0);
	target_need(connect(v[0], (struct sockaddr *)&address, sizeof(address)) == 0, "connect");
	v[1] = accept(listener, NULL, NULL);
	target_need(v[1] >= 0, "accept");
	/* both sides are known to speak Redis from here on */
	target_need(send(v[0], ask, SIZE, 0) == SIZE && send(v[1], tell, TSIZE, 0) == TSIZE, "send");
	char buf[64];
	target_need(recv(v[1], buf, SIZE, MSG_WAITALL) == SIZE && recv(v[0], buf, TSIZE, MSG_WAITALL) == TSIZE, "recv");
}

static void close_pair(const int v[2])
{
	close(v[0]);
	close(v[1]);
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

static void send_all_ways(int fd)
{
	struct iovec iov[3] = {{(void *)ask, 7}, {(void *)(ask + 7), 0}, {(void *)(ask + 7), SIZE - 7}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 3};
	struct mmsghdr two[2] = {{.msg_hdr = msg}, {.msg_hdr = msg}};
	int file = memfd_create("file", 0);
	off_t at = 0;

	SHOW("send", send(fd, ask, SIZE, 0));
	SHOW("send of nothing", send(fd, ask, 0, 0));
	SHOW("sendto", sendto(fd, ask, SIZE, MSG_NOSIGNAL, NULL, 0));
	SHOW("sendto an address", sendto(fd, ask, SIZE, 0, (struct sockaddr *)&address, sizeof(address)));
	SHOW("sendmsg", sendmsg(fd, &msg, 0));
	SHOW("sendmmsg", sendmmsg(fd, two, 2, 0));
	printf("of %u and %u bytes\n", two[0].msg_len, two[1].msg_len);
	SHOW("write", write(fd, ask, SIZE));
	SHOW("writev", writev(fd, iov, 3));
	target_need(write(file, ask, SIZE) == SIZE, "write");
	SHOW("sendfile", sendfile(fd, file, &at, 100));
	SHOW("sendfile64", sendfile64(fd, file, &(off64_t){7}, 100));
	SHOW("send, bad flags", send(fd, ask, SIZE, MSG_OOB | MSG_ERRQUEUE));
	close(file);
}

static void receive_all_ways(int fd)
{
	char a[64], b[64], control[64];
	struct iovec iov[2] = {{a, 9}, {b, SIZE - 9}};
	struct msghdr msg = {
	    .msg_iov = iov, .msg_iovlen = 2, .msg_control = control, .msg_controllen = sizeof(control)};
	struct mmsghdr one[1] = {{.msg_hdr = msg}};
	struct sockaddr_in from;
	socklen_t len = sizeof(from);

	SHOW("recv, peek", recv(fd, a, 5, MSG_PEEK));
	SHOW("recv", recv(fd, a, SIZE, MSG_WAITALL));
	printf("%.7s\n", a + 4);
	SHOW("recv of nothing", recv(fd, a, 0, MSG_DONTWAIT));
	SHOW("recvfrom", recvfrom(fd, a, SIZE, MSG_WAITALL, (struct sockaddr *)&from, &len));
	SHOW("recvmsg", recvmsg(fd, &msg, MSG_WAITALL));
	printf("flags %d, control %zu\n", msg.msg_flags, msg.msg_controllen);
	SHOW("recvmmsg", recvmmsg(fd, one, 1, MSG_WAITALL, NULL));
	printf("of %u bytes\n", one[0].msg_len);
	SHOW("read", read(fd, a, SIZE));
	SHOW("readv", readv(fd, iov, 2));
	SHOW("recv, thrown away", recv(fd, NULL, SIZE, MSG_TRUNC | MSG_WAITALL));
	SHOW("recv, a bad pointer", recv(fd, NOWHERE, SIZE, 0));
	SHOW("read, a bad pointer", read(fd, NOWHERE, SIZE));
}

static void bad_ones(int fd)
{
	char buf[8];
	struct iovec bad = {NOWHERE, 64};
	struct msghdr msg = {.msg_iov = &bad, .msg_iovlen = 1};
	int file = memfd_create("file", 0);

	SHOW("send from nowhere", send(fd, NOWHERE, 64, 0));
	SHOW("sendmsg from nowhere", sendmsg(fd, &msg, 0));
	SHOW("sendmsg of nothing", sendmsg(fd, NULL, 0));
	SHOW("recvmsg into nowhere", recvmsg(fd, &msg, MSG_DONTWAIT));
	SHOW("recvmsg of nothing", recvmsg(fd, NULL, MSG_DONTWAIT));
	SHOW("writev of too many", writev(fd, &bad, too_many));
	SHOW("readv of too many", readv(fd, &bad, too_many));
	SHOW("send on -1", send(-1, buf, 1, 0));
	SHOW("recv on -1", recv(-1, buf, 1, 0));
	SHOW("send on a file", send(file, buf, 1, 0));
	SHOW("recv on 100000", recv(100000, buf, 1, 0));
	SHOW("connect on -1", connect(-1, (struct sockaddr *)&address, sizeof(address)));
	SHOW("connect on a file", connect(file, (struct sockaddr *)&address, sizeof(address)));
	SHOW("connect to nowhere", connect(fd, NOWHERE, sizeof(address)));
	SHOW("connect, short", connect(fd, (struct sockaddr *)&address, 1));
	SHOW("connect again", connect(fd, (struct sockaddr *)&address, sizeof(address)));
	SHOW("accept on no listener", accept(fd, NULL, NULL));
	SHOW("accept4, bad flags", accept4(listener, NULL, NULL, 12345));
	SHOW("accept on -1", accept(-1, NULL, NULL));
	SHOW("socket of no kind", socket(12345, SOCK_STREAM, 0));
	SHOW("socketpair of no kind", socketpair(AF_UNIX, 12345, 0, (int *)buf));
	SHOW("getsockopt into nowhere", getsockopt(fd, SOL_SOCKET, SO_ERROR, NOWHERE, &(socklen_t){4}));
	close(file);
}

static int results(int argc, char **argv)
{
	int v[2], u[2], value;
	socklen_t len = sizeof(value);

	for (int round = 0; round < 3; round++) {
		connect_pair(v);
		send_all_ways(v[round & 1]);
		receive_all_ways(v[!(round & 1)]);
		bad_ones(v[0]);
		SHOW("getsockopt", getsockopt(v[0], SOL_SOCKET, SO_ERROR, &value, &len));
		printf("error %d\n", value);
		close_pair(v);
	}
	target_need(socketpair(AF_UNIX, SOCK_STREAM, 0, u) == 0, "socketpair");
	SHOW("write to a pair", write(u[0], ask, SIZE));
	SHOW("read of it", read(u[1], &value, 4));
	close_pair(u);
	target_need(socketpair(AF_UNIX, SOCK_DGRAM, 0, u) == 0, "socketpair");
	SHOW("a datagram", send(u[0], ask, SIZE, 0));
	SHOW("and its beginning", recv(u[1], &value, 4, MSG_TRUNC));
	close_pair(u);
	return 0;
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

static volatile int came;

static void on_alarm(int sig)
{
	came++;
}

static void ring(long us)
{
	struct itimerval timer = {.it_value = {.tv_usec = us}, .it_interval = {.tv_usec = us}};

	setitimer(ITIMER_REAL, &timer, NULL);
}

static void *drain_slowly(void *arg)
{
	char buf[4096];
	ssize_t n;
	size_t sum = 0;

	while ((n = recv(*(int *)arg, buf, sizeof(buf), 0)) > 0)
		sum += (size_t)n;
	return (void *)sum;
}

static int blocking(int argc, char **argv)
{
	static char much[4 << 20];
	struct sigaction action = {.sa_handler = on_alarm};
	struct timeval limit = {.tv_usec = 10000};
	int v[2];
	char buf[64];
	pthread_t thread;
	void *sum;

	connect_pair(v);
	SHOW("recv without waiting", recv(v[0], buf, 1, MSG_DONTWAIT));
	fcntl(v[0], F_SETFL, O_NONBLOCK);
	SHOW("read, nonblocking", read(v[0], buf, 1));
	SHOW("readv, nonblocking", readv(v[0], &(struct iovec){buf, 1}, 1));
	SHOW("recvmsg, nonblocking",
	     recvmsg(v[0], &(struct msghdr){.msg_iov = &(struct iovec){buf, 1}, .msg_iovlen = 1}, 0));
	while (send(v[0], much, sizeof(much), 0) > 0)
		;
	SHOW("send to a full one", send(v[0], much, sizeof(much), 0));
	SHOW("write to a full one", write(v[0], much, sizeof(much)));
	close_pair(v);

	connect_pair(v);
	setsockopt(v[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	SHOW("recv with a limit", recv(v[0], buf, 1, 0));
	SHOW("read with a limit", read(v[0], buf, 1));
	close_pair(v);

	connect_pair(v);
	target_need(sigaction(SIGALRM, &action, NULL) == 0, "sigaction");
	ring(4000);
	SHOW("recv, interrupted", recv(v[0], buf, 1, 0));
	SHOW("read, interrupted", read(v[0], buf, 1));
	SHOW("recvmsg, interrupted",
	     recvmsg(v[0], &(struct msghdr){.msg_iov = &(struct iovec){buf, 1}, .msg_iovlen = 1}, 0));
	SHOW("accept, interrupted", accept(listener, NULL, NULL));
	SHOW("accept4, interrupted", accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	ring(0);
	printf("came %d\n", came >= 5);

	target_need(pthread_create(&thread, NULL, drain_slowly, &v[1]) == 0, "pthread_create");
	SHOW("send of much", send(v[0], much, sizeof(much), 0));
	shutdown(v[0], SHUT_WR);
	pthread_join(thread, &sum);
	printf("arrived %zu\n", (size_t)sum);
	close_pair(v);

	/* a request byte by byte, and its answer in two */
	connect_pair(v);
	for (ssize_t i = 0; i < SIZE; i++)
		target_need(send(v[0], ask + i, 1, 0) == 1, "send");
	SHOW("in parts", recv(v[1], buf, SIZE, MSG_WAITALL));
	target_need(send(v[1], tell, 3, 0) == 3 && send(v[1], tell + 3, TSIZE - 3, 0) == TSIZE - 3, "send");
	SHOW("the answer", recv(v[0], buf, TSIZE, MSG_WAITALL));
	close_pair(v);
	return 0;
}

/* ---- ends -------------------------------------------------------------------------------------------------------- */

static void background(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), other, error = -1;
	struct pollfd wait = {.fd = fd, .events = POLLOUT};
	socklen_t len = sizeof(error);

	SHOW("connect in the background", connect(fd, (struct sockaddr *)&address, sizeof(address)));
	SHOW("it is done", poll(&wait, 1, 5000));
	SHOW("how it went", getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
	printf("error %d\n", error);
	SHOW("connect once more", connect(fd, (struct sockaddr *)&address, sizeof(address)));
	other = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	printf("flags %d %d\n", fcntl(other, F_GETFD) == FD_CLOEXEC, !!(fcntl(other, F_GETFL) & O_NONBLOCK));
	SHOW("send", send(fd, ask, SIZE, 0));
	close(fd);
	close(other);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	connect(fd, (struct sockaddr *)&address, sizeof(address));
	SHOW("closed while it connects", close(fd));
	SHOW("and accepted", close(accept(listener, NULL, NULL)));
}

static void refused(void)
{
	struct sockaddr_un nowhere = {.sun_family = AF_UNIX, .sun_path = "nowhere.sock"};
	struct sockaddr_in closed = address;
	socklen_t len = sizeof(closed);
	int fd = socket(AF_INET, SOCK_STREAM, 0), unused = socket(AF_INET, SOCK_STREAM, 0);

	closed.sin_port = 0;
	target_need(bind(unused, (struct sockaddr *)&closed, sizeof(closed)) == 0 &&
			getsockname(unused, (struct sockaddr *)&closed, &len) == 0,
		    "bind");
	SHOW("connect, refused", connect(fd, (struct sockaddr *)&closed, sizeof(closed)));
	SHOW("then to where somebody is", connect(fd, (struct sockaddr *)&address, sizeof(address)));
	SHOW("send", send(fd, ask, SIZE, 0));
	close(fd);
	close(accept(listener, NULL, NULL));
	close(unused);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	SHOW("connect to no path", connect(fd, (struct sockaddr *)&nowhere, sizeof(nowhere)));
	close(fd);
}

static int ends(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_alarm};
	struct linger at_once = {.l_onoff = 1};
	char buf[64];
	int v[2];

	target_need(sigaction(SIGPIPE, &action, NULL) == 0, "sigaction");
	for (int round = 0; round < 2; round++) {
		connect_pair(v);
		SHOW("shutdown", shutdown(v[0], SHUT_WR));
		SHOW("send after it", send(v[0], ask, SIZE, MSG_NOSIGNAL));
		SHOW("write after it", write(v[0], ask, SIZE));
		SHOW("the end", recv(v[1], buf, sizeof(buf), 0));
		SHOW("the end again", read(v[1], buf, sizeof(buf)));
		SHOW("the other way", send(v[1], tell, TSIZE, 0));
		SHOW("arrives", recv(v[0], buf, sizeof(buf), 0));
		close_pair(v);

		connect_pair(v);
		setsockopt(v[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		SHOW("close with a reset", close(v[1]));
		poll(&(struct pollfd){.fd = v[0], .events = POLLIN}, 1, 5000);
		SHOW("recv of it", recv(v[0], buf, sizeof(buf), 0));
		SHOW("send after it", send(v[0], ask, SIZE, MSG_NOSIGNAL));
		SHOW("writev after it", writev(v[0], &(struct iovec){(void *)ask, SIZE}, 1));
		SHOW("close", close(v[0]));
		SHOW("close again", close(v[0]));
		background();
		refused();
	}
	printf("SIGPIPE came %d\n", came);
	return 0;
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

static int numbers(int argc, char **argv)
{
	char buf[64];
	int v[2], w[2], pipes[2];

	for (int round = 0; round < 3; round++) {
		connect_pair(v);
		connect_pair(w);
		SHOW("dup2 over a socket", dup2(w[0], v[0]) == v[0]);
		SHOW("its peer's end", recv(v[1], buf, sizeof(buf), 0));
		SHOW("send on the copy", send(v[0], ask, SIZE, 0));
		SHOW("and on the original", send(w[0], ask, SIZE, 0));
		SHOW("both arrive", recv(w[1], buf, (size_t)(2 * SIZE), MSG_WAITALL));
		SHOW("dup2 on itself", dup2(v[0], v[0]) == v[0]);
		SHOW("dup3 on itself", dup3(v[0], v[0], 0));
		SHOW("dup2 of none", dup2(-1, v[0]));
		SHOW("it is there still", send(v[0], ask, SIZE, 0));
		target_need(pipe(pipes) == 0, "pipe");
		SHOW("a pipe over a socket", dup3(pipes[1], v[0], O_CLOEXEC) == v[0]);
		SHOW("write into it", write(v[0], ask, SIZE));
		SHOW("read of it", read(pipes[0], buf, sizeof(buf)));
		SHOW("send into it", send(v[0], ask, SIZE, 0));
		SHOW("close_range, cloexec", close_range((unsigned)w[0], (unsigned)w[0], CLOSE_RANGE_CLOEXEC));
		SHOW("it is there still", send(w[0], ask, SIZE, 0));
		SHOW("close_range, wrong", close_range(9, 8, 0));
		SHOW("close_range, bad flags", close_range(900, 901, 12345));
		close_pair(v);
		close_pair(w);
		close_pair(pipes);
		connect_pair(v);
		if (round == 1)
			SHOW("close_range", close_range((unsigned)(listener + 1), ~0u, 0));
		else
			closefrom(listener + 1);
		SHOW("send", send(v[0], ask, SIZE, 0));
		SHOW("close", close(v[1]));
		/* the number again, for a file */
		v[0] = memfd_create("file", 0);
		SHOW("write", write(v[0], ask, SIZE));
		SHOW("close", close(v[0]));
	}
	return 0;
}

/* ---- children ---------------------------------------------------------------------------------------------------- */

static int children(int argc, char **argv)
{
	char buf[64];
	int v[2], status;
	pid_t pid;

	for (int round = 0; round < 2; round++) {
		connect_pair(v);
		fflush(stdout);
		pid = fork();
		if (pid == 0) {
			SHOW("the child asks", send(v[0], ask, SIZE, 0));
			SHOW("and is answered", recv(v[0], buf, TSIZE, MSG_WAITALL));
			close_pair(v);
			fflush(stdout);
			_exit(3);
		}
		target_need(recv(v[1], buf, SIZE, MSG_WAITALL) == SIZE && send(v[1], tell, TSIZE, 0) == TSIZE,
			    "answer");
		target_wait(pid, &status);
		target_print_status("fork", status);
		fflush(stdout);
		pid = vfork();
		if (pid == 0) {
			/* descriptors are its own, memory is not */
			close(v[0]);
			dup2(listener, v[1]);
			close_range((unsigned)listener, ~0u, 0);
			_exit(4);
		}
		target_wait(pid, &status);
		target_print_status("vfork", status);
		SHOW("the parent asks", send(v[0], ask, SIZE, 0));
		SHOW("arrives", recv(v[1], buf, SIZE, MSG_WAITALL));
		SHOW("is answered", send(v[1], tell, TSIZE, 0));
		SHOW("arrives", recv(v[0], buf, TSIZE, MSG_WAITALL));
		close_pair(v);
	}
	return 0;
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

#define EACH 4000

static void *ask_often(void *arg)
{
	size_t sent = 0;

	for (int i = 0; i < EACH; i++) {
		ssize_t n = send(*(int *)arg, ask, SIZE, 0);

		sent += n > 0 ? (size_t)n : 0;
	}
	return (void *)sent;
}

static void *wait_for_bytes(void *arg)
{
	char buf[8];

	return (void *)(recv(*(int *)arg, buf, sizeof(buf), 0));
}

static int threads(int argc, char **argv)
{
	pthread_t asking[3], reading[2];
	int v[2];
	void *ret;
	size_t sent = 0, got = 0;

	connect_pair(v);
	for (int i = 0; i < 2; i++)
		target_need(pthread_create(&reading[i], NULL, drain_slowly, &v[1]) == 0, "pthread_create");
	for (int i = 0; i < 3; i++)
		target_need(pthread_create(&asking[i], NULL, ask_often, &v[0]) == 0, "pthread_create");
	for (int i = 0; i < 3; i++) {
		pthread_join(asking[i], &ret);
		sent += (size_t)ret;
	}
	shutdown(v[0], SHUT_WR);
	for (int i = 0; i < 2; i++) {
		pthread_join(reading[i], &ret);
		got += (size_t)ret;
	}
	printf("sent %zu, got %zu\n", sent, got);
	close_pair(v);
	for (int i = 0; i < 20; i++) {
		connect_pair(v);
		target_need(pthread_create(&reading[0], NULL, wait_for_bytes, &v[1]) == 0, "pthread_create");
		close(v[0]);
		pthread_join(reading[0], &ret);
		printf("the end: %ld\n", (long)ret);
		close(v[1]);
	}
	return 0;
}

/* ---- cancellation ------------------------------------------------------------------------------------------------ */

static int wanted[2];
static volatile int cleaned, entered;

static ssize_t in_recv(void)
{
	char buf[8];

	return recv(wanted[0], buf, sizeof(buf), 0);
}

static ssize_t in_read(void)
{
	char buf[8];

	return read(wanted[0], buf, sizeof(buf));
}

static ssize_t in_recvmsg(void)
{
	char buf[8];
	struct iovec iov = {buf, sizeof(buf)};

	return recvmsg(wanted[0], &(struct msghdr){.msg_iov = &iov, .msg_iovlen = 1}, 0);
}

static ssize_t in_send(void)
{
	static char much[1 << 20];

	while (send(wanted[0], much, sizeof(much), 0) > 0)
		;
	return -1;
}

static ssize_t in_accept(void)
{
	return accept(listener, NULL, NULL);
}

static const struct cancelled {
	const char *name;
	ssize_t (*run)(void);
} cancelled[] = {
    {"recv", in_recv}, {"read", in_read}, {"recvmsg", in_recvmsg}, {"send", in_send}, {"accept", in_accept}};

static void clean(void *arg)
{
	char buf[8];

	cleaned++;
	/* handlers use sockets, too */
	recv(wanted[0], buf, sizeof(buf), MSG_DONTWAIT);
}

static void *be_cancelled(void *arg)
{
	const struct cancelled *c = arg;

	pthread_cleanup_push(clean, NULL);
	entered = 1;
	c->run();
	pthread_cleanup_pop(0);
	return NULL;
}

static int cancel(int argc, char **argv)
{
	const size_t nr = sizeof(cancelled) / sizeof(cancelled[0]);
	char buf[64];

	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < nr; i++) {
			pthread_t thread;
			void *result;

			connect_pair(wanted);
			entered = 0;
			target_need(pthread_create(&thread, NULL, be_cancelled, (void *)&cancelled[i]) == 0,
				    "pthread_create");
			while (round && !entered)
				usleep(500);
			usleep(round == 2 ? 3000 : 0);
			pthread_cancel(thread);
			pthread_join(thread, &result);
			printf("%s: %s\n", cancelled[i].name,
			       result == PTHREAD_CANCELED ? "cancelled" : "not cancelled");
			SHOW("said after that", send(wanted[1], tell, TSIZE, 0));
			SHOW("arrives", recv(wanted[0], buf, TSIZE, MSG_WAITALL));
			close_pair(wanted);
		}
	}
	printf("cleaned at least %d\n", cleaned >= 2 * (int)nr);
	return 0;
}

/* ---- fortified --------------------------------------------------------------------------------------------------- */

ssize_t __read_chk(int fd, void *buf, size_t len, size_t room);
ssize_t __recv_chk(int fd, void *buf, size_t len, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t room, int flags, struct sockaddr *from, socklen_t *size);

static int fortified(int argc, char **argv)
{
	char buf[64];
	int v[2], status;

	connect_pair(v);
	for (int i = 0; i < 3; i++)
		target_need(send(v[0], ask, SIZE, 0) == SIZE, "send");
	SHOW("__read_chk", __read_chk(v[1], buf, SIZE, sizeof(buf)));
	SHOW("__recv_chk", __recv_chk(v[1], buf, SIZE, sizeof(buf), MSG_WAITALL));
	SHOW("__recvfrom_chk", __recvfrom_chk(v[1], buf, SIZE, sizeof(buf), MSG_WAITALL, NULL, NULL));
	for (int i = 0; i < 3; i++) {
		pid_t pid;

		fflush(stdout);
		pid = fork();
		if (pid == 0) {
			/* its message goes to the terminal, or here */
			if (!freopen("message", "w", stderr))
				_exit(1);
			i == 0   ? __read_chk(v[1], buf, 65, sizeof(buf))
			: i == 1 ? __recv_chk(v[1], buf, 65, sizeof(buf), 0)
				 : __recvfrom_chk(v[1], buf, 65, sizeof(buf), 0, NULL, NULL);
			_exit(5);
		}
		target_wait(pid, &status);
		printf("overflow: %s\n",
		       WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? "aborted" : "not aborted");
	}
	close_pair(v);
	return 0;
}

static const struct target_mode modes[] = {
    {"results", results}, {"blocking", blocking},   {"ends", ends},
    {"numbers", numbers}, {"children", children},   {"threads", threads},
    {"cancel", cancel},   {"fortified", fortified}, {NULL, NULL},
};

int main(int argc, char **argv)
{
	listen_here();
	return target_main(modes, argc, argv);
}
