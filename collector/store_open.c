/* Opening a recording; see the header. World: plain.
 *
 * A finished recording is opened "immutable": no lock, no journal, nothing written. Any other one (being written, its
 * writer killed, of an older schema, not a regular file) is read from a private copy. The copy needs no lock either:
 * while the header of the WAL stays the same, whatever a checkpoint changes in the database meanwhile stands in the WAL
 * too, and the WAL's checksums end it at the last whole commit. */
#include "collector/store_open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/store.h"
#include "collector/store_files.h"
#include "collector/store_inuse.h"
#include "collector/store_schema.h"

#define WAL_HEAD_BYTES 32
#define COPY_TRIES     5

static int refuse(char *err, size_t size, int code, const char *path, const char *why)
{
	snprintf(err, size, "%s: %s", path, why);
	return code;
}

/* What the file is, by its header alone. */
static int check_head(const char *path, const struct pa_file_head *h, char *err, size_t size)
{
	if (h->empty)
		return refuse(err, size, -ENODATA, path, "is empty: nothing was recorded in it");
	if (!h->sqlite)
		return refuse(err, size, -ENOEXEC, path, "is not a perfagent recording");
	if (h->application_id != PA_STORE_APPLICATION_ID)
		return refuse(err, size, -ENOEXEC, path, "is an SQLite database but not a perfagent recording");
	if (h->user_version > PA_STORE_SCHEMA) {
		snprintf(err, size, "%s: has recording schema %u, this perfagent reads up to %d: use a newer perfagent",
			 path, h->user_version, PA_STORE_SCHEMA);
		return -EPROTONOSUPPORT;
	}
	if (h->user_version == 0)
		return refuse(err, size, -EBADMSG, path, "is damaged: it has no schema version");
	return 0;
}

static int check_size(const char *path, const struct pa_file_head *h, char *err, size_t size)
{
	if (h->size >= h->wanted)
		return 0;
	snprintf(err, size, "%s: is truncated: %llu of %llu bytes are there", path, (unsigned long long)h->size,
		 (unsigned long long)h->wanted);
	return -EBADMSG;
}

/* ---- private copies ---------------------------------------------------------------------------------------------- */

struct private_copy {
	char *dir;
	char *db;
	char *wal;
	char *journal;
	char *shm;
};

static void copy_remove(struct private_copy *c)
{
	char *names[] = {c->db, c->wal, c->journal, c->shm};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i])
			unlink(names[i]);
		free(names[i]);
	}
	if (c->dir)
		rmdir(c->dir);
	free(c->dir);
	memset(c, 0, sizeof(*c));
}

static int copy_init(struct private_copy *c)
{
	memset(c, 0, sizeof(*c));
	c->dir = pa_private_dir();
	if (!c->dir)
		return errno ? -errno : -ENOMEM;
	c->db = pa_path_with(c->dir, "/copy.pfa");
	if (c->db) {
		c->wal = pa_path_with(c->db, PA_SUFFIX_WAL);
		c->journal = pa_path_with(c->db, PA_SUFFIX_JOURNAL);
		c->shm = pa_path_with(c->db, PA_SUFFIX_SHM);
	}
	if (c->wal && c->journal && c->shm)
		return 0;
	copy_remove(c);
	return -ENOMEM;
}

