/* Redis: RESP2 and RESP3, and the client's inline commands. A message is a tree of elements, walked by counting how
 * many are still to come: an array of n adds n, a map 2n. Of a command the name and the first argument are captured, as
 * they stand on the wire; of AUTH the name alone. Source: redis.io, "Redis serialization protocol specification".
 * World: signal. */
#include "common/frame_impl.h"

enum {
	PHASE_ELEMENT = PA_PHASE_OWN, /* a type byte */
	PHASE_NUMBER,                 /* a length or a count, to its end of line */
	PHASE_TEXT,                   /* `left` bytes of a string, captured or compared */
	PHASE_LINE,                   /* of a simple type */
	PHASE_INLINE,
	PHASE_CRLF /* behind a string */
};

#define NUMBER_MAX  (UINT64_C(1) << 40)
#define LINE_MAX    65536 /* the server's limit for inline commands */
#define NAME_MAX    12    /* of the names that are compared */
#define WORD_MAX    32    /* of an error's code, of a simple string */
#define TRIAL_BYTES 16    /* what an attempt at a message is charged for while lost */

/* pa_frame_way.sub while a message is read */
#define SUB_CAPTURE  0x01
#define SUB_NEGATIVE 0x02 /* the number is */
#define SUB_NULL     0x04 /* its digits are there */
#define SUB_FIRST    0x08 /* the next element is an answer's first */
#define SUB_NAME     0x10 /* the string is collected in w->head */
#define SUB_TRIAL    0x20 /* lost: a message only if it goes on as one */

/* Bytes of w->head: the name that is collected, nr_head of it; then */
#define TOP_TYPE(w) ((w)->head[16])
#define ARGUMENT(w) ((w)->head[17]) /* arguments of a command begun, 255 for more */
#define DIGITS(w)   ((w)->head[18])
/* w->type: of the element; w->need: elements to come, this one included; w->word: the number; w->hash: what is left of
 * the search while SUB_TRIAL */

#define DIGITS_DONE 255
#define NO_COUNT    UINT64_MAX /* no element of an answer has been read */

static bool is_string(uint8_t type)
{
	return type == '$' || type == '!' || type == '=';
}

static bool is_aggregate(uint8_t type)
{
	return type == '*' || type == '%' || type == '~' || type == '>' || type == '|';
}

static bool is_simple(uint8_t type)
{
	return type == '+' || type == '-' || type == ':' || type == '_' || type == ',' || type == '#' || type == '(';
}

static void pass(struct pa_frame_cursor *c, struct pa_frame_way *w, size_t n)
{
	if (w->sub & SUB_CAPTURE)
		pa_frame_take(c, w, n);
	else
		pa_frame_pass(c, w, n);
}

/* A byte no message has here. The search goes on behind a mere attempt. */
static void broken(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	uint64_t left = w->hash;

	if (!(w->sub & SUB_TRIAL)) {
		pa_frame_garbage(f, c, w);
		return;
	}
	c->nr_run = 0;
	pa_frame_lose(w);
	w->sub = 0;
	w->left = left > TRIAL_BYTES ? left - TRIAL_BYTES : 1;
	w->word = c->at ? c->buf[c->at - 1] : 0;
}

/* [ps]message, invalidate: nobody's answer. [p|s][un]subscribe: the answer to one channel of a command. */
static uint16_t pubsub_flag(const uint8_t *name, unsigned n)
{
	if (n == 7 && !memcmp(name, "message", 7))
		return PA_FRAME_MESSAGE;
	if (n == 8 && (name[0] == 'p' || name[0] == 's') && !memcmp(name + 1, "message", 7))
		return PA_FRAME_MESSAGE;
	if (n == 10 && !memcmp(name, "invalidate", 10))
		return PA_FRAME_MESSAGE;
	return n >= 9 && n <= 12 && !memcmp(name + n - 9, "subscribe", 9) ? PA_FRAME_STATE : 0;
}

