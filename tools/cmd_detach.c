/* perfagent detach: ends what `perfagent attach` records, or frees a process whose collector was killed. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "collector/proc.h"
#include "remote/agent.h"
#include "tools/commands.h"
#include "tools/detach.h"
#include "tools/options.h"
#include "tools/pid.h"

#define WRITE_MS 60000                /* a recording may take its time to be named and written */
#define LEAVE_NS UINT64_C(1000000000) /* a process that runs; one that sleeps detaches when it wakes up */

static const char help[] =
    "usage: perfagent detach PID\n"
    "\n"
    "Ends the recording of a process that `perfagent attach` makes, and waits until it is written. A process whose\n"
    "collector was killed, or that another kind of collector records, is told to leave it by itself; it does so when\n"
    "it runs next.\n"
    "\n"
    "  -h, --help             -V, --version\n"
    "\n"
    "Exit status: 0 detached, 1 it was not attached to, 2 error or usage.\n";

static const struct option longs[] = {PA_OPTION_HELP, PA_OPTION_VERSION, {NULL, 0, NULL, 0}};
static const struct pa_command_line line = {"detach", help, ":hV", longs};

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && !strcmp(text + len - end_len, end);
}

/* Whether a process is `perfagent attach`: SIGTERM ends its recording. To another collector it is something else. */
static bool is_attaching(pid_t pid)
{
	char exe[4096], command[4096];

	return pid > 0 && !pa_proc_exe((uint32_t)pid, exe, sizeof(exe)) && ends_with(exe, "/perfagent") &&
	       !pa_proc_command((uint32_t)pid, command, sizeof(command)) && strstr(command, " attach ") != NULL;
}

/* Ends a recording and waits for its last word. Returns the exit status. */
static int end_recording(const char *name, pid_t collector)
{
	int fd = (int)syscall(SYS_pidfd_open, collector, 0);
	struct pollfd end = {.fd = fd, .events = POLLIN};
	int ready;

	if (fd < 0)
		return errno == ESRCH ? PA_EXIT_OK : pa_fail(name, "%s", strerror(errno));
	if (syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0) && errno != ESRCH) {
		close(fd);
		return pa_fail(name, "cannot end process %d, which records it: %s", (int)collector, strerror(errno));
	}
	do
		ready = poll(&end, 1, WRITE_MS);
	while (ready < 0 && errno == EINTR);
	close(fd);
	if (ready > 0)
		return PA_EXIT_OK;
	return pa_fail(name, "process %d, which records it, does not come to an end", (int)collector);
}

static int tell_agent(const char *name, pid_t pid)
{
	struct pa_detaching d = {0};
	char why[PA_AGENT_WHY];
	int err = pa_detaching_add(&d, pid, NULL, why, sizeof(why));

	if (!err && pa_detaching_wait(&d, LEAVE_NS) && isatty(STDERR_FILENO))
		pa_fail(name, "it sleeps, and detaches when it wakes up");
	pa_detaching_fini(&d);
	if (err == -EALREADY) {
		pa_fail(name, "%s", why);
		return PA_EXIT_BAD;
	}
	return err ? pa_fail(name, "%s", err == -ENOMEM ? strerror(ENOMEM) : why) : PA_EXIT_OK;
}

static int detach(const char *name, pid_t pid)
{
	char why[PA_AGENT_WHY];
	struct pa_agent_info info;
	struct pa_agent agent;
	pid_t collector;

	if (pa_agent_find(pid, &agent, why, sizeof(why)))
		return pa_fail(name, "%s", why);
	if (pa_agent_read(&agent, &info))
		return pa_fail(name, "it has just ended");
	/* one that waits for the process to wake up has no session with it yet */
	collector = info.state == PA_AGENT_ATTACHED ? pa_agent_collector(info.session_inode, (pid_t)info.writer)
		    : info.seq != info.done         ? (pid_t)info.writer
						    : 0;
	if (is_attaching(collector))
		return end_recording(name, collector);
	return tell_agent(name, pid);
}

int pa_cmd_detach(int argc, char **argv)
{
	int status = PA_EXIT_ERROR;
	char name[32];
	pid_t pid;

	if (!pa_option_next(&line, argc, argv, &status))
		return status;
	if (!pa_pid_operand(&line, argc, argv, &pid))
		return PA_EXIT_ERROR;
	snprintf(name, sizeof(name), "process %d", (int)pid);
	return detach(name, pid);
}
