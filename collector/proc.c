#include "collector/proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ANCESTORS_MAX 1024
#define MAPS_MAX      65536

/* Reads a small file of /proc whole; the result is terminated. */
static ssize_t read_small(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t have = 0;
	ssize_t n = 0;

	if (fd < 0)
		return -errno;
	while (have < size - 1) {
		n = read(fd, buf + have, size - 1 - have);
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	if (n < 0)
		n = -errno;
	close(fd);
	buf[have] = 0;
	return have ? (ssize_t)have : n;
}

static const char *field(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? at + strlen(name) : NULL;
}

static uint32_t number(const char *text)
{
	return text ? (uint32_t)strtoul(text, NULL, 10) : 0;
}

static void parse_nspid(const char *at, struct pa_proc_status *out)
{
	out->inner_pid = out->pid;
	out->ns_depth = 1;
	if (!at)
		return;
	out->ns_depth = 0;
	while (*at && *at != '\n') {
		char *end;
		unsigned long v = strtoul(at, &end, 10);

		if (end == at)
			break;
		out->inner_pid = (uint32_t)v;
		out->ns_depth++;
		at = end;
	}
}

int pa_proc_status(uint32_t pid, struct pa_proc_status *out)
{
	char path[64], buf[4096];
	const char *state;
	ssize_t n;

	memset(out, 0, sizeof(*out));
	snprintf(path, sizeof(path), "/proc/%u/status", pid);
	n = read_small(path, buf, sizeof(buf));
	if (n <= 0)
		return n < 0 ? (int)n : -ESRCH;
	/* "\n" before each name: the first line is the command's name and may contain anything but a newline */
	state = field(buf, "\nState:\t");
	out->state = state ? *state : '?';
	out->pid = number(field(buf, "\nTgid:\t"));
	out->parent = number(field(buf, "\nPPid:\t"));
	out->uid = number(field(buf, "\nUid:\t"));
	out->seccomp = number(field(buf, "\nSeccomp:\t"));
	parse_nspid(field(buf, "\nNSpid:\t"), out);
	return 0;
}

uint32_t pa_proc_inner_tid(uint32_t pid, uint32_t tid)
{
	struct pa_proc_status status = {.pid = tid};
	char path[64], buf[4096];

	snprintf(path, sizeof(path), "/proc/%u/task/%u/status", pid, tid);
	if (read_small(path, buf, sizeof(buf)) <= 0)
		return 0;
	parse_nspid(field(buf, "\nNSpid:\t"), &status);
	return status.inner_pid;
}

uint64_t pa_proc_start_ticks(uint32_t pid)
{
	char path[64], buf[1024];
	const char *at;

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	if (read_small(path, buf, sizeof(buf)) <= 0)
		return 0;
	/* the second field is the command's name in brackets, which may contain any of them */
	at = strrchr(buf, ')');
	for (int number = 2; at && number < 22; number++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at, NULL, 10) : 0;
}

uint32_t pa_proc_uid(uint32_t pid)
{
	struct pa_proc_status status;

	return pid && !pa_proc_status(pid, &status) ? status.uid : (uint32_t)-1;
}

bool pa_proc_descends(uint32_t pid, uint32_t ancestor)
{
	struct pa_proc_status status;

	for (int i = 0; i < ANCESTORS_MAX && pid > 1; i++) {
		if (pid == ancestor)
			return true;
		if (pa_proc_status(pid, &status))
			return false;
		pid = status.parent;
	}
	return false;
}

int pa_proc_cpu_ns(uint32_t pid, uint64_t *cpu_ns)
{
	struct timespec ts;
	clockid_t clock;

	if (clock_getcpuclockid((pid_t)pid, &clock))
		return -ESRCH;
	if (clock_gettime(clock, &ts))
		return -errno;
	*cpu_ns = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	return 0;
}

int pa_proc_thread_cpu_ns(uint32_t pid, uint32_t tid, uint64_t *cpu_ns)
{
	char path[64], buf[128];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/task/%u/schedstat", pid, tid);
	n = read_small(path, buf, sizeof(buf));
	if (n <= 0)
		return n < 0 ? (int)n : -ESRCH;
	*cpu_ns = strtoull(buf, NULL, 10);
	return 0;
}

static int numbers_in(const char *path, int (*fn)(void *arg, uint32_t id), void *arg)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int ret = 0;

	if (!dir)
		return -errno;
	while (!ret && (entry = readdir(dir)) != NULL)
		if (isdigit((unsigned char)entry->d_name[0]))
			ret = fn(arg, number(entry->d_name));
	closedir(dir);
	return ret;
}

int pa_proc_threads(uint32_t pid, int (*fn)(void *arg, uint32_t tid), void *arg)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/task", pid);
	return numbers_in(path, fn, arg);
}

int pa_proc_all(int (*fn)(void *arg, uint32_t pid), void *arg)
{
	return numbers_in("/proc", fn, arg);
}

