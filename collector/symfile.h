/* Which files have the symbols of a module: the file that was mapped, its debug file, their shared dwz file.
 * Every one of them counts only with the right build-id (or the checksum a debug link asks for). World: plain. */
#ifndef PA_COLLECTOR_SYMFILE_H
#define PA_COLLECTOR_SYMFILE_H

#include <elfutils/libdw.h>

#include "collector/elf.h"
#include "collector/symbolize.h"

struct pa_symfile {
	struct pa_elf main;  /* elf NULL: not found */
	struct pa_elf debug; /* elf NULL: none, or not needed */
	struct pa_elf alt;
	struct pa_elf mini; /* of .gnu_debugdata, when that is the best there is: functions that are not in .dynsym */
	Dwarf *dwarf;       /* of debug when that is open, else of main; NULL: no debug info */
	Dwarf *alt_dwarf;
	enum pa_symbol_status
	    status; /* MISSING or MISMATCH when neither file was found, else UNKNOWN: not judged yet */
};

/* The file as it was mapped, if it can still be had: by descriptor, as the target sees the path, as we see it; or our
 * own vDSO. Errors: UNKNOWN: opened, MISSING, MISMATCH, NONE: no ELF file (e is then closed). */
enum pa_symbol_status pa_symfile_open_main(struct pa_elf *e, const struct pa_module_ref *ref);

/* Finds and opens the files of ref. Shapes: f is overwritten; to be closed also when nothing was found. */
void pa_symfile_open(struct pa_symfile *f, const struct pa_module_ref *ref);
void pa_symfile_close(struct pa_symfile *f);

/* The file whose .symtab is best: the debug file, the file itself, its .gnu_debugdata; may be NULL. */
Elf *pa_symfile_symbols(struct pa_symfile *f);

/* Opens what .gnu_debugdata of main holds; false when there is none, or nothing usable in it. */
bool pa_symfile_open_debugdata(struct pa_elf *e, Elf *main);

/* Asks debuginfod when DEBUGINFOD_URLS is set: an open descriptor of the debug file, or -errno (-ENOTSUP: not asked).
 * Bounded: 10 s without a byte, 60 s a file; after three failures nothing is asked any more. */
int pa_debuginfod_fetch(const uint8_t *build_id, size_t len);

#endif
