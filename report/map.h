/* Small tables the reports are made of: a growing array, a map from 128-bit keys to 32-bit numbers, a pool of strings.
 * World: plain. */
#ifndef PA_REPORT_MAP_H
#define PA_REPORT_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Makes room for one more element of size bytes in *array, which holds nr of *capacity. Errors: false: out of memory,
 * the array is as it was. */
bool pa_grow(void **array, size_t *capacity, size_t nr, size_t size);

/* Open addressing, linear probing, at most half full. Zero-initialised is empty. Value 0 is reserved for "new". */
struct pa_map_slot {
	uint64_t a, b;
	uint32_t value;
	uint32_t used;
};
struct pa_map {
	struct pa_map_slot *slots;
	size_t capacity; /* a power of two, or 0 */
	size_t nr;
};

/* The value of key (a, b), which is 0 when the key was not there: the caller then sets it.
 * Shapes: the pointer is lent until the next call. Errors: NULL: out of memory. */
uint32_t *pa_map_at(struct pa_map *m, uint64_t a, uint64_t b);
void pa_map_fini(struct pa_map *m);

static inline uint64_t pa_pair(uint32_t low, uint32_t high)
{
	return (uint64_t)high << 32 | low;
}

/* Strings by number, each content once. Number 0 is "". */
struct pa_pool;
struct pa_pool *pa_pool_new(void);
void pa_pool_free(struct pa_pool *s);
/* Errors: 0, and pa_pool_failed says so from then on: out of memory. NULL is "". */
uint32_t pa_pool_add(struct pa_pool *s, const char *text);
/* Lent until free. */
const char *pa_pool_get(const struct pa_pool *s, uint32_t number);
bool pa_pool_failed(const struct pa_pool *s);

#endif
