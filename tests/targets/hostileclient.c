/* A client that attacks the collector: hostileclient MODE, on the socket in $HOSTILE_SOCKET or $PERFAGENT_SOCKET. Ends
 * with 0 when it was able to do its worst; whether the collector lived is for the test to see (R61-R64). */
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/wire.h"
#include "tests/targets/target.h"

static const char *path;
static uint64_t state = 88172645463325252u; /* fixed: the same attack each time */

static uint64_t draw(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	return state ^= state << 17;
}

static int attempt(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t len = sizeof address;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	if (path[0] == '@') {
		address.sun_path[0] = 0;
		len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	}
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, len)) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

static int must_connect(void)
{
	int fd = -1;

	/* a full backlog is no refusal */
	for (int tries = 0; tries < 5000 && (fd = attempt()) < 0 && errno == EAGAIN; tries++)
		usleep(1000);
	target_need(fd >= 0, path);
	return fd;
}

static struct pa_hello good_hello(void)
{
	struct pa_hello hello = {
	    .head = {.magic = PA_WIRE_MAGIC,
		     .major = PA_WIRE_MAJOR,
		     .minor = PA_WIRE_MINOR,
		     .size = sizeof hello,
		     .type = PA_MSG_HELLO},
	    .pid = (uint32_t)getpid(),
	    .tid = (uint32_t)getpid(),
	    .time_ns = target_clock_ns(CLOCK_MONOTONIC),
	    .page_size = 4096,
	    .machine = sizeof(void *) == 8 ? 62 : 3,
	};

	return hello;
}

/* Waits up to five seconds for the answer; returns its length, 0: closed, -1: none. *memfd: what came with it, or -1.
 */
static ssize_t receive(int fd, struct pa_config *config, int *memfd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * 4)];
	} control;
	struct iovec iov = {.iov_base = config, .iov_len = sizeof *config};
	struct msghdr msg = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	struct cmsghdr *c;
	ssize_t len;

	*memfd = -1;
	if (poll(&poll_fd, 1, 5000) <= 0)
		return -1;
	len = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	c = len > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(memfd, CMSG_DATA(c), sizeof *memfd);
	return len < 0 ? 0 : len;
}

/* Sends bytes and prints what became of it. */
static void try_message(const char *what, const void *data, size_t len)
{
	struct pa_config config = {0};
	int fd = must_connect(), memfd;
	ssize_t got;

	if (send(fd, data, len, MSG_NOSIGNAL) < 0)
		printf("%s: send: %s\n", what, strerror(errno));
	got = receive(fd, &config, &memfd);
	if (got == (ssize_t)sizeof config)
		printf("%s: status %u, descriptor %d\n", what, config.status, memfd >= 0);
	else
		printf("%s: %s\n", what, got == 0 ? "closed" : "no answer");
	close(fd);
	close(memfd);
}

static int mode_messages(int argc, char **argv)
{
	struct pa_hello hello = good_hello();
	char big[65536];

	hello.head.major = PA_WIRE_MAJOR + 1;
	try_message("version", &hello, sizeof hello);
	hello = good_hello();
	hello.head.magic ^= 1;
	try_message("magic", &hello, sizeof hello);
	hello = good_hello();
	hello.head.size = 1u << 31;
	try_message("length", &hello, sizeof hello);
	hello = good_hello();
	hello.options_len = 65535;
	try_message("options", &hello, sizeof hello);
	hello = good_hello();
	hello.head.type = 77;
	try_message("type", &hello, sizeof hello);
	hello = good_hello();
	try_message("half", &hello, sizeof hello / 2);
	try_message("byte", &hello, 1);
	for (size_t i = 0; i < sizeof big; i++)
		big[i] = (char)draw();
	memcpy(big, &hello, sizeof hello);
	try_message("tail", big, sizeof big);
	return 0;
}

