/* Examining a program file. Callers: cmd_doctor.c and its parts, cmd_record.c. World: plain. */
#include "tools/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <gelf.h>

#include "collector/elf.h"

#define SCRIPT_DEPTH 4   /* the kernel follows as many interpreters (BINPRM recursion limit is 5) */
#define SCRIPT_LINE  256 /* and reads as much of the first line */

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#else
#error "which e_machine has this processor?"
#endif

static int usable(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || access(path, X_OK) < 0)
		return -EACCES;
	return 0;
}

/* One directory of PATH (not terminated) and the command; an empty one is the working directory. */
static int try_dir(const char *dir, size_t len, const char *command, char *path)
{
	int n = len ? snprintf(path, PATH_MAX, "%.*s/%s", (int)len, dir, command)
		    : snprintf(path, PATH_MAX, "./%s", command);

	return n < PATH_MAX ? usable(path) : -ENAMETOOLONG;
}

int pa_program_find(const char *command, char *path)
{
	const char *dir = getenv("PATH");
	int worst = -ENOENT;

	if (strlen(command) >= PATH_MAX)
		return -ENAMETOOLONG;
	if (!command[0])
		return -ENOENT;
	if (strchr(command, '/')) {
		strcpy(path, command);
		return usable(path);
	}
	for (dir = dir ? dir : "/bin:/usr/bin"; dir; dir = strchr(dir, ':') ? strchr(dir, ':') + 1 : NULL) {
		int ret = try_dir(dir, strcspn(dir, ":"), command, path);

		if (!ret)
			return 0;
		if (ret == -EACCES)
			worst = ret;
	}
	return worst;
}

/* ---- what the loader will see ---------------------------------------------------------------------------------- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool musl_loader(const char *path)
{
	return !strncmp(base_name(path), "ld-musl", 7);
}

static void read_interp(const struct pa_elf *e, struct pa_program *p)
{
	size_t nr = 0;
	GElf_Phdr ph;

	elf_getphdrnum(e->elf, &nr);
	for (size_t i = 0; i < nr; i++) {
		ssize_t got;

		if (!gelf_getphdr(e->elf, (int)i, &ph) || ph.p_type != PT_INTERP)
			continue;
		got = pread(e->fd, p->interp, ph.p_filesz < sizeof(p->interp) ? ph.p_filesz : sizeof(p->interp) - 1,
			    (off_t)ph.p_offset);
		p->interp[got > 0 ? got : 0] = 0;
	}
	p->musl = musl_loader(p->interp);
}

static bool loader_name(const char *path)
{
	const char *base = base_name(path);

	return !strncmp(base, "ld-linux", 8) || musl_loader(path) || !strncmp(base, "ld64.so", 7);
}

static const struct {
	const char *symbol, *library, *name;
} sanitizers[] = {
    {"__asan_init", "libasan.so", "AddressSanitizer"},       {"__tsan_init", "libtsan.so", "ThreadSanitizer"},
    {"__msan_init", "libmsan.so", "MemorySanitizer"},        {"__hwasan_init", "libhwasan.so", "HWAddressSanitizer"},
    {"__asan_init", "libclang_rt.asan", "AddressSanitizer"},
};
#define NR_SANITIZERS (sizeof(sanitizers) / sizeof(sanitizers[0]))

static void read_dynamic_symbols(Elf *elf, Elf_Scn *scn, const GElf_Shdr *sh, struct pa_program *p)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t nr = sh->sh_entsize ? sh->sh_size / sh->sh_entsize : 0;
	GElf_Sym sym;

	for (size_t i = 0; data && i < nr && gelf_getsym(data, (int)i, &sym); i++) {
		const char *name = elf_strptr(elf, sh->sh_link, sym.st_name);

		for (size_t s = 0; name && s < NR_SANITIZERS; s++)
			if (!strcmp(name, sanitizers[s].symbol))
				p->sanitizer = sanitizers[s].name;
	}
}

static void read_needed(Elf *elf, Elf_Scn *scn, const GElf_Shdr *sh, struct pa_program *p)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t nr = sh->sh_entsize ? sh->sh_size / sh->sh_entsize : 0;
	GElf_Dyn dyn;

	for (size_t i = 0; data && i < nr && gelf_getdyn(data, (int)i, &dyn); i++) {
		const char *name = dyn.d_tag == DT_NEEDED ? elf_strptr(elf, sh->sh_link, dyn.d_un.d_val) : NULL;

		for (size_t s = 0; name && s < NR_SANITIZERS; s++) {
			if (strncmp(name, sanitizers[s].library, strlen(sanitizers[s].library)))
				continue;
			p->sanitizer = sanitizers[s].name;
		}
		if (name && pa_preload_is_runtime(name, strlen(name)) && strlen(name) < sizeof(p->runtime))
			strcpy(p->runtime, name);
	}
}

static void read_sections(Elf *elf, struct pa_program *p)
{
	size_t names = 0;

	elf_getshdrstrndx(elf, &names);
	for (Elf_Scn *scn = elf_nextscn(elf, NULL); scn; scn = elf_nextscn(elf, scn)) {
		GElf_Shdr sh;
		const char *name = gelf_getshdr(scn, &sh) ? elf_strptr(elf, names, sh.sh_name) : NULL;

		if (!name)
			continue;
		if (sh.sh_type == SHT_DYNSYM)
			read_dynamic_symbols(elf, scn, &sh, p);
		if (sh.sh_type == SHT_DYNAMIC)
			read_needed(elf, scn, &sh, p);
		p->symbols |= sh.sh_type == SHT_SYMTAB;
		p->debug_info |= sh.sh_type != SHT_NOBITS &&
				 (!strcmp(name, ".debug_info") || !strcmp(name, ".zdebug_info"));
		p->go |= !strcmp(name, ".go.buildinfo") || !strcmp(name, ".note.go.buildid");
	}
}

/* The separate debug file by build-id, where Debian, Fedora and others put it. */
static void find_debug_file(struct pa_program *p)
{
	int n;

	if (p->build_id_len < 2)
		return;
	n = snprintf(p->debug_file, sizeof(p->debug_file), "/usr/lib/debug/.build-id/%02x/", p->build_id[0]);
	for (uint32_t i = 1; i < p->build_id_len; i++)
		n += snprintf(p->debug_file + n, sizeof(p->debug_file) - (size_t)n, "%02x", p->build_id[i]);
	snprintf(p->debug_file + n, sizeof(p->debug_file) - (size_t)n, ".debug");
	if (access(p->debug_file, R_OK) < 0)
		p->debug_file[0] = 0;
}

