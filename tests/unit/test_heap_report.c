/* Words and numbers of the memory outputs: who counts as a wrapper, patterns, quantities, stacks that read the same. */
#include "tests/unit/store_util.h"

#include "common/wire.h"
#include "report/heap_table.h"
#include "report/leaks.h"
#include "report/quantity.h"
#include "report/suppress.h"
#include "tools/quantity.h"

static void wrappers_are_known_by_their_qualified_name(void **state)
{
	static const char *const wrappers[] = {
	    "operator new(unsigned long)",
	    "operator new[](unsigned long, std::nothrow_t const&)",
	    "void std::vector<int, std::allocator<int> >::_M_realloc_insert<int>(int&&)",
	    "std::__cxx11::basic_string<char> std::operator+<char>(char const*, std::__cxx11::basic_string<char>&&)",
	    "std::__detail::_MakeUniq<Order>::__single_object std::make_unique<Order>()",
	    "std::string::append(char const*)",
	    "strdup",
	    "__GI___strdup",
	    "xmalloc",
	    "PyMem_RawMalloc",
	};
	static const char *const askers[] = {
	    "main",
	    "make_buffer",
	    "allocate_something",
	    "std_like::allocate(int)",
	    "std::vector<int> build<int>(int)", /* a template of the program's own */
	    "shop::operator+(shop::order const&, std::string const&)",
	    "(anonymous namespace)::f(std::string)",
	    "xmalloc_failed",
	    "f(std::string)",
	    "libz.so.1+0x1234",
	    "[jit]",
	    "",
	};
	for (size_t i = 0; i < sizeof(wrappers) / sizeof(wrappers[0]); i++)
		if (!pa_heap_is_wrapper(wrappers[i]))
			fail_msg("%s is one", wrappers[i]);
	for (size_t i = 0; i < sizeof(askers) / sizeof(askers[0]); i++)
		if (pa_heap_is_wrapper(askers[i]))
			fail_msg("%s is none", askers[i]);
}

static void patterns_are_parts_of_names(void **state)
{
	static const struct {
		const char *pattern, *text;
		bool matches;
	} cases[] = {
	    {"cache", "my_cache_add", true},
	    {"cache", "my_cach", false},
	    {"^cache", "my_cache", false},
	    {"^cache", "cache_add", true},
	    {"add$", "cache_add", true},
	    {"cache$", "cache_add", false},
	    {"^cache_add$", "cache_add", true},
	    {"^cache_add$", "cache_add2", false},
	    {"c*d", "xxcache_addyy", true},
	    {"^c*d$", "cache_add", true},
	    {"^c*d$", "cache_adds", false},
	    {"a*b*c", "xaxbxcx", true},
	    {"a*b*c", "xcxbxax", false},
	    {"*", "", true},
	    {"a*", "ba", true},
	    {"^*.so$", "/lib/x.so", true},
	    {"^*.so$", "/lib/x.so.1", false},
	    {"x", "", false},
	    {"aab", "aaab", true},
	    {"^a*aab$", "aaaaab", true},
	    {"^$", "", true},
	    {"^$", "x", false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (pa_pattern_matches(cases[i].pattern, cases[i].text) != cases[i].matches)
			fail_msg("'%s' against '%s'", cases[i].pattern, cases[i].text);
}

static void many_stars_take_no_exponential_time(void **state)
{
	char text[4096], pattern[256];
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	for (size_t i = 0; i < 200; i += 2)
		memcpy(pattern + i, "a*", 2);
	strcpy(pattern + 200, "b");
	assert_false(pa_pattern_matches(pattern, text)); /* a second and more would be felt */
}

static void sizes_have_three_figures_and_eight_columns(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
	    {0, "0 B"},
	    {1, "1 B"},
	    {1023, "1023 B"},
	    {1024, "1.00 KiB"},
	    {1536, "1.50 KiB"},
	    {10229, "9.99 KiB"},
	    {10239, "10.0 KiB"},
	    {102400, "100 KiB"},
	    {1048575, "1.00 MiB"},
	    {1047000, "1022 KiB"},
	    {UINT64_C(5) << 30, "5.00 GiB"},
	    {UINT64_MAX, "16384 PiB"},
	};
	char text[PA_QUANTITY_MAX];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(pa_size_text(text, cases[i].bytes), cases[i].text);
	assert_string_equal(pa_change_text(text, -1536), "-1.50 KiB");
	assert_string_equal(pa_change_text(text, 1536), "+1.50 KiB");
	assert_string_equal(pa_change_text(text, 0), "0 B");
	assert_string_equal(pa_change_text(text, INT64_MIN), "-8192 PiB");
	assert_string_equal(pa_count_text(text, 99999999), "99999999");
	assert_string_equal(pa_count_text(text, 123456789), "123 M");
	assert_string_equal(pa_count_text(text, UINT64_MAX), "18.4 E");
	assert_string_equal(pa_time_text(text, 0), "0 s");
	assert_string_equal(pa_time_text(text, 850000), "850 us");
	assert_string_equal(pa_time_text(text, 1234567890), "1.235 s");
	assert_string_equal(pa_time_text(text, UINT64_C(90500000000)), "1m30.5s");
}

static void intervals_are_two_standard_deviations(void **state)
{
	assert_int_equal(pa_interval(0), 0);
	assert_int_equal(pa_interval(-1), 0);
	assert_int_equal(pa_interval(10000), 196);
	assert_int_equal(pa_interval(1e300), UINT64_MAX);
}

static void times_and_sizes_of_the_command_line(void **state)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} times[] = {
	    {"90", UINT64_C(90000000000)},
	    {"1.5", 1500000000},
	    {"1m30s", UINT64_C(90000000000)},
	    {"2h", UINT64_C(7200000000000)},
	    {"250ms", 250000000},
	    {"1h30m", UINT64_C(5400000000000)},
	    {"0", 0},
	    {".5", 500000000},
	    {"1min", UINT64_C(60000000000)},
	};
	static const struct {
		const char *text;
		uint64_t bytes;
	} sizes[] = {
	    {"0", 0},
	    {"4096", 4096},
	    {"64k", 65536},
	    {"100MB", 104857600},
	    {"1.5GiB", 1610612736},
	    {"1t", UINT64_C(1) << 40},
	    {"7B", 7},
	    {"2KiB", 2048},
	};
	uint64_t value;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		assert_true(pa_parse_time("t", times[i].text, &value));
		assert_int_equal(value, times[i].ns);
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_true(pa_parse_bytes("t", sizes[i].text, &value));
		assert_int_equal(value, sizes[i].bytes);
	}
	/* what is refused stands in tests/e2e/memory_report.bats */
}

