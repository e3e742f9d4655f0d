/* perf-map files: what JIT compilers write, and what somebody else may have put at their path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "collector/ranges.h"
#include "collector/symbolize.h"

static char dir[] = "/tmp/pa-perfmap-XXXXXX";
static char path[64];

static int set_up(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/perf-1.map", dir);
	return 0;
}

static int tear_down(void **state)
{
	unlink(path);
	return rmdir(dir);
}

static void write_map(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static struct pa_perfmap *parse(const char *text)
{
	struct pa_perfmap *map = pa_perfmap_parse(text, strlen(text));

	assert_non_null(map);
	return map;
}

static void assert_name(const struct pa_perfmap *map, uint64_t address, const char *name)
{
	const char *found = pa_perfmap_lookup(map, address);

	if (!name)
		assert_null(found);
	else
		assert_string_equal(found ? found : "(none)", name);
}

static void entries_cover_their_ranges_only(void **state)
{
	struct pa_perfmap *map = parse("7f0000001000 20 alpha\n7f0000001040 10 beta\n");

	assert_name(map, 0x7f0000000fff, NULL);
	assert_name(map, 0x7f0000001000, "alpha");
	assert_name(map, 0x7f000000101f, "alpha");
	assert_name(map, 0x7f0000001020, NULL);
	assert_name(map, 0x7f000000104f, "beta");
	assert_name(map, 0x7f0000001050, NULL);
	assert_int_equal(pa_perfmap_rejected(map), 0);
	pa_perfmap_free(map);
}

static void prefixes_capitals_blanks_and_spaces_in_names_are_fine(void **state)
{
	struct pa_perfmap *map = parse("0x1000 0x10 LazyCompile:*foo bar.js:1:2\r\n"
				       "  2000\t10   int Main::run(String[]) \n"
				       "0XABCD0 0XA Hex\n");

	assert_name(map, 0x1008, "LazyCompile:*foo bar.js:1:2");
	assert_name(map, 0x2000, "int Main::run(String[])");
	assert_name(map, 0xabcd9, "Hex");
	assert_int_equal(pa_perfmap_rejected(map), 0);
	pa_perfmap_free(map);
}

static void the_later_line_wins_where_they_overlap(void **state)
{
	struct pa_perfmap *map =
	    parse("1000 100 old\n1040 20 inside\n10f0 40 tail\n1000 8 rewritten\n1050 4 old again\n");

	assert_name(map, 0x1007, "rewritten");
	assert_name(map, 0x1008, "old");
	assert_name(map, 0x1040, "inside");
	assert_name(map, 0x1050, "old again");
	assert_name(map, 0x1054, "inside");
	assert_name(map, 0x1060, "old");
	assert_name(map, 0x10f0, "tail");
	assert_name(map, 0x112f, "tail");
	assert_name(map, 0x1130, NULL);
	pa_perfmap_free(map);

	map = parse("1040 20 small\n1000 100 the whole, later\n");
	assert_name(map, 0x1050, "the whole, later");
	pa_perfmap_free(map);
}

static void lines_that_make_no_sense_are_counted(void **state)
{
	struct pa_perfmap *map = parse("hello\n1000\n1000 10\n1000 10 \n1000 0 empty\n1000 zz name\n"
				       "fffffffffffffff0 20 beyond the end\n11112222333344445 1 too long\n"
				       "0x 10 no digits\n-1000 10 sign\n\n\n3000 10 good\n");

	assert_int_equal(pa_perfmap_rejected(map), 10);
	assert_name(map, 0x1000, NULL);
	assert_name(map, 0x3000, "good");
	pa_perfmap_free(map);
}

static void zero_bytes_and_control_characters_do_no_harm(void **state)
{
	static const char text[] = "1000 10 a\0b\n2000 10 x\x1b[2Jy\xff\n";
	struct pa_perfmap *map = pa_perfmap_parse(text, sizeof(text) - 1);

	assert_non_null(map);
	assert_name(map, 0x1000, NULL);
	assert_name(map, 0x2000, "x?[2Jy?");
	assert_int_equal(pa_perfmap_rejected(map), 1);
	pa_perfmap_free(map);
}

static void nothing_is_an_empty_map(void **state)
{
	struct pa_perfmap *map = pa_perfmap_parse(NULL, 0);

	assert_non_null(map);
	assert_name(map, 0, NULL);
	assert_int_equal(pa_perfmap_rejected(map), 0);
	pa_perfmap_free(map);
}

static void entries_are_bounded(void **state)
{
	const unsigned lines = (1u << 20) + 10;
	char *text = malloc((size_t)lines * 24), *end = text;
	struct pa_perfmap *map;

	assert_non_null(text);
	for (unsigned i = 0; i < lines; i++)
		end += sprintf(end, "%x 4 f%u\n", 0x1000 + i * 4, i);
	map = pa_perfmap_parse(text, (size_t)(end - text));
	assert_non_null(map);
	assert_name(map, 0x1000 + ((1u << 20) - 1) * 4, "f1048575");
	assert_name(map, 0x1000 + (1u << 20) * 4, NULL);
	assert_int_equal(pa_perfmap_rejected(map), 10);
	pa_perfmap_free(map);
	free(text);
}

/* Every entry over every other: the sweep must not be quadratic. */
static void nested_entries_take_no_time(void **state)
{
	const unsigned lines = 200000;
	char *text = malloc((size_t)lines * 32), *end = text;
	struct timespec from, to;
	struct pa_perfmap *map;

	assert_non_null(text);
	for (unsigned i = 0; i < lines; i++)
		end += sprintf(end, "%x %x f%u\n", 0x1000 + i, 2 * (lines - i), i);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	map = pa_perfmap_parse(text, (size_t)(end - text));
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	assert_non_null(map);
	assert_name(map, 0x1000 + 5, "f5");
	assert_in_range(to.tv_sec - from.tv_sec, 0, 3);
	pa_perfmap_free(map);
	free(text);
}

