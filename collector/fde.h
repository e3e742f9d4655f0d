/* Where a function begins according to a module's unwind table: so that the addresses of one stripped function are one
 * row of a report, without borrowing a neighbour's name. World: plain. */
#ifndef PA_COLLECTOR_FDE_H
#define PA_COLLECTOR_FDE_H

#include <gelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Lends from the Elf it was read from. */
struct pa_fde_table {
	const uint8_t *hdr; /* .eh_frame_hdr */
	size_t hdr_len;
	uint64_t hdr_vaddr;
	const uint8_t *frames; /* .eh_frame */
	size_t frames_len;
	uint64_t frames_vaddr;
	size_t nr; /* entries of the search table; 0: none that can be read */
};

/* Reads the two sections. elf NULL, or without a sorted table of 32-bit words: nr is 0. */
void pa_fde_table_read(struct pa_fde_table *table, Elf *elf);

/* The start of the function whose range covers an ELF virtual address; false: none does. */
bool pa_fde_function(const struct pa_fde_table *table, uint64_t address, uint64_t *start);

#endif
