/* See exec_probe_hook.h. `look` and what it calls may run in the helper: raw system calls only, it is on our thread's
 * TLS. World: hook. */
#include "agent/exec_probe_hook.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/exec_env_hook.h"
#include "agent/helper.h"
#include "agent/exec_needed_hook.h"
#include "agent/signals_sig.h"
#include "agent/sysdep.h"

#define HEAD_BYTES   1024 /* the ELF header and some 17 program headers */
#define LOADER_BYTES 256
#define SCRIPTS_MAX  5               /* as the kernel: a script whose interpreter is a script, and so on */
#define PATH_DEFAULT "/bin:/usr/bin" /* libc's, when PATH is not set */

static long read_at(int fd, void *to, size_t len, uint64_t offset)
{
	long got = pa_sys(SYS_pread64, fd, to, len, offset);

	return got < 0 ? 0 : got;
}

static size_t read_needed(void *fd, void *to, size_t len, uint64_t offset)
{
	return (size_t)read_at(*(int *)fd, to, len, offset);
}

/* Judges the image in fd. Returns true with the interpreter's path in `path` when it is a script. */
static bool judge(struct pa_exec_probe *probe, int fd, char *path)
{
	char head[HEAD_BYTES], loader[LOADER_BYTES];
	size_t len = (size_t)read_at(fd, head, sizeof(head), 0);
	struct pa_exec_image image;
	const char *script;
	size_t script_len = pa_exec_script_hook(head, len, &script);

	if (script_len && script_len < PATH_MAX) {
		memcpy(path, script, script_len);
		path[script_len] = '\0';
		return true;
	}
	pa_exec_image_parse_hook((const unsigned char *)head, len, &image);
	probe->refused = image.refused;
	probe->machine = image.machine;
	if (!image.interpreter || image.interpreter_len > sizeof(loader))
		return false;
	len = (size_t)read_at(fd, loader, (size_t)image.interpreter_len, image.interpreter);
	if (len == image.interpreter_len && !pa_exec_loader_is_glibc_hook(loader, len))
		probe->refused = PA_EXEC_OTHER_LOADER;
	if (!probe->refused)
		pa_exec_needed_hook(read_needed, &fd, probe->runtime);
	return false;
}

/* A device must not be opened only to look at it. */
static int open_program(int dirfd, const char *path)
{
	struct stat st;

	if (pa_sys(SYS_newfstatat, dirfd, path, &st, 0) != 0 || !S_ISREG(st.st_mode))
		return -1;
	return (int)pa_sys(SYS_openat, dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
}

static const char *search_path(void)
{
	for (char **entry = environ; entry && *entry; entry++) {
		if (strncmp(*entry, "PATH=", 5) == 0)
			return *entry + 5;
	}
	return PATH_DEFAULT;
}

/* The first file along PATH that may be executed; path has PATH_MAX bytes. */
static bool search(const char *file, char *path)
{
	const char *at = search_path();
	size_t file_len = strlen(file);

	for (;;) {
		size_t len = strcspn(at, ":");

		if (len + file_len + 2 <= PATH_MAX) {
			memcpy(path, at, len);
			path[len] = '/';
			memcpy(path + len + (len ? 1 : 0), file, file_len + 1);
			if (pa_sys(SYS_faccessat, AT_FDCWD, path, X_OK) == 0)
				return true;
		}
		if (!at[len])
			return false;
		at += len + 1;
	}
}

/* A descriptor that was opened with O_PATH can be executed, and not read: the file is opened anew, by this path. */
static bool needs_path(int fd, char *path)
{
	static const char directory[] = "/proc/self/fd/";
	char digits[12], byte;
	size_t nr = 0;

	if (fd < 0 || pa_sys(SYS_pread64, fd, &byte, 1, 0) != -EBADF)
		return false;
	memcpy(path, directory, sizeof(directory));
	path += sizeof(directory) - 1;
	do
		digits[nr++] = (char)('0' + fd % 10);
	while ((fd /= 10) != 0);
	while (nr > 0)
		*path++ = digits[--nr];
	*path = '\0';
	return true;
}

static int look(void *arg)
{
	struct pa_exec_probe *probe = arg;
	const char *file = probe->file;
	int dirfd = probe->dirfd;
	char path[PATH_MAX];

	if (probe->by_descriptor) {
		if (!needs_path(dirfd, path) && !judge(probe, dirfd, path))
			return 0;
		dirfd = AT_FDCWD;
		file = path;
	} else if (probe->search && !strchr(file, '/')) {
		if (!search(file, path))
			return 0;
		file = path;
	}
	for (int i = 0; i < SCRIPTS_MAX; i++) {
		int fd = open_program(dirfd, file);
		bool script = fd >= 0 && judge(probe, fd, path);

		if (fd >= 0)
			pa_sys(SYS_close, fd);
		if (!script)
			break;
		dirfd = AT_FDCWD;
		file = path;
	}
	return 0;
}

/* The links of the directory of threads are their number and two. */
static bool single_threaded(void)
{
	struct stat st;

	return pa_sys(SYS_newfstatat, AT_FDCWD, "/proc/self/task", &st, 0) == 0 && st.st_nlink == 3;
}

void pa_exec_probe_hook(struct pa_exec_probe *probe)
{
	uint64_t before;

	probe->refused = 0;
	probe->machine = 0;
	probe->runtime[0] = '\0';
	/* a path the kernel cannot read is the kernel's to refuse */
	if (!probe->by_descriptor && (!probe->file || pa_sys(SYS_faccessat, AT_FDCWD, probe->file, F_OK) == -EFAULT))
		return;
	/* no handler of the host's may run in the helper, nor see the descriptor of a process with one thread */
	before = pa_signals_hold();
	if (single_threaded())
		look(probe);
	else
		(void)pa_helper_run_sig(look, probe);
	pa_signals_let(before);
}
