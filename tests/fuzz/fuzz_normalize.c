/* Any bytes as a statement, a path or a command: the form is text of bounded length, and the fingerprint does not
 * depend on the room there was. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "collector/normalize.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t form(unsigned kind, const char *text, size_t len, char *out, size_t room, uint64_t *print)
{
	if (kind < 3)
		return pa_normalize_sql((enum pa_dialect)kind, text, len, len % 7 == 0, out, room, print);
	if (kind == 3)
		return pa_normalize_path(text, len, out, room, print);
	return pa_normalize_redis(text, len, kind == 5, out, room, print);
}

/* Valid UTF-8 by another way than that of normalize.c: decode, and look at the number. */
static void check_text(const char *text, size_t len)
{
	const uint8_t *p = (const uint8_t *)text;

	if (strlen(text) != len)
		abort();
	for (size_t i = 0; i < len;) {
		unsigned more = p[i] < 0x80 ? 0 : p[i] < 0xe0 ? 1 : p[i] < 0xf0 ? 2 : 3;
		uint32_t code = more ? p[i] & (0x3fu >> more) : p[i];

		for (unsigned k = 1; k <= more; k++) {
			if ((p[i + k] & 0xc0) != 0x80)
				abort();
			code = code << 6 | (p[i + k] & 0x3f);
		}
		if (code < 0x20 || (code >= 0x7f && code < 0xa0) || code > 0x10ffff ||
		    (code >= 0xd800 && code < 0xe000))
			abort();
		i += 1 + more;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char large[65536], small[300];
	uint64_t print, again;
	size_t len, room;

	if (size < 2 || size > 8192)
		return 0;
	room = 1 + data[1];
	len = form(data[0] % 6, (const char *)data + 2, size - 2, large, sizeof(large), &print);
	check_text(large, len);
	len = form(data[0] % 6, (const char *)data + 2, size - 2, small, room, &again);
	check_text(small, len);
	if (len >= room || again != print || strncmp(small, large, len))
		abort();
	return 0;
}
