/* HTTP/1.0 and 1.1. Of a head nothing is captured but the request line and Host: cookies and tokens stand there. Bodies
 * are stepped over by Content-Length or chunk by chunk. The request's way tells the response's which answers have no
 * body. Source: RFC 9112. World: signal. */
#include "common/frame_impl.h"

enum {
	PHASE_LINE = PA_PHASE_OWN, /* the first line */
	PHASE_NAME,                /* of a field, or the empty line */
	PHASE_VALUE,               /* of a field that matters */
	PHASE_IGNORE,              /* the rest of a line */
	PHASE_CHUNK,               /* a chunk's size */
	PHASE_CHUNK_LINE,          /* the rest of that line */
	PHASE_CHUNK_END            /* the line end behind a chunk */
};

/* w->sub */
#define SUB_CHUNKED 0x01
#define SUB_LENGTH  0x02 /* there is a Content-Length, in w->need */
#define SUB_NO_BODY 0x04 /* whatever the head says */
#define SUB_INTERIM 0x08 /* 1xx: the answer is still to come */
#define SUB_TRAILER 0x10
#define SUB_TRIAL   0x20 /* lost: a message only if the first line is one */
#define SUB_CLOSE   0x40 /* until the end of the connection */
#define SUB_CR      0x80 /* the first line's end has begun */

enum { FIELD_NONE = 0, FIELD_LENGTH, FIELD_CODING, FIELD_HOST };

#define NAME_MAX    20
#define LINE_MAX    65536
#define TRIAL_BYTES 64
#define DIGITS_MAX  15
#define VERSION_10  UINT64_C(0x485454502f312e30) /* HTTP/1.0 */
#define VERSION_11  UINT64_C(0x485454502f312e31)
#define VERSION_20  UINT64_C(0x485454502f322e30)

/* w->head[0..20]: beginning of the first line, a field's name, a word of its value; then */
#define ANSWERED(w)  ((w)->head[23]) /* the response's way: requests answered, mod 256 */
#define STATUS_BYTES 12              /* HTTP/1.1 200 */
/* w->need: Content-Length; w->word: the first line's last eight bytes, a number; w->left: of a line, of a body;
 * w->hash: what is left of the search while SUB_TRIAL; pa_frame.caps: number of the last CONNECT, plus 1 */

static void broken(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	uint64_t left = w->hash;
	uint8_t last = c->at ? c->buf[c->at - 1] : 0;

	if (!(w->sub & SUB_TRIAL)) {
		pa_frame_garbage(f, c, w);
		return;
	}
	c->nr_run = 0;
	pa_frame_lose(w);
	w->sub = 0;
	w->left = left > TRIAL_BYTES ? left - TRIAL_BYTES : 1;
	w->word = last;
}

static void field_begin(struct pa_frame_way *w)
{
	w->phase = PHASE_NAME;
	w->nr_head = 0;
	w->left = LINE_MAX;
}

static void message_end(struct pa_frame_cursor *c, struct pa_frame_way *w, uint16_t flags)
{
	w->kind = PA_FRAME_HTTP_END;
	w->captured = 0;
	w->sub = 0;
	w->phase = PA_PHASE_START;
	pa_frame_emit(c, w, w->count, 0, flags);
	w->count = 0;
}

/* The empty line behind the fields: what follows? */
static void head_end(struct pa_frame *f, struct pa_frame_cursor *c, enum pa_way way)
{
	struct pa_frame_way *w = &f->way[way];

	w->nr_head = 0;
	w->word = 0;
	if (w->sub & SUB_INTERIM) {
		w->sub = 0;
		w->phase = PA_PHASE_START;
	} else if (w->sub & (SUB_TRAILER | SUB_NO_BODY)) {
		message_end(c, w, 0);
	} else if (w->sub & SUB_CHUNKED) {
		w->phase = PHASE_CHUNK;
	} else if (w->sub & SUB_LENGTH || way == PA_TO_SERVER) {
		w->count = w->left = w->sub & SUB_LENGTH ? w->need : 0;
		w->phase = PA_PHASE_SKIP;
		if (!w->left)
			message_end(c, w, 0);
	} else {
		w->sub |= SUB_CLOSE;
		w->left = UINT64_MAX;
		w->phase = PA_PHASE_SKIP;
	}
}

