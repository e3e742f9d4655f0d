/* See exec_needed_hook.h. World: hook. */
#include "agent/exec_needed_hook.h"

#include <elf.h>
#include <string.h>

#define SEGMENTS_MAX 64
#define ENTRIES_MAX  256
#define BATCH        8 /* read at once: keeps the stack small */

struct image {
	pa_exec_read_fn *read;
	void *arg;
	uint64_t segments; /* offset of the program headers */
	unsigned nr_segments;
	uint64_t dynamic;
	unsigned nr_dynamic;
	uint64_t strings; /* offset in the file */
};

static bool read_all(const struct image *image, void *to, size_t len, uint64_t offset)
{
	return image->read(image->arg, to, len, offset) == len;
}

static bool read_head(struct image *image)
{
	Elf64_Ehdr head;

	if (!read_all(image, &head, sizeof(head), 0) || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
	    head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_ident[EI_DATA] != ELFDATA2LSB ||
	    head.e_phentsize != sizeof(Elf64_Phdr) || head.e_phoff > INT64_MAX)
		return false;
	image->segments = head.e_phoff;
	image->nr_segments = head.e_phnum < SEGMENTS_MAX ? head.e_phnum : SEGMENTS_MAX;
	return true;
}

static bool find_dynamic(struct image *image)
{
	Elf64_Phdr segment;

	for (unsigned i = 0; i < image->nr_segments; i++) {
		uint64_t nr;

		if (!read_all(image, &segment, sizeof(segment), image->segments + i * sizeof(segment)))
			return false;
		if (segment.p_type != PT_DYNAMIC)
			continue;
		nr = segment.p_filesz / sizeof(Elf64_Dyn);
		image->dynamic = segment.p_offset;
		image->nr_dynamic = nr < ENTRIES_MAX ? (unsigned)nr : ENTRIES_MAX;
		return segment.p_offset <= INT64_MAX;
	}
	return false;
}

/* Where in the file lies what will be at an address. */
static bool find_offset(const struct image *image, uint64_t address, uint64_t *offset)
{
	Elf64_Phdr segment;

	for (unsigned i = 0; i < image->nr_segments; i++) {
		if (!read_all(image, &segment, sizeof(segment), image->segments + i * sizeof(segment)))
			return false;
		if (segment.p_type == PT_LOAD && address - segment.p_vaddr < segment.p_filesz) {
			*offset = address - segment.p_vaddr + segment.p_offset;
			return *offset <= INT64_MAX;
		}
	}
	return false;
}

/* Calls fn for each dynamic entry with that tag until it returns true, which it then returns. */
static bool any_entry(const struct image *image, int64_t tag,
		      bool (*fn)(const struct image *, uint64_t value, void *arg), void *arg)
{
	Elf64_Dyn entries[BATCH];

	for (unsigned from = 0; from < image->nr_dynamic; from += BATCH) {
		unsigned nr = image->nr_dynamic - from < BATCH ? image->nr_dynamic - from : BATCH;

		if (!read_all(image, entries, nr * sizeof(*entries), image->dynamic + from * sizeof(*entries)))
			return false;
		for (unsigned i = 0; i < nr; i++) {
			if (entries[i].d_tag == DT_NULL)
				return false;
			if (entries[i].d_tag == tag && fn(image, entries[i].d_un.d_val, arg))
				return true;
		}
	}
	return false;
}

static bool take_strings(const struct image *image, uint64_t address, void *arg)
{
	return find_offset(image, address, arg);
}

static bool take_runtime(const struct image *image, uint64_t at, void *arg)
{
	char *name = arg;
	size_t len;

	if (at > INT64_MAX)
		return false;
	len = image->read(image->arg, name, PA_PRELOAD_NAME_MAX, image->strings + at);
	/* a name that does not end here is longer than any runtime's, or cut */
	if (len > PA_PRELOAD_NAME_MAX || !memchr(name, 0, len))
		return false;
	return pa_preload_is_runtime(name, strlen(name));
}

bool pa_exec_needed_hook(pa_exec_read_fn *read, void *arg, char *name)
{
	struct image image = {.read = read, .arg = arg};

	if (read_head(&image) && find_dynamic(&image) && any_entry(&image, DT_STRTAB, take_strings, &image.strings) &&
	    any_entry(&image, DT_NEEDED, take_runtime, name))
		return true;
	name[0] = '\0';
	return false;
}
