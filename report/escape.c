#include "report/escape.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define REPLACEMENT 0xFFFDu

uint32_t pa_utf8_next(const char **at)
{
	const unsigned char *s = (const unsigned char *)*at;
	unsigned more = s[0] < 0x80 ? 0 : s[0] >= 0xC2 && s[0] < 0xE0 ? 1 : s[0] >= 0xE0 && s[0] < 0xF0 ? 2 : 3;
	static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
	uint32_t c = more ? s[0] & (0x3Fu >> more) : s[0];

	*at += 1;
	if (s[0] >= 0x80 && (s[0] < 0xC2 || s[0] > 0xF4))
		return REPLACEMENT;
	for (unsigned i = 1; i <= more; i++) {
		if ((s[i] & 0xC0) != 0x80)
			return REPLACEMENT;
		c = c << 6 | (s[i] & 0x3Fu);
	}
	if (c < least[more] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
		return REPLACEMENT;
	*at += more;
	return c;
}

/* Controls, and what reorders, hides or splits the text around it: direction marks and isolates, line separators, zero
 * width characters, the byte order mark, noncharacters. */
static bool is_unsafe(uint32_t c)
{
	return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x61C || (c >= 0x200B && c <= 0x200F) ||
	       (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF ||
	       (c >= 0xFFF9 && c <= 0xFFFB) || (c & 0xFFFE) == 0xFFFE;
}

static void utf8_put(char *to, uint32_t c)
{
	if (c < 0x80) {
		*to++ = (char)c;
	} else if (c < 0x800) {
		*to++ = (char)(0xC0 | c >> 6);
		*to++ = (char)(0x80 | (c & 0x3F));
	} else if (c < 0x10000) {
		*to++ = (char)(0xE0 | c >> 12);
		*to++ = (char)(0x80 | (c >> 6 & 0x3F));
		*to++ = (char)(0x80 | (c & 0x3F));
	} else {
		*to++ = (char)(0xF0 | c >> 18);
		*to++ = (char)(0x80 | (c >> 12 & 0x3F));
		*to++ = (char)(0x80 | (c >> 6 & 0x3F));
		*to++ = (char)(0x80 | (c & 0x3F));
	}
	*to = 0;
}

static const char *xml_reference(uint32_t c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	default:
		return NULL;
	}
}

static void json_form(char to[16], uint32_t c)
{
	if (c == '"' || c == '\\')
		snprintf(to, 16, "\\%c", (char)c);
	else if (c == '\n' || c == '\t' || c == '\r')
		snprintf(to, 16, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
	else if (is_unsafe(c) && c >= 0x10000)
		snprintf(to, 16, "\\u%04x\\u%04x", (unsigned)(0xD800 + ((c - 0x10000) >> 10)),
			 (unsigned)(0xDC00 + ((c - 0x10000) & 0x3FF)));
	else if (is_unsafe(c))
		snprintf(to, 16, "\\u%04x", (unsigned)c);
	else
		utf8_put(to, c);
}

/* Writes the form of one code point into to; returns its columns. */
static size_t form(char to[16], enum pa_language language, uint32_t c)
{
	const char *reference = language == PA_XML ? xml_reference(c) : NULL;
	if (language == PA_JSON) {
		json_form(to, c);
		return 1;
	}
	if (is_unsafe(c))
		return (size_t)snprintf(to, 16, c < 0x100 ? "\\x%02x" : "\\u{%x}", (unsigned)c);
	if (language == PA_FOLDED && c == ';')
		c = ':';
	if (reference)
		strcpy(to, reference);
	else
		utf8_put(to, c);
	return 1;
}

void pa_escape(FILE *out, enum pa_language language, const char *text)
{
	char to[16];
	while (*text) {
		form(to, language, pa_utf8_next(&text));
		fputs(to, out);
	}
}

size_t pa_escape_width(enum pa_language language, const char *text)
{
	char to[16];
	size_t width = 0;
	while (*text)
		width += form(to, language, pa_utf8_next(&text));
	return width;
}

size_t pa_escape_columns(FILE *out, enum pa_language language, const char *text, size_t columns)
{
	char to[16];
	size_t width = pa_escape_width(language, text), used = 0;

	if (!columns || width <= columns) {
		pa_escape(out, language, text);
		return width;
	}
	while (*text) {
		size_t more = form(to, language, pa_utf8_next(&text));
		if (used + more + 1 > columns)
			break;
		fputs(to, out);
		used += more;
	}
	fputs("\xE2\x80\xA6", out);
	return used + 1;
}

char *pa_escape_dup(enum pa_language language, const char *text)
{
	char *copy = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&copy, &size);
	if (!f)
		return NULL;
	pa_escape(f, language, text);
	bool bad = ferror(f);
	if (fclose(f) || bad) {
		free(copy);
		return NULL;
	}
	return copy;
}