/* Errors: -errno; the length of the header otherwise (0: there is no WAL, or it is empty). */
static int wal_head(const char *wal, uint8_t out[WAL_HEAD_BYTES])
{
	int fd = open(wal, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	memset(out, 0, WAL_HEAD_BYTES);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	got = pread(fd, out, WAL_HEAD_BYTES, 0);
	close(fd);
	return got == WAL_HEAD_BYTES ? WAL_HEAD_BYTES : 0;
}

/* One attempt at a consistent copy of path and its WAL or rollback journal. Errors: -EAGAIN: it changed meanwhile. */
static int copy_once(const char *path, struct private_copy *c)
{
	uint8_t before[WAL_HEAD_BYTES], after[WAL_HEAD_BYTES];
	char *wal = pa_path_with(path, PA_SUFFIX_WAL), *journal = pa_path_with(path, PA_SUFFIX_JOURNAL);
	int ret = wal && journal ? wal_head(wal, before) : -ENOMEM, has_wal = ret;

	unlink(c->db);
	unlink(c->wal);
	unlink(c->journal);
	if (ret >= 0)
		ret = pa_copy_file(path, c->db);
	if (!ret && has_wal)
		ret = pa_copy_file(wal, c->wal);
	if (!ret) {
		ret = pa_copy_file(journal, c->journal);
		ret = ret == -ENOENT ? 0 : ret;
	}
	if (!ret && wal_head(wal, after) >= 0 && memcmp(before, after, WAL_HEAD_BYTES))
		ret = -EAGAIN;
	if (ret == -ENOENT && has_wal)
		ret = -EAGAIN; /* the writer has just ended */
	free(wal);
	free(journal);
	return ret;
}

/* Through SQLite itself: for files this process writes, and those that change faster than they can be copied. */
static int copy_by_backup(const char *path, struct private_copy *c)
{
	sqlite3 *from = NULL, *to = NULL;
	sqlite3_backup *backup;
	int rc = sqlite3_open_v2(path, &from, SQLITE_OPEN_READONLY, NULL);

	unlink(c->db);
	unlink(c->wal);
	unlink(c->journal);
	if (rc == SQLITE_OK)
		rc = sqlite3_open_v2(c->db, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
	backup = rc == SQLITE_OK ? sqlite3_backup_init(to, "main", from, "main") : NULL;
	if (backup) {
		sqlite3_busy_timeout(from, 2000);
		rc = sqlite3_backup_step(backup, -1);
		sqlite3_backup_finish(backup);
	}
	rc = backup && rc == SQLITE_DONE ? SQLITE_OK : rc == SQLITE_OK ? SQLITE_ERROR : rc;
	sqlite3_close(to);
	sqlite3_close(from);
	return rc == SQLITE_OK ? 0 : (rc & 0xff) == SQLITE_FULL ? -ENOSPC : -EBADMSG;
}

static int copy_take(const char *path, struct private_copy *c)
{
	int ret = -EAGAIN;

	if (!pa_inuse_here(path))
		for (int i = 0; i < COPY_TRIES && ret == -EAGAIN; i++)
			ret = copy_once(path, c);
	return ret == -EAGAIN ? copy_by_backup(path, c) : ret;
}

/* ---- connections ------------------------------------------------------------------------------------------------- */

/* A hostile file can neither run functions nor have anything but plain tables read; see also the checks of the reader.
 */
static int harden(sqlite3 *db)
{
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 64 << 20);
	return sqlite3_exec(db, "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY", NULL, NULL, NULL);
}

/* file: URI of a path: everything but plain characters as %XX. To be freed. */
static char *immutable_uri(const char *path)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
	char *uri = malloc(3 * strlen(path) + 64), *at = uri;

	if (!uri)
		return NULL;
	at = stpcpy(at, "file:");
	if (path[0] != '/')
		at = stpcpy(at, "./");
	for (; *path; path++) {
		if (strchr(plain, *path))
			*at++ = *path;
		else
			at += sprintf(at, "%%%02X", (unsigned char)*path);
	}
	stpcpy(at, "?mode=ro&immutable=1");
	return uri;
}

static int open_immutable(const char *path, sqlite3 **db)
{
	char *uri = immutable_uri(path);
	int rc = SQLITE_NOMEM;

	if (uri)
		rc = sqlite3_open_v2(uri, db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
	free(uri);
	return rc == SQLITE_OK ? harden(*db) : rc;
}

/* Plays the journal of the copy back, brings it to today's schema, and leaves a file that needs no journal. */
static int settle(const char *path, uint32_t version)
{
	size_t nr;
	const struct pa_migration *steps = pa_schema_migrations(&nr);
	sqlite3 *db = NULL;
	int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);

	if (rc == SQLITE_OK)
		rc = harden(db);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, "PRAGMA synchronous = OFF; PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = pa_schema_migrate(db, steps, nr, (int)version, PA_STORE_SCHEMA);
	sqlite3_close(db);
	return rc;
}

