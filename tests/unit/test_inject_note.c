/* Where a library is to be entered: read from images in our own memory, honest and not. */
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/inject.h"
#include "remote/inject_note.h"

#define CODE 0x1000
#define NOTE 0x200

static struct image {
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdrs[2];
	uint8_t room[NOTE - sizeof(Elf64_Ehdr) - 2 * sizeof(Elf64_Phdr)];
	struct {
		Elf64_Nhdr head;
		char owner[12];
		struct pa_inject_note desc;
	} other, note;
	uint8_t rest[0x800];
} image;

_Static_assert(offsetof(struct image, other) == NOTE, "where the program header says");

static int setup(void **state)
{
	const Elf64_Nhdr head = {sizeof(PA_NOTE_OWNER), sizeof(image.note.desc), PA_NOTE_INJECT};

	memset(&image, 0, sizeof(image));
	memcpy(image.ehdr.e_ident, ELFMAG, SELFMAG);
	image.ehdr.e_ident[EI_CLASS] = ELFCLASS64;
	image.ehdr.e_phoff = offsetof(struct image, phdrs);
	image.ehdr.e_phentsize = sizeof(Elf64_Phdr);
	image.ehdr.e_phnum = 2;
	image.phdrs[0] = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = CODE, .p_memsz = 0x100};
	image.phdrs[1] = (Elf64_Phdr){.p_type = PT_NOTE, .p_vaddr = NOTE, .p_filesz = 2 * sizeof(image.note)};
	image.other.head = image.note.head = head;
	image.other.head.n_type = PA_NOTE_COMMAND;
	memcpy(image.other.owner, PA_NOTE_OWNER, sizeof(PA_NOTE_OWNER));
	memcpy(image.note.owner, PA_NOTE_OWNER, sizeof(PA_NOTE_OWNER));
	image.note.desc = (struct pa_inject_note){PA_INJECT_MAJOR, sizeof(struct pa_inject_order),
						  CODE + 0x40 - (int64_t)offsetof(struct image, note.desc)};
	return 0;
}

static int find(uint64_t *enter)
{
	*enter = 0;
	return pa_inject_note_find(getpid(), (uint64_t)(uintptr_t)&image, enter);
}

static void test_found(void **state)
{
	uint64_t enter;

	assert_int_equal(find(&enter), 0);
	assert_int_equal(enter, (uint64_t)(uintptr_t)&image + CODE + 0x40);
}

static void test_another_version(void **state)
{
	uint64_t enter;

	image.note.desc.major++;
	assert_int_equal(find(&enter), -EPROTONOSUPPORT);
	image.note.desc.major--;
	image.note.desc.size += 8;
	assert_int_equal(find(&enter), -EPROTONOSUPPORT);
}

static void test_not_code(void **state)
{
	uint64_t enter;

	image.note.desc.enter += 0x100;
	assert_int_equal(find(&enter), -EBADMSG);
	image.note.desc.enter -= 0x100 + 0x41;
	assert_int_equal(find(&enter), -EBADMSG);
	image.note.desc.enter += 0x41;
	image.phdrs[0].p_flags = PF_R | PF_W;
	assert_int_equal(find(&enter), -EBADMSG);
}

static void test_no_such_note(void **state)
{
	uint64_t enter;

	image.note.owner[0] = 'P';
	assert_int_equal(find(&enter), -ENOENT);
	image.note.owner[0] = 'p';
	image.note.head.n_type = 3;
	assert_int_equal(find(&enter), -ENOENT);
	image.note.head.n_type = PA_NOTE_INJECT;
	image.note.head.n_descsz = 8;
	assert_int_equal(find(&enter), -ENOENT);
}

/* Sizes that lead out of the segment, past the end of everything, or nowhere. */
static void test_sizes(void **state)
{
	static const uint32_t sizes[] = {0xffffffff, 0xfffffffd, 0x80000000, 0x7fffffff, 4096};
	uint64_t enter;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		setup(NULL);
		image.other.head.n_namesz = sizes[i];
		assert_int_equal(find(&enter), -ENOENT);
		setup(NULL);
		image.other.head.n_descsz = sizes[i];
		assert_int_equal(find(&enter), -ENOENT);
	}
	setup(NULL);
	image.phdrs[1].p_filesz = sizeof(image.other) + sizeof(image.note) - 1;
	assert_int_equal(find(&enter), -ENOENT);
	setup(NULL);
	image.phdrs[1].p_filesz = UINT64_MAX;
	assert_int_equal(find(&enter), 0);
}

static void test_no_image(void **state)
{
	uint64_t enter;

	image.ehdr.e_phnum = 0;
	assert_int_equal(find(&enter), -ENOENT);
	image.ehdr.e_phnum = 60000;
	assert_int_equal(find(&enter), -ENOENT);
	image.ehdr.e_phnum = 2;
	image.ehdr.e_phoff = UINT64_C(1) << 46;
	assert_true(find(&enter) < 0);
	image.ehdr.e_ident[0] = 0;
	assert_int_equal(find(&enter), -ENOENT);
	assert_true(pa_inject_note_find(getpid(), 4096, &enter) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_found, setup),    cmocka_unit_test_setup(test_another_version, setup),
	    cmocka_unit_test_setup(test_not_code, setup), cmocka_unit_test_setup(test_no_such_note, setup),
	    cmocka_unit_test_setup(test_sizes, setup),    cmocka_unit_test_setup(test_no_image, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
