/* Modules and their sources of names, in the order of their worth. World: plain. */
#include "collector/symbolize.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "collector/dwarf.h"
#include "collector/fde.h"
#include "collector/names.h"
#include "collector/symfile.h"
#include "collector/symtab.h"

struct pa_symmod {
	struct pa_symmod *next;
	char *path;
	char *root; /* "" for none */
	uint8_t build_id[32];
	size_t build_id_len;
	enum pa_symbol_status status;
	struct pa_symfile file;
	struct pa_names *names;
	struct pa_symtab symtab;
	struct pa_fde_table fdes;
	struct pa_dwarf *dwarf; /* NULL: no debug info that covers code */
};

struct pa_symbolizer {
	struct pa_symmod *modules;
};

const char *pa_symbol_status_name(enum pa_symbol_status status)
{
	static const char *const names[] = {
	    [PA_SYMBOLS_UNKNOWN] = "unknown", [PA_SYMBOLS_FULL] = "full", [PA_SYMBOLS_SYMTAB] = "symtab",
	    [PA_SYMBOLS_DYNSYM] = "dynsym",   [PA_SYMBOLS_NONE] = "none", [PA_SYMBOLS_MISMATCH] = "mismatch",
	    [PA_SYMBOLS_MISSING] = "missing",
	};

	return (size_t)status < sizeof(names) / sizeof(names[0]) ? names[status] : "unknown";
}

struct pa_symbolizer *pa_symbolizer_new(void)
{
	return calloc(1, sizeof(struct pa_symbolizer));
}

static void unload(struct pa_symmod *m)
{
	pa_dwarf_free(m->dwarf);
	m->dwarf = NULL;
	pa_fde_table_read(&m->fdes, NULL);
	pa_symtab_fini(&m->symtab);
	pa_symfile_close(&m->file);
}

void pa_symbolizer_free(struct pa_symbolizer *s)
{
	while (s && s->modules) {
		struct pa_symmod *m = s->modules;

		s->modules = m->next;
		unload(m);
		pa_names_free(m->names);
		free(m->path);
		free(m->root);
		free(m);
	}
	free(s);
}

/* Errors: 0, -ENOMEM. */
static int load_dwarf(struct pa_symmod *m)
{
	Elf *elf = m->file.debug.elf ? m->file.debug.elf : m->file.main.elf;
	struct pa_ranges code = {0};
	int error;

	if (!m->file.dwarf)
		return 0;
	error = pa_elf_code_ranges(elf, &code);
	if (!error)
		error = pa_ranges_flatten(&code);
	if (!error)
		m->dwarf = pa_dwarf_new(m->file.dwarf, m->names, &code);
	pa_ranges_fini(&code);
	if (m->dwarf && !pa_dwarf_covers_code(m->dwarf)) {
		pa_dwarf_free(m->dwarf);
		m->dwarf = NULL;
	}
	return error;
}

static enum pa_symbol_status load_tables(struct pa_symmod *m)
{
	Elf *symbols = pa_symfile_symbols(&m->file);
	Elf *main = m->file.main.elf;
	enum pa_symbol_status status = PA_SYMBOLS_NONE;

	if (symbols && pa_symtab_read(&m->symtab, symbols, SHT_SYMTAB) == 0 && m->symtab.nr)
		status = PA_SYMBOLS_SYMTAB;
	/* .gnu_debugdata leaves out what .dynsym has */
	if (main && (!m->symtab.nr || symbols == m->file.mini.elf) &&
	    pa_symtab_read(&m->symtab, main, SHT_DYNSYM) == 0 && m->symtab.nr && status == PA_SYMBOLS_NONE)
		status = PA_SYMBOLS_DYNSYM;
	if (main)
		pa_symtab_read_plt(&m->symtab, main, m->names);
	if (pa_symtab_finish(&m->symtab))
		status = PA_SYMBOLS_NONE;
	return status;
}

/* Out of memory leaves a module with fewer names, and says so by its status. */
static void load(struct pa_symmod *m, const struct pa_module_ref *ref)
{
	pa_symfile_open(&m->file, ref);
	m->status = m->file.status;
	if (m->status != PA_SYMBOLS_UNKNOWN)
		return;
	pa_fde_table_read(&m->fdes, m->file.main.elf);
	m->status = load_tables(m);
	if (load_dwarf(m) == 0 && m->dwarf)
		m->status = PA_SYMBOLS_FULL;
}

static bool is_same(const struct pa_symmod *m, const struct pa_module_ref *ref)
{
	if (ref->build_id_len)
		return m->build_id_len == ref->build_id_len &&
		       memcmp(m->build_id, ref->build_id, ref->build_id_len) == 0;
	return !m->build_id_len && strcmp(m->path, ref->path) == 0 && strcmp(m->root, ref->root ? ref->root : "") == 0;
}

static struct pa_symmod *new_module(const struct pa_module_ref *ref)
{
	struct pa_symmod *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->path = strdup(ref->path);
	m->root = strdup(ref->root ? ref->root : "");
	m->names = pa_names_new();
	if (ref->build_id_len && ref->build_id_len <= sizeof(m->build_id)) {
		memcpy(m->build_id, ref->build_id, ref->build_id_len);
		m->build_id_len = ref->build_id_len;
	}
	if (m->path && m->root && m->names)
		return m;
	free(m->path);
	free(m->root);
	pa_names_free(m->names);
	free(m);
	return NULL;
}

/* A module that was not found may be found by another path, for instance through the root of another process. */
static bool worth_another_look(const struct pa_symmod *m, const struct pa_module_ref *ref)
{
	if (m->status != PA_SYMBOLS_MISSING && m->status != PA_SYMBOLS_MISMATCH)
		return false;
	return ref->fd >= 0 || strcmp(m->path, ref->path) || strcmp(m->root, ref->root ? ref->root : "");
}

struct pa_symmod *pa_symbolizer_module(struct pa_symbolizer *s, const struct pa_module_ref *ref)
{
	struct pa_symmod *m = s->modules;

	while (m && !is_same(m, ref))
		m = m->next;
	if (m && worth_another_look(m, ref)) {
		unload(m);
		load(m, ref);
	}
	if (m)
		return m;
	m = new_module(ref);
	if (!m)
		return NULL;
	m->next = s->modules;
	s->modules = m;
	load(m, ref);
	return m;
}

enum pa_symbol_status pa_symmod_status(const struct pa_symmod *m)
{
	return m->status;
}

size_t pa_symbolize(struct pa_symmod *m, uint64_t address, struct pa_symbol *out, size_t max)
{
	const char *raw = pa_symtab_find(&m->symtab, address);
	const char *name = raw ? pa_names_get(m->names, raw, true) : NULL;
	size_t nr = m->dwarf ? pa_dwarf_find(m->dwarf, address, name, out, max) : 0;

	if (nr || !name || !max)
		return nr;
	out[0] = (struct pa_symbol){.function = name};
	return 1;
}

bool pa_symmod_function(struct pa_symmod *m, uint64_t address, uint64_t *start)
{
	return pa_fde_function(&m->fdes, address, start);
}