/* ---- stacks ----------------------------------------------------------------------------------------------------- */

/* Frames 1 main, 2 handle, 3 operator new, 4 handle from another address, 5 [jit], 6 std::vector inlined into handle.
 */
static struct pa_store *begin(struct place *p)
{
	struct pa_store *s = store_begin(p);
	const struct pa_symbol names[] = {
	    {"main", "m.c", 1}, {"handle", "h.c", 2}, {"operator new(unsigned long)", NULL, 0}, {"handle", "h.c", 2}};
	const struct pa_symbol inlined[] = {{"std::vector<int>::push_back(int&&)", "v.h", 9}, {"handle", "h.c", 2}};

	assert_int_equal(pa_store_put_meta(s, "ended", "2026-01-01T00:00:02Z"), 0);
	assert_int_equal(
	    pa_store_put_process(
		s, &(struct pa_store_process){.id = 1, .pid = 1, .command = "x", .exe = "x", .how = "exit 0"}),
	    0);
	assert_int_equal(
	    pa_store_put_module(s, &(struct pa_store_module){.id = 1, .path = "/x", .symbols = PA_SYMBOLS_FULL}), 0);
	for (uint32_t i = 1; i <= 6; i++)
		assert_int_equal(pa_store_put_frame(s, i, i == 5 ? 0 : 1, i == 5 ? PA_FRAME_JIT : i * 0x100, NULL), 0);
	for (uint32_t i = 1; i <= 4; i++)
		assert_int_equal(pa_store_put_symbols(s, i, &names[i - 1], 1), 0);
	assert_int_equal(pa_store_put_symbols(s, 6, inlined, 2), 0);
	return s;
}

static struct pa_report *end(struct place *p, struct pa_store *s)
{
	struct pa_report *r = NULL;
	assert_int_equal(pa_store_close(s, true), 0);
	assert_int_equal(pa_report_load(p->file, &r, p->err, sizeof(p->err)), 0);
	return r;
}

static void stacks(struct pa_store *s, const uint32_t (*rows)[2], uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		assert_int_equal(pa_store_put_stack(s, i + 1, rows[i][0], rows[i][1]), 0);
}

