/* What the agent takes out of the environment of a program, and which programs it does so for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <string.h>

#include "agent/exec_env_hook.h"
#include "agent/exec_needed_hook.h"
#include "agent/sysdep.h"

#define US "/usr/lib/libperfagent.so"

static void strips(const char *value, const char *expect)
{
	char out[256];
	size_t len = pa_exec_env_strip_hook(value, PA_EXEC_TAKE_AGENT, out, sizeof(out));

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

	assert_int_equal(pa_exec_env_strip_hook("/abcd.so", PA_EXEC_TAKE_AGENT, out, 8), SIZE_MAX);
	assert_int_equal(pa_exec_env_strip_hook("/abc.s", PA_EXEC_TAKE_AGENT, out, 8), 6);
	assert_string_equal(out, "/abc.s");
	assert_int_equal(pa_exec_env_strip_hook("", PA_EXEC_TAKE_AGENT, out, 0), SIZE_MAX);
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

	assert_true(pa_exec_env_without_hook(env, PA_EXEC_TAKE_AGENT, copy, preload));
	assert_ptr_equal(copy[0], env[0]);
	assert_string_equal(copy[1], "LD_PRELOAD=/x.so");
	assert_ptr_equal(copy[2], env[2]);
	assert_ptr_equal(copy[3], env[3]);
	assert_null(copy[4]);
	assert_true(pa_exec_env_without_hook(env, PA_EXEC_TAKE_AGENT | PA_EXEC_TAKE_VARIABLES, copy, preload));
	assert_ptr_equal(copy[2], env[3]);
	assert_null(copy[3]);
}

static void put_into(const char *list, const char *expected)
{
	char *const env[] = {"A=1", (char *)list, "B=", NULL};
	char preload[PA_EXEC_PRELOAD_MAX];
	char *copy[4];

	assert_true(pa_exec_env_has_list_hook(env));
	assert_true(pa_exec_env_with_hook(env, US, copy, preload));
	assert_ptr_equal(copy[0], env[0]);
	assert_string_equal(copy[1], expected);
	assert_ptr_equal(copy[2], env[2]);
	assert_null(copy[3]);
}

static void a_list_of_the_hosts_own_gets_us_first(void **unused)
{
	static char line[PA_EXEC_PRELOAD_MAX];
	char *const empty[] = {"A=1", "LD_PRELOAD= :", NULL}, *const full[] = {line, NULL};
	char *const runtime[] = {"LD_PRELOAD=/lib/libasan.so.8:/x.so", NULL}, *const other[] = {"LD_PRELOAD=/x.so",
												NULL};
	char preload[PA_EXEC_PRELOAD_MAX];
	char *copy[3];

	put_into("LD_PRELOAD=/x.so", "LD_PRELOAD=" US ":/x.so");
	put_into("LD_PRELOAD=: /x.so /y.so", "LD_PRELOAD=: " US ":/x.so /y.so");
	put_into("LD_PRELOAD=/lib/libasan.so.8", "LD_PRELOAD=/lib/libasan.so.8:" US);
	put_into("LD_PRELOAD=/lib/libasan.so.8:/x.so", "LD_PRELOAD=/lib/libasan.so.8:" US ":/x.so");
	assert_false(pa_exec_env_has_list_hook(empty));
	assert_true(pa_exec_env_with_hook(empty, US, copy, preload));
	assert_ptr_equal(copy[1], empty[1]);
	memset(line, 'x', sizeof(line) - 1);
	memcpy(line, "LD_PRELOAD=/", sizeof("LD_PRELOAD=/") - 1);
	assert_false(pa_exec_env_with_hook(full, US, copy, preload));
	line[PA_EXEC_PRELOAD_MAX - sizeof(US ":")] = '\0';
	assert_true(pa_exec_env_with_hook(full, US, copy, preload));
	assert_true(pa_exec_env_lacks_runtime_hook(other, "libasan.so.8"));
	assert_false(pa_exec_env_lacks_runtime_hook(runtime, "libasan.so.8"));
	assert_false(pa_exec_env_lacks_runtime_hook(other, ""));
}

static void our_entry_is_found(void **unused)
{
	char *const env[] = {"A=" US, "LD_PRELOAD=/x.so:" US ":/y.so", NULL}, *const none[] = {"LD_PRELOAD=/x.so",
											       NULL};
	const char *entry;

	assert_int_equal(pa_exec_env_ours_hook(env, &entry), sizeof(US) - 1);
	assert_memory_equal(entry, US ":", sizeof(US));
	assert_int_equal(pa_exec_env_ours_hook(none, &entry), 0);
	assert_true(pa_exec_env_has_hook(env, "A="));
	assert_false(pa_exec_env_has_hook(env, "B="));
}

static void a_preload_of_us_alone_goes_away(void **unused)
{
	char *const env[] = {"LD_PRELOAD=" US, "A=1", "LD_PRELOAD=" US " ", NULL};
	char preload[PA_EXEC_PRELOAD_MAX];
	char *copy[4];

	assert_true(pa_exec_env_without_hook(env, PA_EXEC_TAKE_AGENT, copy, preload));
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
	assert_false(pa_exec_env_without_hook(env, PA_EXEC_TAKE_AGENT, copy, preload));
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

#define OUT_AGENT   PA_EXEC_TAKE_AGENT
#define OUT_RUNTIME PA_EXEC_TAKE_RUNTIME

static unsigned misfit(const char *preload, const char *runtime)
{
	char entry[512] = "LD_PRELOAD=";
	char *const env[] = {"LD_PRELOAD=/libasan.so.8", entry, NULL};

	strcat(entry, preload);
	return pa_exec_env_misfit_hook(env, runtime);
}

static void we_must_not_come_before_a_runtime(void **unused)
{
	assert_int_equal(misfit(US, ""), 0);
	assert_int_equal(misfit(US, "libasan.so.8"), OUT_AGENT);
	assert_int_equal(misfit(US ":libasan.so.8", "libasan.so.8"), OUT_AGENT);
	assert_int_equal(misfit("/x.so:libasan.so.8:" US, "libasan.so.8"), OUT_AGENT);
	assert_int_equal(misfit("libasan.so.8:" US, "libasan.so.8"), 0);
	assert_int_equal(misfit("/usr/lib/libasan.so:/x.so " US, "libasan.so.8"), 0);
	assert_int_equal(misfit("libclang_rt.asan-x86_64.so:" US, "libclang_rt.asan-x86_64.so"), 0);
	assert_int_equal(misfit("libtsan.so.2:" US, "libasan.so.8"), OUT_AGENT);
}

/* The mark "::" tells record's own runtime from the user's. */
static void a_runtime_goes_only_when_record_brought_it(void **unused)
{
	assert_int_equal(misfit("libasan.so.8::" US, ""), OUT_RUNTIME);
	assert_int_equal(misfit("libasan.so.8::" US, "libasan.so.8"), 0);
	assert_int_equal(misfit("libasan.so.8::" US, "libasan.so.6"), OUT_AGENT);
	assert_int_equal(misfit("libasan.so.8::" US, "libclang_rt.asan-x86_64.so"), OUT_AGENT);
	assert_int_equal(misfit("libasan.so.8:" US, ""), 0);
	assert_int_equal(misfit("libasan.so.8:::" US, ""), 0);
	assert_int_equal(misfit("libasan.so.8::/x.so:" US, ""), 0);
	assert_int_equal(misfit("/x.so::" US, ""), 0);
}