static void message_end(struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	uint16_t flags = 0;
	uint8_t type = 0;

	w->phase = PA_PHASE_START;
	w->sub = 0;
	if (w->kind == PA_FRAME_NOTHING)
		return;
	if (w->count == NO_COUNT)
		w->count = 0;
	if (w->kind == PA_FRAME_RESP_REPLY || w->kind == PA_FRAME_RESP_PUSH) {
		type = TOP_TYPE(w);
		flags = pubsub_flag(w->head, w->nr_head);
		if (type == '-' || type == '!')
			flags |= PA_FRAME_FAILED;
	}
	pa_frame_emit(c, w, w->count, type, flags);
}

static void element_end(struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	w->phase = PHASE_ELEMENT;
	if (--w->need == 0)
		message_end(c, w);
}

/* A string's bytes have gone by; its line end is to come. */
static void text_end(struct pa_frame_way *w)
{
	bool command = w->kind == PA_FRAME_RESP_COMMAND;

	w->phase = PHASE_CRLF;
	if (!command || w->need == 1 || ARGUMENT(w) != 1)
		w->sub &= (uint8_t)~SUB_CAPTURE;
	if (command && ARGUMENT(w) == 1 && w->nr_head == 4 && !memcmp(w->head, "auth", 4))
		w->sub &= (uint8_t)~SUB_CAPTURE;
	if (w->sub & SUB_NAME && command)
		w->nr_head = 0;
	w->sub &= (uint8_t)~SUB_NAME;
	w->type = 0;
}

/* A string of n bytes follows. */
static void text_begin(struct pa_frame_cursor *c, struct pa_frame_way *w, uint64_t n)
{
	bool first = w->sub & SUB_FIRST;

	w->left = n;
	w->sub &= (uint8_t)~SUB_FIRST;
	w->phase = PA_PHASE_SKIP;
	if (w->kind == PA_FRAME_RESP_COMMAND) {
		ARGUMENT(w) = (uint8_t)(ARGUMENT(w) < 255 ? ARGUMENT(w) + 1 : 255);
		if (ARGUMENT(w) == 1) {
			w->limit = PA_FRAME_SHORT_MAX;
			w->nr_head = 0;
			w->sub |= SUB_CAPTURE | (n <= NAME_MAX ? SUB_NAME : 0);
		}
		if (w->sub & SUB_CAPTURE)
			w->phase = PHASE_TEXT;
	} else if (first && n >= 7 && n <= NAME_MAX) {
		w->sub |= SUB_NAME;
		w->phase = PHASE_TEXT;
	} else if (w->type == '!' && w->need == 1 && w->type == TOP_TYPE(w)) {
		w->limit = WORD_MAX;
		w->sub |= SUB_CAPTURE;
		w->phase = PHASE_TEXT;
	}
	if (!n)
		text_end(w);
}

/* n elements, or pairs of them, follow. */
static void aggregate_begin(struct pa_frame_cursor *c, struct pa_frame_way *w, uint64_t n)
{
	uint64_t elements = w->type == '%' || w->type == '|' ? 2 * n : n;

	if (w->kind == PA_FRAME_RESP_COMMAND) {
		/* an empty one has no answer */
		if (!n)
			w->kind = PA_FRAME_NOTHING;
		w->count = n ? n - 1 : 0;
		ARGUMENT(w) = 0;
	} else if (w->need == 1 && w->count == NO_COUNT) {
		w->count = n;
		w->sub |= w->type == '*' || w->type == '>' ? SUB_FIRST : 0;
	}
	w->need += elements;
	w->phase = PHASE_ELEMENT;
	/* attributes come on top of the element they stand before */
	if (w->type != '|' || w->kind == PA_FRAME_NOTHING)
		element_end(c, w);
}

static void number_end(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	bool null = w->sub & SUB_NEGATIVE;

	w->sub &= (uint8_t)~SUB_NEGATIVE;
	if (null && w->kind == PA_FRAME_RESP_COMMAND && is_string(w->type)) {
		broken(f, c, w);
	} else if (null && is_string(w->type)) {
		w->sub &= (uint8_t)~SUB_FIRST;
		element_end(c, w);
	} else if (is_string(w->type)) {
		text_begin(c, w, w->word);
	} else {
		aggregate_begin(c, w, null ? 0 : w->word);
	}
}

