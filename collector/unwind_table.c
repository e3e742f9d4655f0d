/* Source: Linux Standard Base Core 5.0, section 10.6.1 (.eh_frame). World: plain. */
#include "collector/unwind_table.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define PE_SDATA4_PCREL 0x1b /* the one encoding that compilers write for code of 64-bit ELF */
#define LENGTH_IS_64    0xffffffffu
#define ULEB_BYTES_MAX  10

static uint32_t word(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static bool skip_uleb(const uint8_t *bytes, size_t end, size_t *at)
{
	for (int i = 0; i < ULEB_BYTES_MAX && *at < end; i++)
		if (!(bytes[(*at)++] & 0x80))
			return true;
	return false;
}

/* Whether the CIE at `cie` says that the addresses of its FDEs are encoded as above: augmentation "z..R..". */
static bool is_usual(const uint8_t *section, size_t len, size_t cie)
{
	size_t at = cie + 9, end, text;

	if (cie > len || len - cie < 16 || word(section + cie) == LENGTH_IS_64 || word(section + cie + 4) != 0)
		return false;
	end = word(section + cie) > len - cie - 4 ? len : cie + 4 + word(section + cie);
	text = at;
	while (at < end && section[at])
		at++;
	if (at >= end || section[text] != 'z')
		return false;
	at++;
	/* code and data alignment, return address register, length of what the letters stand for */
	for (int i = 0; i < 4; i++)
		if (!skip_uleb(section, end, &at))
			return false;
	for (const uint8_t *letter = section + text + 1; *letter && at < end; letter++) {
		if (*letter == 'R')
			return section[at] == PE_SDATA4_PCREL;
		if (*letter == 'P') {
			at += 1 + ((section[at] & 7) == 3 ? 4 : 8);
		} else if (*letter == 'L') {
			at++;
		} else if (*letter != 'S' && *letter != 'B') {
			return false;
		}
	}
	return false;
}

static int compare(const void *a, const void *b)
{
	const struct pa_unwind_entry *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static bool append(struct pa_unwind_entry **list, size_t *nr, size_t *room, int64_t start, int64_t fde)
{
	if (start != (int32_t)start || fde != (int32_t)fde || *nr == PA_UNWIND_ENTRIES_MAX)
		return true; /* cannot be expressed: left out */
	if (*nr == *room) {
		size_t more = *room ? *room * 2 : 256;
		struct pa_unwind_entry *grown = reallocarray(*list, more, sizeof(*grown));

		if (!grown)
			return false;
		*list = grown;
		*room = more;
	}
	(*list)[(*nr)++] = (struct pa_unwind_entry){(int32_t)start, (int32_t)fde};
	return true;
}

size_t pa_unwind_list_fdes(const uint8_t *section, size_t len, uint64_t vaddr, uint64_t base,
			   struct pa_unwind_entry **out)
{
	size_t nr = 0, room = 0, last_cie = SIZE_MAX;
	bool usual = false;

	*out = NULL;
	for (size_t at = 0; len - at >= 16 && word(section + at) && word(section + at) != LENGTH_IS_64;) {
		size_t body = word(section + at);
		uint32_t back = word(section + at + 4);

		if (body < 4 || body > len - at - 4)
			break;
		if (back && back <= at + 4 && body >= 12) {
			uint64_t where = vaddr + at + 8;
			uint64_t start = where + (uint64_t)(int64_t)(int32_t)word(section + at + 8);

			if (at + 4 - back != last_cie) {
				last_cie = at + 4 - back;
				usual = is_usual(section, len, last_cie);
			}
			if (usual && !append(out, &nr, &room, (int64_t)(start - base), (int64_t)(vaddr + at - base)))
				break;
		}
		at += 4 + body;
		if (len - at < 16)
			break;
	}
	if (nr)
		qsort(*out, nr, sizeof(**out), compare);
	return nr;
}
