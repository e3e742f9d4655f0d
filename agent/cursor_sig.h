/* Reading bytes that cannot be trusted: every read is checked against the end, a failed one yields 0 and leaves a mark.
 * World: signal. */
#ifndef PA_AGENT_CURSOR_SIG_H
#define PA_AGENT_CURSOR_SIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pa_cursor {
	const uint8_t *at; /* at <= end */
	const uint8_t *end;
	bool bad; /* a read did not fit; at stays where it was */
};

static inline size_t pa_cursor_left(const struct pa_cursor *c)
{
	return (size_t)(c->end - c->at);
}

/* Units: bytes, 1 to 8, little-endian as all supported machines are. */
static inline uint64_t pa_cursor_u(struct pa_cursor *c, size_t bytes)
{
	uint64_t value = 0;

	if (pa_cursor_left(c) < bytes) {
		c->bad = true;
		return 0;
	}
	__builtin_memcpy(&value, c->at, bytes);
	c->at += bytes;
	return value;
}

static inline int64_t pa_cursor_s(struct pa_cursor *c, size_t bytes)
{
	unsigned shift = 64 - 8 * (unsigned)bytes;

	return (int64_t)(pa_cursor_u(c, bytes) << shift) >> shift;
}

/* Numbers longer than 64 bits keep their low 64. */
static inline uint64_t pa_cursor_uleb(struct pa_cursor *c)
{
	uint64_t value = 0;

	for (unsigned shift = 0;; shift += 7) {
		uint8_t byte = (uint8_t)pa_cursor_u(c, 1);

		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
}

static inline int64_t pa_cursor_sleb(struct pa_cursor *c)
{
	uint64_t value = 0;

	for (unsigned shift = 0;;) {
		uint8_t byte = (uint8_t)pa_cursor_u(c, 1);

		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
		if (byte & 0x80)
			continue;
		if ((byte & 0x40) && shift < 64)
			value |= ~UINT64_C(0) << shift;
		return (int64_t)value;
	}
}

static inline void pa_cursor_skip(struct pa_cursor *c, uint64_t bytes)
{
	if (pa_cursor_left(c) < bytes)
		c->bad = true;
	else
		c->at += bytes;
}

#endif