static void stacks_that_read_the_same_are_one(void **state)
{
	struct pa_store *s = begin(*state);
	/* 1 main, 2 main handle, 3 main handle', 4 main handle new, 5 main handle' new, 6 main vector, 7 new alone,
	 * 8 main [jit], 9 main [jit] new */
	static const uint32_t rows[][2] = {{0, 1}, {1, 2}, {1, 4}, {2, 3}, {3, 3}, {1, 6}, {0, 3}, {1, 5}, {8, 3}};
	stacks(s, rows, 9);
	struct pa_report *r = end(*state, s);
	uint32_t *whole = pa_stacks_by_name(r, false), *askers = pa_stacks_by_name(r, true), module;

	assert_int_equal(whole[2], whole[3]);
	assert_int_equal(whole[4], whole[5]);
	assert_int_not_equal(whole[2], whole[4]);
	assert_int_not_equal(whole[2], whole[6]);
	assert_int_equal(askers[2], askers[4]);
	assert_int_equal(askers[2], askers[5]);
	assert_int_equal(askers[2], askers[6]); /* inlined wrappers, too */
	assert_int_not_equal(askers[1], askers[2]);
	assert_int_equal(askers[7], whole[7]); /* nobody else is there */
	assert_int_equal(askers[9], whole[9]); /* [jit] asked: the wrapper says more */
	assert_string_equal(pa_text(r, r->levels[pa_heap_owner(r, 5, &module)].function), "handle");
	assert_string_equal(pa_text(r, r->levels[pa_heap_owner(r, 6, &module)].function), "handle");
	assert_string_equal(pa_text(r, r->levels[pa_heap_owner(r, 9, &module)].function),
			    "operator new(unsigned long)");
	free(whole);
	free(askers);
	pa_report_free(r);
}

static void built_in_suppressions_look_at_who_asked_only(void **state)
{
	struct pa_store *s = begin(*state);
	const struct pa_symbol more[] = {
	    {"setlocale", NULL, 0}, {"call_init", NULL, 0}, {"_IO_file_doallocate", NULL, 0}};
	assert_int_equal(
	    pa_store_put_module(s, &(struct pa_store_module){.id = 2, .path = "/lib64/ld-linux-x86-64.so.2"}), 0);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(pa_store_put_frame(s, 10 + i, i == 1 ? 2 : 1, 0x1000 + i, NULL), 0);
		assert_int_equal(pa_store_put_symbols(s, 10 + i, &more[i], 1), 0);
	}
	/* 1 main, 2 main setlocale, 3 call_init, 4 call_init handle: a library's constructor, 5 main doallocate,
	 * 6 main setlocale handle: called back */
	static const uint32_t rows[][2] = {{0, 1}, {1, 10}, {0, 11}, {3, 2}, {1, 12}, {2, 2}};
	struct pa_store_heap_delta deltas[6];
	stacks(s, rows, 6);
	for (uint32_t i = 0; i < 6; i++)
		deltas[i] = (struct pa_store_heap_delta){.stack = i + 1, .calls = 1, .bytes = 1u << i};
	assert_int_equal(pa_store_add_heap_chunk(s, 1, 1, 2, deltas, 6), 0);
	assert_int_equal(pa_store_put_heap(s, &(struct pa_store_heap){.process = 1, .mode = PA_HEAP_EXACT}), 0);
	struct pa_report *r = end(*state, s);
	struct pa_suppressions known = {0}, none = {0};
	const struct pa_leaks_options all = {0};
	struct pa_leaks l;

	assert_int_equal(pa_suppressions_default(&known), 0);
	assert_int_equal(pa_leaks_find(r, &all, &known, &l), 0);
	assert_int_equal(l.bytes, 1 + 8 + 32);
	assert_int_equal(l.suppressed_bytes, 2 + 4 + 16);
	assert_int_equal(l.nr_leaking, 3);
	assert_int_equal(l.rows[0].bytes, 32);
	assert_int_equal(l.rows[2].bytes, 1);
	pa_leaks_fini(&l);
	assert_int_equal(pa_leaks_find(r, &all, &none, &l), 0);
	assert_int_equal(l.bytes, 63);
	assert_int_equal(l.suppressed_blocks, 0);
	pa_leaks_fini(&l);
	pa_suppressions_fini(&known);
	pa_report_free(r);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(wrappers_are_known_by_their_qualified_name), CASE(patterns_are_parts_of_names),
	    CASE(many_stars_take_no_exponential_time),        CASE(sizes_have_three_figures_and_eight_columns),
	    CASE(intervals_are_two_standard_deviations),      CASE(times_and_sizes_of_the_command_line),
	    CASE(stacks_that_read_the_same_are_one),          CASE(built_in_suppressions_look_at_who_asked_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
