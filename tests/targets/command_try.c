/* A collector that only tells a running agent to attach and to detach, over and over, and looks at what that leaves
 * behind in the process (common/command.h):
 *
 *   command_try [-n CYCLES] [-h HOLD_MS] [-m cpu|sampled|exact|all|mixed] [-k] [-e] [-w WARM_MS] [-r] PID
 *
 *   -m mixed   the modes in turn              -k   every other attach comes while the last session is open
 *   -e         sessions are ended by the collector (state ENDED) instead of a request to detach
 *   -N         nudges the main thread now and then before, whatever it does
 *   -r         refuse: answers NOT_WANTED      -s   each session must have brought records (status 3 if one did not)
 *
 * Prints one line of NAME=VALUE: what was before the first cycles, after, and how requests went. Status: 0; 1: not
 * found or not told; 2: a request failed; 3: see -s. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "collector/session.h"
#include "common/atomics.h"
#include "common/command.h"
#include "remote/agent.h"

#define WARM_UP   3
#define GIVE_UP   10000 /* ms until a request counts as not taken */
#define PERIOD_NS 2000000u
#define SETTLE_US 100000

struct settings {
	pid_t pid;
	unsigned cycles, hold_ms, deadline_ms;
	const char *mode;
	bool keep, ending, refuse, must_record, nudge;
};

struct figures {
	unsigned maps, timers, fds;
	unsigned long rss_kib, size_kib;
};

static struct settings set = {.cycles = 10, .hold_ms = 30, .deadline_ms = GIVE_UP, .mode = "mixed"};
static int listener;
static char path[64];
static unsigned nr_again, nr_silent, nr_withdrawn;

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void die(const char *what, const char *why)
{
	fprintf(stderr, "command_try: %s: %s\n", what, why);
	exit(1);
}

/* ---- what the process has -------------------------------------------------------------------------------------- */

static unsigned lines_of(const char *file, const char *prefix)
{
	char name[64], line[4096];
	unsigned n = 0;
	FILE *f;

	snprintf(name, sizeof(name), "/proc/%d/%s", (int)set.pid, file);
	f = fopen(name, "r");
	while (f && fgets(line, sizeof(line), f))
		n += !strncmp(line, prefix, strlen(prefix));
	if (f)
		fclose(f);
	return n;
}

static unsigned long status_of(const char *field)
{
	char name[64], line[256];
	unsigned long value = 0;
	FILE *f;

	snprintf(name, sizeof(name), "/proc/%d/status", (int)set.pid);
	f = fopen(name, "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, field, strlen(field)))
			value = strtoul(line + strlen(field) + 1, NULL, 10);
	}
	if (f)
		fclose(f);
	return value;
}

static unsigned descriptors(void)
{
	char name[64];
	unsigned n = 0;
	DIR *d;

	snprintf(name, sizeof(name), "/proc/%d/fd", (int)set.pid);
	d = opendir(name);
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static struct figures look(void)
{
	return (struct figures){.maps = lines_of("maps", ""),
				.timers = lines_of("timers", "ID:"),
				.fds = descriptors(),
				.rss_kib = status_of("VmRSS"),
				.size_kib = status_of("VmSize")};
}

/* ---- being a collector ------------------------------------------------------------------------------------------ */

static void listen_here(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t len;

	snprintf(path, sizeof(path), "@command-try-%d", (int)getpid());
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	memcpy(address.sun_path, path, strlen(path));
	address.sun_path[0] = '\0';
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, len) || listen(listener, 8))
		die("listening", strerror(errno));
}

static void send_config(int to, struct pa_session *s)
{
	struct pa_config config = {.head = {.magic = PA_WIRE_MAGIC,
					    .major = PA_WIRE_MAJOR,
					    .minor = PA_WIRE_MINOR,
					    .size = sizeof(config),
					    .type = PA_MSG_CONFIG},
				   .status = set.refuse ? PA_CONFIG_NOT_WANTED : PA_CONFIG_OK,
				   .file_size = s->file_size};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {&config, sizeof(config)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (!set.refuse) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		control.align = (struct cmsghdr){
		    .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.align), &s->fd, sizeof(int));
	}
	sendmsg(to, &msg, MSG_NOSIGNAL);
}

