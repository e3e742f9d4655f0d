/* The handshake: HELLO out, CONFIG and a sealed memfd in, and the mapping made, all by a helper that shares our memory
 * but not our descriptor table (F3): the host's descriptors are never touched, not even for a moment. The helper
 * uses raw system calls only: it runs on our thread's TLS. Callers: init.c, attach_sig.c. World: signal. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "agent/heap_hook.h"
#include "agent/helper.h"
#include "agent/session.h"
#include "agent/slots_sig.h"
#include "agent/stream_connect.h"
#include "agent/sysdep.h"
#include "agent/timer_sig.h"

#define CLOSE_TRIES 16

/* Between the helper and its parent, which waits (CLONE_VFORK); in memory of its own: a handler has little stack. */
struct handshake {
	struct sockaddr_un address;
	socklen_t address_len;
	uint64_t deadline_ns;
	struct pa_hello hello;
	int error; /* 0 or -errno */
	struct pa_offer offer;
};

static int make_address(const char *path, struct handshake *h)
{
	size_t len = 0;

	while (len < sizeof(h->address.sun_path) && path[len])
		len++;
	if (len == 0 || len == sizeof(h->address.sun_path))
		return -ENAMETOOLONG;
	h->address.sun_family = AF_UNIX;
	memcpy(h->address.sun_path, path, len + 1);
	h->address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
	if (path[0] == '@') {
		h->address.sun_path[0] = '\0';
		h->address_len--;
	}
	return 0;
}

static void pause_1ms(void)
{
	struct timespec ts = {.tv_nsec = 1000000};

	pa_sys(SYS_nanosleep, &ts, NULL);
}

/* EMFILE is cured here: closing in this private table costs the host nothing. Returns the result of the last try. */
static long with_room(long (*open_one)(long), long arg, long keep)
{
	long fd = open_one(arg);

	for (long victim = 0; victim < CLOSE_TRIES && fd == -EMFILE; victim++) {
		if (victim == keep)
			continue;
		pa_sys(SYS_close, victim);
		fd = open_one(arg);
	}
	return fd;
}

static long open_socket(long none)
{
	(void)none;
	return pa_sys(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static long duplicate(long fd)
{
	return pa_sys(SYS_dup, fd);
}

/* A socket, and room for the descriptor that will come over it: one that finds none is lost on the way. */
static long open_channel(void)
{
	long sock = with_room(open_socket, 0, -1);
	long room = sock < 0 ? sock : with_room(duplicate, sock, sock);

	if (room >= 0)
		pa_sys(SYS_close, room);
	return sock;
}

static int connect_until(const struct handshake *h, int fd)
{
	long ret;

	do {
		ret = pa_sys(SYS_connect, fd, &h->address, h->address_len);
		if (ret != -EAGAIN)
			return (int)ret;
		pause_1ms(); /* the backlog is full */
	} while (pa_now_sig() < h->deadline_ns);
	return -ETIMEDOUT;
}

static int wait_readable(const struct handshake *h, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	for (;;) {
		uint64_t now = pa_now_sig();
		uint64_t left = now < h->deadline_ns ? h->deadline_ns - now : 0;
		struct timespec ts = {.tv_sec = (time_t)(left / 1000000000u), .tv_nsec = (long)(left % 1000000000u)};
		long ret = left ? pa_sys(SYS_ppoll, &p, 1, &ts, NULL, 8) : 0;

		if (ret == 0)
			return -ETIMEDOUT;
		if (ret != -EINTR)
			return ret > 0 ? 0 : (int)ret;
	}
}

static int receive_config(const struct handshake *h, int sock, struct pa_config *config)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_base = config, .iov_len = sizeof(*config)};
	struct msghdr msg = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *c;
	int err = wait_readable(h, sock);
	long got;
	int fd;

	if (err)
		return err;
	got = pa_sys(SYS_recvmsg, sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (got < 0)
		return (int)got;
	err = pa_wire_check_config(config, (size_t)got);
	if (err)
		return err;
	if (config->status != PA_CONFIG_OK)
		return config->status == PA_CONFIG_STREAM ? -ENOTSUP : -ECONNREFUSED;
	c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(int)))
		return -EPROTO;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static bool power_of_two(uint64_t n)
{
	return n && (n & (n - 1)) == 0;
}