static int mode_random(int argc, char **argv)
{
	unsigned nr = target_number(argc, argv, 1, 300);

	for (unsigned i = 0; i < nr; i++) {
		char bytes[2048];
		int fd = must_connect();

		for (size_t k = 0; k < sizeof bytes; k++)
			bytes[k] = (char)draw();
		if (draw() & 1)
			memcpy(bytes,
			       &(struct pa_msg_head){.magic = PA_WIRE_MAGIC,
						     .major = PA_WIRE_MAJOR,
						     .size = (uint32_t)draw(),
						     .type = PA_MSG_HELLO},
			       16);
		if (send(fd, bytes, draw() % sizeof bytes, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EPIPE &&
		    errno != ECONNRESET)
			target_need(0, "send");
		if (draw() & 1)
			shutdown(fd, SHUT_WR);
		close(fd);
	}
	printf("random done\n");
	return 0;
}

/* Connections that say nothing, held while others want in; then all at once gone. */
static int mode_crowd(int argc, char **argv)
{
	unsigned nr = target_number(argc, argv, 1, 1000), open_now = 0;
	struct rlimit limit = {4096, 4096};
	int fds[4000];

	setrlimit(RLIMIT_NOFILE, &limit);
	for (unsigned i = 0; i < nr && open_now < 4000; i++) {
		int fd = attempt();

		for (int tries = 0; fd < 0 && errno == EAGAIN && tries < 100; tries++) {
			usleep(1000);
			fd = attempt();
		}
		if (fd >= 0)
			fds[open_now++] = fd;
	}
	usleep(200000);
	for (unsigned i = 0; i < open_now; i++)
		close(fds[i]);
	printf("crowd done\n");
	return open_now ? 0 : 1;
}

/* HELLO with descriptors attached that nobody asked for */
static int mode_descriptors(int argc, char **argv)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * 32)];
	} control;
	struct pa_hello hello = good_hello();
	struct iovec iov = {.iov_base = &hello, .iov_len = sizeof hello};
	struct msghdr msg = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};

	for (int round = 0; round < 100; round++) {
		int fd = must_connect(), pipes[2];
		struct cmsghdr *c;

		target_need(pipe(pipes) == 0, "pipe");
		memset(&control, 0, sizeof control);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * 32);
		for (int i = 0; i < 32; i++)
			memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &pipes[i & 1], sizeof(int));
		hello.head.magic = 0;
		target_need(sendmsg(fd, &msg, MSG_NOSIGNAL) > 0, "sendmsg");
		close(pipes[0]);
		close(pipes[1]);
		close(fd);
	}
	printf("descriptors done\n");
	return 0;
}

/* ---- in the shared memory ---- */

struct session {
	uint8_t *map;
	uint64_t size;
	struct pa_control *control;
	struct pa_slot *slots;
};

static struct session begin(void)
{
	struct pa_hello hello = good_hello();
	struct pa_config config = {0};
	struct session s = {0};
	int fd = must_connect(), memfd;

