#include "remote/inject_note.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "collector/unwind.h"
#include "common/inject.h"

#define PHDRS_MAX  32
#define NOTE_BYTES 1024

struct image {
	pid_t pid;
	uint64_t base;
	Elf64_Phdr phdrs[PHDRS_MAX];
	unsigned nr;
};

static int read_headers(struct image *image)
{
	Elf64_Ehdr ehdr;
	int error = pa_unwind_read_process(image->pid, image->base, (uint8_t *)&ehdr, sizeof(ehdr));

	if (error)
		return error;
	if (memcmp(ehdr.e_ident, ELFMAG, SELFMAG) || ehdr.e_ident[EI_CLASS] != ELFCLASS64 ||
	    ehdr.e_phentsize != sizeof(Elf64_Phdr) || !ehdr.e_phnum || ehdr.e_phnum > PHDRS_MAX)
		return -ENOENT;
	image->nr = ehdr.e_phnum;
	return pa_unwind_read_process(image->pid, image->base + ehdr.e_phoff, (uint8_t *)image->phdrs,
				      image->nr * sizeof(Elf64_Phdr));
}

static bool is_code(const struct image *image, uint64_t address)
{
	for (unsigned i = 0; i < image->nr; i++) {
		const Elf64_Phdr *ph = &image->phdrs[i];

		if (ph->p_type == PT_LOAD && ph->p_flags & PF_X && address - (image->base + ph->p_vaddr) < ph->p_memsz)
			return true;
	}
	return false;
}

static size_t padded(size_t len)
{
	return (len + 3) & ~(size_t)3;
}

/* Errors: as pa_inject_note_find. */
static int search(const struct image *image, const Elf64_Phdr *ph, uint64_t *enter)
{
	uint64_t start = image->base + ph->p_vaddr;
	size_t len = ph->p_filesz < NOTE_BYTES ? ph->p_filesz : NOTE_BYTES;
	_Alignas(8) uint8_t bytes[NOTE_BYTES];
	struct pa_inject_note note;
	Elf64_Nhdr head;

	if (pa_unwind_read_process(image->pid, start, bytes, len))
		return -ENOENT;
	for (size_t at = 0, name, desc; len - at >= sizeof(head); at = desc + padded(head.n_descsz)) {
		memcpy(&head, bytes + at, sizeof(head));
		name = at + sizeof(head);
		desc = name + padded(head.n_namesz);
		if (desc + padded(head.n_descsz) > len)
			break;
		if (head.n_type != PA_NOTE_INJECT || head.n_namesz != sizeof(PA_NOTE_OWNER) ||
		    head.n_descsz < sizeof(note) || memcmp(bytes + name, PA_NOTE_OWNER, sizeof(PA_NOTE_OWNER)))
			continue;
		memcpy(&note, bytes + desc, sizeof(note));
		if (note.major != PA_INJECT_MAJOR || note.size != sizeof(struct pa_inject_order))
			return -EPROTONOSUPPORT;
		*enter = start + desc + (uint64_t)note.enter;
		return is_code(image, *enter) ? 0 : -EBADMSG;
	}
	return -ENOENT;
}

int pa_inject_note_find(pid_t pid, uint64_t base, uint64_t *enter)
{
	struct image image = {.pid = pid, .base = base};
	int error = read_headers(&image);

	/* a library's first segment has address 0 */
	for (unsigned i = 0; !error && i < image.nr; i++) {
		if (image.phdrs[i].p_type != PT_NOTE)
			continue;
		error = search(&image, &image.phdrs[i], enter);
		if (error != -ENOENT)
			return error;
		error = 0;
	}
	return error ? error : -ENOENT;
}