/* One byte of a number's line. False: it does not belong there. */
static bool number_byte(struct pa_frame_way *w, uint8_t byte)
{
	if (byte >= '0' && byte <= '9' && DIGITS(w) < 16) {
		DIGITS(w)++;
		w->word = w->word * 10 + (uint64_t)(byte - '0');
		return w->word <= NUMBER_MAX && (!(w->sub & SUB_NEGATIVE) || w->word == 1);
	}
	if (byte == '-' && !DIGITS(w) && !(w->sub & SUB_NEGATIVE)) {
		w->sub |= SUB_NEGATIVE;
		return true;
	}
	if (byte != '\r' || !DIGITS(w) || DIGITS(w) == DIGITS_DONE)
		return false;
	DIGITS(w) = DIGITS_DONE;
	return true;
}

static void step_number(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	while (c->at < c->len) {
		uint8_t byte = c->buf[c->at];

		pass(c, w, 1);
		if (DIGITS(w) == DIGITS_DONE && byte == '\n') {
			number_end(f, c, w);
			return;
		}
		if (!number_byte(w, byte)) {
			broken(f, c, w);
			return;
		}
	}
}

/* The type byte of an element. */
static void step_element(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	w->type = c->buf[c->at];
	pass(c, w, 1);
	DIGITS(w) = 0;
	w->word = 0;
	if (w->kind == PA_FRAME_RESP_COMMAND && w->type != '$') {
		broken(f, c, w);
	} else if (is_string(w->type) || is_aggregate(w->type)) {
		w->phase = PHASE_NUMBER;
	} else if (is_simple(w->type)) {
		w->sub &= (uint8_t)~SUB_FIRST;
		w->phase = PHASE_LINE;
		w->left = LINE_MAX;
		if (w->count == NO_COUNT && (w->type == '+' || w->type == '-'))
			w->sub |= SUB_CAPTURE;
	} else {
		broken(f, c, w);
	}
}

static void step_text(struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	size_t n = pa_frame_avail(c, w->left), word = n;

	if (w->sub & SUB_NAME)
		for (size_t i = 0; i < n; i++) {
			uint8_t byte = c->buf[c->at + i];

			w->head[w->nr_head++] = byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
		}
	if (w->type == '!')
		word = pa_frame_span(c->buf + c->at, n, ' ');
	pass(c, w, word);
	w->left -= word;
	if (word < n)
		w->sub &= (uint8_t)~SUB_CAPTURE;
	if (!w->left)
		text_end(w);
	else if (word < n || w->flags & PA_WAY_TRUNCATED)
		w->phase = PA_PHASE_SKIP;
}

/* A simple type's line; the first word of a top one is captured. */
static void step_line(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	while (c->at < c->len) {
		uint8_t byte = c->buf[c->at];

		if (byte == ' ' || byte == '\r')
			w->sub &= (uint8_t)~SUB_CAPTURE;
		if (byte == '\n' && w->word == '\r') {
			pa_frame_pass(c, w, 1);
			element_end(c, w);
			return;
		}
		pass(c, w, 1);
		if (byte == '\n' || w->word == '\r' || --w->left == 0) {
			broken(f, c, w);
			return;
		}
		w->word = byte;
	}
}

/* A line of words. Captured are the first two, of AUTH the first. */
static void step_inline(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	while (c->at < c->len) {
		uint8_t byte = c->buf[c->at];

		if (byte == '\n') {
			pa_frame_pass(c, w, 1);
			message_end(c, w);
			return;
		}
		if (byte == '\r' || (byte == ' ' && ARGUMENT(w) == 1 && w->nr_head == 4 && !memcmp(w->head, "auth", 4)))
			w->sub &= (uint8_t)~SUB_CAPTURE;
		if (byte != ' ' && byte != '\r' && w->word == ' ') {
			ARGUMENT(w) = (uint8_t)(ARGUMENT(w) < 255 ? ARGUMENT(w) + 1 : 255);
			w->count++;
		} else if (byte == ' ' && ARGUMENT(w) == 2) {
			w->sub &= (uint8_t)~SUB_CAPTURE;
		}
		if (ARGUMENT(w) == 1 && byte != ' ' && w->nr_head <= NAME_MAX)
			w->head[w->nr_head++] = byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
		if (--w->left == 0) {
			broken(f, c, w);
			return;
		}
		w->word = byte;
		pass(c, w, 1);
	}
}

