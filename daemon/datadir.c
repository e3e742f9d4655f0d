#include "daemon/datadir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NAMES_TRIED 100

int pa_make_directory(const char *path, unsigned mode)
{
	char parent[PATH_MAX];
	char *slash;

	if (!mkdir(path, mode) || errno == EEXIST)
		return 0;
	snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	if (errno != ENOENT || !slash || slash == parent)
		return -errno;
	*slash = 0;
	if (pa_make_directory(parent, mode) || mkdir(path, mode))
		return -errno;
	return 0;
}

static int check(int fd, uint32_t uid)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	return st.st_uid == uid && !(st.st_mode & (S_IWGRP | S_IWOTH)) ? 0 : -EPERM;
}

int pa_datadir_open(const char *path)
{
	mode_t mask = umask(0);
	int err = pa_make_directory(path, geteuid() == 0 ? 0711 : 0700), fd;

	umask(mask);
	if (err)
		return err;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = check(fd, geteuid());
	if (!err && faccessat(fd, ".", W_OK | X_OK, AT_EACCESS))
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

int pa_datadir_user(int data_fd, const struct pa_owner *owner)
{
	char name[16];
	int fd, err;

	if (!owner->other)
		return 0;
	snprintf(name, sizeof(name), "%u", owner->uid);
	/* DATA is ours alone: nobody else can put a name there, or change what one stands for */
	if (!mkdirat(data_fd, name, 0700)) {
		if (!fchownat(data_fd, name, owner->uid, owner->gid, AT_SYMLINK_NOFOLLOW))
			return 0;
		err = -errno;
		unlinkat(data_fd, name, AT_REMOVEDIR);
		return err;
	}
	if (errno != EEXIST)
		return -errno;
	fd = openat(data_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = check(fd, owner->uid);
	close(fd);
	return err;
}

static void tame(char *name)
{
	for (char *c = name; *c; c++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+", *c))
			*c = '_';
}

static bool is_free(const char *path, const struct pa_owner *owner)
{
	struct stat st;
	bool gone;

	if (!pa_owner_enter(owner))
		return false;
	gone = lstat(path, &st) && errno == ENOENT;
	pa_owner_leave(owner);
	return gone;
}

static void directory_of(const char *path, const struct pa_owner *owner, char *out, size_t size)
{
	if (owner->other)
		snprintf(out, size, "%s/%u", path, owner->uid);
	else
		snprintf(out, size, "%s", path);
}

/* "NAME.PID." */
static void stem_of(const char *name, uint32_t pid, char *out, size_t size)
{
	char tamed[64];

	snprintf(tamed, sizeof(tamed), "%s", name[0] ? name : "unknown");
	tame(tamed);
	snprintf(out, size, "%s.%u.", tamed, pid);
}

int pa_datadir_name(const char *path, const struct pa_owner *owner, const char *name, uint32_t pid, char *out,
		    size_t size)
{
	char directory[PATH_MAX], stem[96], when[32], again[16] = "";
	time_t now = time(NULL);
	struct tm tm;

	directory_of(path, owner, directory, sizeof(directory));
	stem_of(name, pid, stem, sizeof(stem));
	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm);
	for (int i = 1; i < NAMES_TRIED; i++) {
		if (i > 1)
			snprintf(again, sizeof(again), "-%d", i);
		if ((size_t)snprintf(out, size, "%s/%s%s%s.pfa", directory, stem, when, again) >= size)
			return -ENAMETOOLONG;
		if (is_free(out, owner))
			return 0;
	}
	return -EEXIST;
}

static bool is_recording(const char *name, const char *stem)
{
	static const char suffix[] = ".pfa";
	size_t len = strlen(name);

	return !strncmp(name, stem, strlen(stem)) && len > strlen(suffix) &&
	       !strcmp(name + len - strlen(suffix), suffix);
}

static time_t written_at(int dir_fd, const char *name)
{
	static const char *const parts[] = {"", "-wal"};
	time_t latest = 0;

	for (int i = 0; i < 2; i++) {
		char full[NAME_MAX + 8];
		struct stat st;

		snprintf(full, sizeof(full), "%s%s", name, parts[i]);
		if (!fstatat(dir_fd, full, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode) && st.st_mtime > latest)
			latest = st.st_mtime;
	}
	return latest;
}

static int latest_in(DIR *dir, const char *stem, const char *but, char *out, size_t size, time_t *written)
{
	const struct dirent *entry;

	*written = 0;
	while ((entry = readdir(dir)) != NULL) {
		time_t at = is_recording(entry->d_name, stem) && strcmp(entry->d_name, but) != 0
				? written_at(dirfd(dir), entry->d_name)
				: 0;

		if (at <= *written)
			continue;
		*written = at;
		snprintf(out, size, "%s", entry->d_name);
	}
	return *written ? 0 : -ENOENT;
}

int pa_datadir_latest(const char *path, const struct pa_owner *owner, const char *name, uint32_t pid, const char *but,
		      char *out, size_t size, time_t *written)
{
	const char *slash = strrchr(but, '/');
	char directory[PATH_MAX], stem[96];
	int err = -EPERM;
	DIR *dir;

	directory_of(path, owner, directory, sizeof(directory));
	stem_of(name, pid, stem, sizeof(stem));
	if (!pa_owner_enter(owner))
		return err;
	dir = opendir(directory);
	err = dir ? latest_in(dir, stem, slash ? slash + 1 : but, out, size, written) : -errno;
	if (dir)
		closedir(dir);
	pa_owner_leave(owner);
	return err;
}
