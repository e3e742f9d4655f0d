/* Strings that live as long as a module: the clean, demangled form of each name in an ELF file, made once.
 * World: plain. */
#ifndef PA_COLLECTOR_NAMES_H
#define PA_COLLECTOR_NAMES_H

#include <stdbool.h>
#include <stddef.h>

struct pa_names;

/* Errors: NULL: out of memory. */
struct pa_names *pa_names_new(void);
void pa_names_free(struct pa_names *n);

/* The readable form of raw, remembered by the address of raw (names in an ELF file stay where they are).
 * Shapes: raw is terminated and outlives n; the result is lent and is raw itself when that is clean already.
 * Errors: NULL: out of memory. */
const char *pa_names_get(struct pa_names *n, const char *raw, bool demangle);

/* A copy of text that lives as long as n. Errors: NULL: out of memory. */
const char *pa_names_copy(struct pa_names *n, const char *text, size_t len);

#endif
