/* Feeding framers for the tests: recorded streams, cut as one likes, and what is reported as comparable text. */
#ifndef PA_TESTS_FRAME_UTIL_H
#define PA_TESTS_FRAME_UTIL_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/atomics.h"
#include "common/frame.h"

/* A piece of a stream as it was read: tests/tools/record_streams.py. */
struct chunk {
	enum pa_way way;
	uint32_t len;
	const uint8_t *bytes;
};

struct streams {
	uint8_t *file;
	struct chunk *list;
	size_t nr;
};

/* What has been reported: a line for each message, its captured bytes put together. */
struct told {
	char *text;
	size_t len, size;
	uint64_t total[2];
	uint64_t now;
	unsigned events, messages, gaps, not_this, opaque;
	struct pa_frame_event message[2]; /* being put together */
	uint8_t bytes[2][2 * PA_FRAME_TEXT_MAX];
	bool begun[2];
};

static inline void told_free(struct told *t)
{
	free(t->text);
	memset(t, 0, sizeof(*t));
}

static inline void told_add(struct told *t, const char *text, size_t len)
{
	if (t->len + len + 1 > t->size) {
		t->size = (t->len + len + 1) * 2;
		t->text = realloc(t->text, t->size);
		if (!t->text)
			abort();
	}
	memcpy(t->text + t->len, text, len);
	t->len += len;
	t->text[t->len] = 0;
}

static inline void told_line(struct told *t, enum pa_way way, const struct pa_frame_event *e)
{
	char line[192], byte[8];
	int n = snprintf(line, sizeof(line),
			 "%c %u %x total %" PRIu64 " hash %" PRIx64 " count %" PRIu64 " value %" PRIu64 " [",
			 way == PA_TO_SERVER ? '>' : '<', e->kind, e->flags, e->total, e->hash, e->count, e->value);

	told_add(t, line, (size_t)n);
	for (uint32_t i = 0; i < e->nr_bytes; i++) {
		bool plain = e->bytes[i] >= 0x20 && e->bytes[i] < 0x7f && e->bytes[i] != '\\';

		n = snprintf(byte, sizeof(byte), plain ? "%c" : "\\%02x", e->bytes[i]);
		told_add(t, byte, (size_t)n);
	}
	told_add(t, "]\n", 2);
}

/* Puts pieces together; aborts at what a framer promises never to do. */
static inline void told_event(struct told *t, enum pa_way way, const struct pa_frame_event *e)
{
	struct pa_frame_event *m = &t->message[way];

	t->events++;
	if (e->flags & PA_FRAME_FIRST) {
		*m = *e;
		m->nr_bytes = 0;
		t->begun[way] = true;
	}
	if (!t->begun[way] || m->kind != e->kind || m->nr_bytes + e->nr_bytes > sizeof(t->bytes[way]) ||
	    e->first_ns > e->last_ns)
		abort();
	if (e->nr_bytes)
		memcpy(t->bytes[way] + m->nr_bytes, e->bytes, e->nr_bytes);
	e = &(struct pa_frame_event){.bytes = t->bytes[way],
				     .nr_bytes = m->nr_bytes + e->nr_bytes,
				     .kind = e->kind,
				     .flags = e->flags & (uint16_t)~PA_FRAME_FIRST,
				     .total = e->total,
				     .hash = e->hash,
				     .count = e->count,
				     .value = e->value};
	m->nr_bytes = e->nr_bytes;
	if (e->flags & PA_FRAME_MORE)
		return;
	t->begun[way] = false;
	t->messages++;
	t->total[way] += e->total;
	t->gaps += !!(e->flags & PA_FRAME_GAP);
	t->not_this += e->kind == PA_FRAME_NOT_THIS;
	t->opaque += e->kind == PA_FRAME_OPAQUE;
	told_line(t, way, e);
}

/* Feeds all of len bytes with room for `room` events a call. bytes NULL: unseen. */
static inline void feed(struct pa_frame *f, struct told *t, enum pa_way way, const uint8_t *bytes, size_t len,
			uint32_t room)
{
	struct pa_frame_event list[64];
	size_t at = 0;

	while (at < len) {
		struct pa_frame_out out = {list, 0, room};
		size_t n = pa_frame_feed(f, way, bytes ? bytes + at : NULL, len - at, ++t->now, &out);

		if (n > len - at || (n == 0 && out.nr == 0) || out.nr > room)
			abort();
		at += n;
		for (uint32_t i = 0; i < out.nr; i++)
			told_event(t, way, &list[i]);
	}
}

/* Cuts pieces at random; the same seed cuts alike. */
static inline void feed_cut(struct pa_frame *f, struct told *t, enum pa_way way, const uint8_t *bytes, size_t len,
			    size_t most, uint32_t *seed)
{
	for (size_t at = 0; at < len;) {
		size_t n;

		*seed = *seed * 1664525u + 1013904223u;
		n = most == 1 ? 1 : 1 + (*seed >> 8) % most;
		n = n < len - at ? n : len - at;
		feed(f, t, way, bytes + at, n, 2 + *seed % 7);
		at += n;
	}
}

static inline void streams_free(struct streams *s)
{
	free(s->file);
	free(s->list);
	memset(s, 0, sizeof(*s));
}

/* Reads tests/unit/data/NAME; aborts where it cannot. */
static inline void streams_load(struct streams *s, const char *name)
{
	char path[256];
	size_t len = 0, at = 0;
	FILE *in;

	snprintf(path, sizeof(path), "tests/unit/data/%s", name);
	in = fopen(path, "rb");
	memset(s, 0, sizeof(*s));
	s->file = malloc(1 << 20);
	s->list = calloc(4096, sizeof(*s->list));
	if (!in || !s->file || !s->list)
		abort();
	len = fread(s->file, 1, 1 << 20, in);
	fclose(in);
	while (at < len) {
		struct chunk *c = &s->list[s->nr++];

		if (s->nr == 4096 || len - at < 5)
			abort();
		c->way = s->file[at] == '>' ? PA_TO_SERVER : PA_TO_CLIENT;
		memcpy(&c->len, s->file + at + 1, 4);
		c->bytes = s->file + at + 5;
		if (c->len > len - at - 5)
			abort();
		at += 5 + c->len;
	}
}

/* Feeds a recording: pieces as they were read (most 0), or cut. */
static inline void streams_feed(struct pa_frame *f, struct told *t, const struct streams *s, size_t most, uint32_t seed)
{
	for (size_t i = 0; i < s->nr; i++) {
		const struct chunk *c = &s->list[i];

		if (most)
			feed_cut(f, t, c->way, c->bytes, c->len, most, &seed);
		else
			feed(f, t, c->way, c->bytes, c->len, 64);
	}
}

#endif
