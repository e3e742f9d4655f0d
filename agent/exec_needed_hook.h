/* Whether a program needs a sanitizer's runtime that must be the first library (common/preload.h), from its ELF file
 * and without loading it. The second pure part of exec_probe_hook.c. World: hook. */
#ifndef PA_AGENT_EXEC_NEEDED_HOOK_H
#define PA_AGENT_EXEC_NEEDED_HOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/preload.h"

/* Reads up to len bytes of the file from offset. Returns how many; 0 at its end and on errors. */
typedef size_t pa_exec_read_fn(void *arg, void *to, size_t len, uint64_t offset);

/* Looks through DT_NEEDED of a 64-bit little-endian file: at most 64 program headers and 256 dynamic entries.
 * Shapes: name has PA_PRELOAD_NAME_MAX bytes; "" when it returns false.
 * Errors: false: none needed, or the file is cut, wild, or has more than that. */
bool pa_exec_needed_hook(pa_exec_read_fn *read, void *arg, char *name);

#endif