static int check_control(const struct pa_control *control, uint64_t file_size, struct pa_mapping *m)
{
	m->nr_slots = control->nr_slots;
	m->signal_ring_bytes = control->signal_ring_bytes;
	m->hook_ring_bytes = control->hook_ring_bytes;
	m->rings_offset = control->rings_offset;
	m->period_ns = control->period_ns;
	if (control->magic != PA_WIRE_MAGIC || control->major != PA_WIRE_MAJOR)
		return -EPROTONOSUPPORT;
	if (control->slot_bytes != sizeof(struct pa_slot) || m->nr_slots == 0 || m->nr_slots > 65536 ||
	    control->slots_offset != PA_CONTROL_BYTES || !power_of_two(m->signal_ring_bytes) ||
	    !power_of_two(m->hook_ring_bytes) || m->signal_ring_bytes < 2 * PA_RECORD_MAX ||
	    m->hook_ring_bytes < 4096 || m->period_ns < 1000 ||
	    m->rings_offset < PA_CONTROL_BYTES + (uint64_t)m->nr_slots * sizeof(struct pa_slot) ||
	    m->rings_offset % 4096 || pa_mapping_bytes_sig(m, m->nr_slots) > file_size)
		return -EPROTO;
	return 0;
}

/* The file cannot shrink under us: that would be a SIGBUS in the host. */
static int map_session(int fd, struct handshake *h)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	struct stat st;
	size_t bytes;
	long at;
	int err;

	if ((pa_sys(SYS_fcntl, fd, F_GET_SEALS) & seals) != seals || pa_sys(SYS_fstat, fd, &st) < 0 ||
	    st.st_size < PA_CONTROL_BYTES)
		return -EPROTO;
	at = pa_sys(SYS_mmap, 0, PA_CONTROL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at < 0 && at > -4096)
		return (int)at;
	err = check_control((struct pa_control *)at, (uint64_t)st.st_size, &h->offer.mapping);
	bytes = pa_mapping_bytes_sig(&h->offer.mapping, PA_FIRST_SLOTS);
	pa_sys(SYS_munmap, at, PA_CONTROL_BYTES);
	if (err)
		return err;
	at = pa_sys(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at < 0 && at > -4096)
		return (int)at;
	pa_sys(SYS_madvise, at, bytes, MADV_DONTDUMP);
	h->offer.base = (void *)at;
	h->offer.inode = st.st_ino;
	/* without them exact mode is declined */
	pa_heap_area_map_sig(fd, h->offer.base, &h->offer.heap);
	return 0;
}

static int talk(struct handshake *h)
{
	struct pa_config config;
	long sock = open_channel();
	long ret;

	if (sock < 0)
		return (int)sock;
	ret = connect_until(h, (int)sock);
	if (ret == 0) {
		ret = pa_sys(SYS_sendto, sock, &h->hello, sizeof(h->hello), MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);
		ret = ret < 0 ? ret : receive_config(h, (int)sock, &config);
	}
	return ret < 0 ? (int)ret : map_session((int)ret, h);
}

