/* What a program file is, before anybody runs it: can the agent be preloaded into it, and what will the reports be able
 * to say about it. Used by doctor, and by record to refuse early. World: plain. */
#ifndef PA_TOOLS_PROGRAM_H
#define PA_TOOLS_PROGRAM_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/preload.h"

enum pa_program_kind {
	PA_PROGRAM_ELF,     /* something the loader could preload into, if the fields below allow it */
	PA_PROGRAM_FOREIGN, /* ELF for another processor or another byte order */
	PA_PROGRAM_OTHER,   /* neither ELF nor a script: the kernel will refuse it, a shell may run it */
};

struct pa_program {
	char path[PATH_MAX];   /* the file whose code runs: of a script, its interpreter */
	char script[PATH_MAX]; /* the script that led there; "" when path was named itself */
	enum pa_program_kind kind;
	char interp[256]; /* the loader it asks for (PT_INTERP); "": static */
	bool is_loader;   /* it is itself a loader, which preloads for the program it is given */
	bool bits32;
	bool musl;
	bool go;
	bool debug_info;       /* DWARF in the file itself */
	bool symbols;          /* .symtab in the file itself */
	const char *sanitizer; /* "AddressSanitizer", ...; NULL: none */
	char
	    runtime[PA_PRELOAD_NAME_MAX]; /* a sanitizer's library it needs, which must be the first of all; "": none */
	uint16_t machine;                 /* e_machine */
	uint8_t build_id[32];
	uint32_t build_id_len;
	char debug_file[PATH_MAX]; /* the separate debug file found; "" none */
	const char *secure; /* why the loader will drop LD_PRELOAD (AT_SECURE): "set-user-ID", ...; NULL: it will not */
};

/* Finds a command as execvp does.
 * Shapes: path has room for PATH_MAX.   Errors: 0; -ENOENT; -EACCES: there, and not executable; -ENAMETOOLONG. */
int pa_program_find(const char *command, char *path);

/* Reads the file; follows #! lines (at most 4, `env NAME` included) to the interpreter.
 * Shapes: out is filled completely.   Errors: 0, or -errno of opening it or an interpreter (out->path names which). */
int pa_program_examine(const char *path, struct pa_program *out);

/* One clause on why the agent cannot be preloaded ("is statically linked: ..."), or NULL when it can. Lent, static. */
const char *pa_program_refusal(const struct pa_program *p);

#endif