static void stripped_of(const char *value, unsigned take, const char *expect)
{
	char out[256];

	assert_int_equal(pa_exec_env_strip_hook(value, take, out, sizeof(out)), strlen(expect));
	assert_string_equal(out, expect);
}

static void a_marked_runtime_goes_alone_or_with_us(void **unused)
{
	stripped_of("libasan.so.8::" US ":/x.so", OUT_RUNTIME, US ":/x.so");
	stripped_of("libasan.so.8::" US ":/x.so", OUT_AGENT, "/x.so");
	stripped_of("libasan.so.8:" US ":/x.so", OUT_RUNTIME, "libasan.so.8:" US ":/x.so");
	stripped_of("libasan.so.8:" US ":/x.so", OUT_AGENT, "libasan.so.8:/x.so");
	stripped_of("libasan.so.8::" US, PA_EXEC_TAKE_VARIABLES, "libasan.so.8:" US);
}

/* A program file: two loadable segments (so that an address is no offset), a dynamic section, its strings. */
struct file {
	Elf64_Ehdr head;
	Elf64_Phdr segments[4];
	Elf64_Dyn dynamic[6];
	char strings[160];
};

struct bytes {
	const unsigned char *at;
	size_t len;
};

static size_t read_bytes(void *arg, void *to, size_t len, uint64_t offset)
{
	const struct bytes *file = arg;

	if (offset >= file->len)
		return 0;
	len = len < file->len - offset ? len : file->len - offset;
	memcpy(to, file->at + offset, len);
	return len;
}