	target_need(send(fd, &hello, sizeof hello, MSG_NOSIGNAL) == sizeof hello, "send");
	target_need(receive(fd, &config, &memfd) == sizeof config && config.status == PA_CONFIG_OK && memfd >= 0,
		    "no session");
	s.size = config.file_size;
	errno = 0;
	printf("shrink %d", ftruncate(memfd, 4096));
	printf(", grow %d\n", ftruncate(memfd, (off_t)s.size * 2));
	s.map = mmap(NULL, s.size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	target_need(s.map != MAP_FAILED, "mmap");
	s.control = (struct pa_control *)s.map;
	s.slots = (struct pa_slot *)(s.map + s.control->slots_offset);
	return s;
}

/* Owns every slot and lets positions, tails and records be anything. */
static int mode_scribble(int argc, char **argv)
{
	struct session s = begin();
	uint64_t end = target_clock_ns(CLOCK_MONOTONIC) + target_number(argc, argv, 1, 800) * 1000000ull;
	unsigned nr = s.control->nr_slots < 64 ? s.control->nr_slots : 64;
	const uint64_t heads[] = {UINT64_MAX, (uint64_t)1 << 63, 7, 8, 4096, 1u << 31};

	while (target_clock_ns(CLOCK_MONOTONIC) < end) {
		struct pa_slot *slot = &s.slots[draw() % nr];
		uint64_t at = draw() % (s.size - 8);

		slot->signal_in.owner = PA_OWNER(getpid(), getpid() + (int)(draw() % 3));
		slot->signal.head = draw() & 1 ? heads[draw() % 6] : slot->signal.head + draw() % 4096;
		slot->hook.head = draw() & 1 ? heads[draw() % 6] : slot->hook.head + 8 * (draw() % 64);
		if (draw() % 8 == 0)
			slot->signal_in.tail = draw();
		slot->signal.lost_weight = draw();
		/* the first megabyte behind the control page: slots and the rings of some */
		memcpy(s.map + (at % ((1 << 20) - 8)), &(uint64_t){draw()}, 8);
	}
	memset(s.map, 0xff, s.size < (1 << 20) ? s.size : 1 << 20);
	usleep(300000);
	printf("scribbled\n");
	return 0;
}

/* A record in the ring whose sizes change all the time, behind a head that only grows by rule. */
static int mode_toctou(int argc, char **argv)
{
	struct session s = begin();
	struct pa_slot *slot = &s.slots[0];
	uint8_t *ring = s.map + s.control->rings_offset;
	uint64_t end = target_clock_ns(CLOCK_MONOTONIC) + target_number(argc, argv, 1, 800) * 1000000ull, head = 0;
	const uint64_t size = s.control->signal_ring_bytes;

	slot->signal_in.owner = PA_OWNER(getpid(), getpid());
	while (target_clock_ns(CLOCK_MONOTONIC) < end) {
		struct pa_sample *r = (struct pa_sample *)(ring + (head & (size - 1)));

		if (head - slot->signal_in.tail > size - 4096 || (head & (size - 1)) + 512 > size) {
			/* pad to the end as the rule says */
			*(struct pa_record *)r =
			    (struct pa_record){.size = (uint32_t)(size - (head & (size - 1))), .type = PA_REC_FILLER};
			if (head - slot->signal_in.tail <= size - 4096)
				slot->signal.head = head += size - (head & (size - 1));
			continue;
		}
		memset(r, 0, 512);
		r->head = (struct pa_record){.size = 512, .type = (uint16_t)(1 + draw() % 9)};
		r->tid = (uint32_t)getpid();
		r->weight = (uint32_t)draw();
		r->nr_frames = 60;
		for (int i = 0; i < 60; i++)
			r->frames[i] = draw() >> (draw() & 63);
		slot->signal.head = head += 512;
		for (int i = 0; i < 200; i++) {
			*(volatile uint32_t *)&r->head.size = i & 1 ? 0xfffffff8u : 512;
			*(volatile uint16_t *)&r->nr_frames = i & 1 ? 0xffff : 60;
			*(volatile uint16_t *)&r->head.type = (uint16_t)(i & 15);
		}
		*(volatile uint32_t *)&r->head.size = 512;
	}
	printf("sizes changed\n");
	return 0;
}

/* Dies in the middle of a record. */
static int mode_die(int argc, char **argv)
{
	struct session s = begin();

	fflush(stdout);
	s.slots[0].signal_in.owner = PA_OWNER(getpid(), getpid());
	memset(s.map + s.control->rings_offset, 0x55, 64);
	s.slots[0].signal.head = 40;
	return raise(SIGKILL);
}

static int mode_refused(int argc, char **argv)
{
	int fd = attempt();
	struct pa_hello hello = good_hello();
	struct pa_config config = {0};
	int memfd = -1;

	if (fd >= 0 && send(fd, &hello, sizeof hello, MSG_NOSIGNAL) > 0 &&
	    receive(fd, &config, &memfd) == sizeof config && config.status == PA_CONFIG_OK && memfd >= 0)
		return 1;
	printf("refused\n");
	return 0;
}

static const struct target_mode modes[] = {
    {"messages", mode_messages},
    {"random", mode_random},
    {"crowd", mode_crowd},
    {"descriptors", mode_descriptors},
    {"scribble", mode_scribble},
    {"toctou", mode_toctou},
    {"die", mode_die},
    {"refused", mode_refused},
    {0},
};

int main(int argc, char **argv)
{
	path = getenv("HOSTILE_SOCKET") ? getenv("HOSTILE_SOCKET") : getenv("PERFAGENT_SOCKET");
	target_need(path != NULL, "no socket named");
	return target_main(modes, argc, argv);
}
