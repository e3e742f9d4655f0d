/* UTF-8 by the book, cleaning of arbitrary bytes, the table of strings, and which file systems are network ones. */
#include <linux/magic.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/store_files.h"
#include "collector/strings.h"

static size_t encode(uint32_t c, char *out)
{
	if (c < 0x80)
		return out[0] = (char)c, 1;
	if (c < 0x800)
		return out[0] = (char)(0xc0 | c >> 6), out[1] = (char)(0x80 | (c & 0x3f)), 2;
	if (c < 0x10000)
		return out[0] = (char)(0xe0 | c >> 12), out[1] = (char)(0x80 | (c >> 6 & 0x3f)),
		       out[2] = (char)(0x80 | (c & 0x3f)), 3;
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

static void every_character_is_known_and_no_surrogate(void **state)
{
	char text[4];

	for (uint32_t c = 0; c < 0x120000; c++) {
		size_t len = encode(c, text);
		bool valid = c < 0x110000 && (c < 0xd800 || c > 0xdfff);

		assert_int_equal(pa_utf8_step(text, len), valid ? len : 0);
		if (len > 1)
			assert_int_equal(pa_utf8_step(text, len - 1), 0);
	}
}

static void overlong_and_stray_bytes_are_refused(void **state)
{
	assert_int_equal(pa_utf8_step("\xc0\x80", 2), 0);
	assert_int_equal(pa_utf8_step("\xc1\xbf", 2), 0);
	assert_int_equal(pa_utf8_step("\xe0\x9f\xbf", 3), 0);
	assert_int_equal(pa_utf8_step("\xf0\x8f\xbf\xbf", 4), 0);
	assert_int_equal(pa_utf8_step("\x80", 1), 0);
	assert_int_equal(pa_utf8_step("\xff", 1), 0);
	assert_int_equal(pa_utf8_step("\xc3(", 2), 0);
	assert_int_equal(pa_utf8_step("", 0), 0);
}

static void assert_cleaned(const char *text, const char *expected)
{
	char out[PA_TEXT_MAX + 1];

	assert_int_equal(pa_text_clean(text, out), strlen(expected));
	assert_string_equal(out, expected);
}

static void cleaning_replaces_byte_by_byte(void **state)
{
	assert_cleaned("", "");
	assert_cleaned("plain \xe2\x82\xac", "plain \xe2\x82\xac");
	assert_cleaned("a\xe2\x82"
		       "b",
		       "a\xef\xbf\xbd\xef\xbf\xbd"
		       "b");
	assert_cleaned("\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

/* Around the limit, with characters of every width and with bad bytes, which grow. */
static void long_texts_are_cut_between_characters(void **state)
{
	static const char *const units[] = {"x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xff"};
	char *text = malloc(2 * PA_TEXT_MAX), out[PA_TEXT_MAX + 1];

	for (size_t u = 0; u < 5; u++)
		for (size_t wanted = PA_TEXT_MAX - 8; wanted < PA_TEXT_MAX + 8; wanted++) {
			size_t width = strlen(units[u]), shown = u == 4 ? 3 : width, nr = wanted / shown, len;

			for (size_t i = 0; i < nr; i++)
				memcpy(text + i * width, units[u], width);
			text[nr * width] = '\0';
			len = pa_text_clean(text, out);
			assert_int_equal(strlen(out), len);
			for (size_t at = 0; at < len; at += pa_utf8_step(out + at, len - at))
				assert_true(pa_utf8_step(out + at, len - at) > 0);
			if (nr * shown <= PA_TEXT_MAX)
				assert_int_equal(len, nr * shown);
			else
				assert_memory_equal(out + len - 3, "\xe2\x80\xa6", 3);
		}
	free(text);
}

static void strings_are_numbered_once(void **state)
{
	struct pa_strings *s = pa_strings_new();
	char text[16];
	bool is_new;

	for (uint32_t i = 1; i <= 10000; i++) {
		snprintf(text, sizeof(text), "name%u", i);
		assert_int_equal(pa_strings_add(s, text, &is_new), i);
		assert_true(is_new);
	}
	for (uint32_t i = 1; i <= 10000; i++) {
		snprintf(text, sizeof(text), "name%u", i);
		assert_int_equal(pa_strings_add(s, text, &is_new), i);
		assert_false(is_new);
	}
	pa_strings_free(s);
}

static void network_file_systems_are_known(void **state)
{
	assert_true(pa_fs_magic_is_network(NFS_SUPER_MAGIC));
	assert_true(pa_fs_magic_is_network(V9FS_MAGIC));
	assert_true(pa_fs_magic_is_network(CIFS_SUPER_MAGIC));
	assert_true(pa_fs_magic_is_network(FUSE_SUPER_MAGIC));
	assert_false(pa_fs_magic_is_network(EXT4_SUPER_MAGIC));
	assert_false(pa_fs_magic_is_network(TMPFS_MAGIC));
	assert_false(pa_fs_magic_is_network(OVERLAYFS_SUPER_MAGIC));
	assert_false(pa_fs_is_network("/proc"));
	assert_false(pa_fs_is_network("/nonexistent"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_character_is_known_and_no_surrogate),
	    cmocka_unit_test(overlong_and_stray_bytes_are_refused),
	    cmocka_unit_test(cleaning_replaces_byte_by_byte),
	    cmocka_unit_test(long_texts_are_cut_between_characters),
	    cmocka_unit_test(strings_are_numbered_once),
	    cmocka_unit_test(network_file_systems_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
