/* Function starts from the unwind table, against the symbol table of this very program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/fde.h"

static struct pa_fde_table table;
static Elf *elf;
static int fd;

static int open_self(void **state)
{
	(void)state;
	elf_version(EV_CURRENT);
	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	pa_fde_table_read(&table, elf);
	return elf && table.nr ? 0 : -1;
}

static int close_self(void **state)
{
	(void)state;
	elf_end(elf);
	return close(fd);
}

static Elf_Data *symbols(GElf_Shdr *header)
{
	for (Elf_Scn *scn = NULL; (scn = elf_nextscn(elf, scn)) != NULL;) {
		if (gelf_getshdr(scn, header) && header->sh_type == SHT_SYMTAB)
			return elf_getdata(scn, NULL);
	}
	return NULL;
}

/* Compiled functions have one FDE each; assembly and the C start files may have none, or one for several. */
static void starts_are_those_of_the_symbol_table(void **state)
{
	GElf_Shdr header;
	Elf_Data *data = symbols(&header);
	unsigned same = 0, other = 0;

	(void)state;
	assert_non_null(data);
	for (size_t i = 0; i < header.sh_size / header.sh_entsize; i++) {
		GElf_Sym symbol;
		uint64_t start;

		if (!gelf_getsym(data, (int)i, &symbol) || GELF_ST_TYPE(symbol.st_info) != STT_FUNC ||
		    symbol.st_size < 8)
			continue;
		if (pa_fde_function(&table, symbol.st_value + symbol.st_size / 2, &start) && start == symbol.st_value)
			same++;
		else
			other++;
	}
	assert_true(same > 500);
	assert_true(other * 50 < same);
}

static void nothing_is_found_outside_code(void **state)
{
	uint64_t start;

	(void)state;
	assert_false(pa_fde_function(&table, 0, &start));
	assert_false(pa_fde_function(&table, UINT64_MAX, &start));
	assert_false(pa_fde_function(&table, table.frames_vaddr + 8, &start));
	assert_false(pa_fde_function(&table, table.hdr_vaddr, &start));
}

/* Each byte of both sections broken once, and every length: nothing is read outside them, which a sanitizer checks. */
static void damaged_tables_are_survived(void **state)
{
	struct pa_fde_table broken = table;
	uint8_t *hdr = malloc(table.hdr_len);
	uint64_t start, at = table.hdr_vaddr;

	(void)state;
	memcpy(hdr, table.hdr, table.hdr_len);
	broken.hdr = hdr;
	for (size_t i = 0; i < table.hdr_len; i++) {
		hdr[i] ^= 0x81;
		for (uint64_t address = 0; address < at; address += at / 16 + 1)
			(void)pa_fde_function(&broken, address, &start);
		hdr[i] ^= 0x81;
	}
	for (size_t len = 0; len < 64; len++) {
		broken.frames_len = len;
		(void)pa_fde_function(&broken, at / 2, &start);
	}
	free(hdr);
	pa_fde_table_read(&broken, NULL);
	assert_false(pa_fde_function(&broken, at / 2, &start));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(starts_are_those_of_the_symbol_table),
	    cmocka_unit_test(nothing_is_found_outside_code),
	    cmocka_unit_test(damaged_tables_are_survived),
	};

	return cmocka_run_group_tests(tests, open_self, close_self);
}
