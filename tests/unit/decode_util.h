/* Recorded streams through framer and decoder, with losses where the test wants them; exchanges as comparable text. */
#ifndef PA_TESTS_DECODE_UTIL_H
#define PA_TESTS_DECODE_UTIL_H

#include "collector/decode.h"
#include "tests/unit/frame_util.h"

struct heard {
	struct told text; /* a line for each exchange */
	unsigned nr, lost, skipped, failed;
	struct pa_exchange last;
	bool brief;        /* what an exchange was and what came of it, without what a loss around it may change */
	const char *among; /* brief lines that what is not marked as lost has to be one of */
	unsigned wrong;
};

#define UNSURE_FLAGS (PA_EXCHANGE_LOST | PA_EXCHANGE_UNANSWERED | PA_EXCHANGE_NO_TEXT)

static inline void hear(void *arg, const struct pa_exchange *x)
{
	struct heard *h = arg;
	char line[512];
	int n;

	if (x->end_ns && x->end_ns < x->start_ns)
		abort();
	if (x->turn_ns < x->start_ns || x->text_len > PA_FRAME_TEXT_MAX || strlen(x->error) > 15)
		abort();
	if (h->brief)
		n = snprintf(line, sizeof(line), "[%.*s] %u error '%s' rows %" PRIu64 " received %" PRIu64 "\n",
			     (int)(x->text_len < 80 ? x->text_len : 80), x->text, x->status, x->error, x->rows,
			     x->received_bytes);
	else
		n = snprintf(line, sizeof(line),
			     "%d %x %s%s%s%s[%.*s] %u error '%s' rows %" PRIu64 " sent %" PRIu64 " received %" PRIu64
			     " %c%c\n",
			     x->kind, x->flags, x->method ? x->method : "", x->method ? " " : "",
			     x->host ? x->host : "", x->host ? " " : "", (int)(x->text_len < 80 ? x->text_len : 80),
			     x->text, x->status, x->error, x->rows, x->sent_bytes, x->received_bytes,
			     x->tx_before ? x->tx_before : '-', x->tx_after ? x->tx_after : '-');
	if (h->brief && h->among && !(x->flags & UNSURE_FLAGS) && !strstr(h->among, line)) {
		fprintf(stderr, "not among the exchanges without loss: %s", line);
		h->wrong++;
	}
	told_add(&h->text, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
	h->nr++;
	h->lost += !!(x->flags & PA_EXCHANGE_LOST);
	h->skipped += !!(x->flags & PA_EXCHANGE_SKIPPED);
	h->failed += !!(x->flags & PA_EXCHANGE_FAILED);
	h->last = *x;
}

static inline void heard_free(struct heard *h)
{
	told_free(&h->text);
	memset(h, 0, sizeof(*h));
}

/* Feeds len bytes; the event number `drop` (counted in *nr from 0) does not reach the decoder, which is told so. */
static inline void hear_bytes(struct pa_frame *f, struct pa_decode *d, enum pa_way way, const uint8_t *bytes,
			      size_t len, uint64_t now_ns, unsigned *nr, unsigned drop)
{
	struct pa_frame_event list[8];
	size_t at = 0;

	while (at < len) {
		struct pa_frame_out out = {list, 0, 8};

		at += pa_frame_feed(f, way, bytes + at, len - at, now_ns, &out);
		for (uint32_t i = 0; i < out.nr; i++, (*nr)++) {
			if (*nr == drop)
				pa_decode_lost(d);
			else
				pa_decode_event(d, way, &list[i]);
		}
	}
}

#define NO_DROP UINT32_MAX

/* A whole recording, cut into pieces of `cut` bytes (0: as it was read); one event dropped. The n-th piece of it was at
 * (n + 1) ms. Returns how many events there were. */
static inline unsigned hear_recording(struct heard *h, struct pa_decode_counts *counts, const char *name,
				      enum pa_proto hint, size_t cut, unsigned drop)
{
	struct pa_decode *d = pa_decode_new(hear, h);
	struct streams s;
	struct pa_frame f;
	unsigned nr = 0;

	if (!d)
		abort();
	streams_load(&s, name);
	pa_frame_init(&f, PA_PROTO_UNSURE, hint, false);
	for (size_t i = 0; i < s.nr; i++)
		for (size_t at = 0; at < s.list[i].len;) {
			size_t n = cut && cut < s.list[i].len - at ? cut : s.list[i].len - at;

			hear_bytes(&f, d, s.list[i].way, s.list[i].bytes + at, n, (i + 1) * 1000000, &nr, drop);
			at += n;
		}
	pa_decode_close(d, (s.nr + 1) * 1000000);
	*counts = *pa_decode_counts(d);
	pa_decode_free(d);
	streams_free(&s);
	return nr;
}

#endif
