#include "daemon/retention.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "collector/owner.h"
#include "collector/store_files.h"

#define SUFFIX ".pfa"

/* ---- words ------------------------------------------------------------------------------------------------------- */

static bool is_unit(const char *unit, size_t len, const char *want)
{
	return len == strlen(want) && strncasecmp(unit, want, len) == 0;
}

/* Bytes, 0: it is none. */
static uint64_t size_unit(const char *unit, size_t len)
{
	static const char letters[] = "kmgt";

	if (len > 1 && strncasecmp(unit + len - 2, "ib", 2) == 0)
		len -= 2;
	else if (len > 0 && (unit[len - 1] | 0x20) == 'b')
		len--;
	for (int i = 0; len == 1 && letters[i]; i++)
		if ((unit[0] | 0x20) == letters[i])
			return UINT64_C(1) << 10 * (i + 1);
	return 0;
}

/* Seconds, 0: it is none. */
static uint64_t age_unit(const char *unit, size_t len)
{
	static const struct {
		const char *name;
		uint64_t seconds;
	} units[] = {{"s", 1}, {"m", 60}, {"min", 60}, {"h", 3600}, {"d", 86400}, {"w", 604800}};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (is_unit(unit, len, units[i].name))
			return units[i].seconds;
	return 0;
}

/* One word of the list; false: it makes no sense. */
static bool take_bound(struct pa_keep *keep, const char *word, size_t len)
{
	char *end;
	unsigned long long value = strtoull(word, &end, 10);
	size_t unit_len = len - (size_t)(end - word);
	uint64_t size = size_unit(end, unit_len), age = age_unit(end, unit_len);

	if (!isdigit((unsigned char)word[0]) || end > word + len || !value)
		return false;
	if (size && !keep->bytes && value <= UINT64_MAX / size)
		keep->bytes = value * size;
	else if (age && !keep->seconds && value <= UINT64_MAX / age)
		keep->seconds = value * age;
	else
		return false;
	return true;
}

