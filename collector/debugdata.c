/* The compressed symbol table some distributions leave in stripped files (.gnu_debugdata). liblzma is bound by name: it
 * is in every process that has libdw, and nothing else here needs its headers. World: plain.
 * Source: GDB manual, "Debugging information in a special section"; liblzma's container.h for the call. */
#include "collector/symfile.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include <gelf.h>

#define MEMORY_MAX     (UINT64_C(64) << 20) /* of the decoder */
#define TABLE_MAX      ((size_t)64 << 20)
#define RATIO_FIRST    4 /* the size is not in the section: guessed, and doubled until it fits */
#define LZMA_OK        0
#define LZMA_BUF_ERROR 10

typedef int (*decode_fn)(uint64_t *memory_max, uint32_t flags, const void *allocator, const uint8_t *in, size_t *in_at,
			 size_t in_len, uint8_t *out, size_t *out_at, size_t out_len);

static decode_fn find_decoder(void)
{
	static decode_fn decode;
	static bool tried;
	void *lib;

	if (tried)
		return decode;
	tried = true;
	lib = dlopen("liblzma.so.5", RTLD_NOW | RTLD_LOCAL);
	decode = lib ? (decode_fn)dlsym(lib, "lzma_stream_buffer_decode") : NULL;
	return decode;
}

static void *decompress(const uint8_t *in, size_t len, size_t *size)
{
	decode_fn decode = find_decoder();
	int ret = LZMA_BUF_ERROR;

	for (size_t room = len * RATIO_FIRST; decode && ret == LZMA_BUF_ERROR && room <= TABLE_MAX; room *= 2) {
		uint64_t memory = MEMORY_MAX;
		size_t in_at = 0;
		uint8_t *out = malloc(room);

		*size = 0;
		if (!out)
			return NULL;
		ret = decode(&memory, 0, NULL, in, &in_at, len, out, size, room);
		if (ret == LZMA_OK && *size)
			return out;
		free(out);
	}
	return NULL;
}

bool pa_symfile_open_debugdata(struct pa_elf *e, Elf *main)
{
	Elf_Data *data = NULL;
	Elf_Scn *scn = NULL;
	size_t names, size;
	GElf_Shdr sh;
	void *image;

	if (elf_getshdrstrndx(main, &names))
		return false;
	while (!data && (scn = elf_nextscn(main, scn))) {
		const char *name = gelf_getshdr(scn, &sh) ? elf_strptr(main, names, sh.sh_name) : NULL;

		if (name && sh.sh_type == SHT_PROGBITS && strcmp(name, ".gnu_debugdata") == 0)
			data = elf_rawdata(scn, NULL);
	}
	if (!data || !data->d_buf || data->d_size > TABLE_MAX / RATIO_FIRST)
		return false;
	image = decompress(data->d_buf, data->d_size, &size);
	return image && pa_elf_open_image(e, image, size) == 0;
}
