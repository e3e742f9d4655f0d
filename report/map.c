#include "report/map.h"

#include <stdlib.h>
#include <string.h>

bool pa_grow(void **array, size_t *capacity, size_t nr, size_t size)
{
	if (nr < *capacity)
		return true;
	size_t more = *capacity ? *capacity * 2 : 64;
	void *grown = reallocarray(*array, more, size);
	if (!grown)
		return false;
	*array = grown;
	*capacity = more;
	return true;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t h = (a ^ (b * UINT64_C(0x9e3779b97f4a7c15))) * UINT64_C(0xff51afd7ed558ccd);
	h ^= h >> 32;
	h *= UINT64_C(0xc4ceb9fe1a85ec53);
	return h ^ h >> 29;
}

static struct pa_map_slot *slot_of(struct pa_map_slot *slots, size_t capacity, uint64_t a, uint64_t b)
{
	size_t i = mix(a, b) & (capacity - 1);
	while (slots[i].used && (slots[i].a != a || slots[i].b != b))
		i = (i + 1) & (capacity - 1);
	return &slots[i];
}

static bool rehash(struct pa_map *m)
{
	size_t capacity = m->capacity ? m->capacity * 2 : 256;
	struct pa_map_slot *slots = calloc(capacity, sizeof(*slots));
	if (!slots)
		return false;
	for (size_t i = 0; i < m->capacity; i++)
		if (m->slots[i].used)
			*slot_of(slots, capacity, m->slots[i].a, m->slots[i].b) = m->slots[i];
	free(m->slots);
	m->slots = slots;
	m->capacity = capacity;
	return true;
}

uint32_t *pa_map_at(struct pa_map *m, uint64_t a, uint64_t b)
{
	if (m->nr * 2 >= m->capacity && !rehash(m))
		return NULL;
	struct pa_map_slot *slot = slot_of(m->slots, m->capacity, a, b);
	if (!slot->used) {
		*slot = (struct pa_map_slot){.a = a, .b = b, .used = 1};
		m->nr++;
	}
	return &slot->value;
}

void pa_map_fini(struct pa_map *m)
{
	free(m->slots);
	*m = (struct pa_map){0};
}

/* The map finds strings by a 128-bit fingerprint of their content; contents are compared all the same, and a clash
 * probes on with another second half. */
struct pa_pool {
	char **texts;
	size_t nr, capacity;
	struct pa_map map;
	bool failed;
};

struct pa_pool *pa_pool_new(void)
{
	struct pa_pool *s = calloc(1, sizeof(*s));
	if (s && (!pa_grow((void **)&s->texts, &s->capacity, 0, sizeof(*s->texts)) || !(s->texts[0] = strdup("")))) {
		pa_pool_free(s);
		return NULL;
	}
	if (s)
		s->nr = 1;
	return s;
}

void pa_pool_free(struct pa_pool *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->nr; i++)
		free(s->texts[i]);
	free(s->texts);
	pa_map_fini(&s->map);
	free(s);
}

static uint64_t fingerprint(const char *text)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	return h;
}

uint32_t pa_pool_add(struct pa_pool *s, const char *text)
{
	if (!text || !*text)
		return 0;
	uint64_t h = fingerprint(text);
	for (uint64_t probe = 0;; probe++) {
		uint32_t *number = pa_map_at(&s->map, h, probe);
		if (!number)
			break;
		if (*number && strcmp(s->texts[*number], text))
			continue;
		if (*number)
			return *number;
		if (s->nr >= UINT32_MAX || !pa_grow((void **)&s->texts, &s->capacity, s->nr, sizeof(*s->texts)) ||
		    !(s->texts[s->nr] = strdup(text)))
			break;
		return *number = (uint32_t)s->nr++;
	}
	s->failed = true;
	return 0;
}

const char *pa_pool_get(const struct pa_pool *s, uint32_t number)
{
	return number < s->nr ? s->texts[number] : "";
}

bool pa_pool_failed(const struct pa_pool *s)
{
	return s->failed;
}
