/* Files read by pread in chunks that are kept: mapped, a file that is truncated would kill the collector. World: plain.
 * Source: Linux Standard Base Core 5.0, section 10.6.2 (.eh_frame_hdr). */
#include "collector/unwind_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <gelf.h>

#include "collector/elf.h"
#include "collector/symfile.h"

#define FILES_MAX         256
#define SEGMENTS_MAX      16
#define CHUNK_BYTES       ((size_t)32 << 10)
#define CHUNKS_MAX        8192 /* of all files: 256 MiB */
#define PE_SDATA4_DATAREL 0x3b
#define PE_SDATA4_PCREL   0x1b
#define PE_UDATA4         0x03

struct segment {
	uint64_t vaddr;
	uint64_t offset;
	uint64_t bytes;
};

struct pa_unwind_file {
	uint64_t key;
	bool usable;
	struct pa_elf elf;
	size_t image_bytes; /* of elf.image */
	struct segment segments[SEGMENTS_MAX];
	size_t nr_segments;
	struct pa_unwind_table table; /* nr 0: none */
	struct pa_unwind_entry *made; /* owned; what table.made lends */
	void **chunks;                /* by file offset / CHUNK_BYTES; NULL: not read yet */
	size_t nr_chunks;
};

struct pa_unwind_files {
	struct pa_unwind_file *files[FILES_MAX];
	size_t nr;
	size_t nr_chunks;
};

struct pa_unwind_files *pa_unwind_files_new(void)
{
	return calloc(1, sizeof(struct pa_unwind_files));
}

static void drop_chunks(struct pa_unwind_files *files)
{
	for (size_t i = 0; i < files->nr; i++) {
		for (size_t c = 0; c < files->files[i]->nr_chunks; c++) {
			free(files->files[i]->chunks[c]);
			files->files[i]->chunks[c] = NULL;
		}
	}
	files->nr_chunks = 0;
}

static void drop_files(struct pa_unwind_files *files)
{
	drop_chunks(files);
	while (files->nr) {
		struct pa_unwind_file *f = files->files[--files->nr];

		pa_elf_close(&f->elf);
		free(f->made);
		free(f->chunks);
		free(f);
	}
}

void pa_unwind_files_free(struct pa_unwind_files *files)
{
	if (files)
		drop_files(files);
	free(files);
}

/* One chunk of the file, read when it is asked for the first time; short at the end of the file, filled with zeros. */
static const uint8_t *get_chunk(struct pa_unwind_files *files, struct pa_unwind_file *f, size_t index)
{
	if (index >= f->nr_chunks)
		return NULL;
	if (!f->chunks[index]) {
		uint8_t *bytes;

		if (files->nr_chunks >= CHUNKS_MAX)
			drop_chunks(files);
		bytes = calloc(1, CHUNK_BYTES);
		if (!bytes || pread(f->elf.fd, bytes, CHUNK_BYTES, (off_t)(index * CHUNK_BYTES)) <= 0) {
			free(bytes);
			return NULL;
		}
		f->chunks[index] = bytes;
		files->nr_chunks++;
	}
	return f->chunks[index];
}

static int read_offset(struct pa_unwind_files *files, struct pa_unwind_file *f, uint64_t offset, uint8_t *out,
		       size_t len)
{
	if (f->elf.image) {
		if (offset > f->image_bytes || len > f->image_bytes - offset)
			return -EFAULT;
		memcpy(out, (const uint8_t *)f->elf.image + offset, len);
		return 0;
	}
	while (len) {
		size_t within = (size_t)(offset % CHUNK_BYTES);
		size_t part = len < CHUNK_BYTES - within ? len : CHUNK_BYTES - within;
		const uint8_t *chunk = get_chunk(files, f, (size_t)(offset / CHUNK_BYTES));

		if (!chunk)
			return -EFAULT;
		memcpy(out, chunk + within, part);
		out += part;
		offset += part;
		len -= part;
	}
	return 0;
}

int pa_unwind_file_read(struct pa_unwind_files *files, struct pa_unwind_file *f, uint64_t vaddr, void *out, size_t len)
{
	for (size_t i = 0; i < f->nr_segments; i++) {
		const struct segment *s = &f->segments[i];

		if (vaddr >= s->vaddr && vaddr - s->vaddr <= s->bytes && len <= s->bytes - (vaddr - s->vaddr))
			return read_offset(files, f, s->offset + (vaddr - s->vaddr), out, len);
	}
	return -EFAULT;
}

