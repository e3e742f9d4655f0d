/* What all framers do alike: which one a connection needs, feeding, capturing, loss. World: signal. */
#include "common/frame.h"

#include "common/frame_impl.h"

#define GOOD_MESSAGES   32 /* that make up for bytes that made no sense */
#define HASH_MULTIPLIER UINT64_C(0x9e3779b97f4a7c15)

static uint64_t hash_word(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * HASH_MULTIPLIER;
	return hash ^ hash >> 29;
}

/* Adds captured bytes to the hash, words of eight wherever the cuts between calls were. */
static void hash_bytes(struct pa_frame_way *w, const uint8_t *p, size_t n)
{
	size_t at = w->captured;
	uint64_t word;

	for (; n && at % 8; n--, at++) {
		w->word |= (uint64_t)*p++ << at % 8 * 8;
		if (at % 8 == 7) {
			w->hash = hash_word(w->hash, w->word);
			w->word = 0;
		}
	}
	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&word, p, 8);
		w->hash = hash_word(w->hash, word);
	}
	for (at = 0; at < n; at++)
		w->word |= (uint64_t)p[at] << at * 8;
}

static uint64_t hash_end(const struct pa_frame_way *w)
{
	return hash_word(hash_word(w->hash, w->word), w->captured + UINT64_C(1));
}

void pa_frame_take(struct pa_frame_cursor *c, struct pa_frame_way *w, size_t n)
{
	size_t room = (size_t)(w->limit - w->captured);
	size_t kept = n < room ? n : room;

	if (kept < n)
		w->flags |= PA_WAY_TRUNCATED;
	if (kept) {
		if (!c->nr_run)
			c->run = c->buf + c->at;
		c->nr_run += (uint32_t)kept;
		if (w->flags & PA_WAY_HASHED)
			hash_bytes(w, c->buf + c->at, kept);
		w->captured = (uint16_t)(w->captured + kept);
	}
	pa_frame_pass(c, w, n);
}

static struct pa_frame_event *put(struct pa_frame_cursor *c, struct pa_frame_way *w, uint16_t kind)
{
	struct pa_frame_event *e = &c->out->list[c->out->nr++];

	memset(e, 0, sizeof(*e));
	e->bytes = c->nr_run ? c->run : NULL;
	e->nr_bytes = c->nr_run;
	e->kind = kind;
	e->flags = w->flags & PA_WAY_SENT ? 0 : PA_FRAME_FIRST;
	e->first_ns = w->first_ns;
	e->last_ns = c->now_ns;
	c->nr_run = 0;
	return e;
}

void pa_frame_emit(struct pa_frame_cursor *c, struct pa_frame_way *w, uint64_t count, uint64_t value, uint16_t flags)
{
	struct pa_frame_event *e = put(c, w, w->kind);

	e->flags |= flags;
	if (w->flags & PA_WAY_TRUNCATED)
		e->flags |= PA_FRAME_CUT;
	if (w->flags & PA_WAY_GAP)
		e->flags |= PA_FRAME_GAP;
	if (w->flags & PA_WAY_HASHED)
		e->hash = hash_end(w);
	e->total = w->total;
	e->count = count;
	e->value = value;
	w->total = 0;
	w->flags = 0;
	if (++w->good == GOOD_MESSAGES) {
		w->good = 0;
		w->errors = (uint8_t)(w->errors ? w->errors - 1 : 0);
	}
}

/* What was captured of a message whose rest is still to come. */
static void put_piece(struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	struct pa_frame_event *e;

	if (!c->nr_run)
		return;
	e = put(c, w, w->kind);
	e->flags |= PA_FRAME_MORE;
	w->flags |= PA_WAY_SENT;
}

void pa_frame_lose(struct pa_frame_way *w)
{
	w->phase = PA_PHASE_LOST;
	w->flags = PA_WAY_GAP;
	w->left = PA_FRAME_LOST_MAX;
	w->word = 0;
	w->count = 0;
	w->need = 0;
	w->nr_head = 0;
	w->captured = 0;
}

static void end_with(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w, enum pa_proto proto,
		     enum pa_frame_kind kind, uint64_t value)
{
	pa_store_relaxed(&f->proto, proto);
	c->nr_run = 0;
	w->flags &= PA_WAY_GAP;
	w->kind = kind;
	w->first_ns = c->now_ns;
	pa_frame_emit(c, w, 0, value, 0);
}

void pa_frame_garbage(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	if (++w->errors > PA_FRAME_ERRORS_MAX) {
		end_with(f, c, w, PA_PROTO_NONE, PA_FRAME_NOT_THIS, pa_load_relaxed(&f->proto));
		return;
	}
	c->nr_run = 0;
	pa_frame_lose(w);
}

void pa_frame_search(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w, size_t n)
{
	pa_frame_pass(c, w, n);
	w->left -= n < w->left ? n : w->left;
	if (w->left)
		return;
	w->errors = PA_FRAME_ERRORS_MAX;
	pa_frame_garbage(f, c, w);
}

void pa_frame_opaque(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w, enum pa_opaque why)
{
	end_with(f, c, w, PA_PROTO_OPAQUE, PA_FRAME_OPAQUE, why);
}

