/* inject_try PID LIBRARY [LIMIT_MS [ORDER]]: loads the library into the process as `perfagent attach --inject` does.
 * One line on stdout: "ok" or "declined", then what was measured. Status 0, or 1 when it was declined.
 *
 * PA_DIE_BEFORE=N in the environment: it is killed before the Nth step that changes the target. What the target is
 * between two of these steps is all that a SIGKILL at any moment can leave behind, but for how far it has run. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "remote/inject.h"

static unsigned long die_before, steps;

static void step(void)
{
	if (++steps == die_before)
		kill(getpid(), SIGKILL);
}

/* In front of libc's, for all that is linked in here. Only requests with four arguments are made. */
long ptrace(enum __ptrace_request request, ...)
{
	va_list args;
	pid_t tid;
	void *addr, *data;

	va_start(args, request);
	tid = va_arg(args, pid_t);
	addr = va_arg(args, void *);
	data = va_arg(args, void *);
	va_end(args);
	step();
	return syscall(SYS_ptrace, request, tid, addr, data);
}

ssize_t process_vm_writev(pid_t pid, const struct iovec *local, unsigned long nr_local, const struct iovec *remote,
			  unsigned long nr_remote, unsigned long flags)
{
	step();
	return syscall(SYS_process_vm_writev, pid, local, nr_local, remote, nr_remote, flags);
}

int main(int argc, char **argv)
{
	struct pa_injection in = {0};
	const char *die = getenv("PA_DIE_BEFORE");
	int error;

	if (argc < 3)
		return 99;
	die_before = die ? strtoul(die, NULL, 10) : 0;
	in.pid = atoi(argv[1]);
	in.library = argv[2];
	in.limit_ns = argc > 3 ? (uint64_t)atoi(argv[3]) * 1000000 : 0;
	in.order = argc > 4 ? (uint32_t)atoi(argv[4]) : 0;
	error = pa_inject_library(&in);
	printf("%s tries=%u pause_max_us=%" PRIu64 " pause_sum_us=%" PRIu64 " called_us=%" PRIu64
	       " tid=%d error=%s%s%s\n",
	       error ? "declined" : "ok", in.tries, in.pause_max_ns / 1000, in.pause_sum_ns / 1000, in.called_ns / 1000,
	       (int)in.tid, error ? strerrorname_np(-error) : "none", error ? " why=" : "", in.why);
	if (in.order)
		printf("loaded=%d modules=%u hooked=%u before=%u foreign=%u refused=%u\n", in.loaded, in.answer.modules,
		       in.answer.hooked, in.answer.before, in.answer.foreign, in.answer.refused);
	return error != 0;
}
