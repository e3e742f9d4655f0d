#include "remote/agent_note.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "common/command.h"

#define PHDRS_MAX      64
#define NOTE_BYTES_MAX 4096u
#define ADDRESS_MAX    (UINT64_C(1) << 56) /* of a process; sums below it do not wrap */

struct image {
	pa_note_read read;
	void *arg;
	uint64_t bias;
	Elf64_Phdr phdrs[PHDRS_MAX];
	size_t nr;
};

static int read_headers(struct image *image, uint64_t base)
{
	Elf64_Ehdr ehdr;

	if (base >= ADDRESS_MAX || image->read(image->arg, base, &ehdr, sizeof(ehdr)))
		return -ENOENT;
	if (memcmp(ehdr.e_ident, ELFMAG, SELFMAG) != 0 || ehdr.e_ident[EI_CLASS] != ELFCLASS64 ||
	    ehdr.e_ident[EI_DATA] != ELFDATA2LSB || ehdr.e_phentsize != sizeof(Elf64_Phdr) || ehdr.e_phnum == 0 ||
	    ehdr.e_phnum > PHDRS_MAX || ehdr.e_phoff >= ADDRESS_MAX)
		return -ENOENT;
	image->nr = ehdr.e_phnum;
	return image->read(image->arg, base + ehdr.e_phoff, image->phdrs, image->nr * sizeof(Elf64_Phdr)) ? -ENOENT : 0;
}

/* Where address 0 of the file's own counting lies: by the segment that file offset 0 belongs to. */
static int find_bias(struct image *image, uint64_t base)
{
	for (size_t i = 0; i < image->nr; i++) {
		const Elf64_Phdr *ph = &image->phdrs[i];

		if (ph->p_vaddr >= ADDRESS_MAX || ph->p_memsz >= ADDRESS_MAX || ph->p_filesz > ph->p_memsz)
			return -ENOENT;
		if (ph->p_type == PT_LOAD && ph->p_offset == 0)
			image->bias = base - ph->p_vaddr;
	}
	return 0;
}

static bool find_data(const struct image *image, uint64_t address, struct pa_note_found *found)
{
	for (size_t i = 0; i < image->nr; i++) {
		const Elf64_Phdr *ph = &image->phdrs[i];

		if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_W))
			continue;
		found->data_start = image->bias + ph->p_vaddr;
		found->data_end = found->data_start + ph->p_memsz;
		if (address % 8 == 0 && address >= found->data_start && address < found->data_end &&
		    found->data_end - address >= sizeof(struct pa_command))
			return true;
	}
	return false;
}

static int judge(const struct image *image, const struct pa_agent_note *note, uint64_t at, struct pa_note_found *found)
{
	found->major = note->major;
	if (note->major != PA_COMMAND_MAJOR)
		return -EPROTONOSUPPORT;
	found->command = at + (uint64_t)note->command;
	if (note->size < sizeof(struct pa_command) || !find_data(image, found->command, found))
		return -EBADMSG;
	return 0;
}

static size_t padded(uint32_t bytes)
{
	return ((size_t)bytes + 3) & ~(size_t)3;
}

/* One note segment. Source: elf(5), "Notes": sizes are those without the padding to 4 bytes. */
static int search(const struct image *image, const Elf64_Phdr *ph, struct pa_note_found *found)
{
	_Alignas(8) unsigned char bytes[NOTE_BYTES_MAX];
	uint64_t start = image->bias + ph->p_vaddr;
	size_t len = ph->p_filesz < sizeof(bytes) ? ph->p_filesz : sizeof(bytes), at = 0;
	Elf64_Nhdr head;

	if (image->read(image->arg, start, bytes, len))
		return -ENOENT;
	while (len - at >= sizeof(head)) {
		struct pa_agent_note note;
		size_t name = at + sizeof(head), desc, next;

		memcpy(&head, bytes + at, sizeof(head));
		desc = name + padded(head.n_namesz);
		next = desc + padded(head.n_descsz);
		if (next > len)
			break;
		if (head.n_type == PA_NOTE_COMMAND && head.n_namesz == sizeof(PA_NOTE_OWNER) &&
		    head.n_descsz >= sizeof(note) && !memcmp(bytes + name, PA_NOTE_OWNER, sizeof(PA_NOTE_OWNER))) {
			memcpy(&note, bytes + desc, sizeof(note));
			return judge(image, &note, start + desc, found);
		}
		at = next;
	}
	return -ENOENT;
}

int pa_note_find(uint64_t base, pa_note_read read, void *arg, struct pa_note_found *found)
{
	struct image image = {.read = read, .arg = arg, .bias = base};
	int err = read_headers(&image, base);

	memset(found, 0, sizeof(*found));
	if (!err)
		err = find_bias(&image, base);
	if (err)
		return err;
	for (size_t i = 0; i < image.nr; i++) {
		if (image.phdrs[i].p_type != PT_NOTE)
			continue;
		err = search(&image, &image.phdrs[i], found);
		if (err != -ENOENT)
			return err;
	}
	return -ENOENT;
}

bool pa_note_holds(const struct pa_note_found *found, uint64_t address, size_t bytes)
{
	return address % bytes == 0 && address >= found->data_start && address < found->data_end &&
	       found->data_end - address >= bytes;
}
