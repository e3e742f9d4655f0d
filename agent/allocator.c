/* Looks for a definition of malloc in the dynamic symbols of the objects in front of ours, which is the order in which
 * the loader looks, too. World: plain (constructor). */
#include "agent/allocator.h"

#include <elf.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "agent/got_sig.h"

struct tables {
	const ElfW(Sym) * symbols;
	const char *strings;
	const uint32_t
	    *gnu; /* DT_GNU_HASH: nr of buckets, first symbol, words of the filter, shift; filter, buckets, chains */
	const uint32_t *sysv; /* DT_HASH: nr of buckets, nr of symbols */
};

/* The loader has relocated these pointers in most objects, and not in the vDSO. */
static const void *pointer(const struct dl_phdr_info *info, ElfW(Addr) value)
{
	return (const void *)(value < info->dlpi_addr ? value + info->dlpi_addr : value);
}

static bool find_tables(const struct dl_phdr_info *info, struct tables *t)
{
	const ElfW(Dyn) *dyn = NULL;

	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
			dyn = (const ElfW(Dyn) *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
	}
	for (; dyn && dyn->d_tag != DT_NULL; dyn++) {
		if (dyn->d_tag == DT_SYMTAB)
			t->symbols = pointer(info, dyn->d_un.d_ptr);
		else if (dyn->d_tag == DT_STRTAB)
			t->strings = pointer(info, dyn->d_un.d_ptr);
		else if (dyn->d_tag == DT_GNU_HASH)
			t->gnu = pointer(info, dyn->d_un.d_ptr);
		else if (dyn->d_tag == DT_HASH)
			t->sysv = pointer(info, dyn->d_un.d_ptr);
	}
	return t->symbols && t->strings && (t->gnu || t->sysv);
}

static bool is_definition(const struct tables *t, uint32_t symbol, const char *name)
{
	return t->symbols[symbol].st_shndx != SHN_UNDEF && strcmp(t->strings + t->symbols[symbol].st_name, name) == 0;
}

static bool defines_gnu(const struct tables *t, const char *name)
{
	const uint32_t *buckets = t->gnu + 4 + t->gnu[2] * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
	const uint32_t *chains = buckets + t->gnu[0];
	uint32_t hash = 5381, symbol;

	for (const char *c = name; *c; c++)
		hash = hash * 33 + (unsigned char)*c;
	if (!t->gnu[0])
		return false;
	symbol = buckets[hash % t->gnu[0]];
	if (symbol < t->gnu[1])
		return false;
	for (;; symbol++) {
		uint32_t other = chains[symbol - t->gnu[1]];

		if ((other | 1) == (hash | 1) && is_definition(t, symbol, name))
			return true;
		if (other & 1)
			return false;
	}
}

static bool defines(const struct tables *t, const char *name)
{
	if (t->gnu)
		return defines_gnu(t, name);
	for (uint32_t i = 1; i < t->sysv[1]; i++) {
		if (is_definition(t, i, name))
			return true;
	}
	return false;
}

static bool is_ours(const struct dl_phdr_info *info)
{
	extern const char __ehdr_start[] __attribute__((visibility("hidden")));

	return info->dlpi_addr == (uintptr_t)__ehdr_start;
}

/* 1: found in front of us; 2: there is nothing in front of us. */
static int look(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct tables t = {0};

	(void)size;
	(void)arg;
	if (is_ours(info))
		return 2;
	return find_tables(info, &t) && defines(&t, "malloc");
}

bool pa_allocator_is_in_front(void)
{
	/* loaded late we are in front of nothing, and our hooks are where the program's calls lead to all the same */
	return !pa_got_is_late_sig() && dl_iterate_phdr(look, NULL) == 1;
}
