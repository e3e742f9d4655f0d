/* A search table for files without .eh_frame_hdr: gcc links static programs without one. World: plain. */
#ifndef PA_COLLECTOR_UNWIND_TABLE_H
#define PA_COLLECTOR_UNWIND_TABLE_H

#include <stddef.h>
#include <stdint.h>

/* As in .eh_frame_hdr: a function and its FDE, relative to the table's base. */
struct pa_unwind_entry {
	int32_t start;
	int32_t fde;
};

#define PA_UNWIND_ENTRIES_MAX (1u << 20)

/* Lists the FDEs of an .eh_frame section, sorted by function. Damaged sections give what stands before the damage.
 * Shapes: section has len bytes that lie at vaddr; *out is for the caller to free. Units: ELF virtual addresses.
 * Returns how many; 0: none, none that can be expressed, or no memory (*out is NULL). */
size_t pa_unwind_list_fdes(const uint8_t *section, size_t len, uint64_t vaddr, uint64_t base,
			   struct pa_unwind_entry **out);

#endif
