/* PostgreSQL's messages, protocol 3: a type byte, a length that counts itself, the rest. Before the first of them the
 * client sends packets without a type, and the server answers a request for encryption with a single byte.
 * Source: PostgreSQL 15, chapter 55 "Frontend/Backend Protocol". World: signal. */
#include "common/frame_impl.h"

enum { PHASE_HEAD = PA_PHASE_OWN, PHASE_TEXT };

#define LENGTH_MAX      UINT32_C(0x40000000) /* the server refuses more than 1 GiB */
#define STARTUP_MAX     UINT32_C(10000)      /* MAX_STARTUP_PACKET_LENGTH */
#define LOST_LENGTH_MAX UINT32_C(0x10000)    /* of a query that is believed while looking for one */
#define CODE_CANCEL     UINT32_C(80877102)
#define CODE_SSL        UINT32_C(80877103)
#define CODE_GSS        UINT32_C(80877104)

/* A type of message. `strings`: captured up to the end of that many strings. */
struct rule {
	uint8_t known;
	uint8_t kind;
	uint8_t strings;
	uint8_t flags;
	uint16_t limit;
};

#define TEXT PA_FRAME_TEXT_MAX
#define NAME PA_FRAME_SHORT_MAX
#define TAG  64 /* a command tag; severity twice and SQLSTATE */

static const struct rule client_rules[128] = {
    ['Q'] = {1, PA_FRAME_PG_QUERY, 1, PA_WAY_HASHED, TEXT},
    ['P'] = {1, PA_FRAME_PG_PARSE, 2, PA_WAY_HASHED, TEXT},
    ['B'] = {1, PA_FRAME_PG_BIND, 2, 0, NAME},
    ['E'] = {1, PA_FRAME_PG_EXECUTE, 1, 0, NAME},
    ['C'] = {1, PA_FRAME_PG_CLOSE, 1, 0, NAME},
    ['F'] = {1, PA_FRAME_PG_CALL, 0, 0, 0},
    ['S'] = {1, PA_FRAME_PG_SYNC, 0, 0, 0},
    ['c'] = {1, PA_FRAME_PG_COPY_DONE, 0, 0, 0},
    ['f'] = {1, PA_FRAME_PG_COPY_DONE, 0, 0, 0},
    ['X'] = {1, PA_FRAME_PG_TERMINATE, 0, 0, 0},
    ['D'] = {1, PA_FRAME_NOTHING, 0, 0, 0},
    ['H'] = {1, PA_FRAME_NOTHING, 0, 0, 0},
    ['d'] = {1, PA_FRAME_NOTHING, 0, 0, 0},
    ['p'] = {1, PA_FRAME_NOTHING, 0, 0, 0}, /* passwords */
};

static const struct rule server_rules[128] = {
    ['1'] = {1, PA_FRAME_PG_PARSED, 0, 0, 0},   ['C'] = {1, PA_FRAME_PG_COMPLETE, 1, 0, TAG},
    ['I'] = {1, PA_FRAME_PG_EMPTY, 0, 0, 0},    ['s'] = {1, PA_FRAME_PG_SUSPENDED, 0, 0, 0},
    ['V'] = {1, PA_FRAME_PG_CALLED, 0, 0, 0},   ['E'] = {1, PA_FRAME_PG_ERROR, 3, 0, TAG},
    ['N'] = {1, PA_FRAME_PG_NOTICE, 3, 0, TAG}, ['Z'] = {1, PA_FRAME_PG_READY, 0, 0, 0},
    ['2'] = {1, PA_FRAME_NOTHING, 0, 0, 0},     ['3'] = {1, PA_FRAME_NOTHING, 0, 0, 0},
    ['A'] = {1, PA_FRAME_NOTHING, 0, 0, 0},     ['c'] = {1, PA_FRAME_NOTHING, 0, 0, 0},
    ['d'] = {1, PA_FRAME_NOTHING, 0, 0, 0},     ['D'] = {1, PA_FRAME_NOTHING, 0, 0, 0},
    ['G'] = {1, PA_FRAME_NOTHING, 0, 0, 0},     ['H'] = {1, PA_FRAME_NOTHING, 0, 0, 0},
    ['K'] = {1, PA_FRAME_NOTHING, 0, 0, 0}, /* the key of cancel requests */
    ['n'] = {1, PA_FRAME_NOTHING, 0, 0, 0},     ['R'] = {1, PA_FRAME_NOTHING, 0, 0, 0},
    ['S'] = {1, PA_FRAME_NOTHING, 0, 0, 0},     ['t'] = {1, PA_FRAME_NOTHING, 0, 0, 0},
    ['T'] = {1, PA_FRAME_NOTHING, 0, 0, 0},     ['v'] = {1, PA_FRAME_NOTHING, 0, 0, 0},
    ['W'] = {1, PA_FRAME_NOTHING, 0, 0, 0}, /* handled below: replication */
};