static void request_line(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	uint32_t n = pa_load_relaxed(&f->nr_asked);
	uint64_t bit = UINT64_C(1) << n % 64, heads = pa_load_relaxed(&f->heads);

	if (w->word == VERSION_20) {
		pa_frame_opaque(f, c, w, PA_OPAQUE_HTTP2);
		return;
	}
	if (w->word != VERSION_10 && w->word != VERSION_11) {
		broken(f, c, w);
		return;
	}
	pa_store_relaxed(&f->heads, !memcmp(w->head, "HEAD ", 5) ? heads | bit : heads & ~bit);
	if (!memcmp(w->head, "CONNECT ", 8)) {
		pa_store_relaxed(&f->caps, n + 1);
		w->sub |= SUB_NO_BODY;
	}
	pa_store_release(&f->nr_asked, n + 1);
	w->sub &= (uint8_t)~SUB_TRIAL;
	w->hash = 0;
	field_begin(w);
	pa_frame_emit(c, w, 0, 0, 0);
}

/* Which request is answered: the oldest; after a gap, or when requests were missed, the latest. */
static void answers(struct pa_frame *f, struct pa_frame_way *w, unsigned status, bool *head, bool *connect)
{
	uint32_t asked = pa_load_acquire(&f->nr_asked);
	uint8_t n;

	*head = *connect = false;
	if (w->flags & PA_WAY_GAP && asked)
		ANSWERED(w) = (uint8_t)(asked - 1);
	if (ANSWERED(w) == (uint8_t)asked)
		return;
	n = ANSWERED(w);
	*head = pa_load_relaxed(&f->heads) >> n % 64 & 1;
	*connect = pa_load_relaxed(&f->caps) && (uint8_t)(pa_load_relaxed(&f->caps) - 1) == n;
	if (status >= 200)
		ANSWERED(w)++;
}

static void status_line(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	unsigned status = 0;
	bool head, connect;

	if (w->nr_head < STATUS_BYTES || memcmp(w->head, "HTTP/1.", 7) || w->head[8] != ' ') {
		broken(f, c, w);
		return;
	}
	for (unsigned i = 9; i < STATUS_BYTES; i++)
		status = w->head[i] >= '0' && w->head[i] <= '9' ? status * 10 + (w->head[i] - '0') : 1000;
	if (status < 100 || status > 999) {
		broken(f, c, w);
		return;
	}
	answers(f, w, status, &head, &connect);
	w->sub &= (uint8_t)~SUB_TRIAL;
	w->hash = 0;
	if (status == 101 || (connect && status / 100 == 2)) {
		pa_frame_opaque(f, c, w, status == 101 ? PA_OPAQUE_UPGRADE : PA_OPAQUE_TUNNEL);
		return;
	}
	if (status < 200)
		w->sub |= SUB_INTERIM;
	if (head || status == 204 || status == 304)
		w->sub |= SUB_NO_BODY;
	field_begin(w);
	pa_frame_emit(c, w, 0, status, 0);
}

/* The line's first bytes, and its last eight but for the line end, are kept whatever the cuts. */
static void keep_line(struct pa_frame_way *w, const uint8_t *p, size_t n)
{
	unsigned room = NAME_MAX - w->nr_head, kept = 0;
	size_t from = n;

	if (room) {
		unsigned k = n < room ? (unsigned)n : room;

		memcpy(w->head + w->nr_head, p, k);
		w->nr_head = (uint8_t)(w->nr_head + k);
	}
	while (from > 0 && kept < 8)
		kept += p[--from] != '\r';
	for (; from < n; from++)
		if (p[from] != '\r')
			w->word = w->word << 8 | p[from];
}

static void step_line(struct pa_frame *f, struct pa_frame_cursor *c, enum pa_way way)
{
	struct pa_frame_way *w = &f->way[way];
	const uint8_t *p = c->buf + c->at;
	size_t n = pa_frame_avail(c, w->left), to = pa_frame_span(p, n, '\n'), kept = 0;

	keep_line(w, p, to);
	w->left -= to;
	if (way == PA_TO_SERVER && !(w->sub & SUB_CR)) {
		kept = pa_frame_span(p, to, '\r');
		pa_frame_take(c, w, kept);
		w->sub |= kept < to ? SUB_CR : 0;
	}
	pa_frame_pass(c, w, to - kept);
	if (to < n) {
		pa_frame_pass(c, w, 1);
		if (way == PA_TO_SERVER)
			request_line(f, c, w);
		else
			status_line(f, c, w);
	} else if (!w->left) {
		broken(f, c, w);
	}
}

