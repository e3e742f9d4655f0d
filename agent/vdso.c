/* Looking a name up in the vDSO: its dynamic symbols lie in memory, a hundred of them at most. World: plain. */
#include "agent/vdso.h"

#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>

#include "agent/arch/arch.h"

struct tables {
	const ElfW(Sym) * symbols;
	const char *strings;
	const uint32_t *hash; /* DT_HASH: [1] is the number of symbols */
};

static bool find_tables(const ElfW(Ehdr) * elf, uintptr_t *bias, struct tables *t)
{
	const ElfW(Phdr) *ph = (const ElfW(Phdr) *)((uintptr_t)elf + elf->e_phoff);
	const ElfW(Dyn) *dyn = NULL;

	for (unsigned i = 0; i < elf->e_phnum; i++) {
		if (ph[i].p_type == PT_LOAD && ph[i].p_offset == 0)
			*bias = (uintptr_t)elf - ph[i].p_vaddr;
	}
	for (unsigned i = 0; i < elf->e_phnum; i++) {
		if (ph[i].p_type == PT_DYNAMIC)
			dyn = (const ElfW(Dyn) *)(*bias + ph[i].p_vaddr);
	}
	for (; dyn && dyn->d_tag != DT_NULL; dyn++) {
		if (dyn->d_tag == DT_SYMTAB)
			t->symbols = (const ElfW(Sym) *)(*bias + dyn->d_un.d_ptr);
		else if (dyn->d_tag == DT_STRTAB)
			t->strings = (const char *)(*bias + dyn->d_un.d_ptr);
		else if (dyn->d_tag == DT_HASH)
			t->hash = (const uint32_t *)(*bias + dyn->d_un.d_ptr);
	}
	return t->symbols && t->strings && t->hash;
}

pa_clock_fn *pa_vdso_clock(void)
{
	const ElfW(Ehdr) *elf = (const ElfW(Ehdr) *)getauxval(AT_SYSINFO_EHDR);
	struct tables t = {0};
	uintptr_t bias = 0;

	if (!elf || !find_tables(elf, &bias, &t))
		return NULL;
	for (uint32_t i = 0; i < t.hash[1]; i++) {
		if (t.symbols[i].st_shndx != SHN_UNDEF &&
		    strcmp(t.strings + t.symbols[i].st_name, PA_ARCH_VDSO_CLOCK) == 0)
			return (pa_clock_fn *)(bias + t.symbols[i].st_value);
	}
	return NULL;
}