/* The kernel starts a program in secure mode when it gains rights by it; the loader then ignores LD_PRELOAD paths.
 * Source: ld.so(8), "secure-execution mode"; capabilities(7). The superuser gains nothing by capabilities. */
static const char *secure_reason(int fd)
{
	struct stat st;
	struct statvfs fs;

	if (fstat(fd, &st) < 0 || (fstatvfs(fd, &fs) == 0 && fs.f_flag & ST_NOSUID))
		return NULL;
	if (st.st_mode & S_ISUID && st.st_uid != getuid())
		return "set-user-ID";
	if ((st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && st.st_gid != getgid())
		return "set-group-ID";
	if (getuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0)
		return "file capabilities";
	return NULL;
}

static int examine_elf(int fd, struct pa_program *p)
{
	struct pa_elf e;
	GElf_Ehdr eh;
	int ret = pa_elf_open(&e, p->path, fd);

	p->kind = PA_PROGRAM_OTHER;
	if (ret == -ENOEXEC)
		return 0;
	if (ret < 0)
		return ret;
	if (gelf_getehdr(e.elf, &eh)) {
		p->machine = eh.e_machine;
		p->bits32 = eh.e_ident[EI_CLASS] == ELFCLASS32;
		p->kind = PA_PROGRAM_ELF;
		if (eh.e_machine != MACHINE && !(eh.e_machine == EM_386 && MACHINE == EM_X86_64))
			p->kind = PA_PROGRAM_FOREIGN;
	}
	memcpy(p->build_id, e.build_id, sizeof(p->build_id));
	p->build_id_len = (uint32_t)e.build_id_len;
	read_interp(&e, p);
	read_sections(e.elf, p);
	p->is_loader = !p->interp[0] && loader_name(p->path);
	p->musl |= p->is_loader && musl_loader(p->path);
	find_debug_file(p);
	pa_elf_close(&e);
	return 0;
}

/* ---- scripts --------------------------------------------------------------------------------------------------- */

/* The program that `env` in a #! line starts: its first argument that is neither an option nor a setting. */
static bool env_target(char *args, char *path)
{
	char *save = NULL;

	for (char *word = strtok_r(args, " \t", &save); word; word = strtok_r(NULL, " \t", &save))
		if (word[0] != '-' && !strchr(word, '='))
			return pa_program_find(word, path) == 0;
	return false;
}

/* Replaces path by the interpreter its first line names. Returns false when it is no script. */
static bool follow_script(int fd, char *path)
{
	char line[SCRIPT_LINE + 1];
	ssize_t got = pread(fd, line, SCRIPT_LINE, 0);
	char *interp, *args;

	if (got < 4 || line[0] != '#' || line[1] != '!')
		return false;
	line[got] = 0;
	line[strcspn(line, "\n")] = 0;
	interp = line + 2 + strspn(line + 2, " \t");
	args = interp + strcspn(interp, " \t");
	if (*args)
		*args++ = 0;
	if (!*interp)
		return false;
	strcpy(path, interp);
	if (!strcmp(base_name(interp), "env"))
		env_target(args, path);
	return true;
}

int pa_program_examine(const char *path, struct pa_program *out)
{
	memset(out, 0, sizeof(*out));
	if (strlen(path) >= sizeof(out->path))
		return -ENAMETOOLONG;
	strcpy(out->path, path);
	for (int depth = 0; depth <= SCRIPT_DEPTH; depth++) {
		int fd = open(out->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		int ret;

		if (fd < 0)
			return -errno;
		if (!follow_script(fd, out->path)) {
			out->secure = secure_reason(fd);
			ret = examine_elf(fd, out);
			close(fd);
			return ret;
		}
		close(fd);
		if (!out->script[0])
			strcpy(out->script, path);
	}
	return -ELOOP;
}

const char *pa_program_refusal(const struct pa_program *p)
{
	if (p->kind == PA_PROGRAM_OTHER)
		return "is no ELF program: the kernel cannot start it, so nothing can be preloaded";
	if (p->bits32)
		return "is a 32-bit program: the agent is 64-bit";
	if (p->kind == PA_PROGRAM_FOREIGN)
		return "is built for another processor";
	if (p->secure)
		return "gains rights when it starts (set-ID or capabilities): the loader ignores LD_PRELOAD for it";
	if (p->musl)
		return "uses the musl C library: the agent is built for glibc";
	if (p->is_loader)
		return NULL;
	if (!p->interp[0] && p->go)
		return "is a statically linked Go program: no loader, so nothing can be preloaded (build it with cgo)";
	if (!p->interp[0])
		return "is statically linked: no loader, so nothing can be preloaded";
	return NULL;
}
