/* Names, inlined levels and lines against binutils' addr2line and nm, over the ways debug info is stored; wrong, lost
 * and damaged files. The programs are compiled here, into a directory of their own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collector/elf.h"
#include "collector/symbolize.h"

#define LEVELS        64
#define ADDRESSES_MAX 20000

static char dir[] = "/tmp/pa-symbolize-XXXXXX";

static const char inlines_cpp[] =
    "#include <algorithm>\n#include <cstdio>\n#include <map>\n#include <string>\n#include <vector>\n"
    "namespace app {\n"
    "template <class T> static inline __attribute__((always_inline)) T mix(T a, T b) { return a * 31 + b; }\n"
    "struct item { std::string name; int value; };\n"
    "static inline int fold(const std::vector<item> &v)\n"
    "{\n\tint s = 0;\n\tfor (auto &i : v)\n\t\ts = mix(s, i.value);\n\treturn s;\n}\n"
    "__attribute__((noinline)) int work(int n)\n"
    "{\n\tstd::vector<item> v;\n\tstd::map<std::string, int> m;\n"
    "\tfor (int i = 0; i < n; i++) {\n"
    "\t\tv.push_back({std::to_string(mix(i, n) % 1000), i});\n\t\tm[v.back().name] += i;\n\t}\n"
    "\tstd::sort(v.begin(), v.end(), [](const item &a, const item &b) { return a.value > b.value; });\n"
    "\ttry {\n\t\tm.at(\"nope\");\n\t} catch (std::exception &e) {\n\t\treturn fold(v) + (int)m.size();\n\t}\n"
    "\treturn fold(v);\n}\n"
    "}\n"
    "int main(int argc, char **argv)\n{\n\tprintf(\"%d\\n\", app::work(argc * 1000));\n}\n";

/* Symbols without a size, gaps, an indirect function, and calls through a linkage table. */
static const char symbols_c[] =
    "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
    "__asm__(\".text\\n.globl bare_one\\nbare_one: nop\\n nop\\n nop\\n ret\\n\"\n"
    "        \".globl bare_two\\n.type bare_two,@function\\nbare_two: nop\\n nop\\n ret\\n\"\n"
    "        \".globl sized_one\\n.type sized_one,@function\\nsized_one: nop\\n nop\\ninside_sized: nop\\n ret\\n\"\n"
    "        \".size sized_one,.-sized_one\\n\"\n"
    "        \".skip 64, 0xcc\\n\"\n"
    "        \".globl after_gap\\n.type after_gap,@function\\nafter_gap: ret\\n.size after_gap,1\\n\"\n"
    "        \".globl __alias_of_named\\n.type __alias_of_named,@function\\n.globl named\\n.type named,@function\\n\"\n"
    "        \"__alias_of_named: named: nop\\n ret\\n.size named,2\\n.size __alias_of_named,2\\n\"\n"
    "        \".section .other,\\\"ax\\\",@progbits\\n.globl elsewhere\\nelsewhere: nop\\n ret\\n\"\n"
    "        \".data\\n.globl not_code\\nnot_code: .quad 0\\n.text\\n\");\n"
    "static int one(void) { return 1; }\n"
    "static int (*choose(void))(void) { return one; }\n"
    "int chosen(void) __attribute__((ifunc(\"choose\")));\n"
    "int main(int argc, char **argv)\n"
    "{\n\tputs(argv[0]);\n\treturn chosen() + (int)strtoul(argv[0], NULL, argc);\n}\n";

