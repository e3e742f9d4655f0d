/* Plain file work for recordings; see the header. World: plain. */
#include "collector/store_files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Offsets in the header. Source: "Database File Format", section 1.3, of the SQLite documentation. */
#define HEAD_BYTES          100
#define HEAD_PAGE_SIZE      16
#define HEAD_READ_VERSION   19
#define HEAD_CHANGE_COUNTER 24
#define HEAD_PAGES          28
#define HEAD_USER_VERSION   60
#define HEAD_APPLICATION_ID 68
#define HEAD_VALID_FOR      92

static uint32_t big_endian(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void parse_head(const uint8_t *h, struct pa_file_head *head)
{
	uint32_t page_size = (uint32_t)h[HEAD_PAGE_SIZE] << 8 | h[HEAD_PAGE_SIZE + 1];

	head->sqlite = true;
	head->wal = h[HEAD_READ_VERSION] == 2;
	head->user_version = big_endian(h + HEAD_USER_VERSION);
	head->application_id = big_endian(h + HEAD_APPLICATION_ID);
	if (page_size == 1)
		page_size = 65536;
	/* the size is only kept up to date by writers that also keep this pair equal */
	if (big_endian(h + HEAD_CHANGE_COUNTER) == big_endian(h + HEAD_VALID_FOR))
		head->wanted = (uint64_t)page_size * big_endian(h + HEAD_PAGES);
}

int pa_file_head_read(const char *path, struct pa_file_head *head)
{
	uint8_t bytes[HEAD_BYTES];
	struct stat st;
	ssize_t got;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), err = 0;

	memset(head, 0, sizeof(*head));
	if (fd < 0)
		return -errno;
	got = pread(fd, bytes, sizeof(bytes), 0);
	if (got < 0 || fstat(fd, &st))
		err = -errno;
	close(fd);
	if (err)
		return err;
	head->size = (uint64_t)st.st_size;
	head->empty = got == 0;
	if (got == HEAD_BYTES && !memcmp(bytes, "SQLite format 3", 16))
		parse_head(bytes, head);
	return 0;
}

char *pa_path_with(const char *path, const char *suffix)
{
	char *out;

	return asprintf(&out, "%s%s", path, suffix) < 0 ? NULL : out;
}

char *pa_private_dir(void)
{
	/* A recording may be large: not /tmp first, which is often memory. */
	const char *places[] = {getenv("TMPDIR"), "/var/tmp", "/tmp"};

	errno = ENOENT;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		char *dir;

		if (!places[i] || !places[i][0])
			continue;
		dir = pa_path_with(places[i], "/perfagent-XXXXXX");
		if (!dir || mkdtemp(dir))
			return dir;
		free(dir);
	}
	return NULL;
}

bool pa_fs_magic_is_network(uint32_t magic)
{
	/* FUSE is here because sshfs and the like are FUSE, and many such file systems have no shared mappings. */
	static const uint32_t types[] = {
	    NFS_SUPER_MAGIC,        V9FS_MAGIC,
	    CIFS_SUPER_MAGIC,       SMB2_SUPER_MAGIC,
	    SMB_SUPER_MAGIC,        AFS_SUPER_MAGIC,
	    AFS_FS_MAGIC,           CODA_SUPER_MAGIC,
	    CEPH_SUPER_MAGIC,       FUSE_SUPER_MAGIC,
	    OCFS2_SUPER_MAGIC,      0x0bd00bd0 /* Lustre */,
	    0x47504653 /* GPFS */,  0x19830326 /* BeeGFS */,
	    0x01161970 /* GFS2 */,  0x786f4256 /* vboxsf */,
	    0x013111a8 /* IBRIX */, 0x61756673 /* aufs: shared maps are unreliable */,
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (magic == types[i])
			return true;
	return false;
}

bool pa_fs_is_network(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && pa_fs_magic_is_network((uint32_t)fs.f_type);
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

int pa_copy_fd(int from, int to)
{
	uint8_t buffer[65536];
	int err = 0;

	while (!err) {
		ssize_t n = read(from, buffer, sizeof(buffer));

		if (n == 0)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		err = n < 0 ? -errno : write_all(to, buffer, (size_t)n);
	}
	return err;
}

int pa_copy_file(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC), out, err;

	if (in < 0)
		return -errno;
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out < 0) {
		err = -errno;
		close(in);
		return err;
	}
	err = pa_copy_fd(in, out);
	close(in);
	if (close(out) && !err)
		err = -errno;
	if (err)
		unlink(to);
	return err;
}
