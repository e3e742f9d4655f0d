/* See loaded_sig.h. Source: the generic ABI (dynamic section), the layout of DT_GNU_HASH as binutils writes it.
 * World: signal. */
#include "agent/loaded_sig.h"

#include <elf.h>
#include <linux/futex.h>
#include <string.h>

#include "agent/probe_sig.h"
#include "agent/sysdep.h"
#include "agent/walk_sig.h"

#define DYNAMIC_MAX 512 /* entries of a dynamic section, and program headers */

static const struct r_debug *list;
static uint64_t page_mask, own_start;

void pa_loaded_init(const struct r_debug *of, uint64_t page_bytes, const void *own)
{
	list = of;
	own_start = (uint64_t)(uintptr_t)own;
	page_mask = ~(page_bytes - 1);
}

const struct link_map *pa_loaded_next_sig(const struct link_map *map)
{
	struct pa_pages pages = {0};
	const struct link_map *next;

	if (!map)
		next = list ? list->r_map : NULL;
	else
		next = *(struct link_map *const volatile *)&map->l_next;
	return next && pa_probe_range_sig(&pages, (uint64_t)(uintptr_t)next, sizeof(*next)) ? next : NULL;
}

bool pa_loaded_same_sig(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

/* ---- a module ---------------------------------------------------------------------------------------------------- */

static bool holds(const struct pa_loaded *m, const void *at, size_t bytes)
{
	uint64_t a = (uint64_t)(uintptr_t)at;

	return a >= m->range.start && a < m->range.end && bytes <= m->range.end - a;
}

/* The loader has relocated these pointers in most modules. */
static const void *pointer(const struct pa_loaded *m, ElfW(Addr) value)
{
	const void *at = (const void *)(uintptr_t)(value < m->range.start ? value + m->bias : value);

	return holds(m, at, 16) ? at : NULL;
}

static void read_entry(struct pa_loaded *m, const ElfW(Dyn) * dyn)
{
	switch (dyn->d_tag) {
	case DT_SYMTAB:
		m->symbols = pointer(m, dyn->d_un.d_ptr);
		break;
	case DT_STRTAB:
		m->strings = pointer(m, dyn->d_un.d_ptr);
		break;
	case DT_HASH:
		m->sysv = pointer(m, dyn->d_un.d_ptr);
		break;
	case DT_GNU_HASH:
		m->gnu = pointer(m, dyn->d_un.d_ptr);
		break;
	case DT_JMPREL:
		m->tables[0] = pointer(m, dyn->d_un.d_ptr);
		break;
	case DT_PLTRELSZ:
		m->nr[0] = dyn->d_un.d_val / sizeof(ElfW(Rela));
		break;
	case DT_RELA:
		m->tables[1] = pointer(m, dyn->d_un.d_ptr);
		break;
	case DT_RELASZ:
		m->nr[1] = dyn->d_un.d_val / sizeof(ElfW(Rela));
		break;
	}
}

static void read_dynamic(struct pa_loaded *m)
{
	size_t relative = 0;

	for (unsigned i = 0; i < DYNAMIC_MAX && m->dynamic[i].d_tag != DT_NULL; i++) {
		read_entry(m, &m->dynamic[i]);
		if (m->dynamic[i].d_tag == DT_RELACOUNT)
			relative = m->dynamic[i].d_un.d_val;
	}
	/* those without a symbol come first, and are most of a large table */
	if (m->tables[1] && relative < m->nr[1]) {
		m->tables[1] += relative;
		m->nr[1] -= relative;
	} else {
		m->nr[1] = 0;
	}
	for (unsigned t = 0; t < 2; t++) {
		if (!m->tables[t] || !holds(m, m->tables[t], m->nr[t] * sizeof(ElfW(Rela))))
			m->nr[t] = 0;
	}
}

/* As the loader rounds it. */
static bool read_headers(struct pa_loaded *m)
{
	const ElfW(Ehdr) *eh = (const ElfW(Ehdr) *)(uintptr_t)m->range.start;
	const ElfW(Phdr) *ph = (const ElfW(Phdr) *)(uintptr_t)(m->range.start + eh->e_phoff);

	if (memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0 || eh->e_phentsize != sizeof(*ph) || eh->e_phnum > DYNAMIC_MAX ||
	    !holds(m, ph, eh->e_phnum * sizeof(*ph)))
		return false;
	for (unsigned i = 0; i < eh->e_phnum; i++) {
		if (ph[i].p_type != PT_GNU_RELRO)
			continue;
		m->range.relro_start = (m->bias + ph[i].p_vaddr) & page_mask;
		m->range.relro_end = (m->bias + ph[i].p_vaddr + ph[i].p_memsz) & page_mask;
		if (m->range.relro_end < m->range.relro_start)
			m->range.relro_end = m->range.relro_start;
	}
	return true;
}

/* Modules that libc unloads on its own, without our dlclose. */
static bool is_libcs_own(const char *name)
{
	static const char part[] = "/gconv/";

	for (; *name; name++) {
		if (*name == '/' && memcmp(name, part, sizeof(part) - 1) == 0)
			return true;
	}
	return false;
}

bool pa_loaded_read_sig(const struct link_map *map, struct pa_loaded *m)
{
	struct pa_pages pages = {0};

	memset(m, 0, sizeof(*m));
	m->map = map;
	m->bias = map->l_addr;
	m->dynamic = map->l_ld;
	if (!m->dynamic || !pa_walk_module_at_sig((uint64_t)(uintptr_t)m->dynamic, &m->range.start, &m->range.end) ||
	    m->range.start == own_start || !pa_probe_range_sig(&pages, m->range.start, sizeof(ElfW(Ehdr))) ||
	    !pa_probe_range_sig(&pages, (uint64_t)(uintptr_t)m->dynamic, sizeof(*m->dynamic)) ||
	    (map->l_name && is_libcs_own(map->l_name)) || !read_headers(m))
		return false;
	read_dynamic(m);
	return m->symbols && m->strings && (m->gnu || m->sysv);
}

/* ---- its symbols ------------------------------------------------------------------------------------------------- */

static uint64_t defined_as(const struct pa_loaded *m, uint32_t at, const char *name)
{
	const ElfW(Sym) *sym = &m->symbols[at];

	if (sym->st_shndx == SHN_UNDEF || !sym->st_value || ELF64_ST_TYPE(sym->st_info) != STT_FUNC ||
	    !pa_loaded_same_sig(m->strings + sym->st_name, name))
		return 0;
	return m->bias + sym->st_value;
}

static uint64_t by_gnu(const struct pa_loaded *m, const char *name)
{
	const uint32_t nr = m->gnu[0], first = m->gnu[1], words = m->gnu[2], shift = m->gnu[3];
	const uint64_t *bloom = (const uint64_t *)&m->gnu[4];
	const uint32_t *buckets = (const uint32_t *)&bloom[words], *chain = &buckets[nr];
	uint32_t hash = 5381, at;
	uint64_t found = 0;

	for (const char *c = name; *c; c++)
		hash = hash * 33 + (unsigned char)*c;
	if (!nr || !words ||
	    !(bloom[hash / 64 % words] >> (hash % 64) & bloom[hash / 64 % words] >> ((hash >> shift) % 64) & 1))
		return 0;
	at = buckets[hash % nr];
	for (bool more = at >= first; more && !found; at++) {
		more = !(chain[at - first] & 1);
		if ((chain[at - first] | 1) == (hash | 1))
			found = defined_as(m, at, name);
	}
	return found;
}

uint64_t pa_loaded_function_sig(const struct pa_loaded *m, const char *name)
{
	uint64_t found = 0;

	if (m->gnu)
		return by_gnu(m, name);
	for (uint32_t i = 1; i < m->sysv[1] && !found; i++)
		found = defined_as(m, i, name);
	return found;
}

uint32_t pa_loaded_undefined_sig(const struct pa_loaded *m)
{
	/* a table of this kind is over the symbols that can be found, which come last; an empty one tells nothing */
	if (m->gnu)
		return m->gnu[1] > 1 ? m->gnu[1] : 0;
	return m->sysv[1];
}

/* ---- pages ------------------------------------------------------------------------------------------------------- */

/* FUTEX_WAKE_OP reads a word, ors nothing to it, and writes it back, in one step of the processor; nobody is woken at a
 * word of ours that nobody waits at. EFAULT: it cannot be written. Nothing else tells without a descriptor. */
bool pa_loaded_writable_sig(uint64_t at)
{
	static uint32_t nobody;

	return pa_sys(SYS_futex, &nobody, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 0, 0, at,
		      FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_LT, 0)) >= 0;
}
