/* Words of PERFAGENT_OPTIONS and of the command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "collector/options.h"
#include "common/wire.h"

static int parse(struct pa_options *o, const char *text)
{
	char err[160];

	return pa_options_parse(o, text, strlen(text), err, sizeof(err));
}

static int set(struct pa_options *o, const char *name, const char *value)
{
	char err[160] = "";
	int ret = pa_options_set(o, name, value, err, sizeof(err));

	assert_int_equal(ret != 0, err[0] != 0);
	return ret;
}

static void test_a_list_may_hold_commas(void **unused)
{
	struct pa_options o = PA_OPTIONS_DEFAULT;

	assert_int_equal(parse(&o, "rate=250,mode=cpu,memory,heap=exact,mmap"), 0);
	assert_int_equal(o.rate_hz, 250);
	assert_int_equal(o.modes, PA_MODE_CPU | PA_MODE_MEMORY);
	assert_int_equal(o.heap_mode, PA_HEAP_EXACT);
	assert_int_equal(o.heap_flags, PA_HEAP_MMAP);
	assert_int_equal(parse(&o, "mode=memory,rate=7,"), 0);
	assert_int_equal(o.modes, PA_MODE_MEMORY);
	assert_int_equal(o.rate_hz, 7);
	assert_int_equal(parse(&o, ""), 0);
	assert_true(parse(&o, "rate=7,cpu") < 0);
	assert_true(parse(&o, "soup=1") < 0);
}

static void test_sizes_of_the_mean(void **unused)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} cases[] = {
	    {"sampled:1", 1},         {"sampled:64k", 65536}, {"sampled:64K", 65536},      {"sampled:512KiB", 524288},
	    {"sampled:2MB", 2 << 20}, {"sampled:3b", 3},      {"sampled:1g,mmap", 1 << 30}};
	struct pa_options o = PA_OPTIONS_DEFAULT;

	assert_int_equal(o.heap_mean, 524288);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(set(&o, "heap", cases[i].text), 0);
		assert_int_equal(o.heap_mean, cases[i].bytes);
		assert_int_equal(o.heap_mode, PA_HEAP_SAMPLED);
	}
	assert_int_equal(o.heap_flags, PA_HEAP_MMAP);
}

static void test_a_bad_value_changes_nothing(void **unused)
{
	static const char *const bad[] = {"",           "soup",      "sampled:",   "sampled:0",
					  "sampled:-1", "sampled:k", "sampled:1x", "sampled:2t",
					  "exact,soup", "mmap",      "exact,",     "sampled:99999999999999999999"};
	struct pa_options o = PA_OPTIONS_DEFAULT;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_true(set(&o, "heap", bad[i]) < 0);
		assert_int_equal(o.heap_mode, PA_HEAP_SAMPLED);
		assert_int_equal(o.heap_mean, 524288);
		assert_int_equal(o.heap_flags, 0);
	}
	assert_true(set(&o, "mode", "cpu,soup") < 0);
	assert_true(set(&o, "mode", "") < 0);
	assert_int_equal(o.modes, PA_MODE_CPU | PA_MODE_MEMORY | PA_MODE_LOOP);
	assert_int_equal(o.given, 0);
}

static void test_a_fixed_word_stays(void **unused)
{
	struct pa_options o = PA_OPTIONS_DEFAULT;

	assert_int_equal(set(&o, "heap", "exact"), 0);
	o.fixed = o.given;
	assert_int_equal(parse(&o, "heap=sampled:64k,rate=50"), 0);
	assert_int_equal(o.heap_mode, PA_HEAP_EXACT);
	assert_int_equal(o.rate_hz, 50);
	/* and is checked all the same */
	assert_true(parse(&o, "heap=soup") < 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_a_list_may_hold_commas),
	    cmocka_unit_test(test_sizes_of_the_mean),
	    cmocka_unit_test(test_a_bad_value_changes_nothing),
	    cmocka_unit_test(test_a_fixed_word_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