/* Only the one encoding linkers write can be searched; the table ends with its segment whatever its count says. */
static void read_table(struct pa_unwind_files *files, struct pa_unwind_file *f, const GElf_Phdr *ph)
{
	struct {
		uint8_t version, frame_enc, count_enc, table_enc;
		uint32_t frame;
		uint32_t count;
	} hdr;
	uint64_t room = ph->p_filesz > sizeof(hdr) ? (ph->p_filesz - sizeof(hdr)) / 8 : 0;

	if (pa_unwind_file_read(files, f, ph->p_vaddr, &hdr, sizeof(hdr)) || hdr.version != 1 ||
	    hdr.frame_enc != PE_SDATA4_PCREL || hdr.count_enc != PE_UDATA4 || hdr.table_enc != PE_SDATA4_DATAREL)
		return;
	f->table.hdr_vaddr = ph->p_vaddr;
	f->table.table_vaddr = ph->p_vaddr + sizeof(hdr);
	f->table.nr = hdr.count < room ? hdr.count : room;
}

/* Without a search table: one is made, in memory, from what it would point to. */
static void make_table(struct pa_unwind_file *f)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;
	size_t names;

	if (elf_getshdrstrndx(f->elf.elf, &names))
		return;
	while ((scn = elf_nextscn(f->elf.elf, scn))) {
		const char *name = gelf_getshdr(scn, &sh) ? elf_strptr(f->elf.elf, names, sh.sh_name) : NULL;
		Elf_Data *data;

		if (!name || strcmp(name, ".eh_frame") || sh.sh_type == SHT_NOBITS || !(sh.sh_flags & SHF_ALLOC))
			continue;
		data = elf_rawdata(scn, NULL);
		if (!data || !data->d_buf)
			return;
		f->table.hdr_vaddr = sh.sh_addr;
		f->table.nr = pa_unwind_list_fdes(data->d_buf, data->d_size, sh.sh_addr, sh.sh_addr, &f->made);
		f->table.made = f->made;
		return;
	}
}

static void read_headers(struct pa_unwind_files *files, struct pa_unwind_file *f)
{
	GElf_Phdr ph;
	size_t nr = 0;

	if (elf_getphdrnum(f->elf.elf, &nr))
		return;
	for (size_t i = 0; i < nr && i < PN_XNUM && f->nr_segments < SEGMENTS_MAX; i++) {
		if (gelf_getphdr(f->elf.elf, (int)i, &ph) && ph.p_type == PT_LOAD && !(ph.p_flags & PF_W))
			f->segments[f->nr_segments++] = (struct segment){ph.p_vaddr, ph.p_offset, ph.p_filesz};
	}
	for (size_t i = 0; i < nr && i < PN_XNUM; i++) {
		if (gelf_getphdr(f->elf.elf, (int)i, &ph) && ph.p_type == PT_GNU_EH_FRAME) {
			read_table(files, f, &ph);
			return;
		}
	}
	make_table(f);
}

static bool open_file(struct pa_unwind_files *files, struct pa_unwind_file *f, const struct pa_module_ref *ref)
{
	off_t size;

	if (pa_symfile_open_main(&f->elf, ref) != PA_SYMBOLS_UNKNOWN)
		return false;
	if (f->elf.image) {
		elf_rawfile(f->elf.elf, &f->image_bytes);
	} else {
		size = lseek(f->elf.fd, 0, SEEK_END);
		f->nr_chunks = size > 0 ? ((size_t)size + CHUNK_BYTES - 1) / CHUNK_BYTES : 0;
		f->chunks = calloc(f->nr_chunks + 1, sizeof(*f->chunks));
		if (!f->chunks) {
			f->nr_chunks = 0;
			return false;
		}
	}
	read_headers(files, f);
	return true;
}

struct pa_unwind_file *pa_unwind_files_get(struct pa_unwind_files *files, const struct pa_unwind_module *module)
{
	struct pa_unwind_file *f;

	for (size_t i = 0; i < files->nr; i++) {
		if (files->files[i]->key == module->key)
			return files->files[i]->usable ? files->files[i] : NULL;
	}
	if (files->nr == FILES_MAX)
		drop_files(files);
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->key = module->key;
	f->elf.fd = -1;
	f->usable = open_file(files, f, &module->file);
	files->files[files->nr++] = f;
	return f->usable ? f : NULL;
}

bool pa_unwind_file_table(const struct pa_unwind_file *file, struct pa_unwind_table *out)
{
	*out = file->table;
	return file->table.nr > 0;
}