static int connect_copy(const char *path, uint32_t version, sqlite3 **db, char *err, size_t size)
{
	struct private_copy c;
	int ret = copy_init(&c), rc = SQLITE_OK;

	if (ret)
		return refuse(err, size, ret, path, "cannot be read: no place for a private copy (set TMPDIR)");
	ret = copy_take(path, &c);
	if (ret)
		snprintf(err, size, "%s: cannot be copied to %s: %s", path, c.dir, strerror(-ret));
	else
		rc = settle(c.db, version);
	if (!ret && rc == SQLITE_OK)
		rc = open_immutable(c.db, db);
	if (!ret && rc == SQLITE_OK) /* SQLite opens the file at once; check before its name goes */
		rc = sqlite3_exec(*db, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
	if (!ret && rc != SQLITE_OK) {
		snprintf(err, size, "%s: is damaged: %s", path, sqlite3_errstr(rc));
		ret = (rc & 0xff) == SQLITE_NOMEM ? -ENOMEM : -EBADMSG;
	}
	copy_remove(&c);
	return ret;
}

/* A writer that has just made the file and not yet switched to WAL looks like one that ended, but for this: it has
 * written no row. */
static bool just_begun(sqlite3 *db)
{
	sqlite3_stmt *stmt = NULL;
	bool begun = sqlite3_prepare_v2(db, "SELECT 1 FROM meta LIMIT 1", -1, &stmt, NULL) == SQLITE_OK &&
		     sqlite3_step(stmt) == SQLITE_DONE;

	sqlite3_finalize(stmt);
	return begun;
}

/* Whether a journal of that name has something in it. */
static bool has_journal(const char *path, const char *suffix)
{
	char *name = pa_path_with(path, suffix);
	struct stat st;
	bool there = name && !stat(name, &st) && st.st_size > 0;

	free(name);
	return there;
}

static int connect_regular(const char *path, sqlite3 **db, char *err, size_t size)
{
	struct pa_file_head head;
	bool journal;
	int ret, rc;

	if (pa_inuse_here(path))
		return connect_copy(path, PA_STORE_SCHEMA, db, err, size);
	ret = pa_file_head_read(path, &head);
	if (ret)
		return refuse(err, size, ret, path, strerror(-ret));
	ret = check_head(path, &head, err, size);
	if (ret)
		return ret;
	journal = has_journal(path, PA_SUFFIX_WAL) || has_journal(path, PA_SUFFIX_JOURNAL);
	if (!journal)
		ret = check_size(path, &head, err, size);
	if (ret)
		return ret;
	if (journal || head.wal || head.user_version < PA_STORE_SCHEMA)
		return connect_copy(path, head.user_version, db, err, size);
	rc = open_immutable(path, db);
	if (rc != SQLITE_OK)
		return refuse(err, size, -EBADMSG, path, sqlite3_errstr(rc));
	if (!just_begun(*db))
		return 0;
	sqlite3_close(*db);
	*db = NULL;
	return connect_copy(path, head.user_version, db, err, size);
}

int pa_recording_connect(const char *path, sqlite3 **db, char *err, size_t size)
{
	struct stat st;
	int ret;

	*db = NULL;
	if (stat(path, &st))
		return refuse(err, size, -errno, path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return refuse(err, size, -EISDIR, path, strerror(EISDIR));
	if (!S_ISREG(st.st_mode))
		return refuse(err, size, -ENOEXEC, path, "is not a regular file");
	ret = connect_regular(path, db, err, size);
	if (ret) {
		sqlite3_close(*db);
		*db = NULL;
	}
	return ret;
}
