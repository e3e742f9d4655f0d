/* The functions of .symtab or .dynsym, and of procedure linkage tables, as sorted ranges. World: plain. */
#ifndef PA_COLLECTOR_SYMTAB_H
#define PA_COLLECTOR_SYMTAB_H

#include <stdint.h>

#include <libelf.h>

#include "collector/names.h"
#include "collector/ranges.h"

struct pa_symtab {
	struct pa_ranges ranges; /* ids index names */
	const char **names;      /* as in the file, not demangled */
	size_t nr;
	size_t room;
};

/* Adds the functions of the first section of that type (SHT_SYMTAB, SHT_DYNSYM). elf must stay open as long as t.
 * Sizes are respected; a symbol without a size, as assembler code has them, reaches to the next symbol of its section
 * or to the end of the section, and never hides one with a size.
 * Errors: 0 (also when there is none: t->nr says), -ENOMEM. */
int pa_symtab_read(struct pa_symtab *t, Elf *elf, uint32_t type);

/* Adds name@plt for each entry of a procedure linkage table whose GOT slot has a relocation with a symbol.
 * Shapes: elf is the file itself; a debug file has no code. names keeps the new strings. Errors: 0, -ENOMEM. */
int pa_symtab_read_plt(struct pa_symtab *t, Elf *elf, struct pa_names *names);

/* Adds one function. Errors: 0, -ENOMEM. */
int pa_symtab_add(struct pa_symtab *t, uint64_t lo, uint64_t hi, uint32_t rank, const char *name);

/* To be called once after reading. Errors: 0, -ENOMEM. */
int pa_symtab_finish(struct pa_symtab *t);

/* The raw name of the function that covers address, or NULL. */
const char *pa_symtab_find(const struct pa_symtab *t, uint64_t address);

void pa_symtab_fini(struct pa_symtab *t);

#endif