static unsigned field_of(const struct pa_frame_way *w, enum pa_way way)
{
	if (w->sub & SUB_TRAILER)
		return FIELD_NONE;
	if (w->nr_head == 14 && !memcmp(w->head, "content-length", 14))
		return FIELD_LENGTH;
	if (w->nr_head == 17 && !memcmp(w->head, "transfer-encoding", 17))
		return FIELD_CODING;
	return way == PA_TO_SERVER && w->nr_head == 4 && !memcmp(w->head, "host", 4) ? FIELD_HOST : FIELD_NONE;
}

static void value_begin(struct pa_frame_way *w, enum pa_way way)
{
	w->type = (uint8_t)field_of(w, way);
	w->phase = w->type ? PHASE_VALUE : PHASE_IGNORE;
	w->nr_head = 0;
	w->word = 0;
	w->captured = 0;
	w->limit = PA_FRAME_SHORT_MAX;
	w->kind = w->type == FIELD_HOST ? PA_FRAME_HTTP_HOST : PA_FRAME_NOTHING;
}

/* A field's name in small letters, or the empty line. */
static void step_name(struct pa_frame *f, struct pa_frame_cursor *c, enum pa_way way)
{
	struct pa_frame_way *w = &f->way[way];

	while (c->at < c->len) {
		uint8_t byte = c->buf[c->at];

		pa_frame_pass(c, w, 1);
		if (byte == '\n' && (w->nr_head == 0 || (w->nr_head == 1 && w->head[0] == '\r'))) {
			head_end(f, c, way);
			return;
		}
		if (byte == ':') {
			value_begin(w, way);
			return;
		}
		if ((byte == ' ' || byte == '\t') && w->nr_head == 0) {
			w->phase = PHASE_IGNORE; /* an old way to go on with the line before */
			return;
		}
		if ((byte <= ' ' && !(byte == '\r' && w->nr_head == 0)) || (w->nr_head && w->head[0] == '\r') ||
		    --w->left == 0) {
			broken(f, c, w);
			return;
		}
		if (w->nr_head <= NAME_MAX)
			w->head[w->nr_head++] = byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
	}
}

static void value_end(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	unsigned field = w->type;

	if (field == FIELD_LENGTH) {
		w->need = w->word;
		w->sub |= SUB_LENGTH;
	} else if (field == FIELD_CODING) {
		/* the last coding is what counts */
		w->sub &= (uint8_t)~SUB_CHUNKED;
		w->sub |= w->nr_head == 7 && !memcmp(w->head, "chunked", 7) ? SUB_CHUNKED : 0;
	}
	field_begin(w);
	if (field == FIELD_HOST)
		pa_frame_emit(c, w, 0, 0, 0);
}

/* One byte of Content-Length or Transfer-Encoding. False: no number. */
static bool value_byte(struct pa_frame_way *w, uint8_t byte)
{
	if (w->type == FIELD_LENGTH) {
		w->word = w->word * 10 + (uint64_t)(byte - '0');
		return byte >= '0' && byte <= '9' && ++w->nr_head <= DIGITS_MAX;
	}
	if (byte == ',')
		w->nr_head = 0;
	else if (w->nr_head <= NAME_MAX)
		w->head[w->nr_head++] = byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
	return true;
}

static void step_value(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	while (c->at < c->len) {
		uint8_t byte = c->buf[c->at];
		bool blank = byte == ' ' || byte == '\t' || byte == '\r';

		/* of Host its first word */
		if (w->type == FIELD_HOST && !blank && byte != '\n' && w->nr_head < 2) {
			w->nr_head = 1;
			pa_frame_take(c, w, 1);
		} else {
			w->nr_head = w->type == FIELD_HOST && w->nr_head ? 2 : w->nr_head;
			pa_frame_pass(c, w, 1);
		}
		if (byte == '\n') {
			value_end(f, c, w);
			return;
		}
		if (--w->left == 0 || (!blank && w->type != FIELD_HOST && !value_byte(w, byte))) {
			broken(f, c, w);
			return;
		}
	}
}

static void step_ignore(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	size_t n = pa_frame_avail(c, w->left), to = pa_frame_span(c->buf + c->at, n, '\n');

	w->left -= to;
	pa_frame_pass(c, w, to < n ? to + 1 : to);
	if (to == n && !w->left)
		broken(f, c, w);
	else if (to < n && w->phase == PHASE_IGNORE)
		field_begin(w);
}