static void a_file_is_read_and_its_last_half_line_left(void **state)
{
	struct pa_perfmap *map;

	write_map("1000 10 whole\n2000 10 being writ");
	map = pa_perfmap_open(path, getuid());
	assert_non_null(map);
	assert_name(map, 0x1000, "whole");
	assert_name(map, 0x2000, NULL);
	assert_int_equal(pa_perfmap_rejected(map), 0);
	pa_perfmap_free(map);
}

static void what_is_behind_64_mib_is_one_rejection(void **state)
{
	struct pa_perfmap *map;

	write_map("1000 10 first\n");
	assert_int_equal(truncate(path, (64 << 20) + 4096), 0);
	map = pa_perfmap_open(path, getuid());
	assert_non_null(map);
	assert_name(map, 0x1000, "first");
	assert_int_equal(pa_perfmap_rejected(map), 1);
	pa_perfmap_free(map);
}

static void assert_refused(uint32_t uid, int error)
{
	errno = 0;
	assert_null(pa_perfmap_open(path, uid));
	assert_int_equal(errno, error);
}

static void what_is_not_the_targets_is_refused(void **state)
{
	struct pa_perfmap *map;

	write_map("1000 10 f\n");
	if (getuid() == 0) {
		assert_int_equal(chown(path, 12345, (gid_t)-1), 0);
		map = pa_perfmap_open(path, 12345);
		assert_non_null(map);
		pa_perfmap_free(map);
		assert_refused(54321, EACCES);
	} else {
		assert_refused(getuid() + 1, EACCES);
	}
	map = pa_perfmap_open(path, UINT32_MAX);
	assert_non_null(map);
	pa_perfmap_free(map);
	unlink(path);
	assert_refused(getuid(), ENOENT);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_refused(UINT32_MAX, EACCES);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_refused(UINT32_MAX, EACCES); /* and does not wait for a writer */
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_refused(UINT32_MAX, EACCES);
	rmdir(path);
}

/* The sweep against asking every range, for all ranks and shapes of overlap. */
static void flat_ranges_answer_as_all_ranges_do(void **state)
{
	srandom(3);
	for (int round = 0; round < 500; round++) {
		struct pa_range all[12];
		struct pa_ranges r = {0};

		for (uint32_t i = 0; i < 12; i++) {
			uint64_t lo = (uint64_t)random() % 40;

			all[i] = (struct pa_range){lo, lo + (uint64_t)random() % 20, i, (uint32_t)random() % 3};
			assert_int_equal(pa_ranges_add(&r, all[i]), 0);
		}
		assert_int_equal(pa_ranges_flatten(&r), 0);
		for (uint64_t address = 0; address < 64; address++) {
			const struct pa_range *best = NULL;

			for (uint32_t i = 0; i < 12; i++) {
				const struct pa_range *c = &all[i];

				if (address < c->lo || address >= c->hi)
					continue;
				if (!best || c->rank > best->rank ||
				    (c->rank == best->rank &&
				     (c->lo > best->lo || (c->lo == best->lo && c->hi < best->hi))))
					best = c;
			}
			assert_int_equal(pa_ranges_find(&r, address), best ? best->id : PA_RANGE_NONE);
		}
		for (size_t i = 0; i + 1 < r.nr; i++)
			assert_true(r.ranges[i].hi <= r.ranges[i + 1].lo);
		pa_ranges_fini(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(entries_cover_their_ranges_only),
	    cmocka_unit_test(prefixes_capitals_blanks_and_spaces_in_names_are_fine),
	    cmocka_unit_test(the_later_line_wins_where_they_overlap),
	    cmocka_unit_test(lines_that_make_no_sense_are_counted),
	    cmocka_unit_test(zero_bytes_and_control_characters_do_no_harm),
	    cmocka_unit_test(nothing_is_an_empty_map),
	    cmocka_unit_test(entries_are_bounded),
	    cmocka_unit_test(nested_entries_take_no_time),
	    cmocka_unit_test(a_file_is_read_and_its_last_half_line_left),
	    cmocka_unit_test(what_is_behind_64_mib_is_one_rejection),
	    cmocka_unit_test(what_is_not_the_targets_is_refused),
	    cmocka_unit_test(flat_ranges_answer_as_all_ranges_do),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