static void run(const char *format, ...)
{
	char command[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static const char *in_dir(const char *name)
{
	static char paths[8][PATH_MAX];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, PATH_MAX, "%s/%s", dir, name);
	return path;
}

static void write_bytes(const char *name, const void *bytes, size_t len)
{
	FILE *f = fopen(in_dir(name), "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, len, f), len);
	fclose(f);
}

static int set_up(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	write_bytes("inlines.cpp", inlines_cpp, sizeof(inlines_cpp) - 1);
	write_bytes("symbols.c", symbols_c, sizeof(symbols_c) - 1);
	run("cd %s && g++ -g -O2 -Wl,--build-id -o inlines inlines.cpp", dir);
	run("cd %s && gcc -O2 -Wl,--build-id -Wl,-z,lazy -fcf-protection=none -o symbols symbols.c", dir);
	return 0;
}

static int tear_down(void **state)
{
	run("rm -rf %s", dir);
	return 0;
}

static size_t build_id(const char *path, uint8_t id[32])
{
	int fd = open(path, O_RDONLY), len = pa_elf_build_id(fd, id);

	close(fd);
	assert_in_range(len, 8, 32);
	return (size_t)len;
}

/* The module at path, believed to have that build-id (of another file than path: NULL for any). */
static struct pa_symmod *open_module(struct pa_symbolizer *s, const char *path, const char *root, const char *id_of)
{
	uint8_t id[32];
	struct pa_module_ref ref = {.path = path, .root = root, .fd = -1, .build_id = id};

	if (id_of)
		ref.build_id_len = build_id(id_of, id);
	return pa_symbolizer_module(s, &ref);
}

static enum pa_symbol_status status_of(const char *path, const char *root, const char *id_of)
{
	struct pa_symbolizer *s = pa_symbolizer_new();
	enum pa_symbol_status status = pa_symmod_status(open_module(s, path, root, id_of));

	pa_symbolizer_free(s);
	return status;
}

struct addresses {
	uint64_t at[ADDRESSES_MAX];
	size_t nr;
};

/* Every step-th address of the code. */
static void list_code(const char *path, size_t step, struct addresses *out)
{
	struct pa_ranges code = {0};
	struct pa_elf e;

	assert_int_equal(pa_elf_open(&e, path, -1), 0);
	assert_int_equal(pa_elf_code_ranges(e.elf, &code), 0);
	out->nr = 0;
	for (size_t i = 0; i < code.nr; i++) {
		for (uint64_t a = code.ranges[i].lo; a < code.ranges[i].hi && out->nr < ADDRESSES_MAX; a += step)
			out->at[out->nr++] = a;
	}
	pa_ranges_fini(&code);
	pa_elf_close(&e);
	assert_in_range(out->nr, 50, ADDRESSES_MAX - 1);
}

/* All answers as one text. */
static char *ask(const char *path, const char *root, const char *id_of, enum pa_symbol_status expected,
		 const struct addresses *addresses)
{
	struct pa_symbolizer *s = pa_symbolizer_new();
	struct pa_symmod *m = open_module(s, path, root, id_of);
	struct pa_symbol levels[LEVELS];
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	assert_string_equal(pa_symbol_status_name(pa_symmod_status(m)), pa_symbol_status_name(expected));
	for (size_t i = 0; i < addresses->nr; i++) {
		size_t nr = pa_symbolize(m, addresses->at[i], levels, LEVELS);

		fprintf(f, "%zu\n", nr);
		for (size_t l = 0; l < nr; l++)
			fprintf(f, "%s\n%s:%u\n", levels[l].function, levels[l].file ? levels[l].file : "??",
				levels[l].line);
	}
	fclose(f);
	pa_symbolizer_free(s);
	return text;
}

/* ---- against addr2line ------------------------------------------------------------------------------------------ */

struct answer {
	char function[LEVELS][4096];
	char where[LEVELS][512]; /* basename:line */
	size_t nr;
};

static void strip_end(char *s, const char *what)
{
	char *found = strstr(s, what);

	if (found)
		*found = 0;
}

/* file:line:column, as elfutils has it, without the column. */
static void cut_column(char *place)
{
	char *last = strrchr(place, ':');

	if (last && memchr(place, ':', (size_t)(last - place)))
		*last = 0;
}

/* One address of `addr2line -a -i -f -C`: pairs of function and place up to the next address. The first address was
 * read already. */
static bool read_answer(FILE *f, struct answer *a)
{
	static char line[8192];

	a->nr = 0;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "0x", 2) == 0)
			return true;
		assert_true(a->nr < LEVELS);
		line[strcspn(line, "\n")] = 0;
		strip_end(line, " [clone ");
		strip_end(line, " inlined at "); /* elfutils says the call here as well */
		snprintf(a->function[a->nr], sizeof(a->function[0]), "%.4095s", line);
		assert_non_null(fgets(line, sizeof(line), f));
		line[strcspn(line, "\n")] = 0;
		strip_end(line, " (discriminator");
		cut_column(line);
		snprintf(a->where[a->nr], sizeof(a->where[0]), "%.511s", basename(line));
		a->nr++;
	}
	return a->nr > 0;
}

static size_t nr_exact, nr_elsewhere, elsewhere_max;

/* Line 0 is "?" there. With DWARF 5 binutils up to 2.40 takes some files of a header for the first file of the unit
 * (the line it then gives is not in that file): the line must be the same, and the file nearly always. */
static bool is_same_place(const char *ours, const char *theirs)
{
	const char *our_line = strchr(ours, ':'), *their_line = strchr(theirs, ':');

	nr_exact += strcmp(ours, theirs) == 0;
	if (!our_line || !their_line)
		return false;
	return strcmp(our_line, their_line) == 0 || (strcmp(our_line, ":0") == 0 && strcmp(their_line, ":?") == 0);
}

static size_t nr_compared, nr_inlined;

static size_t nr_names, nr_aliases;
static unsigned aliases_percent; /* of the names that are compared */

