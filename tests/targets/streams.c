/* What a program does to the one descriptor that the socket transport has in it, and what it sees of it. */
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "tests/targets/target.h"

#define HIGH 900 /* the agent's is above */

static TARGET_NOINLINE void before_loss(void)
{
	target_burn_ms(300);
	target_sink++;
}

static TARGET_NOINLINE void after_loss(void)
{
	target_burn_ms(300);
	target_sink--; /* other code than the one before: compilers fold what is the same */
}

/* The program's own descriptors, and the number the next one gets; nothing in an executed program. */
static int mode_low(int argc, char **argv)
{
	target_burn_ms(50);
	for (int fd = 0; fd < HIGH; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			printf("fd %d\n", fd);
	printf("next %d\n", dup(0));
	return 0;
}

static int mode_close(int argc, char **argv)
{
	before_loss();
	closefrom(3);
	after_loss();
	printf("next %d\n", dup(0));
	return 0;
}

static void make_pair(const char *kind, int pair[2])
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	socklen_t len = sizeof(to);
	int listener, err = -1;

	if (!strcmp(kind, "pipe")) {
		err = pipe(pair);
		err |= fcntl(pair[0], F_SETFL, O_NONBLOCK);
	} else if (!strcmp(kind, "stream")) {
		err = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair);
	} else if (!strcmp(kind, "packets")) {
		err = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair);
	} else if (!strcmp(kind, "tcp")) {
		listener = socket(AF_INET6, SOCK_STREAM, 0);
		pair[1] = socket(AF_INET6, SOCK_STREAM, 0);
		err = bind(listener, (struct sockaddr *)&to, len) || listen(listener, 1) ||
		      getsockname(listener, (struct sockaddr *)&to, &len) ||
		      connect(pair[1], (struct sockaddr *)&to, len);
		pair[0] = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	}
	target_need(err == 0 && pair[0] >= 0, kind);
}

/* Its own descriptor in the place of ours, whichever that is: nothing but what the program writes may arrive. */
static int mode_reuse(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "stream";
	int pair[2];
	char byte;

	before_loss();
	make_pair(kind, pair);
	for (int fd = HIGH; fd < 1024; fd++)
		target_need(dup2(pair[1], fd) == fd, "dup2");
	after_loss();
	printf("%s: arrived %zd\n", kind, read(pair[0], &byte, 1));
	for (int fd = HIGH; fd < 1024; fd++)
		target_need(close(fd) == 0, "close");
	return 0;
}

static void *sleeper(void *arg)
{
	before_loss();
	for (;;)
		pause();
	return NULL;
}

/* A thread that sleeps after its work, another that works on; then SIGKILL. */
static int mode_killed(int argc, char **argv)
{
	pthread_t t;

	target_need(pthread_create(&t, NULL, sleeper, NULL) == 0, "pthread_create");
	target_burn_ms(200);
	after_loss();
	after_loss();
	after_loss();
	raise(SIGKILL);
	return 0;
}

/* An allocation a time and its free, while the collector is stopped for a while. */
static int mode_slow(int argc, char **argv)
{
	pid_t collector = (pid_t)target_number(argc, argv, 1, 0);
	int failed = 0;

	target_need(collector == 0 || kill(collector, SIGSTOP) == 0, "stop");
	for (int i = 0; i < 200000; i++) {
		char *volatile p = malloc(64 + (size_t)i % 4000);

		failed += p == NULL;
		free(p);
	}
	target_burn_ms(300);
	target_need(collector == 0 || kill(collector, SIGCONT) == 0, "continue");
	target_burn_ms(300);
	printf("failed %d\n", failed);
	return 0;
}

static volatile sig_atomic_t pipes;

static void on_pipe(int sig)
{
	pipes++;
}

/* Counts what the end of a collector must not cause: SIGPIPE, and calls that are interrupted. */
static int mode_orphan(int argc, char **argv)
{
	pid_t collector = (pid_t)target_number(argc, argv, 1, 0);
	int interrupted = 0;

	signal(SIGPIPE, on_pipe);
	target_burn_ms(300);
	if (collector)
		kill(collector, SIGKILL);
	for (int i = 0; i < 20; i++) {
		target_burn_ms(20);
		interrupted += usleep(5000) != 0;
	}
	printf("SIGPIPE %d, interrupted %d\n", (int)pipes, interrupted);
	return 0;
}

static const struct target_mode modes[] = {
    {"low", mode_low},   {"close", mode_close},   {"reuse", mode_reuse}, {"killed", mode_killed},
    {"slow", mode_slow}, {"orphan", mode_orphan}, {NULL, NULL}};

int main(int argc, char **argv)
{
	return target_main(modes, argc, argv);
}
