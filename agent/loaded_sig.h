/* The modules that the loader has mapped, read without its lock: the list that debuggers follow, module by module, each
 * checked before it is read. What is being unloaded by dlclose is kept out by whoever holds pa_got_begin_sig; a module
 * that the loader is still at work on can be met. World: signal. */
#ifndef PA_AGENT_LOADED_SIG_H
#define PA_AGENT_LOADED_SIG_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/got_sig.h"

/* What of a module matters to whoever looks for functions in it. Everything lies in the module. */
struct pa_loaded {
	const struct link_map *map;
	struct pa_got_module range; /* first and nr are the caller's */
	uint64_t bias;
	const ElfW(Dyn) * dynamic;
	const ElfW(Sym) * symbols;
	const char *strings;
	const uint32_t *gnu, *sysv;   /* hash tables; NULL: none */
	const ElfW(Rela) * tables[2]; /* of calls, and of everything */
	size_t nr[2];
};

/* Where the list begins, NULL: it cannot be read; own: where the agent does. World: plain (constructor). */
void pa_loaded_init(const struct r_debug *list, uint64_t page_bytes, const void *own);

/* The module after that one in the list; NULL: the first. Returns NULL at its end, and for what is no such list. */
const struct link_map *pa_loaded_next_sig(const struct link_map *map);

/* Reads a module of the list. False: there is nothing to be found in it (the loader itself, the kernel's, ours), or it
 * is not what it looks like. */
bool pa_loaded_read_sig(const struct link_map *map, struct pa_loaded *m);

/* Address of a function that the module defines; 0: it does not. */
uint64_t pa_loaded_function_sig(const struct pa_loaded *m, const char *name);

/* How many symbols of the table, from 0, may be undefined; 0: not known. */
uint32_t pa_loaded_undefined_sig(const struct pa_loaded *m);

/* Whether a word can be written now. Units: address, a multiple of 4. */
bool pa_loaded_writable_sig(uint64_t at);

bool pa_loaded_same_sig(const char *a, const char *b);

#endif
