/* A collector that misbehaves: fakecollector MODE SOCKET. Prints "ready" when it listens, serves until it is killed.
 * What it answers is no business of the target's: the agent stays dormant and the program runs on (R59, R60, R64). */
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/wire.h"
#include "tests/targets/target.h"

struct answer {
	const char *name;
	void (*send)(int fd);
};

static struct pa_config config_of(uint32_t status)
{
	struct pa_config config = {
	    .head = {.magic = PA_WIRE_MAGIC,
		     .major = PA_WIRE_MAJOR,
		     .minor = PA_WIRE_MINOR,
		     .size = sizeof config,
		     .type = PA_MSG_CONFIG},
	    .status = status,
	};

	return config;
}

/* Sends len bytes with nr copies of fd attached. */
static void send_with(int to, const void *data, size_t len, int fd, unsigned nr)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * 64)];
	} control;
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (nr) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof control);
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nr);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nr);
		for (unsigned i = 0; i < nr; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof fd);
	}
	if (sendmsg(to, &msg, MSG_NOSIGNAL) < 0)
		fprintf(stderr, "fakecollector: sendmsg: %s\n", strerror(errno));
}

static int make_memfd(off_t size, int seals)
{
	int fd = memfd_create("perfagent", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	target_need(fd >= 0 && ftruncate(fd, size) == 0, "memfd");
	if (seals)
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	return fd;
}

static void send_ok(int to, int fd, unsigned nr, uint64_t size)
{
	struct pa_config config = config_of(PA_CONFIG_OK);

	config.file_size = size;
	send_with(to, &config, sizeof config, fd, nr);
}

static void answer_version(int to)
{
	struct pa_config config = config_of(PA_CONFIG_REFUSED_VERSION);

	config.head.major = PA_WIRE_MAJOR + 1;
	send_with(to, &config, sizeof config, -1, 0);
}

static void answer_refuse(int to)
{
	struct pa_config config = config_of(PA_CONFIG_REFUSED_UID);

	send_with(to, &config, sizeof config, -1, 0);
}

static void answer_silent(int to)
{
}

static void answer_close(int to)
{
	close(to);
}

static void answer_garbage(int to)
{
	char bytes[4096];

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (char)(i * 7919);
	send_with(to, bytes, sizeof bytes, -1, 0);
}

static void answer_cut(int to)
{
	struct pa_config config = config_of(PA_CONFIG_OK);

	send_with(to, &config, sizeof config / 2, -1, 0);
}

static void answer_nofd(int to)
{
	send_ok(to, -1, 0, 1 << 20);
}

static void answer_unsealed(int to)
{
	send_ok(to, make_memfd(1 << 20, 0), 1, 1 << 20);
}

static void answer_zeros(int to)
{
	send_ok(to, make_memfd(1 << 20, 1), 1, 1 << 20);
}

/* The mapping would end in SIGBUS behind the first page. */
static void answer_short(int to)
{
	send_ok(to, make_memfd(4096, 1), 1, 1 << 20);
}

static void answer_empty(int to)
{
	send_ok(to, make_memfd(0, 1), 1, 0);
}

static void answer_zero_device(int to)
{
	send_ok(to, open("/dev/zero", O_RDWR), 1, 1 << 20);
}

static void answer_fifo(int to)
{
	int fds[2];

	target_need(pipe(fds) == 0, "pipe");
	send_ok(to, fds[0], 1, 1 << 20);
}

static void answer_many(int to)
{
	send_ok(to, open("/dev/null", O_RDWR), 60, 1 << 20);
}

/* A good control page whose figures lead outside the file. */
static void answer_lies(int to)
{
	int fd = make_memfd(1 << 20, 1);
	struct pa_control *control = mmap(NULL, PA_CONTROL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	target_need(control != MAP_FAILED, "mmap");
	control->magic = PA_WIRE_MAGIC;
	control->major = PA_WIRE_MAJOR;
	control->slot_bytes = sizeof(struct pa_slot);
	control->nr_slots = 1u << 30;
	control->slots_offset = UINT64_MAX - 64;
	control->rings_offset = (uint64_t)1 << 62;
	control->signal_ring_bytes = 1u << 31;
	control->hook_ring_bytes = 12345;
	control->file_size = UINT64_MAX;
	control->period_ns = 0;
	control->state = PA_SESSION_SAMPLING;
	send_ok(to, fd, 1, 1 << 20);
}

static const struct answer answers[] = {
    {"version", answer_version}, {"refuse", answer_refuse}, {"silent", answer_silent}, {"close", answer_close},
    {"garbage", answer_garbage}, {"cut", answer_cut},       {"nofd", answer_nofd},     {"unsealed", answer_unsealed},
    {"zeros", answer_zeros},     {"short", answer_short},   {"empty", answer_empty},   {"device", answer_zero_device},
    {"fifo", answer_fifo},       {"many", answer_many},     {"lies", answer_lies},     {"deaf", NULL},
};

static int listen_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	target_need(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 8) == 0, path);
	return fd;
}

int main(int argc, char **argv)
{
	const struct answer *answer = NULL;
	char hello[65536];
	int fd, client;

	for (size_t i = 0; argc == 3 && i < sizeof answers / sizeof *answers; i++)
		if (!strcmp(answers[i].name, argv[1]))
			answer = &answers[i];
	target_need(answer != NULL, "usage: fakecollector MODE SOCKET");
	fd = listen_at(argv[2]);
	printf("ready\n");
	fflush(stdout);
	while (!answer->send)
		pause();
	while ((client = accept(fd, NULL, NULL)) >= 0) {
		if (recv(client, hello, sizeof hello, 0) >= 0)
			answer->send(client);
	}
	return 1;
}
