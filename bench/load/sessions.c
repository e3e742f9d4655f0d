/* Many sessions at once: sessions SOCKET PROCESSES RATE SECONDS. Each process is a session leader of its own that
 * speaks as the agent does: HELLO, a slot in the shared memory, RATE samples of 8 to 39 frames a second out of 64
 * stacks, at the times when they were due. Written ten times a second: what the daemon does is measured, not what
 * signals cost. Prints how many samples were written and how many found no room. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/fake_agent.h"

#define WAKES  10
#define STACKS 64
#define NS     1000000000u

struct total {
	_Atomic uint64_t written, lost, refused, ready;
	_Atomic int go;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

static int receive(int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} room;
	struct pa_config config;
	struct iovec iov = {&config, sizeof(config)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof(room)};
	struct cmsghdr *c;
	int memfd = -1;

	if (recvmsg(fd, &msg, MSG_CMSG_CLOEXEC) == (ssize_t)sizeof(config) && (c = CMSG_FIRSTHDR(&msg)))
		memcpy(&memfd, CMSG_DATA(c), sizeof(memfd));
	return memfd;
}

/* Errors: -1. */
static int shake_hands(const char *path)
{
	struct pa_hello hello = {.head = {PA_WIRE_MAGIC, PA_WIRE_MAJOR, PA_WIRE_MINOR, sizeof(hello), PA_MSG_HELLO, 0},
				 .pid = (uint32_t)getpid(),
				 .tid = (uint32_t)getpid(),
				 .time_ns = now_ns(),
				 .page_size = 4096,
				 .machine = 62};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), memfd = -1;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)) &&
	    send(fd, &hello, sizeof(hello), MSG_NOSIGNAL) == (ssize_t)sizeof(hello))
		memfd = receive(fd);
	close(fd);
	return memfd;
}

static void announce(struct fake_thread *t, uint64_t period_ns)
{
	struct pa_thread_start *start =
	    fake_begin(&t->hook, PA_REC_THREAD_START, sizeof(struct pa_thread_start), now_ns());

	start->tid = t->tid;
	start->pid = (uint32_t)getpid();
	start->period_ns = period_ns;
	start->first_ns = period_ns;
	pa_ring_commit(&t->hook);
}

/* The samples that were due up to a time. */
static void catch_up(struct fake_thread *t, uint64_t *due_ns, uint64_t up_to_ns, uint64_t period_ns,
		     struct total *total)
{
	while (*due_ns <= up_to_ns) {
		uint64_t stack = (*due_ns / period_ns * 2654435761u) % STACKS;
		bool fits = fake_sample(t, *due_ns, (uint64_t)(uintptr_t)now_ns + stack * 8, (uint16_t)(8 + stack / 2));

		if (fits)
			pa_store_relaxed(&t->slot->signal.records, pa_load_relaxed(&t->slot->signal.records) + 1);
		else
			pa_store_relaxed(&t->slot->signal.lost_full, pa_load_relaxed(&t->slot->signal.lost_full) + 1);
		*(fits ? &total->written : &total->lost) += 1;
		*due_ns += period_ns;
	}
}

static void be_a_session(const char *path, uint64_t period_ns, unsigned seconds, struct total *total)
{
	struct fake_agent agent;
	struct fake_thread thread;
	uint64_t start_ns, due_ns;
	struct stat st;
	int memfd;

	setsid();
	memfd = shake_hands(path);
	if (memfd < 0 || fstat(memfd, &st) || !fake_agent_map(&agent, memfd, (size_t)st.st_size) ||
	    !fake_claim(&agent, &thread, (uint32_t)getpid(), (uint32_t)getpid(), 0)) {
		total->refused++;
		return;
	}
	close(memfd);
	announce(&thread, period_ns);
	total->ready++;
	while (!total->go)
		usleep(20000);
	start_ns = due_ns = now_ns();
	for (unsigned i = 0; i < seconds * WAKES; i++) {
		struct timespec until;
		uint64_t at = start_ns + (uint64_t)(i + 1) * NS / WAKES;

		until = (struct timespec){(time_t)(at / NS), (long)(at % NS)};
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
		catch_up(&thread, &due_ns, at, period_ns, total);
	}
}

int main(int argc, char **argv)
{
	struct total *total = mmap(NULL, sizeof(*total), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int nr = argc > 2 ? atoi(argv[2]) : 0, rate = argc > 3 ? atoi(argv[3]) : 0;
	unsigned seconds = argc > 4 ? (unsigned)atoi(argv[4]) : 0;

	if (total == MAP_FAILED || nr <= 0 || rate <= 0 || !seconds) {
		fprintf(stderr, "usage: sessions SOCKET PROCESSES RATE SECONDS\n");
		return 2;
	}
	for (int i = 0; i < nr; i++) {
		pid_t pid = fork();

		if (!pid) {
			be_a_session(argv[1], NS / (unsigned)rate, seconds, total);
			_exit(0);
		}
		/* a few at a time, as services start */
		while (i % 8 == 7 && total->ready + total->refused < (uint64_t)i)
			usleep(1000);
	}
	while (total->ready + total->refused < (uint64_t)nr)
		usleep(1000);
	printf("ready %llu refused %llu\n", (unsigned long long)total->ready, (unsigned long long)total->refused);
	fflush(stdout);
	usleep(500000);
	total->go = 1;
	while (wait(NULL) > 0)
		continue;
	printf("written %llu lost %llu\n", (unsigned long long)total->written, (unsigned long long)total->lost);
	return 0;
}
