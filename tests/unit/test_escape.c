/* Text of the target on its way into each output language. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "report/escape.h"

static void becomes(enum pa_language language, const char *text, const char *expected)
{
	char *got = pa_escape_dup(language, text);
	assert_non_null(got);
	assert_string_equal(got, expected);
	free(got);
}

static void plain_text_stays_as_it_is(void **state)
{
	const char *text =
	    "std::vector<int, A>::operator[](unsigned long) const \xC3\xA4 \xE2\x82\xAC \xF0\x9F\x94\xA5";
	becomes(PA_PLAIN, text, text);
	becomes(PA_FOLDED, text, text);
	becomes(PA_JSON, text, text);
}

static void controls_become_visible_on_a_terminal(void **state)
{
	becomes(PA_PLAIN, "a\x1b[31mred\x07\n\t\x7f", "a\\x1b[31mred\\x07\\x0a\\x09\\x7f");
	becomes(PA_PLAIN,
		"\xC2\x9B"
		"31m",
		"\\x9b31m"); /* CSI of the C1 set, as UTF-8 */
}

static void direction_marks_and_hidden_characters_become_visible(void **state)
{
	becomes(PA_PLAIN,
		"a\xE2\x80\xAE"
		"b",
		"a\\u{202e}b");
	becomes(PA_PLAIN, "\xE2\x81\xA6\xE2\x81\xA9\xEF\xBB\xBF\xE2\x80\x8B", "\\u{2066}\\u{2069}\\u{feff}\\u{200b}");
	becomes(PA_XML, "\xE2\x80\xAE", "\\u{202e}");
	becomes(PA_JSON, "\xE2\x80\xAE\xE2\x80\xA8", "\\u202e\\u2028");
}

static void invalid_utf8_becomes_replacement_characters(void **state)
{
#define R "\xEF\xBF\xBD"
	becomes(PA_PLAIN,
		"\xFF\xFE"
		"a\x80",
		R R "a" R);
	becomes(PA_PLAIN, "\xC0\xAF", R R);             /* overlong '/' */
	becomes(PA_PLAIN, "\xE0\x80\xBC", R R R);       /* overlong '<' */
	becomes(PA_XML, "\xF0\x80\x80\xBC", R R R R);   /* overlong '<' */
	becomes(PA_PLAIN, "\xED\xA0\x80", R R R);       /* surrogate */
	becomes(PA_PLAIN, "\xF4\x90\x80\x80", R R R R); /* above 0x10FFFF */
	becomes(PA_JSON, "\xE2\x82", R R);              /* cut off by the end */
	becomes(PA_PLAIN, "\xF0\x9F\x94", R R R);
#undef R
}

static void xml_has_no_live_character(void **state)
{
	becomes(PA_XML, "</script><b a='1' c=\"2\">&]]>",
		"&lt;/script&gt;&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;]]&gt;");
	becomes(PA_XML, "a\nb", "a\\x0ab");
	becomes(PA_XML, "\xEF\xBF\xBF", "\\u{ffff}"); /* no character of XML */
}

static void folded_keeps_one_line_and_its_separator(void **state)
{
	becomes(PA_FOLDED, "a;b\nc\rd", "a:b\\x0ac\\x0dd");
}

static void json_is_lossless(void **state)
{
	becomes(PA_JSON, "\"\\\n\r\t\x01\x7f/", "\\\"\\\\\\n\\r\\t\\u0001\\u007f/");
	becomes(PA_JSON, "\xF0\x9F\xBF\xBE", "\\ud83f\\udffe"); /* U+1FFFE, a noncharacter */
}

static void long_names_end_in_an_ellipsis_at_the_column(void **state)
{
	const struct {
		const char *text;
		size_t columns, used;
		const char *expected;
	} cases[] = {
	    {"abcdef", 6, 6, "abcdef"},
	    {"abcdefg", 6, 6, "abcde\xE2\x80\xA6"},
	    {"abcdefg", 0, 7, "abcdefg"},
	    {"\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4", 3, 3, "\xC3\xA4\xC3\xA4\xE2\x80\xA6"},
	    {"ab\x1b"
	     "cd",
	     4, 3, "ab\xE2\x80\xA6"}, /* an escaped character is never cut in two */
	    {"<<<<", 3, 3, "<<\xE2\x80\xA6"},
	    {"", 3, 0, ""},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *got = NULL;
		size_t size;
		FILE *f = open_memstream(&got, &size);
		assert_int_equal(pa_escape_columns(f, PA_PLAIN, cases[i].text, cases[i].columns), cases[i].used);
		fclose(f);
		assert_string_equal(got, cases[i].expected);
		free(got);
	}
	assert_int_equal(pa_escape_width(PA_XML, "<a>"), 3); /* columns, not bytes */
	assert_int_equal(pa_escape_width(PA_PLAIN, "\x1b"), 4);
}

/* Whatever the bytes are, the output is valid UTF-8 without a character of the language in it that is not ours. */
static void every_byte_pair_is_tamed(void **state)
{
	for (unsigned a = 1; a < 256; a++) {
		for (unsigned b = 1; b < 256; b++) {
			const char text[] = {(char)a, (char)b, '<', 0};
			char *got = pa_escape_dup(PA_XML, text);
			assert_non_null(got);
			for (const char *at = got; *at;) {
				const char *before = at;
				uint32_t c = pa_utf8_next(&at);
				assert_true(c >= 0x20 && c != 0x7F && c != '<' && c != '>' && c != '"' && c != '\'');
				assert_true(c != 0xFFFD || at - before == 3);
			}
			free(got);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(plain_text_stays_as_it_is),
	    cmocka_unit_test(controls_become_visible_on_a_terminal),
	    cmocka_unit_test(direction_marks_and_hidden_characters_become_visible),
	    cmocka_unit_test(invalid_utf8_becomes_replacement_characters),
	    cmocka_unit_test(xml_has_no_live_character),
	    cmocka_unit_test(folded_keeps_one_line_and_its_separator),
	    cmocka_unit_test(json_is_lossless),
	    cmocka_unit_test(long_names_end_in_an_ellipsis_at_the_column),
	    cmocka_unit_test(every_byte_pair_is_tamed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
