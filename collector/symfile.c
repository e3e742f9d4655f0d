/* The search for a module's files. World: plain.
 * Source: GDB manual, "Debugging Information in Separate Files"; DWARF 5 section 7.3.6 for supplementary files. */
#include "collector/symfile.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <elfutils/libdwelf.h>
#include <gelf.h>
#include <zlib.h>

#define DEBUG_DIR "/usr/lib/debug"

/* Links inside the target's root are resolved inside it: the target may have other ideas of /usr than we, and must not
 * lead us out. */
static int open_below(const char *root, const char *path)
{
	struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, .resolve = RESOLVE_IN_ROOT};
	int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = dir < 0 ? -errno : (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));

	if (dir >= 0 && fd < 0)
		fd = -errno;
	if (dir >= 0)
		close(dir);
	return fd;
}

/* Opens path as it is named below root when it has that build-id (any when len is 0). Errors: 0, -ESTALE another
 * build-id, else as pa_elf_open. */
static int open_with_id(struct pa_elf *e, const char *root, const char *path, const struct pa_module_ref *id)
{
	int fd = -1, error;

	if (path[0] != '/')
		return -ENOENT;
	if (root && root[0]) {
		fd = open_below(root, path);
		if (fd < 0)
			return fd;
	}
	error = pa_elf_open(e, path, fd);
	if (fd >= 0)
		close(fd);
	if (!error && id->build_id_len && !pa_elf_is(e, id->build_id, id->build_id_len)) {
		pa_elf_close(e);
		error = -ESTALE;
	}
	return error;
}

static enum pa_symbol_status open_mapped(struct pa_elf *e, const struct pa_module_ref *ref)
{
	const char *roots[] = {ref->root, ""};
	enum pa_symbol_status status = PA_SYMBOLS_MISSING;

	if (ref->fd >= 0 && pa_elf_open(e, ref->path, ref->fd) == 0) {
		if (!ref->build_id_len || pa_elf_is(e, ref->build_id, ref->build_id_len))
			return PA_SYMBOLS_UNKNOWN;
		pa_elf_close(e);
		status = PA_SYMBOLS_MISMATCH;
	}
	for (size_t i = 0; i < 2; i++) {
		int error = roots[i] ? open_with_id(e, roots[i], ref->path, ref) : -ENOENT;

		if (!error)
			return PA_SYMBOLS_UNKNOWN;
		if (error == -ESTALE || error == -ENOEXEC)
			status = error == -ENOEXEC && !ref->build_id_len ? PA_SYMBOLS_NONE : PA_SYMBOLS_MISMATCH;
	}
	return status;
}

static enum pa_symbol_status open_vdso(struct pa_elf *e, const struct pa_module_ref *ref)
{
	if (pa_elf_open_vdso(e))
		return PA_SYMBOLS_MISSING;
	if (!ref->build_id_len || pa_elf_is(e, ref->build_id, ref->build_id_len))
		return PA_SYMBOLS_UNKNOWN;
	pa_elf_close(e);
	return PA_SYMBOLS_MISMATCH;
}

enum pa_symbol_status pa_symfile_open_main(struct pa_elf *e, const struct pa_module_ref *ref)
{
	return strcmp(ref->path, "[vdso]") == 0 ? open_vdso(e, ref) : open_mapped(e, ref);
}

static bool has_section(Elf *elf, const char *name, uint32_t type)
{
	Elf_Scn *scn = NULL;
	size_t names;
	GElf_Shdr sh;

	if (!elf || elf_getshdrstrndx(elf, &names))
		return false;
	while ((scn = elf_nextscn(elf, scn))) {
		const char *found = gelf_getshdr(scn, &sh) ? elf_strptr(elf, names, sh.sh_name) : NULL;

		if (found && sh.sh_type != SHT_NOBITS && (!type || sh.sh_type == type) && strcmp(found, name) == 0)
			return true;
	}
	return false;
}

static bool has_dwarf(Elf *elf)
{
	return has_section(elf, ".debug_info", 0) || has_section(elf, ".zdebug_info", 0);
}

/* DIR/.build-id/xx/yyyy.debug; false when it does not fit. */
static bool build_id_path(char *out, size_t room, const uint8_t *id, size_t len)
{
	int used = snprintf(out, room, DEBUG_DIR "/.build-id/%02x/", id[0]);

	for (size_t i = 1; i < len && (size_t)used + 3 < room; i++)
		used += snprintf(out + used, room - (size_t)used, "%02x", id[i]);
	return (size_t)snprintf(out + used, room - (size_t)used, ".debug") < room - (size_t)used;
}

static bool open_by_build_id(struct pa_elf *e, const char *root, const uint8_t *id, size_t len)
{
	struct pa_module_ref want = {.build_id = id, .build_id_len = len};
	char path[PATH_MAX];

	if (len < 2 || !build_id_path(path, sizeof(path), id, len))
		return false;
	return (root && open_with_id(e, root, path, &want) == 0) || open_with_id(e, "", path, &want) == 0;
}

static bool has_checksum(const struct pa_elf *e, uint32_t want)
{
	unsigned char buf[32768];
	uLong crc = crc32(0, NULL, 0);
	off_t at = 0;
	ssize_t n;

	while ((n = pread(e->fd, buf, sizeof(buf), at)) > 0) {
		crc = crc32(crc, buf, (uInt)n);
		at += n;
	}
	return n == 0 && crc == want;
}

/* Errors: whether the debug link's file is there, with the right build-id or, when one of the two has none, the right
 * checksum. */
