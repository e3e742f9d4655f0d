/* Numbers of 7 bits a byte, low bits first, top bit: more follow. What the blobs of a recording are made of.
 * Callers: store_chunk.c, store_heapchunk.c. World: plain. */
#ifndef PA_COLLECTOR_VARINT_H
#define PA_COLLECTOR_VARINT_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#define PA_VARINT_MAX 10 /* bytes of a 64-bit number */

/* Returns the number of bytes. Shapes: out has PA_VARINT_MAX bytes. */
static inline size_t pa_varint_put(uint8_t *out, uint64_t value)
{
	size_t n = 0;

	while (value >= 0x80) {
		out[n++] = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	out[n++] = (uint8_t)value;
	return n;
}

struct pa_cursor {
	const uint8_t *data;
	size_t len;
	size_t at;
};

/* Reads one number of at most `max`. Errors: -EBADMSG, the cursor then stands at the number's first byte. */
static inline int pa_varint_get(struct pa_cursor *c, uint64_t max, uint64_t *value)
{
	size_t at = c->at;
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64 && at < c->len; shift += 7) {
		uint8_t byte = c->data[at++];

		if (shift == 63 && byte > 1)
			return -EBADMSG;
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (byte & 0x80)
			continue;
		if (v > max)
			return -EBADMSG;
		c->at = at;
		*value = v;
		return 0;
	}
	return -EBADMSG;
}

#endif
