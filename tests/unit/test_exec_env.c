/* What the agent takes out of the environment of a program, and which programs it does so for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <string.h>

#include "agent/exec_env_hook.h"
#include "agent/sysdep.h"

#define US "/usr/lib/libperfagent.so"

static void strips(const char *value, const char *expect)
{
	char out[256];
	size_t len = pa_exec_env_strip_hook(value, out, sizeof(out));

	assert_int_equal(len, strlen(expect));
	assert_string_equal(out, expect);
}

static void our_entry_is_taken_out_and_others_stay(void **unused)
{
	strips(US, "");
	strips("libperfagent.so", "");
	strips(US ":/a.so:b.so", "/a.so:b.so");
	strips("/a.so " US " b.so", "/a.so:b.so");
	strips("/a.so:" US, "/a.so");
	strips("/a.so::", "/a.so");
	strips("/libperfagent.so.1:/notlibperfagent.so:/libperfagent.so/x",
	       "/libperfagent.so.1:/notlibperfagent.so:/libperfagent.so/x");
	strips("", "");
}

static void strip_refuses_to_cut(void **unused)
{
	char out[8];

	assert_int_equal(pa_exec_env_strip_hook("/abcd.so", out, 8), SIZE_MAX);
	assert_int_equal(pa_exec_env_strip_hook("/abc.s", out, 8), 6);
	assert_string_equal(out, "/abc.s");
	assert_int_equal(pa_exec_env_strip_hook("", out, 0), SIZE_MAX);
}

static void only_preload_names_us(void **unused)
{
	char *const with[] = {"A=1", "LD_PRELOAD=/x.so:" US, NULL};
	char *const without[] = {"A=" US, "LD_PRELOADED=" US, "LD_PRELOAD=/x.so", NULL};

	assert_true(pa_exec_env_names_us_hook(with));
	assert_false(pa_exec_env_names_us_hook(without));
	assert_false(pa_exec_env_names_us_hook(NULL));
	assert_int_equal(pa_exec_env_count_hook(with), 2);
	assert_int_equal(pa_exec_env_count_hook(NULL), 0);
}

static void copy_keeps_order_and_every_other_variable(void **unused)
{
	char *const env[] = {"A=1", "LD_PRELOAD=" US ":/x.so", "PERFAGENT_SOCKET=/s", "B=", NULL};
	char preload[PA_EXEC_PRELOAD_MAX];
	char *copy[5];

	assert_true(pa_exec_env_without_us_hook(env, false, copy, preload));
	assert_ptr_equal(copy[0], env[0]);
	assert_string_equal(copy[1], "LD_PRELOAD=/x.so");
	assert_ptr_equal(copy[2], env[2]);
	assert_ptr_equal(copy[3], env[3]);
	assert_null(copy[4]);
	assert_true(pa_exec_env_without_us_hook(env, true, copy, preload));
	assert_ptr_equal(copy[2], env[3]);
	assert_null(copy[3]);
}

static void a_preload_of_us_alone_goes_away(void **unused)
{
	char *const env[] = {"LD_PRELOAD=" US, "A=1", "LD_PRELOAD=" US " ", NULL};
	char preload[PA_EXEC_PRELOAD_MAX];
	char *copy[4];

	assert_true(pa_exec_env_without_us_hook(env, false, copy, preload));
	assert_ptr_equal(copy[0], env[1]);
	assert_null(copy[1]);
}

static void a_preload_that_does_not_fit_is_not_cut(void **unused)
{
	static char line[PA_EXEC_PRELOAD_MAX + 100];
	char preload[PA_EXEC_PRELOAD_MAX];
	char *env[] = {line, NULL};
	char *copy[2];

	memset(line, 'x', sizeof(line) - 1);
	memcpy(line, "LD_PRELOAD=" US ":", sizeof("LD_PRELOAD=" US ":") - 1);
	assert_false(pa_exec_env_without_us_hook(env, false, copy, preload));
}

static size_t make_elf(unsigned char *bytes, int class, int machine, uint64_t interpreter)
{
	Elf64_Ehdr head = {
	    .e_machine = (Elf64_Half)machine, .e_phoff = sizeof(head), .e_phnum = 2, .e_phentsize = sizeof(Elf64_Phdr)};
	Elf64_Phdr segments[2] = {{.p_type = PT_LOAD}, {.p_type = PT_INTERP, .p_offset = interpreter, .p_filesz = 28}};

	memcpy(head.e_ident, ELFMAG, SELFMAG);
	head.e_ident[EI_CLASS] = (unsigned char)class;
	head.e_ident[EI_DATA] = ELFDATA2LSB;
	memcpy(bytes, &head, sizeof(head));
	memcpy(bytes + sizeof(head), segments, sizeof(segments));
	return sizeof(head) + sizeof(segments);
}

static void foreign_machines_are_refused(void **unused)
{
	unsigned char bytes[512];
	struct pa_exec_image image;
	size_t len = make_elf(bytes, ELFCLASS64, PA_ARCH_MACHINE, 0x318);

	pa_exec_image_parse_hook(bytes, len, &image);
	assert_int_equal(image.refused, 0);
	assert_int_equal(image.interpreter, 0x318);
	assert_int_equal(image.interpreter_len, 28);
	len = make_elf(bytes, ELFCLASS32, EM_386, 0);
	pa_exec_image_parse_hook(bytes, len, &image);
	assert_int_equal(image.refused, PA_EXEC_OTHER_MACHINE);
	assert_int_equal(image.machine, ELFCLASS32 << 16 | EM_386);
	len = make_elf(bytes, ELFCLASS64, EM_S390, 0);
	pa_exec_image_parse_hook(bytes, len, &image);
	assert_int_equal(image.refused, PA_EXEC_OTHER_MACHINE);
}

/* Every cut and every wild header is met without reading past the end: the sanitizers watch. */
static void cut_and_wild_headers_refuse_nothing_of_ours(void **unused)
{
	unsigned char bytes[512], *exact;
	struct pa_exec_image image;
	size_t len = make_elf(bytes, ELFCLASS64, PA_ARCH_MACHINE, 0x318);
	Elf64_Ehdr head;

	for (size_t cut = 0; cut < len; cut++) {
		exact = test_malloc(cut ? cut : 1);
		memcpy(exact, bytes, cut);
		pa_exec_image_parse_hook(exact, cut, &image);
		assert_int_equal(image.refused, 0);
		assert_int_equal(image.interpreter, 0);
		test_free(exact);
	}
	memcpy(&head, bytes, sizeof(head));
	head.e_phoff = UINT64_MAX - 10;
	head.e_phnum = UINT16_MAX;
	memcpy(bytes, &head, sizeof(head));
	pa_exec_image_parse_hook(bytes, len, &image);
	assert_int_equal(image.interpreter, 0);
}

