/* Where a recording is written; see the header. World: plain. */
#include "collector/store_target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/store.h"
#include "collector/store_files.h"
#include "collector/store_inuse.h"

/* SQLite's lock bytes. A connection in WAL mode holds a read lock on the shared range as long as it lives.
 * Source: "File Locking And Concurrency" of the SQLite documentation. */
#define SHARED_FIRST 0x40000002
#define SHARED_BYTES 510

static int refuse(char *err, size_t size, int code, const char *path, const char *why)
{
	snprintf(err, size, "%s: %s", path, why);
	return code;
}

static bool is_locked(const char *path)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = SHARED_FIRST, .l_len = SHARED_BYTES};
	int fd = open(path, O_RDWR | O_CLOEXEC);
	bool locked = fd >= 0 && !fcntl(fd, F_GETLK, &lock) && lock.l_type != F_UNLCK;

	if (fd >= 0)
		close(fd);
	return locked;
}

/* Only our own recordings and empty files are overwritten: a slip of -o must not cost somebody's file. */
static int check_existing(const char *path, char *err, size_t size)
{
	struct pa_file_head head;
	int ret;

	if (access(path, W_OK))
		return refuse(err, size, -errno, path, strerror(errno));
	if (pa_inuse_here(path))
		return refuse(err, size, -EBUSY, path, "is being recorded to already");
	ret = pa_file_head_read(path, &head);
	if (ret)
		return refuse(err, size, ret, path, strerror(-ret));
	if (head.empty)
		return 0;
	if (!head.sqlite || head.application_id != PA_STORE_APPLICATION_ID)
		return refuse(err, size, -EEXIST, path,
			      "exists and is not a perfagent recording: it is not overwritten");
	if (is_locked(path))
		return refuse(err, size, -EBUSY, path, "is being written by another process: choose another name");
	return 0;
}

/* Removes a file and what SQLite may have left beside it: the journal of an old recording would ruin the new one. */
static int remove_all(const char *path)
{
	static const char *const suffixes[] = {"", PA_SUFFIX_WAL, PA_SUFFIX_SHM, PA_SUFFIX_JOURNAL};
	int err = 0;

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		char *name = pa_path_with(path, suffixes[i]);

		if (!name)
			return -ENOMEM;
		if (unlink(name) && errno != ENOENT && !err)
			err = -errno;
		free(name);
	}
	return err;
}

static int use_temporary(struct pa_target *t, char *err, size_t size)
{
	t->dir = pa_private_dir();
	t->work = t->dir ? pa_path_with(t->dir, "/recording.pfa") : NULL;
	if (!t->work)
		return refuse(err, size, errno == ENOMEM ? -ENOMEM : -errno, t->path ? t->path : "-",
			      "no place for a temporary file (set TMPDIR)");
	return 0;
}

/* The directory of the final name, to be freed. */
static char *directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
}

/* A regular file that is there: may it go, and may its directory be written? */
static int init_existing(struct pa_target *t, const char *path, char *err, size_t size)
{
	char *real = realpath(path, NULL);

	if (!real)
		return refuse(err, size, -errno, path, strerror(errno));
	free(t->path);
	t->path = real;
	return check_existing(t->path, err, size);
}

static int init_regular(struct pa_target *t, bool exists, char *err, size_t size)
{
	char *dir = directory_of(t->path);
	int ret;

	if (!dir)
		return refuse(err, size, -ENOMEM, t->path, "out of memory");
	if (access(dir, W_OK | X_OK)) {
		ret = errno;
		free(dir);
		/* the file may be written but nothing beside it: its bytes are replaced at the end */
		if (exists && (t->stream = true))
			return use_temporary(t, err, size);
		return refuse(err, size, -ret, t->path, strerror(ret));
	}
	if (pa_fs_is_network(dir)) {
		free(dir);
		return use_temporary(t, err, size);
	}
	free(dir);
	if (exists && (ret = remove_all(t->path)))
		return refuse(err, size, ret, t->path, strerror(-ret));
	t->work = strdup(t->path);
	return t->work ? 0 : refuse(err, size, -ENOMEM, t->path, "out of memory");
}

int pa_target_init(struct pa_target *t, const char *path, char *err, size_t size)
{
	struct stat st;
	bool exists;
	int ret;

	memset(t, 0, sizeof(*t));
	if (!strcmp(path, "-")) {
		t->stream = true;
		return use_temporary(t, err, size);
	}
	t->path = strdup(path);
	if (!t->path)
		return refuse(err, size, -ENOMEM, path, "out of memory");
	exists = !stat(path, &st);
	if (!exists && errno != ENOENT)
		return refuse(err, size, -errno, path, strerror(errno));
	if (exists && S_ISDIR(st.st_mode))
		return refuse(err, size, -EISDIR, path, strerror(EISDIR));
	if (exists && !S_ISREG(st.st_mode)) {
		if (access(path, W_OK))
			return refuse(err, size, -errno, path, strerror(errno));
		t->stream = true;
		return use_temporary(t, err, size);
	}
	ret = exists ? init_existing(t, path, err, size) : 0;
	return ret ? ret : init_regular(t, exists, err, size);
}

int pa_target_divert(struct pa_target *t, char *err, size_t size)
{
	remove_all(t->work);
	free(t->work);
	t->work = NULL;
	return use_temporary(t, err, size);
}

static int stream_out(const struct pa_target *t)
{
	int in = open(t->work, O_RDONLY | O_CLOEXEC), out, err;

	if (in < 0)
		return -errno;
	out = t->path ? open(t->path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY) : STDOUT_FILENO;
	err = out < 0 ? -errno : pa_copy_fd(in, out);
	if (t->path && out >= 0 && close(out) && !err)
		err = -errno;
	close(in);
	return err;
}

static int copy_beside(const struct pa_target *t, char *beside)
{
	int in = open(t->work, O_RDONLY | O_CLOEXEC), out, err;
	mode_t mask = umask(0);

	umask(mask);
	if (in < 0)
		return -errno;
	out = mkostemp(beside, O_CLOEXEC);
	err = out < 0 ? -errno : pa_copy_fd(in, out);
	if (!err && fchmod(out, 0666 & ~mask))
		err = -errno;
	if (out >= 0 && close(out) && !err)
		err = -errno;
	close(in);
	if (err && out >= 0)
		unlink(beside);
	return err;
}

/* Copied beside the final name first, so that the name shows either the whole recording or what was there before. */
static int move_out(const struct pa_target *t)
{
	char *beside = pa_path_with(t->path, ".XXXXXX");
	int err;

	if (!beside)
		return -ENOMEM;
	err = copy_beside(t, beside);
	if (!err && rename(beside, t->path)) {
		err = -errno;
		unlink(beside);
	}
	free(beside);
	return err;
}

static void remove_temporary(const struct pa_target *t)
{
	remove_all(t->work);
	rmdir(t->dir);
}

int pa_target_finish(struct pa_target *t)
{
	int err;

	if (!t->dir)
		return 0;
	err = t->stream ? stream_out(t) : move_out(t);
	if (!err)
		remove_temporary(t);
	return err;
}

void pa_target_abandon(struct pa_target *t)
{
	if (t->dir && t->work)
		remove_temporary(t);
	else if (t->work)
		remove_all(t->work);
}

void pa_target_fini(struct pa_target *t)
{
	free(t->path);
	free(t->work);
	free(t->dir);
	memset(t, 0, sizeof(*t));
}