int pa_proc_command(uint32_t pid, char *out, size_t size)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/cmdline", pid);
	n = read_small(path, out, size);
	if (n <= 0) {
		out[0] = 0;
		return n < 0 ? (int)n : -ESRCH;
	}
	/* titles that were set later are padded with either */
	while (n > 0 && (out[n - 1] == 0 || out[n - 1] == ' '))
		n--;
	out[n] = 0;
	for (ssize_t i = 0; i < n; i++)
		if (out[i] == 0)
			out[i] = ' ';
	return 0;
}

int pa_proc_exe(uint32_t pid, char *out, size_t size)
{
	static const char gone[] = " (deleted)";
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	n = readlink(path, out, size - 1);
	if (n < 0) {
		out[0] = 0;
		return -errno;
	}
	out[n] = 0;
	if ((size_t)n > sizeof(gone) && !strcmp(out + n - (sizeof(gone) - 1), gone))
		out[n - (ssize_t)(sizeof(gone) - 1)] = 0;
	return 0;
}

int pa_proc_comm(uint32_t pid, uint32_t tid, char *out, size_t size)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/task/%u/comm", pid, tid);
	n = read_small(path, out, size);
	if (n <= 0) {
		out[0] = 0;
		return n < 0 ? (int)n : -ESRCH;
	}
	if (out[n - 1] == '\n')
		out[n - 1] = 0;
	return 0;
}

static bool parse_map(char *line, struct pa_proc_map *map)
{
	static const char gone[] = " (deleted)";
	char perms[8];
	int path_at = 0;
	char *path;
	size_t len;

	memset(map, 0, sizeof(*map));
	if (sscanf(line, "%lx-%lx %7s %lx %x:%x %lu %n", &map->start, &map->end, perms, &map->offset, &map->dev_major,
		   &map->dev_minor, &map->inode, &path_at) < 7)
		return false;
	map->exec = strchr(perms, 'x') != NULL;
	path = path_at ? line + path_at : line + strlen(line);
	path[strcspn(path, "\n")] = 0;
	len = strlen(path);
	if (len > sizeof(gone) && !strcmp(path + len - (sizeof(gone) - 1), gone)) {
		map->deleted = true;
		path[len - (sizeof(gone) - 1)] = 0;
	}
	map->path = path;
	return true;
}

int pa_proc_maps(uint32_t pid, int (*fn)(void *arg, const struct pa_proc_map *map), void *arg)
{
	char name[64], *line = NULL;
	size_t room = 0;
	FILE *file;
	int ret = 0;

	snprintf(name, sizeof(name), "/proc/%u/maps", pid);
	file = fopen(name, "re");
	if (!file)
		return -errno;
	for (int i = 0; !ret && i < MAPS_MAX && getline(&line, &room, file) > 0; i++) {
		struct pa_proc_map map;

		if (parse_map(line, &map))
			ret = fn(arg, &map);
	}
	free(line);
	fclose(file);
	return ret;
}

int pa_proc_rss(uint32_t pid, bool (*fn)(void *arg, const struct pa_proc_map *map), void *arg, uint64_t *kib)
{
	char name[64], *line = NULL;
	bool wanted = false;
	size_t room = 0;
	FILE *file;

	*kib = 0;
	snprintf(name, sizeof(name), "/proc/%u/smaps", pid);
	file = fopen(name, "re");
	if (!file)
		return -errno;
	/* some 25 lines a mapping; those that begin one look as in maps */
	for (int i = 0; i < MAPS_MAX * 32 && getline(&line, &room, file) > 0; i++) {
		unsigned long long rss;
		struct pa_proc_map map;

		if (sscanf(line, "Rss: %llu", &rss) == 1)
			*kib += wanted ? rss : 0;
		else if (line[0] >= '0' && line[0] <= 'f' && line[0] != 'S' && parse_map(line, &map))
			wanted = fn(arg, &map);
	}
	free(line);
	fclose(file);
	return 0;
}

struct inode_search {
	uint64_t inode;
	const char *name;
};

int pa_proc_resident(uint32_t pid, uint64_t *all, uint64_t *shared)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), size, resident, of_files;
	char path[64], buf[256];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/statm", pid);
	n = read_small(path, buf, sizeof(buf));
	if (n <= 0)
		return n < 0 ? (int)n : -ESRCH;
	/* a zombie has no memory any more */
	if (sscanf(buf, "%" SCNu64 " %" SCNu64 " %" SCNu64, &size, &resident, &of_files) != 3 || !size)
		return -ESRCH;
	*all = resident * page;
	*shared = of_files * page;
	return 0;
}

static int match_inode(void *arg, const struct pa_proc_map *map)
{
	const struct inode_search *search = arg;

	return map->inode == search->inode && strstr(map->path, search->name) != NULL;
}

bool pa_proc_maps_inode(uint32_t pid, uint64_t inode, const char *name)
{
	struct inode_search search = {inode, name};

	return pa_proc_maps(pid, match_inode, &search) == 1;
}
