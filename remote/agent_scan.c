/* Looking through all processes: which have an agent, and which hold a session. World: plain. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/proc.h"
#include "collector/session.h"
#include "remote/agent.h"

struct each {
	int (*fn)(void *arg, const struct pa_agent *a, const struct pa_agent_info *info);
	void *arg;
	uint32_t unreadable;
};

static int visit(void *arg, uint32_t pid)
{
	struct each *e = arg;
	struct pa_agent_info info;
	struct pa_agent agent;
	char why[PA_AGENT_WHY];
	int err = pa_agent_find((pid_t)pid, &agent, why, sizeof(why));

	if (!err)
		err = pa_agent_read(&agent, &info);
	e->unreadable += err == -EACCES;
	return err ? 0 : e->fn(e->arg, &agent, &info);
}

int pa_agent_each(int (*fn)(void *arg, const struct pa_agent *a, const struct pa_agent_info *info), void *arg,
		  uint32_t *unreadable)
{
	struct each e = {fn, arg, 0};
	int ret = pa_proc_all(visit, &e);

	if (unreadable)
		*unreadable = e.unreadable;
	return ret;
}

/* Whether a process has the memfd open: a target has it mapped only, its collector keeps the descriptor. */
static bool holds(pid_t pid, uint64_t inode)
{
	char path[64], link[320], name[64];
	struct dirent *entry;
	bool found = false;
	struct stat st;
	ssize_t n;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	fds = opendir(path);
	while (fds && !found && (entry = readdir(fds))) {
		snprintf(link, sizeof(link), "%s/%s", path, entry->d_name);
		n = readlink(link, name, sizeof(name) - 1);
		name[n > 0 ? n : 0] = 0;
		/* an inode number alone may be another file system's */
		found = n > 0 &&
			!strncmp(name, "/memfd:" PA_SESSION_MEMFD_NAME, 7 + sizeof(PA_SESSION_MEMFD_NAME) - 1) &&
			!stat(link, &st) && st.st_ino == inode;
	}
	if (fds)
		closedir(fds);
	return found;
}

struct holder {
	uint64_t inode;
	pid_t pid;
};

static int match_holder(void *arg, uint32_t pid)
{
	struct holder *h = arg;

	if (!holds((pid_t)pid, h->inode))
		return 0;
	h->pid = (pid_t)pid;
	return 1;
}

pid_t pa_agent_collector(uint64_t session_inode, pid_t hint)
{
	struct holder h = {session_inode, 0};

	if (!session_inode)
		return 0;
	if (hint > 0 && holds(hint, session_inode))
		return hint;
	pa_proc_all(match_holder, &h);
	return h.pid;
}