static bool open_linked(struct pa_symfile *f, const char *root, const char *dir, const char *name, uint32_t crc)
{
	static const char *const forms[] = {"%s/%s", "%s/.debug/%s", DEBUG_DIR "%s/%s"};
	struct pa_module_ref any = {.fd = -1};
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (snprintf(path, sizeof(path), forms[i], dir, name) >= (int)sizeof(path) ||
		    open_with_id(&f->debug, root, path, &any))
			continue;
		if (pa_elf_is(&f->debug, f->main.build_id, f->main.build_id_len))
			return true;
		if ((!f->debug.build_id_len || !f->main.build_id_len) && has_checksum(&f->debug, crc))
			return true;
		pa_elf_close(&f->debug);
	}
	return false;
}

static bool open_by_link(struct pa_symfile *f, const struct pa_module_ref *ref)
{
	GElf_Word crc = 0;
	const char *name = f->main.elf ? dwelf_elf_gnu_debuglink(f->main.elf, &crc) : NULL;
	char dir[PATH_MAX];
	char *slash;

	if (!name || !name[0] || strchr(name, '/') || ref->path[0] != '/' || strlen(ref->path) >= sizeof(dir))
		return false;
	strcpy(dir, ref->path);
	slash = strrchr(dir, '/');
	*slash = 0;
	return (ref->root && open_linked(f, ref->root, dir, name, crc)) || open_linked(f, "", dir, name, crc);
}

static bool open_by_debuginfod(struct pa_symfile *f, const uint8_t *id, size_t len)
{
	int fd = len ? pa_debuginfod_fetch(id, len) : -ENOTSUP;
	bool ok;

	if (fd < 0)
		return false;
	ok = pa_elf_open(&f->debug, NULL, fd) == 0;
	close(fd);
	if (ok && !pa_elf_is(&f->debug, id, len)) {
		pa_elf_close(&f->debug);
		ok = false;
	}
	return ok;
}

static void open_debug(struct pa_symfile *f, const struct pa_module_ref *ref)
{
	const uint8_t *id = ref->build_id_len ? ref->build_id : f->main.build_id;
	size_t len = ref->build_id_len ? ref->build_id_len : f->main.build_id_len;

	if (has_dwarf(f->main.elf))
		return;
	if (open_by_build_id(&f->debug, ref->root, id, len) || open_by_link(f, ref))
		return;
	open_by_debuginfod(f, id, len);
}

/* The file that dwz moved common parts to. Its path is absolute, or relative to the file that names it. */
static void open_alt(struct pa_symfile *f, const struct pa_module_ref *ref)
{
	const char *name = NULL;
	const void *id = NULL;
	ssize_t len = f->dwarf ? dwelf_dwarf_gnu_debugaltlink(f->dwarf, &name, &id) : 0;
	struct pa_module_ref want = {.build_id = id, .build_id_len = len > 0 ? (size_t)len : 0};
	bool found;

	if (len <= 0)
		return;
	found = open_by_build_id(&f->alt, ref->root, id, (size_t)len) ||
		(ref->root && open_with_id(&f->alt, ref->root, name, &want) == 0) ||
		open_with_id(&f->alt, "", name, &want) == 0;
	if (!found && name[0] != '/') {
		char path[PATH_MAX], dir[PATH_MAX];
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", f->debug.elf ? f->debug.fd : f->main.fd);
		n = readlink(path, dir, sizeof(dir) - 1);
		if (n <= 0)
			return;
		dir[n] = 0;
		if (snprintf(path, sizeof(path), "%s/%s", dirname(dir), name) < (int)sizeof(path))
			found = open_with_id(&f->alt, "", path, &want) == 0;
	}
	if (!found)
		return;
	f->alt_dwarf = dwarf_begin_elf(f->alt.elf, DWARF_C_READ, NULL);
	if (f->alt_dwarf)
		dwarf_setalt(f->dwarf, f->alt_dwarf);
}

void pa_symfile_open(struct pa_symfile *f, const struct pa_module_ref *ref)
{
	*f = (struct pa_symfile){.main.fd = -1, .debug.fd = -1, .alt.fd = -1, .mini.fd = -1};
	f->status = pa_symfile_open_main(&f->main, ref);
	if (f->main.elf || ref->build_id_len)
		open_debug(f, ref);
	if (f->debug.elf)
		f->status = PA_SYMBOLS_UNKNOWN;
	if (has_dwarf(f->debug.elf))
		f->dwarf = dwarf_begin_elf(f->debug.elf, DWARF_C_READ, NULL);
	else if (has_dwarf(f->main.elf))
		f->dwarf = dwarf_begin_elf(f->main.elf, DWARF_C_READ, NULL);
	open_alt(f, ref);
}

void pa_symfile_close(struct pa_symfile *f)
{
	if (f->dwarf)
		dwarf_end(f->dwarf);
	if (f->alt_dwarf)
		dwarf_end(f->alt_dwarf);
	pa_elf_close(&f->mini);
	pa_elf_close(&f->alt);
	pa_elf_close(&f->debug);
	pa_elf_close(&f->main);
	*f = (struct pa_symfile){.main.fd = -1, .debug.fd = -1, .alt.fd = -1, .mini.fd = -1};
}

Elf *pa_symfile_symbols(struct pa_symfile *f)
{
	if (has_section(f->debug.elf, ".symtab", SHT_SYMTAB))
		return f->debug.elf;
	if (has_section(f->main.elf, ".symtab", SHT_SYMTAB))
		return f->main.elf;
	if (f->main.elf && !f->mini.elf)
		pa_symfile_open_debugdata(&f->mini, f->main.elf);
	return f->mini.elf;
}