static void answer(struct pa_session *s, int timeout_ms)
{
	struct pollfd p = {.fd = listener, .events = POLLIN};
	struct pa_hello hello;
	int client;

	if (poll(&p, 1, timeout_ms) <= 0)
		return;
	client = accept(listener, NULL, NULL);
	if (client < 0)
		return;
	if (recv(client, &hello, sizeof(hello), 0) == (ssize_t)sizeof(hello) &&
	    pa_wire_check_hello(&hello, sizeof(hello)) == 0)
		send_config(client, s);
	close(client);
}

static struct pa_session *make_session(const char *mode)
{
	struct pa_geometry geometry = {.nr_slots = PA_SESSION_SLOTS,
				       .signal_ring_bytes = PA_SESSION_SIGNAL_RING,
				       .hook_ring_bytes = PA_SESSION_SAMPLE_RING,
				       .period_ns = PERIOD_NS,
				       .modes = PA_MODE_CPU,
				       .heap_mean = 64 << 10,
				       .heap_classes = PA_SESSION_HEAP_CLASSES};
	struct pa_session *s;

	if (!strcmp(mode, "sampled"))
		geometry.heap_mode = PA_HEAP_SAMPLED;
	else if (!strcmp(mode, "exact"))
		geometry.heap_mode = PA_HEAP_EXACT;
	if (geometry.heap_mode)
		geometry.modes |= PA_MODE_MEMORY;
	if (!strcmp(mode, "all"))
		geometry.modes |= PA_MODE_LOOP;
	if (pa_session_create(&geometry, &s) != 0)
		die("session", "no memory");
	return s;
}

struct seen {
	struct pa_session *s;
	uint64_t signal, hook;
};

static void drain_slot(void *arg, uint32_t i)
{
	struct seen *seen = arg;
	struct pa_slot *slot = &seen->s->slots[i];

	seen->signal += pa_load_relaxed(&slot->signal.records);
	seen->hook += pa_load_relaxed(&slot->hook.records);
	pa_store_release(&slot->signal_in.tail, pa_load_acquire(&slot->signal.head));
	pa_store_release(&slot->hook_in.tail, pa_load_acquire(&slot->hook.head));
}

/* Frees room; returns how many records have been written so far. */
static struct seen drain(struct pa_session *s)
{
	struct seen seen = {.s = s};