static const struct rule *rule_of(enum pa_way way, uint8_t type)
{
	if (type >= 128)
		return NULL;
	return way == PA_TO_SERVER ? &client_rules[type] : &server_rules[type];
}

/* Rows and copied data are counted until the event that ends them. */
static bool ends_rows(unsigned kind)
{
	return kind == PA_FRAME_PG_COMPLETE || kind == PA_FRAME_PG_SUSPENDED || kind == PA_FRAME_PG_ERROR ||
	       kind == PA_FRAME_PG_COPY_DONE || kind == PA_FRAME_PG_READY;
}

static void message_end(struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	uint64_t count = 0;

	w->phase = PHASE_HEAD;
	w->nr_head = 0;
	if (w->kind == PA_FRAME_NOTHING)
		return;
	if (ends_rows(w->kind)) {
		count = w->count;
		w->count = 0;
	}
	pa_frame_emit(c, w, count, w->kind == PA_FRAME_PG_READY ? w->head[5] : w->need, 0);
	w->need = 0;
}

/* The head has been read: what to do with the rest of the message. */
static void message_begin(struct pa_frame_cursor *c, struct pa_frame_way *w, const struct rule *rule, uint64_t left)
{
	w->kind = rule->kind;
	w->flags |= rule->flags;
	w->limit = rule->limit;
	w->sub = rule->strings;
	w->left = left;
	if (!left)
		message_end(c, w);
	else
		w->phase = rule->strings ? PHASE_TEXT : PA_PHASE_SKIP;
}

/* Hops over whole messages of which nothing is reported, rows most of all: as step_head and what follows it would. */
static void hop(struct pa_frame_cursor *c, struct pa_frame_way *w, enum pa_way way)
{
	while (c->len - c->at >= 5) {
		const uint8_t *p = c->buf + c->at;
		const struct rule *rule = rule_of(way, p[0]);
		uint32_t length = pa_frame_be32(p + 1);
		uint64_t rows_ns = w->first_ns;

		if (!rule || !rule->known || rule->kind != PA_FRAME_NOTHING || length < 4 || length > LENGTH_MAX ||
		    length >= c->len - c->at || (way == PA_TO_CLIENT && p[0] == 'W'))
			return;
		pa_frame_begin(c, w);
		if (w->count)
			w->first_ns = rows_ns;
		w->count += p[0] == 'd' || (way == PA_TO_CLIENT && p[0] == 'D');
		pa_frame_pass(c, w, length + 1);
	}
}

static void step_head(struct pa_frame *f, struct pa_frame_cursor *c, enum pa_way way)
{
	struct pa_frame_way *w = &f->way[way];
	const struct rule *rule;
	uint64_t rows_ns = w->first_ns;
	uint32_t length;

	if (w->nr_head == 0) {
		pa_frame_begin(c, w);
		if (w->count)
			w->first_ns = rows_ns;
		rule = rule_of(way, c->buf[c->at]);
		if (!rule || !rule->known) {
			pa_frame_garbage(f, c, w);
			return;
		}
	}
	if (!pa_frame_collect(c, w, w->head[0] == 'Z' && way == PA_TO_CLIENT && w->nr_head >= 5 ? 6 : 5))
		return;
	rule = rule_of(way, w->head[0]);
	length = pa_frame_be32(w->head + 1);
	if (length < 4 || length > LENGTH_MAX) {
		pa_frame_garbage(f, c, w);
	} else if (rule->kind == PA_FRAME_PG_READY) {
		if (length != 5)
			pa_frame_garbage(f, c, w);
		else if (w->nr_head == 6)
			message_begin(c, w, rule, 0);
	} else if (way == PA_TO_CLIENT && w->head[0] == 'W') {
		pa_frame_opaque(f, c, w, PA_OPAQUE_REPLICATION);
	} else {
		w->count += w->head[0] == 'd' || (way == PA_TO_CLIENT && w->head[0] == 'D');
		message_begin(c, w, rule, length - 4);
	}
}

/* Captures up to the end of the last string that is wanted, or to the limit. */
static void step_text(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	size_t n = pa_frame_avail(c, w->left);
	size_t to = pa_frame_span(c->buf + c->at, n, 0);

	w->left -= to;
	pa_frame_take(c, w, to);
	if (to < n) {
		/* the NUL that ends all is not text; one between two strings is */
		w->left--;
		if (--w->sub)
			pa_frame_take(c, w, 1);
		else
			pa_frame_pass(c, w, 1);
	}
	if (!w->left && w->sub && w->kind == PA_FRAME_PG_QUERY && !(w->flags & PA_WAY_TRUNCATED))
		pa_frame_garbage(f, c, w);
	else if (!w->left)
		message_end(c, w);
	else if (!w->sub || w->flags & PA_WAY_TRUNCATED)
		w->phase = PA_PHASE_SKIP;
}

