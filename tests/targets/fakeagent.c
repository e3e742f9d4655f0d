/* A process that only says that it has an agent: fakeagent MODE. The collector's end of attaching is tested with it
 *where the real one would not misbehave. obey     makes the handshake, writes a sample, and detaches when it is told to
 *	lie      says that it is attached, and never comes
 *	refuse   answers with an error
 *	deaf     never answers
 *	foreign  says that its trigger is where it is not */
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/command.h"
#include "tests/targets/target.h"

extern struct pa_command fake_command;
struct pa_command fake_command;
static _Atomic uint32_t trigger;
static struct pa_control *control;
static size_t mapped;

__asm__(".pushsection .note.perfagent, \"a\", @note\n"
	".balign 4\n"
	".long 10, 16, 1\n"
	".asciz \"perfagent\"\n"
	".balign 4\n"
	"1: .long 1, 288\n"
	".quad fake_command - 1b\n"
	".popsection\n");

static int receive(int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} room;
	struct pa_config config;
	struct iovec iov = {&config, sizeof config};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof room};
	struct cmsghdr *c;
	int memfd = -1;

	if (recvmsg(fd, &msg, MSG_CMSG_CLOEXEC) == (ssize_t)sizeof config && (c = CMSG_FIRSTHDR(&msg)))
		memcpy(&memfd, CMSG_DATA(c), sizeof memfd);
	return memfd;
}

static int shake_hands(void)
{
	struct pa_hello hello = {.head = {PA_WIRE_MAGIC, PA_WIRE_MAJOR, PA_WIRE_MINOR, sizeof hello, PA_MSG_HELLO, 0},
				 .pid = (uint32_t)getpid(),
				 .tid = (uint32_t)getpid(),
				 .time_ns = target_clock_ns(CLOCK_MONOTONIC),
				 .page_size = 4096,
				 .command = fake_command.seq,
				 .machine = 62};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len = strlen(fake_command.path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), memfd = -1;
	struct stat st;

	memcpy(address.sun_path, fake_command.path, len);
	if (address.sun_path[0] == '@')
		address.sun_path[0] = 0;
	if (!connect(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) &&
	    send(fd, &hello, sizeof hello, MSG_NOSIGNAL) == (ssize_t)sizeof hello)
		memfd = receive(fd);
	close(fd);
	if (memfd < 0)
		return -ECONNREFUSED;
	fstat(memfd, &st);
	mapped = (size_t)st.st_size;
	fake_command.session_inode = st.st_ino;
	control = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	close(memfd);
	return control == MAP_FAILED ? -ENOMEM : 0;
}

static void write_sample(void)
{
	struct pa_slot *slot = (struct pa_slot *)((char *)control + control->slots_offset);
	struct pa_sample *s = (struct pa_sample *)((char *)control + control->rings_offset);

	*s = (struct pa_sample){
	    .head = {.size = sizeof *s, .type = PA_REC_SAMPLE, .time_ns = target_clock_ns(CLOCK_MONOTONIC)},
	    .tid = (uint32_t)getpid(),
	    .weight = 1};
	slot->signal_in.owner = PA_OWNER(getpid(), getpid());
	slot->signal.records = 1;
	slot->signal.head = sizeof *s;
}

static void obey(void)
{
	if (fake_command.kind == PA_COMMAND_ATTACH) {
		fake_command.result = shake_hands();
		if (!fake_command.result) {
			memcpy(fake_command.session_path, fake_command.path, sizeof fake_command.session_path);
			fake_command.state = PA_AGENT_ATTACHED;
			write_sample();
		}
	} else if (fake_command.kind == PA_COMMAND_DETACH) {
		munmap(control, mapped);
		fake_command.result = 0;
		fake_command.state = PA_AGENT_DORMANT;
		puts("detached");
		fflush(stdout);
	}
	fake_command.done = fake_command.seq;
}

static void answer(const char *mode)
{
	trigger = 0;
	if (!strcmp(mode, "deaf") || fake_command.seq == fake_command.done)
		return;
	if (!strcmp(mode, "obey")) {
		obey();
		return;
	}
	fake_command.result = !strcmp(mode, "refuse") ? -ENOMEM : 0;
	if (!strcmp(mode, "lie"))
		fake_command.state = PA_AGENT_ATTACHED;
	fake_command.done = fake_command.seq;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "obey";

	fake_command.magic = PA_WIRE_MAGIC;
	fake_command.major = PA_COMMAND_MAJOR;
	fake_command.trigger = !strcmp(mode, "foreign") ? (uint64_t)(uintptr_t)main : (uint64_t)(uintptr_t)&trigger;
	fake_command.pid = (uint32_t)getpid();
	fake_command.state = PA_AGENT_DORMANT;
	puts("ready");
	fflush(stdout);
	for (;;) {
		usleep(1000);
		if (trigger == PA_TRIGGER_COMMAND)
			answer(mode);
	}
}
