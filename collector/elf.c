/* Opening ELF files, build-ids, executable ranges. Users: symfile.c, symtab.c, dwarf.c, unwind.c. World: plain. */
#include "collector/elf.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <elfutils/libdwelf.h>
#include <gelf.h>

#define SECTIONS_MAX 65536 /* more are not looked at */

static int finish_open(struct pa_elf *e)
{
	const void *id = NULL;
	ssize_t len;

	if (!e->elf || elf_kind(e->elf) != ELF_K_ELF || gelf_getclass(e->elf) == ELFCLASSNONE) {
		pa_elf_close(e);
		return -ENOEXEC;
	}
	len = dwelf_elf_gnu_build_id(e->elf, &id);
	if (len > 0 && (size_t)len <= sizeof(e->build_id)) {
		memcpy(e->build_id, id, (size_t)len);
		e->build_id_len = (size_t)len;
	}
	return 0;
}

int pa_elf_open(struct pa_elf *e, const char *path, int fd)
{
	struct stat st;

	*e = (struct pa_elf){.fd = -1};
	elf_version(EV_CURRENT);
	/* O_NONBLOCK: a pipe at that path must not keep us waiting */
	e->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (e->fd < 0)
		return -errno;
	if (fstat(e->fd, &st) || !S_ISREG(st.st_mode) || st.st_size < EI_NIDENT ||
	    (uint64_t)st.st_size > PA_ELF_FILE_MAX) {
		pa_elf_close(e);
		return -ENOEXEC;
	}
	e->elf = elf_begin(e->fd, ELF_C_READ, NULL);
	return finish_open(e);
}

int pa_elf_open_image(struct pa_elf *e, void *image, size_t size)
{
	*e = (struct pa_elf){.fd = -1, .image = image};
	elf_version(EV_CURRENT);
	e->elf = elf_memory(image, size);
	return finish_open(e);
}

int pa_elf_open_vdso(struct pa_elf *e)
{
	const ElfW(Ehdr) *base = (const ElfW(Ehdr) *)getauxval(AT_SYSINFO_EHDR);
	size_t size;
	void *image;

	*e = (struct pa_elf){.fd = -1};
	if (!base)
		return -ENOENT;
	size = base->e_shoff + (size_t)base->e_shnum * base->e_shentsize; /* the section headers come last */
	image = malloc(size);
	if (!image)
		return -ENOMEM;
	memcpy(image, base, size);
	return pa_elf_open_image(e, image, size);
}

void pa_elf_close(struct pa_elf *e)
{
	if (e->elf)
		elf_end(e->elf);
	if (e->fd >= 0)
		close(e->fd);
	free(e->image);
	*e = (struct pa_elf){.fd = -1};
}

bool pa_elf_is(const struct pa_elf *e, const uint8_t *build_id, size_t len)
{
	return len && e->build_id_len == len && memcmp(e->build_id, build_id, len) == 0;
}

static int segment_ranges(Elf *elf, struct pa_ranges *out)
{
	size_t nr = 0;
	int error = elf_getphdrnum(elf, &nr) ? 0 : nr > SECTIONS_MAX ? -ENOEXEC : 0;

	for (size_t i = 0; i < nr && !error; i++) {
		GElf_Phdr ph;

		if (gelf_getphdr(elf, (int)i, &ph) && ph.p_type == PT_LOAD && ph.p_flags & PF_X)
			error = pa_ranges_add(out, (struct pa_range){ph.p_vaddr, ph.p_vaddr + ph.p_memsz, 0, 0});
	}
	return error == -ENOEXEC ? 0 : error;
}

int pa_elf_code_ranges(Elf *elf, struct pa_ranges *out)
{
	Elf_Scn *scn = NULL;
	size_t before = out->nr;
	int error = 0;

	while (!error && (scn = elf_nextscn(elf, scn)) && elf_ndxscn(scn) < SECTIONS_MAX) {
		GElf_Shdr sh;

		if (gelf_getshdr(scn, &sh) && sh.sh_flags & SHF_EXECINSTR && sh.sh_flags & SHF_ALLOC)
			error = pa_ranges_add(
			    out, (struct pa_range){sh.sh_addr, sh.sh_addr + sh.sh_size, (uint32_t)elf_ndxscn(scn), 0});
	}
	return error || out->nr > before ? error : segment_ranges(elf, out);
}

int pa_elf_build_id(int fd, uint8_t out[32])
{
	struct pa_elf e;
	int error = pa_elf_open(&e, NULL, fd);
	int len;

	if (error)
		return error;
	len = (int)e.build_id_len;
	memcpy(out, e.build_id, sizeof(e.build_id));
	pa_elf_close(&e);
	return len;
}