static struct file make_program(const char *second)
{
	const uint64_t bias = 0x400000, strings = offsetof(struct file, strings);
	struct file f = {
	    .head = {.e_machine = PA_ARCH_MACHINE,
		     .e_phoff = offsetof(struct file, segments),
		     .e_phnum = 4,
		     .e_phentsize = sizeof(Elf64_Phdr)},
	    .segments = {{.p_type = PT_LOAD, .p_filesz = strings},
			 {.p_type = PT_NOTE},
			 {.p_type = PT_LOAD, .p_offset = strings, .p_vaddr = bias, .p_filesz = sizeof(f.strings)},
			 {.p_type = PT_DYNAMIC,
			  .p_offset = offsetof(struct file, dynamic),
			  .p_filesz = sizeof(f.dynamic)}},
	    .dynamic = {{.d_tag = DT_NEEDED, .d_un.d_val = 1},
			{.d_tag = DT_NEEDED, .d_un.d_val = 40},
			{.d_tag = DT_STRTAB, .d_un.d_ptr = bias},
			{.d_tag = DT_NULL}},
	};

	memcpy(f.head.e_ident, ELFMAG, SELFMAG);
	f.head.e_ident[EI_CLASS] = ELFCLASS64;
	f.head.e_ident[EI_DATA] = ELFDATA2LSB;
	strcpy(f.strings + 1, "libc.so.6");
	strcpy(f.strings + 40, second);
	return f;
}

static bool needs(const struct file *file, size_t len, char *name)
{
	unsigned char *exact = test_malloc(len ? len : 1);
	struct bytes bytes = {exact, len};
	bool ret;

	memcpy(exact, file, len);
	memset(name, 'x', PA_PRELOAD_NAME_MAX);
	ret = pa_exec_needed_hook(read_bytes, &bytes, name);
	test_free(exact);
	assert_true(ret == (name[0] != '\0'));
	return ret;
}

static void a_needed_runtime_is_found(void **unused)
{
	char name[PA_PRELOAD_NAME_MAX], path[100] = "libasan.so.";
	struct file f = make_program("libasan.so.8");

	assert_true(needs(&f, sizeof(f), name));
	assert_string_equal(name, "libasan.so.8");
	f = make_program("libclang_rt.asan-x86_64.so");
	assert_true(needs(&f, sizeof(f), name));
	f = make_program("libtsan.so.2");
	assert_false(needs(&f, sizeof(f), name));
	f = make_program("libasan.so.8");
	f.dynamic[0].d_tag = DT_NULL; /* the section ends before it */
	assert_false(needs(&f, sizeof(f), name));
	memset(path + 11, '8', PA_PRELOAD_NAME_MAX - 12);
	f = make_program(path);
	assert_true(needs(&f, sizeof(f), name));
	path[strlen(path)] = '8'; /* one more than there is room for */
	f = make_program(path);
	assert_false(needs(&f, sizeof(f), name));
}

/* Every cut, and wild values in every field: no read past the file, no name that is not there. */
static void cut_and_wild_programs_need_nothing(void **unused)
{
	static const uint64_t wild[] = {0, 1, 7, 0x7fffffffffffffff, 0x8000000000000000, UINT64_MAX - 8, UINT64_MAX};
	const struct file good = make_program("libasan.so.8");
	const size_t end = offsetof(struct file, strings) + 40 + sizeof("libasan.so.8");
	char name[PA_PRELOAD_NAME_MAX];

	for (size_t len = 0; len <= sizeof(good); len++)
		assert_int_equal(needs(&good, len, name), len >= end);
	for (size_t at = 0; at + 8 <= offsetof(struct file, strings); at += 2) {
		for (size_t i = 0; i < sizeof(wild) / sizeof(*wild); i++) {
			struct file f = good;

			memcpy((char *)&f + at, &wild[i], 8);
			if (needs(&f, sizeof(f), name))
				assert_string_equal(name, "libasan.so.8");
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(our_entry_is_taken_out_and_others_stay),
	    cmocka_unit_test(strip_refuses_to_cut),
	    cmocka_unit_test(only_preload_names_us),
	    cmocka_unit_test(copy_keeps_order_and_every_other_variable),
	    cmocka_unit_test(a_list_of_the_hosts_own_gets_us_first),
	    cmocka_unit_test(our_entry_is_found),
	    cmocka_unit_test(a_preload_of_us_alone_goes_away),
	    cmocka_unit_test(a_preload_that_does_not_fit_is_not_cut),
	    cmocka_unit_test(foreign_machines_are_refused),
	    cmocka_unit_test(cut_and_wild_headers_refuse_nothing_of_ours),
	    cmocka_unit_test(loaders_are_told_apart),
	    cmocka_unit_test(scripts_name_their_interpreter),
	    cmocka_unit_test(we_must_not_come_before_a_runtime),
	    cmocka_unit_test(a_runtime_goes_only_when_record_brought_it),
	    cmocka_unit_test(a_marked_runtime_goes_alone_or_with_us),
	    cmocka_unit_test(a_needed_runtime_is_found),
	    cmocka_unit_test(cut_and_wild_programs_need_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