/* The same without a file: the connection stays, so it is made in the host's own table. */
static int talk_stream(struct handshake *h)
{
	struct pa_stream_layout layout;
	int sock = pa_stream_open();
	int err;

	if (sock < 0)
		return sock;
	err = connect_until(h, sock);
	if (!err && pa_sys(SYS_sendto, sock, &h->hello, sizeof(h->hello), MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0) < 0)
		err = -EPIPE;
	err = err ? err : wait_readable(h, sock);
	err = err ? err : pa_stream_read_config(sock);
	err = err ? err : wait_readable(h, sock);
	err = err ? err : pa_stream_read_layout(sock, &layout);
	err = err ? err : check_control(&layout.control, layout.control.file_size, &h->offer.mapping);
	err = err ? err : pa_stream_start(sock, &layout.control, &h->offer.mapping, &h->offer.base);
	if (err)
		pa_sys(SYS_close, sock);
	return err;
}

static int helper(void *arg)
{
	struct handshake *h = arg;

	h->error = talk(h);
	return 0; /* clone's trampoline exits the helper, and with it its descriptors */
}

static void fill_hello(struct pa_hello *hello, const struct pa_connect *how)
{
	extern const char __ehdr_start[] __attribute__((visibility("hidden")));
	extern const char _end[] __attribute__((visibility("hidden")));
	size_t len = 0;

	memset(hello, 0, sizeof(*hello));
	hello->head.magic = PA_WIRE_MAGIC;
	hello->head.major = PA_WIRE_MAJOR;
	hello->head.minor = PA_WIRE_MINOR;
	hello->head.size = sizeof(*hello);
	hello->head.type = PA_MSG_HELLO;
	hello->pid = (uint32_t)pa_sys(SYS_getpid);
	hello->tid = (uint32_t)pa_sys(SYS_gettid);
	hello->time_ns = pa_now_sig();
	hello->agent_start = (uint64_t)__ehdr_start;
	hello->agent_end = (uint64_t)_end;
	hello->flags = how->flags;
	hello->command = how->command;
	hello->page_size = 4096;
	hello->machine = PA_ARCH_MACHINE;
	while (how->options && how->options[len] && len <= PA_OPTIONS_MAX)
		len++;
	if (len > PA_OPTIONS_MAX)
		len = 0; /* a cut option would be another option */
	hello->options_len = (uint16_t)len;
	if (len)
		memcpy(hello->options, how->options, len);
}

/* The memfd's way. -ENOTSUP: it cannot be had here, or the collector has none. */
static int ask(struct handshake *h)
{
	h->error = -ECHILD;
	return pa_helper_run_sig(helper, h) ? -ENOTSUP : h->error;
}

static int prepare(struct handshake *h, const struct pa_connect *how)
{
	int err = make_address(how->path, h);

	if (err)
		return err;
	fill_hello(&h->hello, how);
	h->deadline_ns = pa_now_sig() + (uint64_t)how->deadline_ms * 1000000u;
	return 0;
}

int pa_session_answer_sig(const struct pa_connect *how, struct pa_offer *offer)
{
	long at =
	    pa_sys(SYS_mmap, 0, sizeof(struct handshake), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct handshake *h = (struct handshake *)at;
	int err;

	if (at < 0 && at > -4096)
		return (int)at;
	err = prepare(h, how);
	err = err ? err : ask(h);
	if (!err)
		*offer = h->offer;
	pa_sys(SYS_munmap, at, sizeof(struct handshake));
	return err;
}

void pa_session_decline_sig(const struct pa_offer *offer)
{
	pa_sys(SYS_munmap, offer->base, pa_mapping_bytes_sig(&offer->mapping, PA_FIRST_SLOTS));
	pa_heap_area_unmap_sig(&offer->heap);
}

int pa_session_connect(const struct pa_connect *how, struct pa_offer *offer)
{
	struct handshake h;
	int err = how->flags & PA_HELLO_STREAM ? -ENOTSUP : pa_session_answer_sig(how, offer);

	if (err != -ENOTSUP)
		return err;
	memset(&h, 0, sizeof(h));
	err = prepare(&h, how);
	h.hello.flags |= PA_HELLO_STREAM;
	err = err ? err : talk_stream(&h);
	if (!err)
		*offer = h.offer;
	return err;
}
