/* Collectors are not asked: what they have open is in /proc, and a recording can be read while it is written. */
#include "tools/recorders.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/store.h"

/* Calls fn for each descriptor of each other process that we may look at, until it returns true. */
struct visit {
	bool (*fn)(struct visit *v, const char *process, const char *link);
	const struct stat *wanted; /* a file */
	pid_t pid;                 /* a recorded process */
	uint32_t id;
	char *found;
	bool some; /* a collector that records */
};

static bool is_number(const char *name)
{
	return *name && strspn(name, "0123456789") == strlen(name);
}

static bool visit_descriptors(struct visit *v, const char *process)
{
	char path[64], link[320];
	snprintf(path, sizeof(path), "/proc/%.16s/fd", process);
	DIR *fds = opendir(path);
	bool done = false;
	for (struct dirent *e; fds && !done && (e = readdir(fds));) {
		if (!is_number(e->d_name))
			continue;
		snprintf(link, sizeof(link), "%s/%s", path, e->d_name);
		done = v->fn(v, process, link);
	}
	if (fds)
		closedir(fds);
	return done;
}

static bool visit(struct visit *v)
{
	DIR *all = opendir("/proc");
	bool done = false;
	for (struct dirent *e; all && !done && (e = readdir(all));)
		if (is_number(e->d_name) && atoi(e->d_name) != getpid())
			done = visit_descriptors(v, e->d_name);
	if (all)
		closedir(all);
	return done;
}

static bool is_writable(const char *link)
{
	/* the permissions of the link are those of the descriptor */
	struct stat st;
	return !lstat(link, &st) && st.st_mode & S_IWUSR;
}

static bool same_file(struct visit *v, const char *process, const char *link)
{
	struct stat st;
	return !stat(link, &st) && st.st_dev == v->wanted->st_dev && st.st_ino == v->wanted->st_ino &&
	       is_writable(link);
}

bool pa_is_being_recorded(const char *path)
{
	struct stat st;
	struct visit v = {.fn = same_file, .wanted = &st};
	return !stat(path, &st) && visit(&v);
}

struct search {
	pid_t pid;
	uint32_t id; /* of the process, 0: not there */
};

static int on_process(void *arg, const struct pa_store_process *p)
{
	struct search *s = arg;
	if (p->pid == (uint32_t)s->pid && !p->end_ns)
		s->id = p->id;
	return 0;
}

static bool is_collector(const char *process)
{
	char path[64], exe[PATH_MAX];
	snprintf(path, sizeof(path), "/proc/%.16s/exe", process);
	ssize_t len = readlink(path, exe, sizeof(exe) - 1);
	if (len <= 0)
		return false;
	exe[len] = 0;
	char *deleted = strstr(exe, " (deleted)");
	if (deleted)
		*deleted = 0;
	const char *slash = strrchr(exe, '/');
	return slash && (!strcmp(slash, "/perfagent") || !strcmp(slash, "/perfagentd"));
}

static bool has_process(struct visit *v, const char *process, const char *link)
{
	char path[PATH_MAX], err[512];
	struct pa_recording *rec;
	struct search s = {.pid = v->pid};
	ssize_t len = readlink(link, path, sizeof(path) - 1);
	if (len < 5 || memcmp(path + len - 4, ".pfa", 4) || !is_writable(link) || !is_collector(process))
		return false;
	path[len] = 0;
	v->some = true;
	if (pa_recording_open(path, &rec, err, sizeof(err)))
		return false;
	pa_recording_processes(rec, on_process, &s);
	pa_recording_close(rec);
	if (!s.id || !(v->found = strdup(path)))
		return false;
	v->id = s.id;
	return true;
}

char *pa_recording_of(pid_t pid, uint32_t *id, bool *some_collector)
{
	struct visit v = {.fn = has_process, .pid = pid};
	visit(&v);
	*id = v.id;
	*some_collector = v.some;
	return v.found;
}