/* The size of a chunk is known with its line: 0 is the last one, before the trailer. */
static void chunk_begin(struct pa_frame_way *w)
{
	if (!w->word) {
		w->sub |= SUB_TRAILER;
		field_begin(w);
		return;
	}
	w->count += w->word;
	w->left = w->word;
	w->phase = PA_PHASE_SKIP;
}

static int hex(uint8_t byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	byte |= 0x20;
	return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static void step_chunk(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	uint8_t byte = c->buf[c->at];
	int digit = hex(byte);

	pa_frame_pass(c, w, 1);
	if (byte == '\n' && (w->nr_head || w->phase == PHASE_CHUNK_LINE)) {
		chunk_begin(w);
	} else if (w->phase == PHASE_CHUNK_LINE) {
		if (--w->left == 0)
			broken(f, c, w);
	} else if (digit >= 0 && w->nr_head < DIGITS_MAX) {
		w->nr_head++;
		w->word = w->word << 4 | (uint64_t)digit;
	} else if (w->nr_head && (byte == ';' || byte == ' ' || byte == '\r')) {
		w->phase = PHASE_CHUNK_LINE;
		w->left = LINE_MAX;
	} else {
		broken(f, c, w);
	}
}

static void step_chunk_end(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	uint8_t byte = c->buf[c->at];

	pa_frame_pass(c, w, 1);
	if (byte == '\n') {
		w->phase = PHASE_CHUNK;
		w->nr_head = 0;
		w->word = 0;
	} else if (byte != '\r') {
		broken(f, c, w);
	}
}

/* A message's first byte. Empty lines before it are passed over. */
static void step_start(struct pa_frame *f, struct pa_frame_cursor *c, enum pa_way way)
{
	struct pa_frame_way *w = &f->way[way];
	uint8_t byte = c->buf[c->at];
	uint64_t search = w->hash;

	pa_frame_begin(c, w);
	if (byte == '\r' || byte == '\n') {
		pa_frame_pass(c, w, 1);
	} else if (way == PA_TO_SERVER ? byte < 'A' || byte > 'Z' : byte != 'H') {
		pa_frame_pass(c, w, 1);
		broken(f, c, w);
	} else {
		w->hash = search;
		w->sub &= SUB_TRIAL;
		w->count = 0;
		w->need = 0;
		w->left = LINE_MAX;
		w->limit = PA_FRAME_TEXT_MAX;
		w->kind = way == PA_TO_SERVER ? PA_FRAME_HTTP_REQUEST : PA_FRAME_HTTP_RESPONSE;
		w->phase = PHASE_LINE;
		step_line(f, c, way);
	}
}

/* Tries the first line of a message behind each end of line. */
static void step_lost(struct pa_frame *f, struct pa_frame_cursor *c, enum pa_way way)
{
	struct pa_frame_way *w = &f->way[way];
	uint8_t byte = c->buf[c->at];
	bool line = w->word == '\n';

	w->word = byte;
	if (line && (way == PA_TO_SERVER ? byte >= 'A' && byte <= 'Z' : byte == 'H')) {
		w->hash = w->left;
		w->sub = SUB_TRIAL;
		step_start(f, c, way);
		return;
	}
	pa_frame_search(f, c, w, 1);
}

void pa_frame_http(struct pa_frame *f, struct pa_frame_cursor *c, enum pa_way way)
{
	struct pa_frame_way *w = &f->way[way];

	switch (w->phase) {
	case PA_PHASE_START:
		return step_start(f, c, way);
	case PA_PHASE_LOST:
		return step_lost(f, c, way);
	case PHASE_LINE:
		return step_line(f, c, way);
	case PHASE_NAME:
		return step_name(f, c, way);
	case PHASE_VALUE:
		return step_value(f, c, w);
	case PHASE_IGNORE:
		return step_ignore(f, c, w);
	case PHASE_CHUNK_END:
		return step_chunk_end(f, c, w);
	case PA_PHASE_SKIP:
		if (!pa_frame_skip(c, w))
			return;
		if (w->sub & SUB_CHUNKED)
			w->phase = PHASE_CHUNK_END;
		else
			message_end(c, w, 0);
		return;
	default:
		return step_chunk(f, c, w);
	}
}

void pa_frame_http_close(struct pa_frame *f, struct pa_frame_cursor *c, enum pa_way way)
{
	struct pa_frame_way *w = &f->way[way];

	if (w->phase != PA_PHASE_SKIP || !(w->sub & SUB_CLOSE))
		return;
	w->count = UINT64_MAX - w->left;
	message_end(c, w, PA_FRAME_CLOSED);
}