/* A function of libc has many names, and the most public one is not that of its source. Linkage table entries have no
 * symbol in binutils' eyes. */
static bool is_other_name(const char *ours, const char *theirs, bool outermost)
{
	nr_names++;
	if (strcmp(ours, theirs) == 0 || strstr(ours, "@plt"))
		return false;
	nr_aliases++;
	return aliases_percent < 100 && !(outermost && aliases_percent);
}

/* binutils prints the name in the symbol table for the first level when that is an inlined one of a part that was split
 * off (foo.cold), so that one is left out. */
static void compare_answer(uint64_t address, const struct pa_symbol *ours, size_t nr, const struct answer *theirs)
{
	char where[5000];

	if (nr == 0) /* addr2line guesses in gaps; coverage is compared with nm below */
		return;
	if (nr != theirs->nr) {
		if (++nr_elsewhere > elsewhere_max)
			fail_msg("0x%lx: %zu levels (%s), addr2line %zu", (unsigned long)address, nr, ours[0].function,
				 theirs->nr);
		return;
	}
	for (size_t i = 0; i < nr; i++) {
		if (i > 0 || nr == 1) {
			char name[4096];

			snprintf(name, sizeof(name), "%s", theirs->function[i]);
			name[strcspn(name, "@")] = 0; /* linkage table entries have no symbol there */
			if (is_other_name(ours[i].function, name, i + 1 == nr))
				fail_msg("0x%lx level %zu: %s, addr2line %s", (unsigned long)address, i,
					 ours[i].function, name);
		}
		if (!ours[i].file)
			continue;
		snprintf(where, sizeof(where), "%s:%u", ours[i].file, ours[i].line);
		if (!is_same_place(basename(where), theirs->where[i]) && ++nr_elsewhere > elsewhere_max)
			fail_msg("0x%lx level %zu: %s, addr2line %s", (unsigned long)address, i, where,
				 theirs->where[i]);
		nr_compared++;
		nr_inlined += i > 0;
	}
}

static void compare_with(const char *tool, const char *path, const char *debug, const struct addresses *addresses)
{
	struct pa_symbolizer *s = pa_symbolizer_new();
	struct pa_symmod *m = open_module(s, path, NULL, NULL);
	struct pa_symbol levels[LEVELS];
	static struct answer answer;
	char command[4096];
	FILE *f = fopen(in_dir("addresses"), "w");

	assert_int_equal(pa_symmod_status(m), PA_SYMBOLS_FULL);
	assert_non_null(f);
	for (size_t i = 0; i < addresses->nr; i++)
		fprintf(f, "0x%lx\n", (unsigned long)addresses->at[i]);
	fclose(f);
	snprintf(command, sizeof(command), "%s -a -i -f -C -e %s < %s", tool, debug, in_dir("addresses"));
	f = popen(command, "r");
	assert_non_null(f);
	nr_compared = nr_inlined = nr_exact = nr_names = nr_aliases = nr_elsewhere = 0;
	assert_int_equal(fscanf(f, "0x%*x "), 0);
	for (size_t i = 0; i < addresses->nr; i++) {
		assert_true(read_answer(f, &answer));
		compare_answer(addresses->at[i], levels, pa_symbolize(m, addresses->at[i], levels, LEVELS), &answer);
	}
	assert_false(read_answer(f, &answer));
	assert_in_range(WEXITSTATUS(pclose(f)), 0, 1); /* 1: elfutils, where an address has no line */
	pa_symbolizer_free(s);
	assert_in_range(nr_exact * 100, nr_compared * 95, nr_compared * 100);
	assert_in_range(nr_aliases * 100, 0, nr_names * aliases_percent);
}

static struct addresses addresses; /* too large for a stack */

