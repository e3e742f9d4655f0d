/* Functions, inlined frames and lines out of DWARF, by an index of our own: libdw's search functions walk a whole unit
 * for each address. A unit is indexed when an address in it is asked for the first time. World: plain. */
#ifndef PA_COLLECTOR_DWARF_H
#define PA_COLLECTOR_DWARF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <elfutils/libdw.h>

#include "collector/names.h"
#include "collector/ranges.h"
#include "collector/symbolize.h"

struct pa_dwarf;

/* Shapes: dwarf and names are borrowed and must outlive the result; code has the executable ranges of the file, flat
 * (what the linker threw away still has debug info, at address 0); it is not taken over.
 * Errors: NULL: out of memory. */
struct pa_dwarf *pa_dwarf_new(Dwarf *dwarf, struct pa_names *names, const struct pa_ranges *code);
void pa_dwarf_free(struct pa_dwarf *d);

/* Whether any unit has code. */
bool pa_dwarf_covers_code(const struct pa_dwarf *d);

/* As pa_symbolize. outermost, when not NULL, is the readable name in the symbol table. It names code without a function
 * in DWARF (assembler), and functions without a linkage name there: malloc, not __libc_malloc; app::f(int), not f. */
size_t pa_dwarf_find(struct pa_dwarf *d, uint64_t address, const char *outermost, struct pa_symbol *out, size_t max);

#endif
