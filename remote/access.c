#include "remote/access.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/proc.h"

#define PF_KTHREAD 0x00200000ul /* include/linux/sched.h; the flags are field 9 of /proc/PID/stat */

/* The number after a name at the beginning of a line of /proc/PID/status; 0: not there. */
static unsigned long status_number(pid_t pid, const char *name)
{
	unsigned long value = 0;
	char path[64], line[256];
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	in = fopen(path, "re");
	while (in && fgets(line, sizeof(line), in)) {
		if (!strncmp(line, name, strlen(name))) {
			value = strtoul(line + strlen(name), NULL, 10);
			break;
		}
	}
	if (in)
		fclose(in);
	return value;
}

static bool is_kernel_thread(pid_t pid)
{
	char path[64], buf[512];
	unsigned long flags = 0;
	const char *at;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, buf, sizeof(buf) - 1) : -1;
	if (fd >= 0)
		close(fd);
	buf[n > 0 ? n : 0] = 0;
	/* the name in brackets may contain anything: state, parent, group, session, tty, its group, flags follow */
	at = strrchr(buf, ')');
	return at && sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %lu", &flags) == 1 && flags & PF_KTHREAD;
}

static bool is_32_bit(pid_t pid)
{
	unsigned char ident[EI_NIDENT] = "";
	char path[64];
	bool known;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	known = read(fd, ident, sizeof(ident)) == sizeof(ident) && !memcmp(ident, ELFMAG, SELFMAG);
	close(fd);
	return known && ident[EI_CLASS] == ELFCLASS32;
}

static int traced_by(pid_t pid, pid_t tracer, char *why, size_t size)
{
	char name[64] = "";

	pa_proc_comm((uint32_t)tracer, (uint32_t)tracer, name, sizeof(name));
	snprintf(why, size, "it is traced by %s (process %d) already, and a process can have one tracer only",
		 name[0] ? name : "a process we cannot see", (int)tracer);
	return -EBUSY;
}

int pa_access_check_process(pid_t pid, char *why, size_t size)
{
	struct pa_proc_status status;

	if (pa_proc_status((uint32_t)pid, &status)) {
		snprintf(why, size, "no such process");
		return -ESRCH;
	}
	if (status.pid != (uint32_t)pid) {
		snprintf(why, size, "a thread of process %u: name the process", status.pid);
		return -EINVAL;
	}
	if (pid == getpid()) {
		snprintf(why, size, "that is perfagent itself");
		return -EINVAL;
	}
	if (is_kernel_thread(pid)) {
		snprintf(why, size, "a thread of the kernel: no program runs in it");
		return -EINVAL;
	}
	/* a main thread that has ended shows as a zombie while others of its process run on */
	if ((status.state == 'Z' && status_number(pid, "Threads:") <= 1) || status.state == 'X') {
		snprintf(why, size, "it has ended, and waits for its parent to notice (a zombie)");
		return -ESRCH;
	}
	return 0;
}

int pa_access_check_program(pid_t pid, char *why, size_t size)
{
	if (!is_32_bit(pid))
		return 0;
	snprintf(why, size, "a 32-bit program: only 64-bit ones can be looked into");
	return -ENOEXEC;
}

int pa_access_check(pid_t pid, char *why, size_t size)
{
	int err = pa_access_check_process(pid, why, size);
	pid_t tracer;

	if (err)
		return err;
	tracer = (pid_t)status_number(pid, "TracerPid:");
	if (tracer)
		return traced_by(pid, tracer, why, size);
	return pa_access_check_program(pid, why, size);
}

static int yama_scope(void)
{
	FILE *in = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
	int scope = 0;

	if (in && fscanf(in, "%d", &scope) != 1)
		scope = 0;
	if (in)
		fclose(in);
	return scope;
}

static void explain_refusal(pid_t pid, char *why, size_t size)
{
	struct pa_proc_status status;
	int yama = yama_scope();

	if (pa_proc_status((uint32_t)pid, &status))
		snprintf(why, size, "it has just ended");
	else if (yama >= 3)
		snprintf(why, size, "not permitted: kernel.yama.ptrace_scope is %d, nobody may trace until a reboot",
			 yama);
	else if (status.uid != geteuid() && geteuid() != 0)
		snprintf(why, size, "not permitted: it belongs to uid %u; run perfagent as that user or as root",
			 status.uid);
	else if (yama >= 1 && geteuid() != 0)
		snprintf(why, size,
			 "not permitted: kernel.yama.ptrace_scope is %d, which asks for the capability CAP_SYS_PTRACE; "
			 "run perfagent as root",
			 yama);
	else
		snprintf(why, size,
			 "not permitted: it has rights that we have not (a set-user-ID program, file capabilities, "
			 "another user namespace), or a container withholds CAP_SYS_PTRACE; run perfagent as root");
}

void pa_access_explain(pid_t pid, int error, char *why, size_t size)
{
	switch (-error) {
	case EPERM:
	case EACCES:
		explain_refusal(pid, why, size);
		break;
	case ESRCH:
	case ENOENT:
		snprintf(why, size, "it has just ended");
		break;
	case ETIMEDOUT:
		snprintf(why, size,
			 "no thread could be stopped: all wait in the kernel for what cannot be interrupted");
		break;
	case ENOEXEC:
		snprintf(why, size, "a 32-bit program: only 64-bit ones can be looked into");
		break;
	default:
		snprintf(why, size, "%s", strerror(-error));
	}
}