static bool glibc(const char *path)
{
	return pa_exec_loader_is_glibc_hook(path, strlen(path) + 1);
}

static void loaders_are_told_apart(void **unused)
{
	assert_true(glibc("/lib64/ld-linux-x86-64.so.2"));
	assert_true(glibc("/lib/ld-linux-aarch64.so.1"));
	assert_true(glibc("/nix/store/abc-glibc/lib/ld-linux-x86-64.so.2"));
	assert_false(glibc("/lib/ld-musl-x86_64.so.1"));
	assert_false(glibc("/system/bin/linker64"));
	assert_false(glibc("/ld-linux/loader"));
	assert_false(glibc(""));
}

static void script(const char *bytes, const char *expect)
{
	const char *path = NULL;
	size_t len = pa_exec_script_hook(bytes, strlen(bytes), &path);

	assert_int_equal(len, strlen(expect));
	if (len)
		assert_memory_equal(path, expect, len);
}

static void scripts_name_their_interpreter(void **unused)
{
	script("#!/bin/sh\necho", "/bin/sh");
	script("#! \t/usr/bin/env python3\n", "/usr/bin/env");
	script("#!/bin/sh", "");
	script("#!\n", "");
	script("#/bin/sh\n", "");
	script("", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(our_entry_is_taken_out_and_others_stay),
	    cmocka_unit_test(strip_refuses_to_cut),
	    cmocka_unit_test(only_preload_names_us),
	    cmocka_unit_test(copy_keeps_order_and_every_other_variable),
	    cmocka_unit_test(a_preload_of_us_alone_goes_away),
	    cmocka_unit_test(a_preload_that_does_not_fit_is_not_cut),
	    cmocka_unit_test(foreign_machines_are_refused),
	    cmocka_unit_test(cut_and_wild_headers_refuse_nothing_of_ours),
	    cmocka_unit_test(loaders_are_told_apart),
	    cmocka_unit_test(scripts_name_their_interpreter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
