/* The search table made of .eh_frame: the same as the one the linker made, and nothing from damaged sections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <link.h>
#include <stdlib.h>
#include <string.h>

#include "collector/unwind_table.h"

/* What the linker wrote about this very program. */
static const uint8_t *hdr, *frames;
static size_t frames_len;

static int find_hdr(struct dl_phdr_info *info, size_t size, void *arg)
{
	uintptr_t end = 0;

	if (info->dlpi_name[0])
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_GNU_EH_FRAME)
			hdr = (const uint8_t *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
	for (int i = 0; hdr && i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type == PT_LOAD && (uintptr_t)hdr >= start && (uintptr_t)hdr < start + ph->p_memsz)
			end = start + ph->p_memsz;
	}
	if (hdr) {
		int32_t offset;

		memcpy(&offset, hdr + 4, sizeof(offset)); /* relative to itself */
		frames = hdr + 4 + offset;
		frames_len = end - (uintptr_t)frames;
	}
	return 1;
}

static int set_up(void **state)
{
	dl_iterate_phdr(find_hdr, NULL);
	return hdr && frames_len ? 0 : -1;
}

static void the_table_is_the_linkers(void **state)
{
	struct pa_unwind_entry *made, linked;
	uint32_t nr;
	size_t got = pa_unwind_list_fdes(frames, frames_len, (uintptr_t)frames, (uintptr_t)hdr, &made);

	memcpy(&nr, hdr + 8, sizeof(nr));
	assert_true(nr > 10);
	assert_int_equal(got, nr);
	for (uint32_t i = 0; i < nr; i++) {
		memcpy(&linked, hdr + 12 + i * 8, sizeof(linked));
		assert_int_equal(made[i].start, linked.start);
		assert_int_equal(made[i].fde, linked.fde);
	}
	free(made);
}

/* a CIE "zR" with that pointer encoding, and one FDE of 16 bytes of code at vaddr 0x2000 */
static size_t small_section(uint8_t *out, uint8_t encoding)
{
	static const uint8_t cie[] = {16, 0, 0, 0, 0, 0, 0, 0, 1, 'z', 'R', 0, 1, 0x78, 16, 1, 0, 0, 0, 0};
	const uint32_t fde[] = {16, sizeof(cie) + 4, 0x2000 - (0x1000 + sizeof(cie) + 8), 16, 0};

	memcpy(out, cie, sizeof(cie));
	out[16] = encoding;
	memcpy(out + sizeof(cie), fde, sizeof(fde));
	memset(out + sizeof(cie) + sizeof(fde), 0, 4);
	return sizeof(cie) + sizeof(fde) + 4;
}

static void one_function_is_found_by_hand(void **state)
{
	struct pa_unwind_entry *made;
	uint8_t section[64];
	size_t len = small_section(section, 0x1b);

	assert_int_equal(pa_unwind_list_fdes(section, len, 0x1000, 0x800, &made), 1);
	assert_int_equal(made[0].start, 0x2000 - 0x800);
	assert_int_equal(made[0].fde, 0x1000 + 20 - 0x800);
	free(made);
}

static void other_encodings_are_left_out(void **state)
{
	struct pa_unwind_entry *made;
	uint8_t section[64];
	size_t len = small_section(section, 0x03);

	assert_int_equal(pa_unwind_list_fdes(section, len, 0x1000, 0x800, &made), 0);
	assert_null(made);
}

static void a_cut_section_gives_what_is_whole(void **state)
{
	struct pa_unwind_entry *made;
	uint8_t section[64];
	size_t len = small_section(section, 0x1b);

	for (size_t cut = 0; cut <= len; cut++) {
		uint8_t *exact = malloc(cut ? cut : 1); /* so that a sanitizer sees a byte too many */

		memcpy(exact, section, cut);
		assert_int_equal(pa_unwind_list_fdes(exact, cut, 0x1000, 0x800, &made), cut >= 40);
		free(made);
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_table_is_the_linkers),
	    cmocka_unit_test(one_function_is_found_by_hand),
	    cmocka_unit_test(other_encodings_are_left_out),
	    cmocka_unit_test(a_cut_section_gives_what_is_whole),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
