/* Callers: handshake.c. World: plain. */
#include "agent/stream_connect.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "agent/stream_sig.h"
#include "agent/sysdep.h"

/* Above what programs count on, below where select() ends and the kernel's table has to grow. */
#define HIGH_FD   1000
#define LIMIT_GAP 8 /* below RLIMIT_NOFILE */

static bool failed(long at)
{
	return at < 0 && at > -4096;
}

/* unshare(CLONE_THREAD) changes nothing: it is refused to a process of several threads. Under a filter nobody asks. */
static bool has_other_threads(void)
{
	return pa_sys(SYS_prctl, PR_GET_SECCOMP) == 0 && pa_sys(SYS_unshare, CLONE_THREAD) == -EINVAL;
}

static long high_number(long fd)
{
	struct rlimit limit = {.rlim_cur = HIGH_FD};
	long from = HIGH_FD;

	pa_sys(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit);
	if (limit.rlim_cur < HIGH_FD + LIMIT_GAP)
		from = limit.rlim_cur > 2 * LIMIT_GAP ? (long)limit.rlim_cur - LIMIT_GAP : (long)limit.rlim_cur / 2;
	return pa_sys(SYS_fcntl, fd, F_DUPFD_CLOEXEC, from);
}

int pa_stream_open(void)
{
	long low, high;

	if (has_other_threads())
		return -EBUSY;
	low = pa_sys(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (low < 0)
		return (int)low;
	high = high_number(low);
	pa_sys(SYS_close, low);
	return (int)high;
}

int pa_stream_read_config(int sock)
{
	struct pa_config config;
	struct iovec iov = {&config, sizeof(config)};
	/* no room for descriptors: what a collector of another mind sends is closed by the kernel */
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	long got = pa_sys(SYS_recvmsg, sock, &msg, MSG_DONTWAIT);
	int err = got < 0 ? (int)got : pa_wire_check_config(&config, (size_t)got);

	if (!err && config.status != PA_CONFIG_OK)
		err = -ECONNREFUSED;
	return err;
}

int pa_stream_read_layout(int sock, struct pa_stream_layout *layout)
{
	struct iovec iov = {layout, sizeof(*layout)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	long got = pa_sys(SYS_recvmsg, sock, &msg, MSG_DONTWAIT);

	if (got < 0)
		return (int)got;
	if (got != sizeof(*layout) || layout->head.magic != PA_WIRE_MAGIC || layout->head.type != PA_MSG_LAYOUT)
		return -EPROTO;
	return layout->control.signal_ring_bytes <= PA_STREAM_RING_MAX &&
		       layout->control.hook_ring_bytes <= PA_STREAM_RING_MAX && !layout->control.heap_lines_offset
		   ? 0
		   : -EPROTO;
}

/* Shared with the children that are forked, like the file it stands for; what nobody writes takes no memory. All of it
 * is there from the beginning; beyond the first slots it is mapped as it is needed (slots_sig.c). */
static long map(uint64_t bytes)
{
	return pa_sys(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static long map_session(struct pa_mapping *m)
{
	long at = map(pa_mapping_bytes_sig(m, m->nr_slots));

	while (failed(at) && m->nr_slots > PA_FIRST_SLOTS) {
		m->nr_slots /= 2;
		at = map(pa_mapping_bytes_sig(m, m->nr_slots));
	}
	return at;
}

int pa_stream_start(int sock, const struct pa_control *control, struct pa_mapping *m, void **base)
{
	struct pa_stream_shared *shared;
	struct stat st;
	long at, state;
	size_t first;

	if (pa_sys(SYS_fstat, sock, &st) < 0)
		return -EBADF;
	at = map_session(m);
	if (failed(at))
		return (int)at;
	state = map(sizeof(*shared) + m->nr_slots * sizeof(shared->slots[0]));
	if (failed(state)) {
		pa_sys(SYS_munmap, at, pa_mapping_bytes_sig(m, m->nr_slots));
		return (int)state;
	}
	first = pa_mapping_bytes_sig(m, PA_FIRST_SLOTS);
	pa_sys(SYS_munmap, at + (long)first, pa_mapping_bytes_sig(m, m->nr_slots) - first);
	pa_sys(SYS_madvise, at, first, MADV_DONTDUMP);
	pa_copy_words((uint64_t *)at, (const uint64_t *)control, sizeof(*control) / sizeof(uint64_t));
	*base = (void *)at;
	shared = (struct pa_stream_shared *)state;
	pa_stream = (struct pa_stream){
	    .shared = shared, .memory = (uint64_t)at, .fd = sock, .device = st.st_dev, .inode = st.st_ino};
	return 0;
}