int pa_keep_parse(struct pa_keep *keep, const char *text, char *err, size_t err_size)
{
	struct pa_keep now = {0};

	for (const char *at = text; at;) {
		size_t len = strcspn(at, ",");

		if (!take_bound(&now, at, len)) {
			snprintf(err, err_size, "keep '%.40s': must be a size, an age, or both, as in 1GiB,7d", text);
			return -EINVAL;
		}
		at = at[len] ? at + len + 1 : NULL;
	}
	*keep = now;
	return 0;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

struct file {
	char name[256 + 16]; /* below DATA: NAME.pfa or UID/NAME.pfa */
	uint64_t time_s;
	uint64_t bytes;
	bool writing;
};

struct listing {
	const struct pa_retention *r;
	int data_fd;
	struct file *files;
	size_t nr, max;
};

static struct file *new_file(struct listing *l)
{
	if (l->nr == l->max) {
		size_t max = l->max ? l->max * 2 : 64;
		struct file *files = realloc(l->files, max * sizeof(*files));

		if (!files)
			return NULL;
		l->files = files;
		l->max = max;
	}
	return &l->files[l->nr++];
}

static const char *const companions[] = {"", PA_SUFFIX_WAL, PA_SUFFIX_SHM, PA_SUFFIX_JOURNAL};

#define NR_COMPANIONS (sizeof(companions) / sizeof(companions[0]))

/* What a file and its companions take on the disk; *time_s: of the latest write to any. */
static uint64_t bytes_of(int dir_fd, const char *name, uint64_t *time_s)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < NR_COMPANIONS; i++) {
		char full[256 + 16];
		struct stat st;

		snprintf(full, sizeof(full), "%s%s", name, companions[i]);
		if (fstatat(dir_fd, full, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
			continue;
		bytes += (uint64_t)st.st_blocks * 512;
		if ((uint64_t)st.st_mtime > *time_s)
			*time_s = (uint64_t)st.st_mtime;
	}
	return bytes;
}

static int look_at(struct listing *l, int dir_fd, const char *prefix, const char *name)
{
	size_t len = strlen(name);
	struct stat st;
	struct file *f;

	if (len <= strlen(SUFFIX) || len > 240 || strcmp(name + len - strlen(SUFFIX), SUFFIX) != 0 ||
	    fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
		return 0;
	f = new_file(l);
	if (!f)
		return -ENOMEM;
	memset(f, 0, sizeof(*f));
	snprintf(f->name, sizeof(f->name), "%s%s", prefix, name);
	f->bytes = bytes_of(dir_fd, name, &f->time_s);
	f->writing = l->r->writing && l->r->writing(l->r->arg, st.st_dev, st.st_ino);
	return 0;
}

static bool is_uid(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= 10 && strspn(name, "0123456789") == len;
}

/* Whose a user's directory is. Errors: false: not there, or not what its name says. */
static bool owner_of(int data_fd, const char *name, struct pa_owner *owner)
{
	struct stat st;

	if (fstatat(data_fd, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISDIR(st.st_mode) ||
	    st.st_uid != strtoul(name, NULL, 10))
		return false;
	*owner = (struct pa_owner){st.st_uid != geteuid(), st.st_uid, st.st_gid};
	return true;
}

static int open_directory(int data_fd, const char *name)
{
	return openat(data_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int list_directory(struct listing *l, int fd, const char *prefix, int depth);

/* With the user's rights on files, as everything that is done in a directory of a user's. */
static int list_user(struct listing *l, const char *name)
{
	struct pa_owner owner;
	char below[16];
	int fd, err = 0;

	if (!owner_of(l->data_fd, name, &owner) || !pa_owner_enter(&owner))
		return 0;
	fd = open_directory(l->data_fd, name);
	snprintf(below, sizeof(below), "%.10s/", name);
	if (fd >= 0)
		err = list_directory(l, fd, below, 1);
	pa_owner_leave(&owner);
	return err;
}

/* Takes the descriptor. depth 0: DATA itself, whose directories of users are looked into. */
static int list_directory(struct listing *l, int fd, const char *prefix, int depth)
{
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	int err = 0;

	if (!dir) {
		err = -errno;
		close(fd);
		return err;
	}
	while (!err && (entry = readdir(dir)) != NULL) {
		if (depth == 0 && is_uid(entry->d_name))
			err = list_user(l, entry->d_name);
		else
			err = look_at(l, fd, prefix, entry->d_name);
	}
	closedir(dir);
	return err;
}

static int by_age(const void *a, const void *b)
{
	const struct file *x = a, *y = b;

	if (x->time_s != y->time_s)
		return x->time_s < y->time_s ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* Removes a recording and its companions. Errors: -errno. */
static int remove_all(int dir_fd, const char *name)
{
	int err = 0;

	for (size_t i = 0; i < NR_COMPANIONS; i++) {
		char full[256 + 16];

		snprintf(full, sizeof(full), "%s%s", name, companions[i]);
		if (unlinkat(dir_fd, full, 0) && errno != ENOENT)
			err = err ? err : -errno;
	}
	return err;
}

static int remove_file(int data_fd, const char *name)
{
	const char *slash = strchr(name, '/');
	struct pa_owner owner;
	char user[16];
	int fd, err;

	if (!slash)
		return remove_all(data_fd, name);
	snprintf(user, sizeof(user), "%.*s", (int)(slash - name), name);
	if (!owner_of(data_fd, user, &owner) || !pa_owner_enter(&owner))
		return -EPERM;
	fd = open_directory(data_fd, user);
	err = fd < 0 ? -errno : remove_all(fd, slash + 1);
	if (fd >= 0)
		close(fd);
	pa_owner_leave(&owner);
	return err;
}

static uint64_t free_room(int data_fd)
{
	struct statvfs fs;

	return fstatvfs(data_fd, &fs) ? UINT64_MAX : (uint64_t)fs.f_bavail * fs.f_frsize;
}

static bool must_go(const struct listing *l, const struct file *f, const struct pa_retention_result *result)
{
	const struct pa_retention *r = l->r;

	return (r->keep.seconds && f->time_s + r->keep.seconds < r->now_s) ||
	       (r->keep.bytes && result->bytes > r->keep.bytes) ||
	       (r->free_bytes && free_room(l->data_fd) < r->free_bytes);
}

static void drop_oldest(struct listing *l, struct pa_retention_result *result)
{
	qsort(l->files, l->nr, sizeof(*l->files), by_age);
	for (size_t i = 0; i < l->nr; i++) {
		struct file *f = &l->files[i];

		if (f->writing || !must_go(l, f, result))
			continue;
		if (remove_file(l->data_fd, f->name)) {
			result->failed++;
			continue;
		}
		result->nr--;
		result->bytes -= f->bytes;
		result->dropped++;
		result->dropped_bytes += f->bytes;
		if (l->r->dropped)
			l->r->dropped(l->r->arg, f->name, f->bytes);
	}
}

int pa_retention_apply(int data_fd, const struct pa_retention *r, struct pa_retention_result *result)
{
	struct listing l = {.r = r, .data_fd = data_fd};
	int fd = openat(data_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = fd < 0 ? -errno : list_directory(&l, fd, "", 0);

	memset(result, 0, sizeof(*result));
	result->nr = l.nr;
	for (size_t i = 0; i < l.nr; i++)
		result->bytes += l.files[i].bytes;
	if (!err)
		drop_oldest(&l, result);
	free(l.files);
	return err;
}
