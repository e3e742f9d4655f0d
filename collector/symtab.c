/* Symbol tables of ELF files into sorted ranges. World: plain.
 * Source: System V gABI, chapter 4, "Symbol Table". */
#include "collector/symtab.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <gelf.h>

#include "collector/elf.h"

int pa_symtab_add(struct pa_symtab *t, uint64_t lo, uint64_t hi, uint32_t rank, const char *name)
{
	if (t->nr == t->room) {
		size_t room = t->room ? t->room * 2 : 256;
		const char **grown = reallocarray(t->names, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		t->names = grown;
		t->room = room;
	}
	if (t->nr >= PA_RANGE_NONE)
		return 0;
	t->names[t->nr] = name;
	return pa_ranges_add(&t->ranges, (struct pa_range){lo, hi, (uint32_t)t->nr++, rank});
}

int pa_symtab_finish(struct pa_symtab *t)
{
	return pa_ranges_flatten(&t->ranges);
}

const char *pa_symtab_find(const struct pa_symtab *t, uint64_t address)
{
	uint32_t id = pa_ranges_find(&t->ranges, address);

	return id == PA_RANGE_NONE ? NULL : t->names[id];
}

void pa_symtab_fini(struct pa_symtab *t)
{
	pa_ranges_fini(&t->ranges);
	free(t->names);
	*t = (struct pa_symtab){0};
}

/* One function symbol while the table is being read. */
struct symbol {
	uint64_t value;
	uint64_t size;
	uint32_t section;
	uint32_t goodness; /* which of several names of one address is shown */
	const char *name;
};

struct symbols {
	struct symbol *list;
	size_t nr;
};

static size_t leading_underscores(const char *name)
{
	return strspn(name, "_");
}

/* Kind before binding before plainness: malloc, not __libc_malloc. */
static uint32_t goodness(const GElf_Sym *sym, const char *name)
{
	uint32_t bind = GELF_ST_BIND(sym->st_info), type = GELF_ST_TYPE(sym->st_info);
	uint32_t score = type == STT_FUNC ? 2 : type == STT_GNU_IFUNC ? 1 : 0;
	size_t underscores = leading_underscores(name);

	score = score * 4 + (bind == STB_GLOBAL || bind == STB_GNU_UNIQUE ? 2 : bind == STB_WEAK ? 1 : 0);
	return score * 8 + (underscores < 7 ? 7 - (uint32_t)underscores : 0);
}

/* Labels of the compiler and of the processor supplement's mapping symbols ($x, $d) are no functions. */
static bool is_function(const GElf_Sym *sym, const char *name)
{
	uint32_t type = GELF_ST_TYPE(sym->st_info);

	if (sym->st_shndx == SHN_UNDEF || !name || !name[0] || name[0] == '$' || strncmp(name, ".L", 2) == 0)
		return false;
	return type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE;
}

static int collect(struct symbols *out, Elf_Scn *scn, Elf *elf, const struct pa_ranges *code)
{
	GElf_Shdr sh;
	Elf_Data *data = gelf_getshdr(scn, &sh) ? elf_getdata(scn, NULL) : NULL;
	size_t entry = gelf_fsize(elf, ELF_T_SYM, 1, EV_CURRENT);
	size_t nr = data && entry ? data->d_size / entry : 0;

	out->list = nr ? reallocarray(NULL, nr, sizeof(*out->list)) : NULL;
	if (!out->list)
		return nr ? -ENOMEM : 0;
	for (size_t i = 1; i < nr && i < INT32_MAX; i++) {
		GElf_Sym sym;
		const char *name;
		uint32_t section;

		if (!gelf_getsym(data, (int)i, &sym))
			break;
		name = elf_strptr(elf, sh.sh_link, sym.st_name);
		section = pa_ranges_find(code, sym.st_value);
		if (!is_function(&sym, name) || section == PA_RANGE_NONE)
			continue;
		out->list[out->nr++] = (struct symbol){sym.st_value, sym.st_size, section, goodness(&sym, name), name};
	}
	return 0;
}

static int compare_symbols(const void *pa, const void *pb)
{
	const struct symbol *a = pa, *b = pb;

	if (a->value != b->value)
		return a->value < b->value ? -1 : 1;
	if (!a->size != !b->size)
		return a->size ? -1 : 1; /* those with a size first */
	if (a->goodness != b->goodness)
		return a->goodness > b->goodness ? -1 : 1;
	return strcmp(a->name, b->name);
}

/* Symbols with a size become ranges, the best name of each address. One without a size becomes a range when none with a
 * size covers it. */
static int add_all(struct pa_symtab *t, const struct symbols *s, const struct pa_ranges *code)
{
	uint64_t covered = 0; /* end of the sized symbols so far */
	int error = 0;

	for (size_t i = 0; i < s->nr && !error; i++) {
		const struct symbol *sym = &s->list[i];
		uint64_t end = pa_ranges_at(code, sym->value)->hi;
		size_t next = i + 1;

		if (i && s->list[i - 1].value == sym->value)
			continue; /* another name, not as good, of the symbol before */
		if (sym->size) {
			uint64_t hi = sym->size < end - sym->value ? sym->value + sym->size : end;

			covered = hi > covered ? hi : covered;
			error = pa_symtab_add(t, sym->value, hi, 0, sym->name);
			continue;
		}
		if (sym->value < covered)
			continue;
		while (next < s->nr && s->list[next].value == sym->value)
			next++;
		if (next < s->nr && s->list[next].value < end)
			end = s->list[next].value;
		error = pa_symtab_add(t, sym->value, end, 0, sym->name);
	}
	return error;
}

int pa_symtab_read(struct pa_symtab *t, Elf *elf, uint32_t type)
{
	struct symbols s = {0};
	struct pa_ranges code = {0};
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;
	int error = pa_elf_code_ranges(elf, &code);

	if (!error)
		error = pa_ranges_flatten(&code);
	while ((scn = elf_nextscn(elf, scn))) {
		if (gelf_getshdr(scn, &sh) && sh.sh_type == type)
			break;
	}
	if (!error && scn)
		error = collect(&s, scn, elf, &code);
	if (!error && s.nr) {
		qsort(s.list, s.nr, sizeof(*s.list), compare_symbols);
		error = add_all(t, &s, &code);
	}
	free(s.list);
	pa_ranges_fini(&code);
	return error;
}
