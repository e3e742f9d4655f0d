/* What a call costs that sends or receives on a connection, and does not have to wait: of each kind its name,
 * nanoseconds of CPU time a call (the least of some rounds), and instructions of the program a call, counted one by
 * one.
 *
 *   talk          all kinds, a line each
 *   talk KIND     (itself, traced) calls of one kind between two stops
 *
 * The other end of every connection is read and written by raw system calls, which nobody hooks.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BURST  50 /* calls between two looks at the clock: what they send fits a socket's buffer */
#define ROUNDS 400
#define STEPS  10 /* calls counted, after a burst */
#define DEPTH  10 /* frames between main and the call */

#define SET "*3\r\n$3\r\nSET\r\n$16\r\nkey:__rand_int__\r\n$3\r\nxxx\r\n"
struct words {
	const char *bytes;
	size_t len;
};

struct kind {
	const char *name;
	struct words hello, welcome; /* what a connection begins with */
	struct words ask;            /* what the program sends */
	struct words answer;         /* what it is sent */
	bool receives;               /* that is what is measured */
};

#define WORDS(text)                                                                                                    \
	{                                                                                                              \
		(text), sizeof(text) - 1                                                                               \
	}
#define BINARY WORDS("\x80 is no protocol that anybody knows, and that is seen by its first bytes")
#define OTHER  BINARY, BINARY, BINARY, BINARY
#define REDIS  WORDS(SET), WORDS("+OK\r\n"), WORDS(SET), WORDS("+OK\r\n")
#define POSTGRES                                                                                                       \
	WORDS("\0\0\0\21\0\3\0\0user\0me\0\0"), WORDS("R\0\0\0\10\0\0\0\0Z\0\0\0\5I"),                                 \
	    WORDS("Q\0\0\0\23select 1234567\0"), WORDS("C\0\0\0\15SELECT 1\0Z\0\0\0\5I")

#define FOUR(text) text text text text
#define PIPELINED  WORDS(SET), WORDS("+OK\r\n"), WORDS(FOUR(FOUR(SET))), WORDS(FOUR(FOUR("+OK\r\n")))

static const struct kind kinds[] = {
    {"redis16-send", PIPELINED, false}, {"redis16-recv", PIPELINED, true}, {"other-send", OTHER, false},
    {"other-recv", OTHER, true},        {"redis-send", REDIS, false},      {"redis-recv", REDIS, true},
    {"postgres-send", POSTGRES, false}, {"postgres-recv", POSTGRES, true},
};

static int near_fd, far_fd;

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void must(bool is_so, const char *what)
{
	if (is_so)
		return;
	perror(what);
	exit(1);
}

/* A connection of a client, by a path. */
static void connect_both(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "talk.%d", (int)getpid());
	must(bind(listener, (struct sockaddr *)&to, sizeof(to)) == 0 && listen(listener, 8) == 0, to.sun_path);
	near_fd = socket(AF_UNIX, SOCK_STREAM, 0);
	must(connect(near_fd, (struct sockaddr *)&to, sizeof(to)) == 0, "connect");
	far_fd = (int)syscall(SYS_accept4, listener, NULL, NULL, 0);
	must(far_fd >= 0, "accept");
	unlink(to.sun_path);
	syscall(SYS_close, listener);
}

static void drain(int fd, size_t len)
{
	char buf[65536];

	while (len) {
		long n = syscall(SYS_recvfrom, fd, buf, len < sizeof(buf) ? len : sizeof(buf), 0, NULL, NULL);

		must(n > 0, "drain");
		len -= (size_t)n;
	}
}

static __attribute__((noinline)) void one_call(const struct kind *k)
{
	char buf[1024];

	if (k->receives)
		must(recv(near_fd, buf, k->answer.len, 0) == (ssize_t)k->answer.len, "recv");
	else
		must(send(near_fd, k->ask.bytes, k->ask.len, MSG_NOSIGNAL) == (ssize_t)k->ask.len, "send");
	__asm__ volatile("" : : : "memory");
}

static __attribute__((noinline)) void at_depth(const struct kind *k, unsigned depth, unsigned calls)
{
	if (depth)
		at_depth(k, depth - 1, calls);
	for (unsigned i = 0; !depth && i < calls; i++)
		one_call(k);
	__asm__ volatile("" : : : "memory");
}

static void before_calls(const struct kind *k, unsigned calls)
{
	for (unsigned i = 0; k->receives && i < calls; i++)
		must(syscall(SYS_sendto, far_fd, k->answer.bytes, k->answer.len, 0, NULL, 0) == (long)k->answer.len,
		     "answer");
}

static void after_calls(const struct kind *k, unsigned calls)
{
	if (!k->receives)
		drain(far_fd, calls * k->ask.len);
}

/* So that what is spoken is known. */
static void begin(const struct kind *k)
{
	struct kind send = *k, receive = *k;

	send.receives = false;
	receive.receives = true;
	send.ask = k->hello;
	receive.answer = k->welcome;
	for (unsigned i = 0; i < 3; i++) {
		at_depth(&send, DEPTH, 1);
		after_calls(&send, 1);
		before_calls(&receive, 1);
		at_depth(&receive, DEPTH, 1);
		send.ask = k->ask;
		receive.answer = k->answer;
	}
}

static double measure(const struct kind *k)
{
	uint64_t least = UINT64_MAX;

	for (int round = 0; round < ROUNDS; round++) {
		uint64_t began, took;

		before_calls(k, BURST);
		began = cpu_ns();
		at_depth(k, DEPTH, BURST);
		took = cpu_ns() - began;
		least = took < least ? took : least;
		after_calls(k, BURST);
		/* a ring that is full costs nothing */
		if (round % 50 == 49)
			usleep(20000);
	}
	return (double)least / BURST;
}

static int traced(const struct kind *k)
{
	connect_both();
	begin(k);
	before_calls(k, BURST + STEPS);
	at_depth(k, DEPTH, BURST);
	must(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0, "ptrace");
	raise(SIGSTOP);
	at_depth(k, DEPTH, STEPS);
	raise(SIGSTOP);
	return 0;
}

/* Instructions between two stops of a child; those of the kernel count as one each. */
static double count(const char *self, const char *name)
{
	uint64_t steps = 0;
	int status;
	pid_t child = fork();

	if (child == 0) {
		execl(self, self, name, (char *)NULL);
		_exit(127);
	}
	must(child > 0 && waitpid(child, &status, 0) == child && WIFSTOPPED(status), "trace");
	while (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) == 0 && waitpid(child, &status, 0) == child &&
	       WIFSTOPPED(status) && WSTOPSIG(status) != SIGSTOP)
		steps++;
	must(WIFSTOPPED(status), "step");
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	return (double)steps / STEPS;
}

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		double ns;

		if (argc > 1 && strcmp(argv[1], kinds[i].name) == 0)
			return traced(&kinds[i]);
		if (argc > 1)
			continue;
		connect_both();
		begin(&kinds[i]);
		ns = measure(&kinds[i]);
		printf("%s %.1f %.1f\n", kinds[i].name, ns, count("/proc/self/exe", kinds[i].name));
	}
	return argc > 1;
}