	pa_session_each_slot(s, drain_slot, &seen);
	for (uint32_t i = 0; i < s->nr_heap_rings; i++) {
		struct pa_heap_line *line = &s->heap_lines[i];

		seen.hook += pa_load_relaxed(&line->out.records);
		pa_store_release(&line->in.tail, pa_load_acquire(&line->out.head));
	}
	return seen;
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

/* One request, worked off. Returns its result; -ETIME: it was not taken and has been withdrawn. */
static int tell(struct pa_agent *agent, uint32_t kind, struct pa_session *s)
{
	const struct pa_agent_request request = {.kind = kind, .path = path};
	uint64_t until = now_ms() + set.deadline_ms;
	char why[PA_AGENT_WHY] = "";
	int err = pa_agent_request(agent, &request, why, sizeof(why));

	if (err) {
		fprintf(stderr, "command_try: request: %s\n", why);
		return err;
	}
	while ((err = pa_agent_step(agent)) == -EINPROGRESS && now_ms() < until) {
		if (s)
			answer(s, 1);
		else
			usleep(1000);
	}
	if (err != -EINPROGRESS)
		return err;
	nr_withdrawn++;
	return pa_agent_withdraw(agent) == 0 ? -ETIME : -EINPROGRESS;
}

/* On a busy machine our own answer may be too late, and a thread stand in the old session for longer than it waits. */
static int attach(struct pa_agent *agent, struct pa_session *s)
{
	int err = -EAGAIN;

	for (int i = 0; i < 50 && (err == -EAGAIN || err == -ETIMEDOUT); i++) {
		err = tell(agent, PA_COMMAND_ATTACH, s);
		nr_again += err == -EAGAIN || err == -ETIMEDOUT;
	}
	return err;
}

static bool is_dormant(struct pa_agent *agent)
{
	struct pa_agent_info info;

	return pa_agent_read(agent, &info) == 0 && info.state == PA_AGENT_DORMANT && !info.session_inode;
}

static int leave(struct pa_agent *agent, struct pa_session *s)
{
	int err = 0;

	if (set.ending) {
		uint64_t until = now_ms() + set.deadline_ms;

		pa_session_set_state(s, PA_SESSION_ENDED);
		while (!is_dormant(agent) && now_ms() < until)
			usleep(1000);
	} else {
		err = tell(agent, PA_COMMAND_DETACH, NULL);
	}
	if (!err && !is_dormant(agent))
		err = -EBUSY;
	return err;
}

static int cycle(struct pa_agent *agent, unsigned n, struct pa_session **open)
{
	static const char *const mixed[] = {"cpu", "sampled", "exact", "all"};
	struct pa_session *s = make_session(strcmp(set.mode, "mixed") ? set.mode : mixed[n % 4]);
	uint64_t until;
	int err = attach(agent, s);
	struct seen seen = {0};

	if (*open)
		pa_session_free(*open);
	*open = s;
	if (err)
		return err;
	until = now_ms() + set.hold_ms;
	do {
		seen = drain(s);
		usleep(1000);
	} while (now_ms() < until || (set.must_record && !(seen.signal + seen.hook) && now_ms() < until + GIVE_UP));
	nr_silent += !(seen.signal + seen.hook);
	if (set.keep && n % 2 == 0)
		return 0;
	err = leave(agent, s);
	pa_session_free(s);
	*open = NULL;
	return err;
}

static void parse(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "n:h:m:d:kersN")) != -1) {
		switch (c) {
		case 'n':
			set.cycles = (unsigned)atoi(optarg);
			break;
		case 'h':
			set.hold_ms = (unsigned)atoi(optarg);
			break;
		case 'd':
			set.deadline_ms = (unsigned)atoi(optarg);
			break;
		case 'm':
			set.mode = optarg;
			break;
		case 'k':
			set.keep = true;
			break;
		case 'e':
			set.ending = true;
			break;
		case 'r':
			set.refuse = true;
			break;
		case 'N':
			set.nudge = true;
			break;
		case 's':
			set.must_record = true;
			break;
		default:
			die("usage", "see the source");
		}
	}
	if (optind != argc - 1)
		die("usage", "which process?");
	set.pid = atoi(argv[optind]);
}

/* Too late: the thread has gone to sleep by now. */
static void nudge_asleep(const struct pa_agent *agent)
{
	struct pa_agent_info info;

	if (pa_agent_read(agent, &info) != 0 || !info.nudge)
		die("nudging", "no signal");
	for (int i = 0; i < 25; i++) {
		siginfo_t nudge = {.si_signo = (int)info.nudge, .si_code = SI_QUEUE};

		nudge.si_pid = getpid();
		nudge.si_value.sival_ptr = (void *)(uintptr_t)PA_NUDGE_VALUE;
		if (syscall(SYS_rt_tgsigqueueinfo, set.pid, set.pid, info.nudge, &nudge) != 0)
			die("nudging", strerror(errno));
		usleep(60000);
	}
}

static void show(const char *when, const struct figures *f)
{
	printf("maps_%s=%u timers_%s=%u fds_%s=%u rss_%s=%lu size_%s=%lu ", when, f->maps, when, f->timers, when,
	       f->fds, when, f->rss_kib, when, f->size_kib);
}

int main(int argc, char **argv)
{
	struct pa_session *open = NULL;
	struct figures first, warm, last;
	struct pa_agent agent;
	char why[PA_AGENT_WHY];
	int err = 0;

	parse(argc, argv);
	if (pa_agent_find(set.pid, &agent, why, sizeof(why)) != 0)
		die("finding", why);
	listen_here();
	if (set.nudge)
		nudge_asleep(&agent);
	first = warm = look();
	for (unsigned i = 0; i < set.cycles + WARM_UP && !err; i++) {
		if (i == WARM_UP)
			warm = look();
		err = cycle(&agent, i, &open);
	}
	if (open && !err)
		err = leave(&agent, open);
	usleep(SETTLE_US); /* a thread in the middle of a record may be waited for by the next hook only */
	last = look();
	show("first", &first);
	show("warm", &warm);
	show("last", &last);
	printf("cycles=%u again=%u silent=%u withdrawn=%u error=%d\n", set.cycles, nr_again, nr_silent, nr_withdrawn,
	       -err);
	return err ? 2 : set.must_record && nr_silent ? 3 : 0;
}
