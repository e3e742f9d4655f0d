/* Addresses into names: libdw for functions, inlined frames and lines, .symtab and .dynsym without debug info,
 * perf-map files for JIT code. Used by the collector at the end of a recording and by `report` on a recording whose
 * collector was killed. World: plain. */
#ifndef PA_COLLECTOR_SYMBOLIZE_H
#define PA_COLLECTOR_SYMBOLIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pa_symbol_status {
	PA_SYMBOLS_UNKNOWN = 0,
	PA_SYMBOLS_FULL = 1,     /* DWARF, from the file itself or a separate debug file of the same build-id */
	PA_SYMBOLS_SYMTAB = 2,   /* .symtab (or .gnu_debugdata), no lines */
	PA_SYMBOLS_DYNSYM = 3,   /* exported names only */
	PA_SYMBOLS_NONE = 4,     /* stripped */
	PA_SYMBOLS_MISMATCH = 5, /* the file at that path is another one now: never used */
	PA_SYMBOLS_MISSING = 6,  /* no such file any more */
};

/* "full", "symtab", "dynsym", "none", "mismatch", "missing", "unknown". */
const char *pa_symbol_status_name(enum pa_symbol_status status);

/* One level of an address: level 0 is the innermost inlined function, the last is the function of the symbol table.
 * Strings are lent: valid until pa_symbolizer_free. file is NULL and line 0 when unknown. */
struct pa_symbol {
	const char *function; /* demangled; never NULL */
	const char *file;
	uint32_t line;
};

struct pa_module_ref {
	const char *path;        /* as in the target: absolute, or "[vdso]" */
	const char *root;        /* e.g. "/proc/123/root", prepended when it has the same build-id; may be NULL */
	int fd;                  /* an open descriptor of the file as it was mapped, or -1; not taken over */
	const uint8_t *build_id; /* build_id_len bytes; 0: unknown, the path is then believed */
	size_t build_id_len;
};

struct pa_symbolizer;
struct pa_symmod;

/* Errors: NULL: out of memory. debuginfod is asked only when DEBUGINFOD_URLS is set (libdw's own rule). */
struct pa_symbolizer *pa_symbolizer_new(void);
void pa_symbolizer_free(struct pa_symbolizer *s);

/* Opens (or finds again, by build-id then path) the symbols of a module; never NULL but when out of memory: a module
 * without any symbols is a valid one with status NONE, MISMATCH or MISSING. Lent. */
struct pa_symmod *pa_symbolizer_module(struct pa_symbolizer *s, const struct pa_module_ref *ref);
enum pa_symbol_status pa_symmod_status(const struct pa_symmod *m);

/* Names one address.
 * Shapes: out has room for max levels; address is an ELF virtual address of the module (run-time pc minus bias); the
 * caller has already subtracted 1 from return addresses.
 * Returns the number of levels, 0 when it has no name: addresses in a gap between symbols have none.
 * Names are demangled (C++, Rust legacy and v0), bounded to 4096 bytes, valid UTF-8, without control characters. */
size_t pa_symbolize(struct pa_symmod *m, uint64_t address, struct pa_symbol *out, size_t max);

/* For an address without a name: where its function begins, by the module's unwind table. ELF virtual addresses.
 * False: no entry covers it. */
bool pa_symmod_function(struct pa_symmod *m, uint64_t address, uint64_t *start);

/* perf-map files (/tmp/perf-PID.map). Tolerant: 0x prefixes, spaces in names, overlapping and later lines win; lines
 * that make no sense are counted. Bounded: 64 MiB of file, 1 M entries. */
struct pa_perfmap;
/* Errors: NULL with errno (ENOENT, EACCES: not owned by `uid` nor root, ENOMEM). uid (uid_t)-1: any owner. */
struct pa_perfmap *pa_perfmap_open(const char *path, uint32_t uid);
/* Parses len bytes of text; for the fuzzer. */
struct pa_perfmap *pa_perfmap_parse(const char *text, size_t len);
/* The entry that covers address, or NULL. Lent. */
const char *pa_perfmap_lookup(const struct pa_perfmap *map, uint64_t address);
size_t pa_perfmap_rejected(const struct pa_perfmap *map);
void pa_perfmap_free(struct pa_perfmap *map);

/* The build-id of an ELF file; returns its length, 0 when it has none, -errno when it is no readable ELF file. */
int pa_elf_build_id(int fd, uint8_t out[32]);

#endif