/* A packet of the client without a type: its length, a code, the rest. */
static void start_client(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	static const struct rule cancel = {1, PA_FRAME_PG_CANCEL, 0, 0, 0};
	static const struct rule ssl = {1, PA_FRAME_PG_SSL, 0, 0, 0};
	/* strings: more than a packet has, so that all is captured */
	static const struct rule startup = {1, PA_FRAME_PG_STARTUP, 255, 0, NAME};
	uint32_t length, code;

	if (w->nr_head == 0)
		pa_frame_begin(c, w);
	if (w->nr_head == 0 && c->buf[c->at] == 0x16) {
		pa_frame_opaque(f, c, w, PA_OPAQUE_TLS);
		return;
	}
	if (!pa_frame_collect(c, w, 8))
		return;
	length = pa_frame_be32(w->head);
	code = pa_frame_be32(w->head + 4);
	w->need = code;
	if (length == 8 && (code == CODE_SSL || code == CODE_GSS)) {
		pa_store_relaxed(&f->nr_asked, pa_load_relaxed(&f->nr_asked) + 1);
		message_begin(c, w, &ssl, 0);
		w->phase = PA_PHASE_START;
	} else if (code == CODE_CANCEL && length >= 16 && length <= STARTUP_MAX) {
		message_begin(c, w, &cancel, length - 8);
	} else if (code >> 16 == 3 && length > 8 && length <= STARTUP_MAX) {
		message_begin(c, w, &startup, length - 8);
	} else {
		pa_frame_garbage(f, c, w);
	}
}

/* The server's first byte is an answer only if there was a request: S and N are types as well. */
static void start_server(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	uint8_t answer = c->buf[c->at];

	if (w->type == pa_load_relaxed(&f->nr_asked) || (answer != 'S' && answer != 'N' && answer != 'G')) {
		w->phase = PHASE_HEAD;
		w->nr_head = 0;
		step_head(f, c, PA_TO_CLIENT);
		return;
	}
	w->type++;
	pa_frame_begin(c, w);
	pa_frame_pass(c, w, 1);
	if (answer != 'N') {
		pa_frame_opaque(f, c, w, answer == 'S' ? PA_OPAQUE_TLS : PA_OPAQUE_GSS);
		return;
	}
	w->kind = PA_FRAME_PG_SSL_ANSWER;
	pa_frame_emit(c, w, 0, answer, 0);
}

/* Looks for what cannot be mistaken for data easily: the server's ReadyForQuery, the client's Sync, Terminate, or a
 * query of moderate length. */
static void step_lost(struct pa_frame *f, struct pa_frame_cursor *c, enum pa_way way)
{
	struct pa_frame_way *w = &f->way[way];
	uint8_t byte = c->buf[c->at];
	uint64_t last5;
	uint32_t length;

	w->word = w->word << 8 | byte;
	last5 = w->word & UINT64_C(0xffffffffff);
	length = (uint32_t)last5;
	if (way == PA_TO_CLIENT && (w->word >> 8 & UINT64_C(0xffffffffff)) == UINT64_C(0x5a00000005) &&
	    (byte == 'I' || byte == 'T' || byte == 'E')) {
		pa_frame_pass(c, w, 1);
		pa_frame_begin(c, w);
		w->head[5] = byte;
		message_begin(c, w, &server_rules['Z'], 0);
	} else if (way == PA_TO_SERVER && (last5 == UINT64_C(0x5300000004) || last5 == UINT64_C(0x5800000004))) {
		pa_frame_pass(c, w, 1);
		pa_frame_begin(c, w);
		message_begin(c, w, &client_rules[last5 >> 32], 0);
	} else if (way == PA_TO_SERVER && last5 >> 32 == 'Q' && length > 5 && length < LOST_LENGTH_MAX) {
		pa_frame_pass(c, w, 1);
		pa_frame_begin(c, w);
		message_begin(c, w, &client_rules['Q'], length - 4);
	} else {
		pa_frame_search(f, c, w, 1);
	}
}

void pa_frame_postgres(struct pa_frame *f, struct pa_frame_cursor *c, enum pa_way way)
{
	struct pa_frame_way *w = &f->way[way];

	if (w->phase == PHASE_HEAD) {
		if (!w->nr_head)
			hop(c, w, way);
		if (c->at < c->len)
			step_head(f, c, way);
	} else if (w->phase == PHASE_TEXT)
		step_text(f, c, w);
	else if (w->phase == PA_PHASE_LOST)
		step_lost(f, c, way);
	else if (w->phase == PA_PHASE_START && way == PA_TO_SERVER)
		start_client(f, c, w);
	else if (w->phase == PA_PHASE_START)
		start_server(f, c, w);
	else if (pa_frame_skip(c, w))
		message_end(c, w);
}
