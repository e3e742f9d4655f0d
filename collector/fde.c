/* The search table of .eh_frame_hdr: pairs of (function, its FDE) relative to the section, sorted. Source: LSB core,
 * "DWARF extensions". World: plain. */
#include "collector/fde.h"

#include <string.h>

#define HDR_BYTES          12 /* version, three encodings, pointer to .eh_frame, count */
#define ENTRY_BYTES        8
#define ENC_UDATA4         0x03
#define ENC_DATAREL_SDATA4 0x3b

static uint32_t word(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static void read_section(Elf *elf, const char *wanted, const uint8_t **bytes, size_t *len, uint64_t *vaddr)
{
	size_t names;

	if (elf_getshdrstrndx(elf, &names) != 0)
		return;
	for (Elf_Scn *scn = NULL; (scn = elf_nextscn(elf, scn)) != NULL;) {
		GElf_Shdr header;
		const char *name = gelf_getshdr(scn, &header) ? elf_strptr(elf, names, header.sh_name) : NULL;
		Elf_Data *data;

		if (!name || strcmp(name, wanted) != 0 || header.sh_type == SHT_NOBITS)
			continue;
		data = elf_rawdata(scn, NULL);
		if (!data || !data->d_buf)
			return;
		*bytes = data->d_buf;
		*len = data->d_size;
		*vaddr = header.sh_addr;
		return;
	}
}

void pa_fde_table_read(struct pa_fde_table *t, Elf *elf)
{
	memset(t, 0, sizeof(*t));
	if (!elf)
		return;
	read_section(elf, ".eh_frame_hdr", &t->hdr, &t->hdr_len, &t->hdr_vaddr);
	read_section(elf, ".eh_frame", &t->frames, &t->frames_len, &t->frames_vaddr);
	if (t->hdr_len < HDR_BYTES || t->hdr[0] != 1 || t->hdr[2] != ENC_UDATA4 || t->hdr[3] != ENC_DATAREL_SDATA4)
		return;
	t->nr = word(t->hdr + 8);
	if (t->nr > (t->hdr_len - HDR_BYTES) / ENTRY_BYTES)
		t->nr = (t->hdr_len - HDR_BYTES) / ENTRY_BYTES;
}

/* Entry i: 0 the function, 1 its FDE. */
static uint64_t entry(const struct pa_fde_table *t, size_t i, int which)
{
	const uint8_t *at = t->hdr + HDR_BYTES + i * ENTRY_BYTES + 4 * which;

	return t->hdr_vaddr + (uint64_t)(int64_t)(int32_t)word(at);
}

/* Bytes the FDE covers. Its pointers are 32-bit and relative to themselves where compilers write them; that this one is
 * shows in its own start. 0: something else. */
static uint64_t range(const struct pa_fde_table *t, uint64_t fde, uint64_t start)
{
	uint64_t offset = fde - t->frames_vaddr;

	if (offset > t->frames_len || t->frames_len - offset < 16 ||
	    fde + 8 + (uint64_t)(int64_t)(int32_t)word(t->frames + offset + 8) != start)
		return 0;
	return word(t->frames + offset + 12);
}

bool pa_fde_function(const struct pa_fde_table *t, uint64_t address, uint64_t *start)
{
	size_t lo = 0, hi = t->nr;

	/* the last entry that begins at or below the address */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (entry(t, mid, 0) <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo)
		return false;
	*start = entry(t, lo - 1, 0);
	return address - *start < range(t, entry(t, lo - 1, 1), *start);
}
