/* Names for the stubs of procedure linkage tables: each stub jumps through a GOT slot, and the relocation of that slot
 * has the symbol. World: plain.
 * Source: x86-64 psABI section 5.2 and 13.2 (stubs with endbr64), AAELF64 "Procedure Linkage Table". */
#include "collector/symtab.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <gelf.h>

#define RELOCATIONS_MAX (1u << 20)

struct got_slot {
	uint64_t address;
	const char *name;
};

struct got {
	struct got_slot *slots; /* sorted by address */
	size_t nr;
};

static int compare_slots(const void *pa, const void *pb)
{
	const struct got_slot *a = pa, *b = pb;

	return a->address < b->address ? -1 : a->address > b->address;
}

static bool is_slot_relocation(uint32_t machine, uint32_t type)
{
	if (machine == EM_X86_64)
		return type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT;
	return machine == EM_AARCH64 && (type == R_AARCH64_JUMP_SLOT || type == R_AARCH64_GLOB_DAT);
}

static void add_relocations(struct got *got, Elf *elf, Elf_Scn *scn, const GElf_Shdr *sh, uint32_t machine)
{
	Elf_Scn *symbols = elf_getscn(elf, sh->sh_link);
	Elf_Data *data = elf_getdata(scn, NULL), *table = symbols ? elf_getdata(symbols, NULL) : NULL;
	struct got_slot *grown;
	GElf_Shdr table_sh;
	size_t nr = sh->sh_entsize ? sh->sh_size / sh->sh_entsize : 0;

	if (!data || !table || !gelf_getshdr(symbols, &table_sh) || nr > RELOCATIONS_MAX - got->nr)
		return;
	grown = reallocarray(got->slots, got->nr + nr + 1, sizeof(*grown));
	if (!grown)
		return;
	got->slots = grown;
	for (size_t i = 0; i < nr; i++) {
		GElf_Rela rela;
		GElf_Sym sym;
		const char *name;

		if (!gelf_getrela(data, (int)i, &rela) ||
		    !is_slot_relocation(machine, (uint32_t)GELF_R_TYPE(rela.r_info)) ||
		    !gelf_getsym(table, (int)GELF_R_SYM(rela.r_info), &sym))
			continue;
		name = elf_strptr(elf, table_sh.sh_link, sym.st_name);
		if (name && name[0])
			got->slots[got->nr++] = (struct got_slot){rela.r_offset, name};
	}
}

static uint32_t load_u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* The GOT slot that the 16 (or 8) bytes of a stub jump through, 0 when they do not. */
static uint64_t x86_64_slot(const uint8_t *code, size_t len, uint64_t address)
{
	for (size_t i = 0; i + 6 <= len; i++) {
		if (code[i] == 0xff && code[i + 1] == 0x25) /* jmp *disp(%rip) */
			return address + i + 6 + (uint64_t)(int64_t)(int32_t)load_u32(code + i + 2);
	}
	return 0;
}

static uint64_t aarch64_slot(const uint8_t *code, size_t len, uint64_t address)
{
	for (size_t i = 0; i + 8 <= len; i += 4) {
		uint32_t adrp = load_u32(code + i), ldr = load_u32(code + i + 4);
		int64_t page = ((int64_t)((uint64_t)(adrp >> 5 & 0x7ffff) << 45) >> 43) | (adrp >> 29 & 3);

		if ((adrp & 0x9f00001f) == 0x90000010 &&
		    (ldr & 0xffc003ff) == 0xf9400211) /* adrp x16; ldr x17, [x16] */
			return ((address + i) & ~UINT64_C(0xfff)) + ((uint64_t)page << 12) + ((ldr >> 10 & 0xfff) << 3);
	}
	return 0;
}

static int add_stub(struct pa_symtab *t, struct pa_names *names, const char *raw, uint64_t address, size_t size)
{
	const char *readable = pa_names_get(names, raw, true);
	size_t len = readable ? strlen(readable) : 0;
	char *text = malloc(len + sizeof("@plt"));
	const char *kept;

	if (!readable || !text) {
		free(text);
		return -ENOMEM;
	}
	memcpy(text, readable, len);
	memcpy(text + len, "@plt", sizeof("@plt"));
	kept = pa_names_copy(names, text, len + 4);
	free(text);
	return kept ? pa_symtab_add(t, address, address + size, 0, kept) : -ENOMEM;
}

static int add_section(struct pa_symtab *t, struct pa_names *names, const struct got *got, Elf_Scn *scn,
		       const GElf_Shdr *sh, uint32_t machine)
{
	Elf_Data *data = elf_rawdata(scn, NULL);
	size_t step = machine == EM_X86_64 && sh->sh_entsize == 8 ? 8 : 16;
	int error = 0;

	if (!data || !data->d_buf)
		return 0;
	for (size_t at = 0; at + step <= data->d_size && !error; at += step) {
		const uint8_t *code = (const uint8_t *)data->d_buf + at;
		struct got_slot key = {.address = machine == EM_X86_64 ? x86_64_slot(code, step, sh->sh_addr + at)
								       : aarch64_slot(code, step, sh->sh_addr + at)};
		const struct got_slot *slot = bsearch(&key, got->slots, got->nr, sizeof(key), compare_slots);

		if (slot)
			error = add_stub(t, names, slot->name, sh->sh_addr + at, step);
	}
	return error;
}

int pa_symtab_read_plt(struct pa_symtab *t, Elf *elf, struct pa_names *names)
{
	GElf_Ehdr eh;
	struct got got = {0};
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;
	size_t strings;
	int error = 0;

	if (!gelf_getehdr(elf, &eh) || (eh.e_machine != EM_X86_64 && eh.e_machine != EM_AARCH64) ||
	    elf_getshdrstrndx(elf, &strings))
		return 0;
	while ((scn = elf_nextscn(elf, scn))) {
		if (gelf_getshdr(scn, &sh) && sh.sh_type == SHT_RELA && sh.sh_flags & SHF_ALLOC)
			add_relocations(&got, elf, scn, &sh, eh.e_machine);
	}
	if (got.nr)
		qsort(got.slots, got.nr, sizeof(*got.slots), compare_slots);
	while (got.nr && !error && (scn = elf_nextscn(elf, scn))) {
		const char *name = gelf_getshdr(scn, &sh) ? elf_strptr(elf, strings, sh.sh_name) : NULL;

		if (name && strncmp(name, ".plt", 4) == 0 && sh.sh_flags & SHF_EXECINSTR && sh.sh_type == SHT_PROGBITS)
			error = add_section(t, names, &got, scn, &sh, eh.e_machine);
	}
	free(got.slots);
	return error;
}
