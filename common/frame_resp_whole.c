/* Redis messages that lie whole in one call, which is nearly all of them: hopped over without a state in between.
 * Whatever is unusual is left to frame_resp.c, which reports the same of it; the fuzzer holds both to that. World:
 * signal. */
#include "common/frame_impl.h"

#define DIGITS_MAX 9
#define LINE_MAX   4096
#define WORD_MAX   32
#define NAME_MIN   7 /* a first string of this length may be that of a message */
#define NAME_MAX   12

struct reader {
	const uint8_t *p;
	const uint8_t *end;
};

/* A number's line behind its type byte. False: none of moderate size, or not all there. */
static bool number(struct reader *r, size_t *value)
{
	const uint8_t *p = r->p;
	size_t n = 0;

	while (p < r->end && *p >= '0' && *p <= '9' && p - r->p <= DIGITS_MAX)
		n = n * 10 + (size_t)(*p++ - '0');
	if (p == r->p || p - r->p > DIGITS_MAX || r->end - p < 2 || p[0] != '\r' || p[1] != '\n')
		return false;
	r->p = p + 2;
	*value = n;
	return true;
}

/* A string's bytes and its line end. */
static bool text(struct reader *r, size_t n)
{
	if ((size_t)(r->end - r->p) < n + 2 || r->p[n] != '\r' || r->p[n + 1] != '\n')
		return false;
	r->p += n + 2;
	return true;
}

/* The rest of a line. */
static bool line(struct reader *r)
{
	size_t most = (size_t)(r->end - r->p), n;

	n = pa_frame_span(r->p, most < LINE_MAX ? most : LINE_MAX, '\r');
	if (n + 2 > most || n == LINE_MAX || r->p[n + 1] != '\n' || pa_frame_span(r->p, n, '\n') < n)
		return false;
	r->p += n + 2;
	return true;
}

static bool is_auth(const uint8_t *p, size_t n)
{
	return n == 4 && (p[0] | 0x20) == 'a' && (p[1] | 0x20) == 'u' && (p[2] | 0x20) == 't' && (p[3] | 0x20) == 'h';
}

/* The message ends at r->p; of it, [from, to) is captured. */
static void emit(struct pa_frame_cursor *c, struct pa_frame_way *w, const struct reader *r, const uint8_t *from,
		 const uint8_t *to, uint16_t limit, uint64_t count, uint64_t value, uint16_t flags)
{
	unsigned kind = w->kind;

	pa_frame_begin(c, w);
	w->kind = (uint8_t)kind;
	w->limit = limit;
	w->sub = 0;
	if (from < to) {
		pa_frame_pass(c, w, (size_t)(from - (c->buf + c->at)));
		pa_frame_take(c, w, (size_t)(to - from));
	}
	pa_frame_pass(c, w, (size_t)(r->p - (c->buf + c->at)));
	pa_frame_emit(c, w, count, value, flags);
}

static bool command(struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	struct reader r = {c->buf + c->at + 1, c->buf + c->len};
	const uint8_t *from = NULL, *to = NULL;
	size_t n, len;

	if (!number(&r, &n) || !n)
		return false;
	for (size_t i = 0; i < n; i++) {
		const uint8_t *begin;

		if (r.p == r.end || *r.p++ != '$' || !number(&r, &len))
			return false;
		begin = r.p;
		if (!text(&r, len))
			return false;
		if (i == 0)
			from = begin;
		if (i == 0 || (i == 1 && !is_auth(from, (size_t)(to - from))))
			to = begin + len;
	}
	w->kind = PA_FRAME_RESP_COMMAND;
	emit(c, w, &r, from, to, PA_FRAME_SHORT_MAX, n - 1, 0, 0);
	return true;
}

/* One element of an answer that is a string, or of a simple type. */
static bool element(struct reader *r, bool first)
{
	size_t len;

	if (r->p == r->end)
		return false;
	switch (*r->p++) {
	case '$':
		return number(r, &len) && !(first && len >= NAME_MIN && len <= NAME_MAX) && text(r, len);
	case '+':
	case '-':
	case ':':
		return line(r);
	default:
		return false;
	}
}

static bool answer(struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	struct reader r = {c->buf + c->at, c->buf + c->len};
	const uint8_t *from = NULL, *to = NULL;
	uint8_t type = r.p[0];
	size_t n = 0;

	if (type == '*') {
		r.p++;
		if (!number(&r, &n))
			return false;
		for (size_t i = 0; i < n; i++)
			if (!element(&r, i == 0))
				return false;
	} else if (!element(&r, false)) {
		return false;
	}
	if (type == '+' || type == '-') {
		from = c->buf + c->at + 1;
		to = from + pa_frame_span(from, (size_t)(r.p - 2 - from), ' ');
	}
	w->kind = PA_FRAME_RESP_REPLY;
	emit(c, w, &r, from, to, WORD_MAX, n, type, type == '-' ? PA_FRAME_FAILED : 0);
	return true;
}

bool pa_frame_resp_whole(struct pa_frame_cursor *c, struct pa_frame_way *w, enum pa_way way)
{
	if (way == PA_TO_CLIENT)
		return answer(c, w);
	return c->buf[c->at] == '*' && command(c, w);
}
