/* Strings in the collector; see the header. World: plain. */
#include "collector/strings.h"

#include <stdlib.h>
#include <string.h>

static bool continues(uint8_t byte)
{
	return (byte & 0xc0) == 0x80;
}

size_t pa_utf8_step(const char *text, size_t len)
{
	const uint8_t *s = (const uint8_t *)text;

	if (len == 0)
		return 0;
	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		return len >= 2 && continues(s[1]) ? 2 : 0;
	if (s[0] >= 0xe0 && s[0] <= 0xef) {
		if (len < 3 || !continues(s[1]) || !continues(s[2]))
			return 0;
		if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f))
			return 0; /* overlong; surrogate */
		return 3;
	}
	if (s[0] >= 0xf0 && s[0] <= 0xf4) {
		if (len < 4 || !continues(s[1]) || !continues(s[2]) || !continues(s[3]))
			return 0;
		if ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
			return 0; /* overlong; above U+10FFFF */
		return 4;
	}
	return 0;
}

size_t pa_text_clean(const char *text, char *out)
{
	static const char bad[] = "\xef\xbf\xbd", dots[] = "\xe2\x80\xa6";
	size_t len = strnlen(text, PA_TEXT_MAX + 1), n = 0, cut = 0;

	for (size_t i = 0; i < len;) {
		size_t step = pa_utf8_step(text + i, len - i), bytes = step ? step : 3;

		if (n + bytes > PA_TEXT_MAX) {
			memcpy(out + cut, dots, 3);
			n = cut + 3;
			break;
		}
		memcpy(out + n, step ? text + i : bad, bytes);
		n += bytes;
		i += step ? step : 1;
		if (n <= PA_TEXT_MAX - 3)
			cut = n; /* the last end of a character that leaves room for the dots */
	}
	out[n] = '\0';
	return n;
}

struct entry {
	uint32_t hash;
	uint32_t id; /* 0: free */
	char *text;
};

/* Invariant: nr < size / 2 + 1, size is a power of two, so that a probe always ends at a free entry. */
struct pa_strings {
	struct entry *table;
	size_t size;
	size_t nr;
};

struct pa_strings *pa_strings_new(void)
{
	struct pa_strings *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->size = 256;
	s->table = calloc(s->size, sizeof(*s->table));
	if (s->table)
		return s;
	free(s);
	return NULL;
}

void pa_strings_free(struct pa_strings *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->size; i++)
		free(s->table[i].text);
	free(s->table);
	free(s);
}

/* FNV-1a with a last mix; names of a target choose their slots, but only of their own recording. */
static uint32_t hash_text(const char *text)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
	return (uint32_t)(h ^ h >> 32);
}

static bool grow(struct pa_strings *s)
{
	size_t size = s->size * 2;
	struct entry *table = calloc(size, sizeof(*table));

	if (!table)
		return false;
	for (size_t i = 0; i < s->size; i++) {
		size_t at = s->table[i].hash & (size - 1);

		if (!s->table[i].id)
			continue;
		while (table[at].id)
			at = (at + 1) & (size - 1);
		table[at] = s->table[i];
	}
	free(s->table);
	s->table = table;
	s->size = size;
	return true;
}

uint32_t pa_strings_add(struct pa_strings *s, const char *text, bool *is_new)
{
	uint32_t hash = hash_text(text);
	size_t at = hash & (s->size - 1);

	*is_new = false;
	for (; s->table[at].id; at = (at + 1) & (s->size - 1))
		if (s->table[at].hash == hash && !strcmp(s->table[at].text, text))
			return s->table[at].id;
	if (s->nr >= s->size / 2) {
		if (s->nr >= UINT32_MAX - 1 || !grow(s))
			return 0;
		for (at = hash & (s->size - 1); s->table[at].id; at = (at + 1) & (s->size - 1))
			;
	}
	s->table[at].text = strdup(text);
	if (!s->table[at].text)
		return 0;
	s->table[at].hash = hash;
	s->table[at].id = (uint32_t)++s->nr;
	*is_new = true;
	return s->table[at].id;
}