/* Eight bytes at a time: the exact test for a zero byte in a word, applied to the difference. */
size_t pa_frame_span(const uint8_t *p, size_t n, uint8_t what)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), highs = UINT64_C(0x8080808080808080);
	size_t at = 0;

	for (; n - at >= 8; at += 8) {
		uint64_t word;

		memcpy(&word, p + at, 8);
		word ^= ones * what;
		if ((word - ones) & ~word & highs)
			break;
	}
	while (at < n && p[at] != what)
		at++;
	return at;
}

void pa_frame_init(struct pa_frame *f, enum pa_proto proto, enum pa_proto hint, bool mid)
{
	memset(f, 0, sizeof(*f));
	if (mid && proto == PA_PROTO_UNSURE && (hint == PA_PROTO_POSTGRES || hint == PA_PROTO_MYSQL))
		proto = hint;
	pa_store_relaxed(&f->proto, proto);
	f->hint = hint;
	f->mid = mid;
	if (mid) {
		pa_frame_lose(&f->way[PA_TO_SERVER]);
		pa_frame_lose(&f->way[PA_TO_CLIENT]);
	}
}

/* Bytes went by that nobody saw. */
static void missed(struct pa_frame *f, enum pa_way way)
{
	pa_store_relaxed(&f->last_way, way == PA_TO_CLIENT ? PA_LAST_SERVER : PA_LAST_NOBODY);
	pa_frame_lose(&f->way[way]);
}

/* Runs the protocol's steps over what the cursor holds, as long as there is room for what they report. */
static void run(struct pa_frame *f, struct pa_frame_cursor *c, enum pa_way way)
{
	struct pa_frame_way *w = &f->way[way];

	while (c->at < c->len && c->out->nr + 2 <= c->out->max) {
		uint8_t proto = pa_load_relaxed(&f->proto);

		if (proto >= PA_PROTO_OPAQUE) {
			c->at = c->len;
		} else if (!c->buf && w->phase != PA_PHASE_SKIP) {
			w->total += c->len - c->at;
			c->at = c->len;
			missed(f, way);
		} else if (proto == PA_PROTO_POSTGRES) {
			pa_frame_postgres(f, c, way);
		} else if (proto == PA_PROTO_MYSQL) {
			pa_frame_mysql(f, c, way);
		} else if (proto == PA_PROTO_RESP) {
			pa_frame_resp(f, c, way);
		} else {
			pa_frame_http(f, c, way);
		}
	}
	put_piece(c, w);
}

/* Collects the first bytes of a way until they say which protocol it is. True: they did. */
static bool decide(struct pa_frame *f, struct pa_frame_cursor *c, enum pa_way way)
{
	struct pa_frame_way *w = &f->way[way];

	while (c->at < c->len && w->nr_first < PA_FRAME_FIRST_MAX) {
		enum pa_proto proto;

		f->first[way][w->nr_first++] = c->buf[c->at++];
		proto = pa_frame_detect(way, f->first[way], w->nr_first, f->hint);
		if (proto == PA_PROTO_OPAQUE) {
			w->total = w->at_first = w->nr_first;
			pa_frame_opaque(f, c, w, PA_OPAQUE_TLS);
			return true;
		}
		if (proto != PA_PROTO_UNSURE) {
			pa_store_relaxed(&f->proto, proto);
			w->phase = PA_PHASE_START;
			return true;
		}
	}
	if (w->nr_first < PA_FRAME_FIRST_MAX)
		return false;
	w->total = w->at_first = w->nr_first;
	end_with(f, c, w, PA_PROTO_NONE, PA_FRAME_NOT_THIS, f->hint);
	return true;
}

/* Feeds the bytes that decided. True: all of them are fed. */
static bool replay(struct pa_frame *f, struct pa_frame_cursor *c, enum pa_way way)
{
	struct pa_frame_way *w = &f->way[way];
	struct pa_frame_cursor first = *c;

	first.buf = f->first[way];
	first.at = w->at_first;
	first.len = w->nr_first;
	run(f, &first, way);
	w->at_first = (uint8_t)first.at;
	return w->at_first == w->nr_first;
}

size_t pa_frame_feed(struct pa_frame *f, enum pa_way way, const void *buf, size_t len, uint64_t now_ns,
		     struct pa_frame_out *out)
{
	struct pa_frame_cursor c = {.buf = buf, .len = len, .now_ns = now_ns, .out = out};
	struct pa_frame_way *w = &f->way[way];

	if (out->nr + 2 > out->max)
		return 0;
	if (pa_load_relaxed(&f->proto) == PA_PROTO_UNSURE) {
		if (!buf) {
			w->total += w->nr_first - w->at_first + len;
			w->at_first = w->nr_first = 0;
			pa_frame_lose(w);
			return len;
		}
		if (!decide(f, &c, way))
			return len;
	}
	if (w->at_first < w->nr_first && !replay(f, &c, way))
		return c.at;
	run(f, &c, way);
	return c.at;
}

void pa_frame_lost(struct pa_frame *f, enum pa_way way)
{
	struct pa_frame_way *w = &f->way[way];

	w->total += (uint64_t)(w->nr_first - w->at_first);
	w->at_first = w->nr_first = 0;
	missed(f, way);
}

void pa_frame_close(struct pa_frame *f, enum pa_way way, uint64_t now_ns, struct pa_frame_out *out)
{
	struct pa_frame_cursor c = {.now_ns = now_ns, .out = out};

	if (out->nr < out->max && pa_load_relaxed(&f->proto) == PA_PROTO_HTTP)
		pa_frame_http_close(f, &c, way);
}
