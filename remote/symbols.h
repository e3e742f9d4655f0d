/* Addresses of exported functions in another process, by the files it has mapped. World: plain. */
#ifndef PA_REMOTE_SYMBOLS_H
#define PA_REMOTE_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "remote/walk.h"

struct pa_span {
	uint64_t start, end; /* addresses in the process; start == end: not there */
};

/* Looks names up in the dynamic symbol table of one module (of a walker's list).
 * Shapes: names ends with NULL, out has as many entries. Functions only, no indirect ones.
 * Returns how many were found; -errno when the file cannot be read. */
int pa_symbols_find(const struct pa_walker_module *module, const char *const *names, struct pa_span *out);

#endif