static void levels_and_lines_are_those_of_addr2line(void **state)
{
	/* binutils 2.40 and elfutils find no inlined frames in units of clang with DWARF 5; LLVM's tool does */
	static const char *const rows[][2] = {
	    {"g++ -gdwarf-5", "addr2line"},          {"g++ -gdwarf-4", "addr2line"},
	    {"clang++ -gdwarf-4", "addr2line"},      {"g++ -gdwarf-5", "eu-addr2line"},
	    {"clang++ -gdwarf-5", "llvm-addr2line"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char probe[100];

		snprintf(probe, sizeof(probe), "command -v %s >/dev/null", rows[i][1]);
		if (i == 4 && system(probe)) {
			print_message("no %s\n", rows[i][1]);
			continue;
		}
		run("cd %s && %s -O2 -o variant inlines.cpp", dir, rows[i][0]);
		list_code(in_dir("variant"), 13, &addresses);
		/* They keep the short name of a function that DWARF gives no linkage name; LLVM has its own spelling.
		 */
		aliases_percent = i == 4 ? 100 : 30;
		/* elfutils picks another one of two inlined calls that claim the same address */
		elsewhere_max = i == 3 ? 10 : 0;
		compare_with(rows[i][1], in_dir("variant"), in_dir("variant"), &addresses);
		assert_in_range(nr_compared, 1000, SIZE_MAX);
		assert_in_range(nr_inlined, 500, SIZE_MAX);
	}
}

static void libc_is_named_by_its_separate_debug_file(void **state)
{
	static const char libc[] = "/lib/x86_64-linux-gnu/libc.so.6";
	char debug[PATH_MAX] = "/usr/lib/debug/.build-id/";
	uint8_t id[32];
	size_t len;

	if (access(libc, R_OK))
		skip();
	len = build_id(libc, id);
	for (size_t i = 0; i < len; i++)
		sprintf(debug + strlen(debug), i ? "%02x" : "%02x/", id[i]);
	strcat(debug, ".debug");
	if (access(debug, R_OK)) {
		print_message("libc6-dbg is not installed, or of another version\n");
		skip();
	}
	list_code(libc, 499, &addresses);
	aliases_percent = 10;
	elsewhere_max = 0;
	compare_with("addr2line", libc, debug, &addresses);
	assert_in_range(nr_compared, 2000, SIZE_MAX);
}

/* ---- where debug info is ---------------------------------------------------------------------------------------- */

static void assert_same_answers(const char *expected, const char *path, const char *root, const char *id_of)
{
	char *got = ask(path, root, id_of, PA_SYMBOLS_FULL, &addresses);

	if (strcmp(expected, got)) {
		size_t same = 0;

		while (expected[same] == got[same])
			same++;
		fail_msg("%s (root %s): %.200s, expected %.200s", path, root ? root : "none", got + same,
			 expected + same);
	}
	free(got);
}

static char *answers_of_inlines(void)
{
	char *text;

	list_code(in_dir("inlines"), 11, &addresses);
	text = ask(in_dir("inlines"), NULL, NULL, PA_SYMBOLS_FULL, &addresses);
	assert_non_null(strstr(text, "app::work(int)\n"));
	return text;
}

static void debug_info_is_found_wherever_it_is(void **state)
{
	char *expected = answers_of_inlines();
	uint8_t id[32];
	size_t len = build_id(in_dir("inlines"), id);
	char name[100] = "";

	/* compressed in the file */
	run("cd %s && objcopy --compress-debug-sections inlines packed", dir);
	assert_same_answers(expected, in_dir("packed"), NULL, NULL);

	/* by .gnu_debuglink, beside the file and in .debug */
	run("cd %s && objcopy --only-keep-debug inlines linked.dbg && objcopy -g --add-gnu-debuglink=linked.dbg "
	    "inlines linked",
	    dir);
	assert_same_answers(expected, in_dir("linked"), NULL, NULL);
	run("cd %s && mkdir .debug && mv linked.dbg .debug/", dir);
	assert_same_answers(expected, in_dir("linked"), NULL, NULL);

	/* by build-id, below the root of the target, stripped of every symbol and link */
	for (size_t i = 1; i < len; i++)
		sprintf(name + strlen(name), "%02x", id[i]);
	run("cd %s && mkdir -p root/usr/lib/debug/.build-id/%02x root/bin && mv .debug/linked.dbg "
	    "root/usr/lib/debug/.build-id/%02x/%s.debug && strip -o root/bin/inlines inlines",
	    dir, id[0], id[0], name);
	assert_same_answers(expected, "/bin/inlines", in_dir("root"), in_dir("inlines"));

	/* the program itself is gone, its debug file is not */
	run("rm %s/root/bin/inlines", dir);
	assert_int_equal(status_of("/bin/inlines", in_dir("root"), in_dir("inlines")), PA_SYMBOLS_FULL);
	free(expected);
}

/* Split DWARF changes the order and number of nothing but the sections. */
static void split_dwarf_gives_the_same(void **state)
{
	char *expected = answers_of_inlines();

	run("cd %s && g++ -g -gsplit-dwarf -O2 -Wl,--build-id -o split inlines.cpp", dir);
	assert_same_answers(expected, in_dir("split"), NULL, NULL);
	free(expected);
}

static void what_dwz_moved_away_is_found(void **state)
{
	char *expected;

	if (system("command -v dwz >/dev/null")) {
		print_message("dwz is not installed\n");
		skip();
	}
	/* two programs, so that there is something to share */
	run("cd %s && g++ -gdwarf-4 -O2 -Wl,--build-id -o one inlines.cpp && cp one plain && "
	    "g++ -gdwarf-4 -O2 -DTWO -Wl,--build-id -o two inlines.cpp && dwz -m common.debug one two 2>/dev/null && "
	    "readelf -S one | grep -q gnu_debugaltlink",
	    dir);
	list_code(in_dir("plain"), 11, &addresses);
	expected = ask(in_dir("plain"), NULL, NULL, PA_SYMBOLS_FULL, &addresses);
	assert_same_answers(expected, in_dir("one"), NULL, NULL);
	free(expected);
}

static void a_debug_link_with_a_wrong_checksum_is_not_followed(void **state)
{
	run("cd %s && gcc -g -O2 -Wl,--build-id=none -o sum symbols.c && objcopy --only-keep-debug sum sum.dbg && "
	    "objcopy -g --add-gnu-debuglink=sum.dbg sum sum2",
	    dir);
	assert_int_equal(status_of(in_dir("sum2"), NULL, NULL), PA_SYMBOLS_FULL);
	run("printf x >> %s/sum.dbg", dir);
	assert_int_equal(status_of(in_dir("sum2"), NULL, NULL), PA_SYMBOLS_SYMTAB);
}

/* ---- symbol tables ---------------------------------------------------------------------------------------------- */

/* The address of a symbol, by nm. */
static uint64_t symbol_address(const char *path, const char *name)
{
	char command[PATH_MAX + 200];
	unsigned long value = 0;
	FILE *f;

	snprintf(command, sizeof(command), "nm %s | awk '$3 == \"%s\" { print $1 }'", path, name);
	f = popen(command, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lx", &value), 1);
	pclose(f);
	return value;
}

static void assert_function(struct pa_symmod *m, uint64_t address, const char *name)
{
	struct pa_symbol level;
	size_t nr = pa_symbolize(m, address, &level, 1);

	assert_string_equal(nr ? level.function : "(none)", name ? name : "(none)");
}

static void symbols_end_where_they_end(void **state)
{
	const char *path = in_dir("symbols");
	struct pa_symbolizer *s = pa_symbolizer_new();
	struct pa_symmod *m = open_module(s, path, NULL, NULL);
	uint64_t one = symbol_address(path, "bare_one"), sized = symbol_address(path, "sized_one");
	uint64_t gap = symbol_address(path, "after_gap"), other = symbol_address(path, "elsewhere");
	uint64_t named = symbol_address(path, "named");

	assert_int_equal(pa_symmod_status(m), PA_SYMBOLS_SYMTAB);
	/* without a size: to the next symbol */
	assert_function(m, one, "bare_one");
	assert_function(m, one + 3, "bare_one");
	assert_function(m, one + 4, "bare_two");
	assert_function(m, sized - 1, "bare_two");
	/* with a size: to its end, whatever labels are in it */
	assert_function(m, sized, "sized_one");
	assert_function(m, sized + 3, "sized_one");
	for (uint64_t a = sized + 4; a < gap; a++)
		assert_function(m, a, NULL);
	assert_function(m, gap, "after_gap");
	assert_function(m, named, "named");
	assert_function(m, named + 1, "named");
	assert_function(m, named + 2, NULL);
	/* the last one of its section: to the end of that, not into the next */
	assert_function(m, other, "elsewhere");
	assert_function(m, other + 1, "elsewhere");
	assert_function(m, other + 2, NULL);
	assert_function(m, symbol_address(path, "not_code"), NULL);
	assert_function(m, symbol_address(path, "chosen"), "choose"); /* its resolver; the same code */
	assert_function(m, 0, NULL);
	assert_function(m, UINT64_MAX, NULL);
	pa_symbolizer_free(s);
}

/* Independent of the reader: nm lists what has a size. */
static void every_sized_function_covers_its_bytes_and_no_more(void **state)
{
	const char *path = in_dir("inlines");
	struct pa_symbolizer *s = pa_symbolizer_new();
	struct pa_symmod *m = open_module(s, path, NULL, NULL);
	char command[PATH_MAX + 100], type, name[8192];
	struct pa_symbol levels[LEVELS];
	unsigned long start, size;
	size_t nr = 0;
	FILE *f;

	snprintf(command, sizeof(command), "nm -S --defined-only %s | grep -i ' [tw] '", path);
	f = popen(command, "r");
	assert_non_null(f);
	while (fscanf(f, "%lx %lx %c %8191s", &start, &size, &type, name) == 4) {
		assert_in_range(pa_symbolize(m, start, levels, LEVELS), 1, LEVELS);
		assert_in_range(pa_symbolize(m, start + size - 1, levels, LEVELS), 1, LEVELS);
		nr++;
	}
	pclose(f);
	assert_in_range(nr, 10, 1000);
	pa_symbolizer_free(s);
}

static void linkage_table_entries_are_named(void **state)
{
	static const char *const flags[] = {"-Wl,-z,lazy -fcf-protection=none", "-Wl,-z,now -fcf-protection=none",
					    "-Wl,-z,lazy -fcf-protection=branch -Wl,-z,ibtplt"};

	for (size_t i = 0; i < 3; i++) {
		struct pa_symbolizer *s = pa_symbolizer_new();
		struct pa_symmod *m;
		struct pa_symbol levels[LEVELS];
		bool puts_seen = false, strtoul_seen = false;

		run("cd %s && gcc -O2 %s -o plt symbols.c", dir, flags[i]);
		m = open_module(s, in_dir("plt"), NULL, NULL);
		list_code(in_dir("plt"), 1, &addresses);
		for (size_t a = 0; a < addresses.nr; a++) {
			if (!pa_symbolize(m, addresses.at[a], levels, LEVELS))
				continue;
			puts_seen |= strcmp(levels[0].function, "puts@plt") == 0;
			strtoul_seen |= strcmp(levels[0].function, "strtoul@plt") == 0;
		}
		assert_true(puts_seen && strtoul_seen);
		pa_symbolizer_free(s);
	}
}

/* What rpm-based distributions do: the functions that are not exported, in a compressed table of the stripped file. */
static void a_compressed_symbol_table_is_read(void **state)
{
	struct pa_symbolizer *s = pa_symbolizer_new();
	struct pa_symmod *m;

	if (system("command -v xz >/dev/null")) {
		print_message("xz is not installed\n");
		skip();
	}
	run("cd %s && objcopy -S --remove-section .gdb_index --remove-section .comment --keep-symbol=named symbols "
	    "mini && "
	    "rm -f mini.xz && xz mini && strip -o hidden symbols && objcopy --add-section .gnu_debugdata=mini.xz "
	    "hidden",
	    dir);
	m = open_module(s, in_dir("hidden"), NULL, NULL);
	assert_int_equal(pa_symmod_status(m), PA_SYMBOLS_SYMTAB);
	assert_function(m, symbol_address(in_dir("symbols"), "named"), "named");
	assert_function(m, symbol_address(in_dir("symbols"), "bare_one"), NULL);
	pa_symbolizer_free(s);
}

static void the_status_says_what_was_found(void **state)
{
	run("cd %s && strip -o stripped symbols && gcc -O2 -shared -fPIC -s -Wl,--build-id -o lib.so symbols.c && "
	    "printf hello > text",
	    dir);
	assert_int_equal(status_of(in_dir("inlines"), NULL, NULL), PA_SYMBOLS_FULL);
	assert_int_equal(status_of(in_dir("symbols"), NULL, NULL), PA_SYMBOLS_SYMTAB);
	assert_int_equal(status_of(in_dir("lib.so"), NULL, NULL), PA_SYMBOLS_DYNSYM);
	assert_int_equal(status_of(in_dir("stripped"), NULL, NULL), PA_SYMBOLS_NONE);
	assert_int_equal(status_of(in_dir("text"), NULL, NULL), PA_SYMBOLS_NONE);
	assert_int_equal(status_of(in_dir("nothing"), NULL, NULL), PA_SYMBOLS_MISSING);
	assert_int_equal(status_of(dir, NULL, NULL), PA_SYMBOLS_NONE);
	assert_int_equal(status_of("relative", NULL, NULL), PA_SYMBOLS_MISSING);
}

static void two_modules_of_a_file_are_one(void **state)
{
	struct pa_symbolizer *s = pa_symbolizer_new();
	struct pa_symmod *m = open_module(s, in_dir("inlines"), NULL, in_dir("inlines"));

	assert_ptr_equal(open_module(s, "/somewhere/else", NULL, in_dir("inlines")), m);
	assert_ptr_not_equal(open_module(s, in_dir("inlines"), NULL, NULL), m);
	pa_symbolizer_free(s);
}

/* ---- wrong files ------------------------------------------------------------------------------------------------ */

/* R13: an upgrade while it runs. */
static void a_replaced_file_is_never_used(void **state)
{
	struct pa_symbolizer *s = pa_symbolizer_new();
	struct pa_symbol level;
	struct pa_symmod *m = open_module(s, in_dir("symbols"), NULL, in_dir("inlines"));

	assert_int_equal(pa_symmod_status(m), PA_SYMBOLS_MISMATCH);
	list_code(in_dir("symbols"), 1, &addresses);
	for (size_t i = 0; i < addresses.nr; i++)
		assert_int_equal(pa_symbolize(m, addresses.at[i], &level, 1), 0);
	/* found after all, by another path */
	assert_ptr_equal(open_module(s, in_dir("inlines"), NULL, in_dir("inlines")), m);
	assert_int_equal(pa_symmod_status(m), PA_SYMBOLS_FULL);
	pa_symbolizer_free(s);
}

static void a_deleted_file_is_read_by_its_descriptor(void **state)
{
	struct pa_symbolizer *s = pa_symbolizer_new();
	uint8_t id[32];
	struct pa_module_ref ref = {.path = in_dir("gone"), .build_id = id};
	struct pa_symmod *m;

	run("cp %s/symbols %s/gone", dir, dir);
	ref.build_id_len = build_id(in_dir("gone"), id);
	ref.fd = open(in_dir("gone"), O_RDONLY);
	run("rm %s/gone", dir);
	m = pa_symbolizer_module(s, &ref);
	assert_int_equal(close(ref.fd), 0); /* still ours */
	assert_int_equal(pa_symmod_status(m), PA_SYMBOLS_SYMTAB);
	assert_function(m, symbol_address(in_dir("symbols"), "named"), "named");
	pa_symbolizer_free(s);
}

static void the_root_of_the_target_comes_first(void **state)
{
	run("mkdir -p %s/inner%s && cp %s/symbols %s/inner%s/inlines", dir, dir, dir, dir, dir);
	assert_int_equal(status_of(in_dir("inlines"), in_dir("inner"), NULL), PA_SYMBOLS_SYMTAB);
	assert_int_equal(status_of(in_dir("inlines"), in_dir("inner"), in_dir("inlines")), PA_SYMBOLS_FULL);
}

/* A link of the target means a file of the target, not ours of that name. */
static void links_stay_in_the_root_of_the_target(void **state)
{
	run("mkdir -p %s/outer%s && ln -s %s/symbols %s/outer%s/link && cp %s/inlines %s/outer%s/symbols", dir, dir,
	    dir, dir, dir, dir, dir, dir);
	assert_int_equal(status_of(in_dir("link"), in_dir("outer"), NULL), PA_SYMBOLS_FULL);
}

static void a_pipe_at_the_path_keeps_nobody_waiting(void **state)
{
	assert_int_equal(mkfifo(in_dir("pipe"), 0600), 0);
	alarm(10);
	assert_int_equal(status_of(in_dir("pipe"), NULL, NULL), PA_SYMBOLS_NONE);
	alarm(0);
}

static void the_vdso_is_our_own_when_it_is_the_same(void **state)
{
	struct pa_symbolizer *s = pa_symbolizer_new();
	static const uint8_t other[20] = {1};
	struct pa_module_ref ref = {.path = "[vdso]", .fd = -1};
	struct pa_symbol level;
	struct pa_symmod *m;
	size_t named = 0;

	if (!getauxval(AT_SYSINFO_EHDR))
		skip();
	m = pa_symbolizer_module(s, &ref);
	assert_int_equal(pa_symmod_status(m), PA_SYMBOLS_DYNSYM);
	for (uint64_t a = 0; a < 0x4000; a++)
		named += pa_symbolize(m, a, &level, 1) == 1 && strstr(level.function, "vdso_") != NULL;
	assert_in_range(named, 50, 0x4000);
	ref.build_id = other;
	ref.build_id_len = sizeof(other);
	assert_int_equal(pa_symmod_status(pa_symbolizer_module(s, &ref)), PA_SYMBOLS_MISMATCH);
	pa_symbolizer_free(s);
}

static void few_levels_keep_the_outermost(void **state)
{
	struct pa_symbolizer *s = pa_symbolizer_new();
	struct pa_symmod *m = open_module(s, in_dir("inlines"), NULL, NULL);
	struct pa_symbol all[LEVELS], few[2];
	size_t seen = 0;

	list_code(in_dir("inlines"), 1, &addresses);
	for (size_t i = 0; i < addresses.nr; i++) {
		size_t nr = pa_symbolize(m, addresses.at[i], all, LEVELS);

		if (nr < 3)
			continue;
		assert_int_equal(pa_symbolize(m, addresses.at[i], few, 2), 2);
		assert_string_equal(few[0].function, all[0].function);
		assert_int_equal(few[0].line, all[0].line);
		assert_string_equal(few[1].function, all[nr - 1].function);
		assert_int_equal(few[1].line, all[nr - 1].line);
		assert_int_equal(pa_symbolize(m, addresses.at[i], few, 0), 0);
		seen++;
	}
	assert_in_range(seen, 100, ADDRESSES_MAX);
	pa_symbolizer_free(s);
}

/* ---- damaged files ---------------------------------------------------------------------------------------------- */

static char *read_bytes(const char *path, size_t *len)
{
	struct stat st;
	FILE *f = fopen(path, "rb");
	char *bytes;

	assert_non_null(f);
	assert_int_equal(stat(path, &st), 0);
	bytes = malloc((size_t)st.st_size);
	*len = fread(bytes, 1, (size_t)st.st_size, f);
	fclose(f);
	return bytes;
}

static void damage(char *bytes, size_t len, int round)
{
	size_t from = round % 4 ? (size_t)random() % len : 0;
	size_t part = round % 4 ? 1 + (size_t)random() % (len - from) : len;
	size_t hits = 1 + (size_t)random() % (round % 2 ? 40 : 4000);

	for (size_t i = 0; i < hits; i++)
		bytes[from + (size_t)random() % part] = (char)(random() % 3 ? random() : random() % 2 ? 0xff : 0);
}

/* R12: nothing in a file can stop or crash the collector. Whatever is still said is terminated text. */
static void damaged_files_are_survived(void **state)
{
	static const char *const files[] = {"symbols", "inlines", "packed"};
	struct timespec begin, end;

	srandom(4);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
	for (size_t f = 0; f < 3; f++) {
		size_t len;
		char *bytes = read_bytes(in_dir(files[f]), &len), *copy = malloc(len);

		list_code(in_dir(files[f]), f ? 97 : 7, &addresses);
		for (int round = 0; round < 60; round++) {
			memcpy(copy, bytes, len);
			if (round % 5)
				damage(copy, len, round);
			write_bytes("damaged", copy, round % 5 ? len : (size_t)random() % len);
			struct pa_symbolizer *s = pa_symbolizer_new();
			struct pa_symmod *m = open_module(s, in_dir("damaged"), NULL, NULL);
			struct pa_symbol levels[LEVELS];

			assert_non_null(m);
			for (size_t i = 0; i < addresses.nr; i++) {
				size_t nr = pa_symbolize(m, addresses.at[i], levels, LEVELS);

				assert_in_range(nr, 0, LEVELS);
				for (size_t l = 0; l < nr; l++)
					assert_in_range(strlen(levels[l].function), 0, 4095);
			}
			pa_symbolizer_free(s);
		}
		free(copy);
		free(bytes);
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	assert_in_range(end.tv_sec - begin.tv_sec, 0, 60);
}

static void the_build_id_is_read_or_refused(void **state)
{
	uint8_t id[32];
	int fd = open(in_dir("inlines.cpp"), O_RDONLY);

	assert_int_equal(pa_elf_build_id(fd, id), -ENOEXEC);
	close(fd);
	assert_int_equal(pa_elf_build_id(fd, id), -EBADF);
	run("cd %s && gcc -Wl,--build-id=none -o anonymous symbols.c && gcc -Wl,--build-id=0x0123456789abcdef -o known "
	    "symbols.c",
	    dir);
	fd = open(in_dir("anonymous"), O_RDONLY);
	assert_int_equal(pa_elf_build_id(fd, id), 0);
	close(fd);
	fd = open(in_dir("known"), O_RDONLY);
	assert_int_equal(pa_elf_build_id(fd, id), 8);
	assert_memory_equal(id, "\x01\x23\x45\x67\x89\xab\xcd\xef", 8);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(levels_and_lines_are_those_of_addr2line),
	    cmocka_unit_test(libc_is_named_by_its_separate_debug_file),
	    cmocka_unit_test(debug_info_is_found_wherever_it_is),
	    cmocka_unit_test(split_dwarf_gives_the_same),
	    cmocka_unit_test(what_dwz_moved_away_is_found),
	    cmocka_unit_test(a_debug_link_with_a_wrong_checksum_is_not_followed),
	    cmocka_unit_test(symbols_end_where_they_end),
	    cmocka_unit_test(every_sized_function_covers_its_bytes_and_no_more),
	    cmocka_unit_test(linkage_table_entries_are_named),
	    cmocka_unit_test(a_compressed_symbol_table_is_read),
	    cmocka_unit_test(the_status_says_what_was_found),
	    cmocka_unit_test(two_modules_of_a_file_are_one),
	    cmocka_unit_test(a_replaced_file_is_never_used),
	    cmocka_unit_test(a_deleted_file_is_read_by_its_descriptor),
	    cmocka_unit_test(the_root_of_the_target_comes_first),
	    cmocka_unit_test(links_stay_in_the_root_of_the_target),
	    cmocka_unit_test(a_pipe_at_the_path_keeps_nobody_waiting),
	    cmocka_unit_test(the_vdso_is_our_own_when_it_is_the_same),
	    cmocka_unit_test(few_levels_keep_the_outermost),
	    cmocka_unit_test(damaged_files_are_survived),
	    cmocka_unit_test(the_build_id_is_read_or_refused),
	};

	unsetenv("DEBUGINFOD_URLS");
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
