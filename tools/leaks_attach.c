#include "tools/leaks_attach.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "remote/agent.h"

/* For the handler of signals, too. */
static char directory[PATH_MAX], recording[PATH_MAX + 16];
static volatile sig_atomic_t collector;

void pa_leaks_detach(void)
{
	pid_t pid = (pid_t)collector;

	if (!pid)
		return;
	collector = 0;
	kill(pid, SIGTERM);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	unlink(recording);
	rmdir(directory);
}

bool pa_leaks_attaching(void)
{
	siginfo_t info = {0};

	return collector && !waitid(P_PID, (id_t)collector, &info, WEXITED | WNOHANG | WNOWAIT) && !info.si_pid;
}

static void on_signal(int sig)
{
	pa_leaks_detach();
	signal(sig, SIG_DFL);
	raise(sig);
}

static bool can_be_attached_to(pid_t pid, char *why, size_t size)
{
	struct pa_agent_info info;
	struct pa_agent agent;

	if (pa_agent_find(pid, &agent, why, size))
		return false;
	if (pa_agent_read(&agent, &info)) {
		snprintf(why, size, "it has just ended");
		return false;
	}
	return !pa_agent_ready(&info, PA_COMMAND_ATTACH, why, size);
}

static bool make_directory(char *why, size_t size)
{
	const char *base = getenv("TMPDIR");

	snprintf(directory, sizeof(directory), "%s/perfagent-leaks.XXXXXX", base && *base ? base : "/tmp");
	if (!mkdtemp(directory)) {
		snprintf(why, size, "cannot make a directory for its recording: %s", strerror(errno));
		return false;
	}
	snprintf(recording, sizeof(recording), "%s/leaks.pfa", directory);
	return true;
}

/* In the child: never returns. What it has to say is said by us, when there is no recording. */
static void become_collector(pid_t pid, pid_t parent)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	char number[16];

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);
	snprintf(number, sizeof(number), "%d", (int)pid);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	execl("/proc/self/exe", "perfagent", "attach", number, "-q", "--mode", "memory", "-o", recording, (char *)NULL);
	_exit(1);
}

bool pa_leaks_attach(pid_t pid, char *why, size_t size)
{
	pid_t parent = getpid(), child;

	if (!can_be_attached_to(pid, why, size) || !make_directory(why, size))
		return false;
	child = fork();
	if (child == 0)
		become_collector(pid, parent);
	if (child < 0) {
		snprintf(why, size, "cannot fork: %s", strerror(errno));
		rmdir(directory);
		return false;
	}
	collector = child;
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	signal(SIGHUP, on_signal);
	signal(SIGPIPE, on_signal);
	return true;
}
