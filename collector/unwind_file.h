/* What the unwinder needs of ELF files: read-only memory by address and the search table of .eh_frame_hdr.
 * World: plain. */
#ifndef PA_COLLECTOR_UNWIND_FILE_H
#define PA_COLLECTOR_UNWIND_FILE_H

#include "collector/unwind.h"
#include "collector/unwind_table.h"

struct pa_unwind_file;

/* The file of a module, opened when it is met for the first time; lent until the next call with another module.
 * Errors: NULL: not there, another build-id, or not readable (remembered). */
struct pa_unwind_file *pa_unwind_files_get(struct pa_unwind_files *files, const struct pa_unwind_module *module);

/* Copies len bytes at an ELF virtual address of a segment that is not writable. Errors: 0 or -EFAULT. */
int pa_unwind_file_read(struct pa_unwind_files *files, struct pa_unwind_file *file, uint64_t vaddr, void *out,
			size_t len);

struct pa_unwind_table {
	uint64_t hdr_vaddr; /* what the entries of the table are relative to */
	uint64_t table_vaddr;
	uint64_t nr;                        /* entries of two 32 bit words */
	const struct pa_unwind_entry *made; /* NULL: the table is in the file at table_vaddr; else this is it, lent */
};

/* The sorted table of .eh_frame_hdr, or one that was made of .eh_frame; false when there is neither. */
bool pa_unwind_file_table(const struct pa_unwind_file *file, struct pa_unwind_table *out);

#endif