static void step_crlf(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	uint8_t byte = c->buf[c->at];

	pass(c, w, 1);
	if (byte == '\r' && w->type == 0)
		w->type = '\r';
	else if (byte == '\n' && w->type == '\r')
		element_end(c, w);
	else
		broken(f, c, w);
}

/* A message's first byte; it is not taken by this step unless the client sends an empty line. */
static void step_start(struct pa_frame *f, struct pa_frame_cursor *c, enum pa_way way)
{
	struct pa_frame_way *w = &f->way[way];
	uint8_t byte = c->buf[c->at];
	uint64_t search = w->hash;

	if (!(w->sub & SUB_TRIAL) && pa_frame_resp_whole(c, w, way))
		return;
	pa_frame_begin(c, w);
	w->hash = search;
	w->sub &= SUB_TRIAL;
	w->need = 1;
	w->count = NO_COUNT;
	w->limit = WORD_MAX;
	w->phase = PHASE_ELEMENT;
	TOP_TYPE(w) = byte;
	if (way == PA_TO_CLIENT) {
		if (byte != '|')
			w->kind = byte == '>' ? PA_FRAME_RESP_PUSH : PA_FRAME_RESP_REPLY;
		return step_element(f, c, w);
	}
	w->count = 0;
	if (byte == '*') {
		w->type = byte;
		DIGITS(w) = 0;
		w->kind = PA_FRAME_RESP_COMMAND;
		w->phase = PHASE_NUMBER;
		pa_frame_pass(c, w, 1);
	} else if ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z') {
		w->kind = PA_FRAME_RESP_INLINE;
		w->phase = PHASE_INLINE;
		w->limit = PA_FRAME_SHORT_MAX;
		w->left = LINE_MAX;
		w->sub |= SUB_CAPTURE;
		ARGUMENT(w) = 1;
		step_inline(f, c, w);
	} else if (byte == '\r' || byte == '\n') {
		w->phase = PA_PHASE_START;
		pa_frame_pass(c, w, 1);
	} else {
		pa_frame_pass(c, w, 1);
		broken(f, c, w);
	}
}

/* Tries a message behind each end of line. */
static void step_lost(struct pa_frame *f, struct pa_frame_cursor *c, enum pa_way way)
{
	struct pa_frame_way *w = &f->way[way];
	uint8_t byte = c->buf[c->at];
	bool line = w->word == '\n';

	w->word = byte;
	if (line && (way == PA_TO_SERVER ? byte == '*' : is_string(byte) || is_aggregate(byte) || is_simple(byte))) {
		w->hash = w->left;
		w->sub = SUB_TRIAL;
		step_start(f, c, way);
		return;
	}
	pa_frame_search(f, c, w, 1);
}

void pa_frame_resp(struct pa_frame *f, struct pa_frame_cursor *c, enum pa_way way)
{
	struct pa_frame_way *w = &f->way[way];

	if (w->phase == PHASE_ELEMENT)
		step_element(f, c, w);
	else if (w->phase == PHASE_NUMBER)
		step_number(f, c, w);
	else if (w->phase == PHASE_TEXT)
		step_text(c, w);
	else if (w->phase == PHASE_LINE)
		step_line(f, c, w);
	else if (w->phase == PHASE_INLINE)
		step_inline(f, c, w);
	else if (w->phase == PHASE_CRLF)
		step_crlf(f, c, w);
	else if (w->phase == PA_PHASE_START)
		step_start(f, c, way);
	else if (w->phase == PA_PHASE_LOST)
		step_lost(f, c, way);
	else if (pa_frame_skip(c, w))
		text_end(w);
}
