/* An open-addressed table from raw name to clean name, and the memory of the clean ones. World: plain. */
#include "collector/names.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "collector/demangle.h"

#define CHUNK_BYTES (64u << 10)

struct chunk {
	struct chunk *next;
	size_t used;
	size_t room;
	char bytes[];
};

struct entry {
	const char *raw; /* NULL: free */
	const char *clean;
};

struct pa_names {
	struct entry *entries;
	size_t nr;
	size_t mask; /* entries - 1, a power of two minus one */
	struct chunk *chunks;
};

struct pa_names *pa_names_new(void)
{
	struct pa_names *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->mask = 255;
	n->entries = calloc(n->mask + 1, sizeof(*n->entries));
	if (!n->entries) {
		free(n);
		return NULL;
	}
	return n;
}

void pa_names_free(struct pa_names *n)
{
	if (!n)
		return;
	while (n->chunks) {
		struct chunk *next = n->chunks->next;

		free(n->chunks);
		n->chunks = next;
	}
	free(n->entries);
	free(n);
}

const char *pa_names_copy(struct pa_names *n, const char *text, size_t len)
{
	struct chunk *c = n->chunks;

	if (!c || c->room - c->used < len + 1) {
		size_t room = len + 1 > CHUNK_BYTES ? len + 1 : CHUNK_BYTES;

		c = malloc(sizeof(*c) + room);
		if (!c)
			return NULL;
		*c = (struct chunk){.next = n->chunks, .room = room};
		n->chunks = c;
	}
	char *copy = c->bytes + c->used;

	memcpy(copy, text, len);
	copy[len] = 0;
	c->used += len + 1;
	return copy;
}

static struct entry *find_entry(struct entry *entries, size_t mask, const char *raw)
{
	size_t i = ((uint64_t)(uintptr_t)raw * UINT64_C(0x9e3779b97f4a7c15) >> 20) & mask;

	while (entries[i].raw && entries[i].raw != raw)
		i = (i + 1) & mask;
	return &entries[i];
}

static bool grow(struct pa_names *n)
{
	size_t mask = n->mask * 2 + 1;
	struct entry *entries = calloc(mask + 1, sizeof(*entries));

	if (!entries)
		return false;
	for (size_t i = 0; i <= n->mask; i++) {
		if (n->entries[i].raw)
			*find_entry(entries, mask, n->entries[i].raw) = n->entries[i];
	}
	free(n->entries);
	n->entries = entries;
	n->mask = mask;
	return true;
}

const char *pa_names_get(struct pa_names *n, const char *raw, bool demangle)
{
	if (n->nr * 2 > n->mask && !grow(n))
		return NULL;

	struct entry *e = find_entry(n->entries, n->mask, raw);

	if (!e->raw) {
		char clean[PA_NAME_MAX];
		size_t len = demangle ? pa_demangle(raw, clean) : pa_name_clean(raw, strnlen(raw, PA_NAME_MAX), clean);
		const char *copy = strcmp(clean, raw) ? pa_names_copy(n, clean, len) : raw;

		if (!copy)
			return NULL;
		*e = (struct entry){.raw = raw, .clean = copy};
		n->nr++;
	}
	return e->clean;
}
