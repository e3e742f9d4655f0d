/* MySQL and MariaDB: packets of three bytes length, a number that counts from 0 within an exchange, a payload; a
 * payload of 0xffffff bytes goes on in the next packet. What an answer consists of depends on the command, which the
 * client's way leaves in pa_frame.commands. Lost, a way finds back when the other side has spoken: then an exchange
 * begins. Source: dev.mysql.com and mariadb.com, "client/server protocol". World: signal. */
#include "common/frame_impl.h"

enum {
	PHASE_HEAD = PA_PHASE_OWN, /* the four bytes before a payload */
	PHASE_PEEK,                /* the first bytes of a payload, which say what it is */
	PHASE_TEXT
};

/* w->sub: what the server's next packet is */
enum {
	EXPECT_GREETING = 0,
	EXPECT_LOGIN,
	EXPECT_ANSWER,
	EXPECT_MORE,
	EXPECT_COLUMNS,
	EXPECT_COLUMNS_END,
	EXPECT_ROWS,
	EXPECT_DEFINITIONS,
	EXPECT_DEFINITIONS_END
};

#define PAYLOAD_MAX 0xffffffu
#define PEEK_MAX    21 /* an OK packet up to its status */

#define CAP_CONNECT_41  UINT32_C(0x200)
#define CAP_COMPRESS    (UINT32_C(0x20) | UINT32_C(1) << 26) /* zlib, zstd */
#define CAP_SSL         UINT32_C(0x800)
#define CAP_NO_EOF      (UINT32_C(1) << 24)
#define CAP_NO_METADATA (UINT32_C(1) << 25) /* a flag stands before the number of columns */
#define CAP_ATTRIBUTES  (UINT32_C(1) << 27) /* parameters stand before the text of a query */

#define STATUS_MORE   0x8u
#define STATUS_CURSOR 0x40u

enum {
	COM_QUIT = 1,
	COM_INIT_DB = 2,
	COM_QUERY = 3,
	COM_FIELD_LIST = 4,
	COM_STATISTICS = 9,
	COM_CHANGE_USER = 0x11,
	COM_BINLOG_DUMP = 0x12,
	COM_PREPARE = 0x16,
	COM_EXECUTE = 0x17,
	COM_LONG_DATA = 0x18,
	COM_CLOSE = 0x19,
	COM_RESET = 0x1a,
	COM_FETCH = 0x1c,
	COM_BINLOG_GTID = 0x1e,
	COM_LAST = 0x20,
	COM_BULK = 0xfa
};

/* Bytes of w->head: up to PEEK_MAX of the payload, then */
#define ANSWERED(w)  ((w)->head[21]) /* the server's way: commands answered, mod 256 */
#define CONTINUED(w) ((w)->head[23]) /* the payload goes on in the next packet */
/* w->type: the command that is sent or answered; w->word: the length of the payload's first packet; w->need: columns or
 * definitions to come; w->hash: of the server's way the id of a prepared statement */

static uint32_t le(const uint8_t *p, unsigned n)
{
	uint32_t v = 0;

	while (n--)
		v = v << 8 | p[n];
	return v;
}

/* A length-encoded number at *at of n bytes at p; moves *at behind it. False: it is not all there, or none. */
static bool number(const uint8_t *p, unsigned n, unsigned *at, uint64_t *value)
{
	unsigned bytes;

	if (*at >= n)
		return false;
	*value = p[(*at)++];
	if (*value < 0xfb)
		return true;
	bytes = *value == 0xfc ? 2 : *value == 0xfd ? 3 : *value == 0xfe ? 8 : 0;
	if (!bytes || n - *at < bytes)
		return false;
	*value = le(p + *at, bytes > 4 ? 4 : bytes);
	if (bytes == 8)
		*value |= (uint64_t)le(p + *at + 4, 4) << 32;
	*at += bytes;
	return true;
}

static bool has_answer(uint8_t command)
{
	return command != COM_QUIT && command != COM_LONG_DATA && command != COM_CLOSE;
}

static void packet_end(struct pa_frame_cursor *c, struct pa_frame_way *w, enum pa_way way)
{
	uint64_t count = w->count;

	w->phase = PHASE_HEAD;
	w->nr_head = 0;
	if (CONTINUED(w) || w->kind == PA_FRAME_NOTHING)
		return;
	if (way == PA_TO_CLIENT)
		w->count = 0;
	pa_frame_emit(c, w, count, w->kind == PA_FRAME_MYSQL_COMMAND ? w->type : w->word, 0);
	w->kind = PA_FRAME_NOTHING;
}

/* The rest of the packet is of no interest, or is text. */
static void rest(struct pa_frame_cursor *c, struct pa_frame_way *w, enum pa_way way, unsigned phase)
{
	w->phase = (uint8_t)phase;
	if (!w->left)
		packet_end(c, w, way);
}

static void push_command(struct pa_frame *f, uint8_t command)
{
	uint32_t n = pa_load_relaxed(&f->nr_asked);

	if (!has_answer(command))
		return;
	pa_store_relaxed(&f->commands[n % PA_FRAME_COMMANDS], command);
	pa_store_release(&f->nr_asked, n + 1);
}

static void peek_login(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	uint32_t caps = le(w->head, 4);

	if (w->nr_head < 4 || !(caps & CAP_CONNECT_41)) {
		pa_frame_garbage(f, c, w);
		return;
	}
	if (caps & CAP_SSL && w->word == 32) {
		pa_frame_opaque(f, c, w, PA_OPAQUE_TLS);
		return;
	}
	pa_store_relaxed(&f->caps, caps);
	w->sub = EXPECT_ANSWER;
	w->kind = PA_FRAME_MYSQL_LOGIN;
	w->word = caps;
	rest(c, w, PA_TO_SERVER, PA_PHASE_SKIP);
}

/* A command: its text or the id of its statement is captured. */
static void peek_command(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	uint8_t command = w->head[0];
	bool attributes = command == COM_QUERY && pa_load_relaxed(&f->caps) & CAP_ATTRIBUTES;

	if (w->nr_head == 0 || (command > COM_LAST && command < COM_BULK)) {
		pa_frame_garbage(f, c, w);
		return;
	}
	push_command(f, command);
	w->kind = PA_FRAME_MYSQL_COMMAND;
	w->word = 0;
	w->type = command;
	if (command == COM_QUERY || command == COM_PREPARE) {
		w->limit = PA_FRAME_TEXT_MAX;
		w->flags |= PA_WAY_HASHED;
	} else if ((command >= COM_EXECUTE && command <= COM_RESET) || command == COM_FETCH || command == COM_BULK) {
		w->limit = 4;
	} else if (command == COM_INIT_DB) {
		w->limit = PA_FRAME_SHORT_MAX;
	}
	/* parameters, no text that could be found by looking at a few bytes */
	if (attributes && (w->nr_head < 3 || w->head[1] != 0 || w->head[2] != 1))
		w->limit = 0;
	rest(c, w, PA_TO_SERVER, w->limit ? PHASE_TEXT : PA_PHASE_SKIP);
}

static unsigned client_wants(struct pa_frame *f, const struct pa_frame_way *w)
{
	if (w->sub == EXPECT_GREETING)
		return 4;
	if (w->nr_head && w->head[0] == COM_QUERY && pa_load_relaxed(&f->caps) & CAP_ATTRIBUTES)
		return 3;
	return 1;
}

/* Status of an OK packet, or of an EOF packet of five bytes; its affected rows. */
static uint32_t status_of(const struct pa_frame_way *w, uint64_t *affected)
{
	uint64_t id;
	unsigned at = 1;

	*affected = 0;
	if (w->head[0] == 0xfe && w->word == 5)
		return le(w->head + 3, 2);
	if (!number(w->head, w->nr_head, &at, affected) || !number(w->head, w->nr_head, &at, &id) ||
	    w->nr_head - at < 2)
		return 0;
	return le(w->head + at, 2);
}

/* The answer is complete with this packet, but for the results that its status announces. */
static void conclude(struct pa_frame_way *w, enum pa_frame_kind kind, uint64_t value, bool more)
{
	w->kind = kind;
	w->word = value;
	w->sub = more ? EXPECT_MORE : EXPECT_ANSWER;
}

/* The value holds the code, and above it the five bytes of SQLSTATE. */
static void conclude_error(struct pa_frame_way *w)
{
	uint64_t value = w->nr_head >= 3 ? le(w->head + 1, 2) : 0;

	if (w->nr_head >= 9 && w->head[3] == '#')
		for (unsigned i = 0; i < 5; i++)
			value |= (uint64_t)w->head[4 + i] << (16 + 8 * i);
	conclude(w, PA_FRAME_MYSQL_ERROR, value, false);
}

static void conclude_rows(struct pa_frame_way *w)
{
	uint64_t affected;
	uint32_t status = status_of(w, &affected);

	conclude(w, PA_FRAME_MYSQL_ROWS, status, status & STATUS_MORE);
}

static void judge_row(struct pa_frame_way *w)
{
	/* a row that begins with 0xfe has a value of 16 MiB, and fills its first packet */
	if (w->head[0] == 0xff && w->nr_head)
		conclude_error(w);
	else if (w->head[0] == 0xfe && w->nr_head && w->word < PAYLOAD_MAX)
		conclude_rows(w);
	else
		w->count++;
}

static void judge_columns(struct pa_frame *f, struct pa_frame_way *w)
{
	bool flagged = pa_load_relaxed(&f->caps) & CAP_NO_METADATA;
	bool follow = !flagged || w->head[0];
	unsigned at = flagged;
	uint64_t n = 0;

	number(w->head, w->nr_head, &at, &n);
	if (!flagged && w->word > at && at < w->nr_head)
		follow = w->head[at]; /* MariaDB, which caches them */
	w->need = follow ? n : 0;
	w->sub = w->need ? EXPECT_COLUMNS : EXPECT_COLUMNS_END;
}

static void judge_prepared(struct pa_frame *f, struct pa_frame_way *w)
{
	uint32_t columns = le(w->head + 5, 2), params = le(w->head + 7, 2), caps = pa_load_relaxed(&f->caps);
	bool ends = caps && !(caps & CAP_NO_EOF);

	w->hash = le(w->head + 1, 4);
	w->need = columns + params + (ends ? !!columns + !!params : 0);
	if (w->need)
		w->sub = EXPECT_DEFINITIONS;
	else
		conclude(w, PA_FRAME_MYSQL_PREPARED, w->hash, false);
}

/* The first packet of an answer, or of a further result. */
static void judge_answer(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	uint8_t first = w->nr_head ? w->head[0] : 0;
	uint64_t affected;
	uint32_t status;

	if (first == 0xff) {
		conclude_error(w);
	} else if (w->type == COM_BINLOG_DUMP || w->type == COM_BINLOG_GTID) {
		pa_frame_opaque(f, c, w, PA_OPAQUE_REPLICATION);
	} else if (w->type == COM_STATISTICS) {
		conclude(w, PA_FRAME_MYSQL_OTHER, 0, false);
	} else if (w->type == COM_PREPARE && first == 0 && w->nr_head >= 9) {
		judge_prepared(f, w);
	} else if (w->type == COM_FIELD_LIST || w->type == COM_FETCH) {
		w->sub = EXPECT_ROWS;
		judge_row(w);
	} else if ((w->type == COM_CHANGE_USER && (first == 0xfe || first == 1)) || first == 0xfb) {
		w->sub = EXPECT_MORE; /* another method of authentication; a file of the client's */
	} else if (first == 0 || (first == 0xfe && w->word < 9)) {
		status = status_of(w, &affected);
		conclude(w, PA_FRAME_MYSQL_OK, status, status & STATUS_MORE);
		w->count = affected;
	} else {
		judge_columns(f, w);
	}
}

static void judge_login(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	uint64_t affected;

	if (w->nr_head && w->head[0] == 0xff)
		conclude_error(w);
	else if (w->nr_head && w->head[0] == 0)
		conclude(w, PA_FRAME_MYSQL_OK, status_of(w, &affected), false);
	if (w->kind == PA_FRAME_MYSQL_OK && pa_load_relaxed(&f->caps) & CAP_COMPRESS)
		pa_frame_opaque(f, c, w, PA_OPAQUE_COMPRESSED);
}

/* Between answers. True: a packet answers a command, and w->type says which. */
static bool next_command(struct pa_frame *f, struct pa_frame_way *w)
{
	uint32_t asked = pa_load_acquire(&f->nr_asked);

	if (ANSWERED(w) == (uint8_t)asked)
		return false;
	w->type = pa_load_relaxed(&f->commands[ANSWERED(w) % PA_FRAME_COMMANDS]);
	ANSWERED(w)++;
	return (uint8_t)(asked - ANSWERED(w)) < PA_FRAME_COMMANDS;
}

static void judge_columns_end(struct pa_frame_way *w)
{
	uint64_t affected;

	if (w->nr_head == 0 || w->head[0] != 0xfe || w->word != 5) {
		w->sub = EXPECT_ROWS; /* the server leaves this packet out */
		judge_row(w);
	} else if (status_of(w, &affected) & STATUS_CURSOR) {
		conclude_rows(w);
	} else {
		w->sub = EXPECT_ROWS;
	}
}

static void peek_server(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	w->kind = PA_FRAME_NOTHING;
	if (w->sub == EXPECT_GREETING) {
		w->sub = EXPECT_LOGIN;
		w->kind = PA_FRAME_MYSQL_GREETING;
		if (w->nr_head && w->head[0] == 0xff)
			conclude_error(w);
		else
			w->word = 0;
	} else if (w->sub == EXPECT_LOGIN) {
		judge_login(f, c, w);
	} else if (w->sub == EXPECT_ANSWER && w->nr_head && w->head[0] == 0xff &&
		   ANSWERED(w) == pa_load_acquire(&f->nr_asked) % 256) {
		conclude_error(w); /* nobody asked: the server closes the connection */
	} else if (w->sub == EXPECT_ANSWER && !next_command(f, w)) {
		pa_frame_lose(w);
	} else if (w->sub == EXPECT_ANSWER || w->sub == EXPECT_MORE) {
		judge_answer(f, c, w);
	} else if (w->sub == EXPECT_COLUMNS) {
		w->sub = --w->need ? EXPECT_COLUMNS : EXPECT_COLUMNS_END;
	} else if (w->sub == EXPECT_COLUMNS_END) {
		judge_columns_end(w);
	} else if (w->sub == EXPECT_ROWS) {
		judge_row(w);
	} else if (--w->need == 0) {
		conclude(w, PA_FRAME_MYSQL_PREPARED, w->hash, false);
	}
	if (w->phase == PHASE_PEEK && pa_load_relaxed(&f->proto) == PA_PROTO_MYSQL)
		rest(c, w, PA_TO_CLIENT, PA_PHASE_SKIP);
}

static unsigned server_wants(const struct pa_frame_way *w)
{
	if (w->sub == EXPECT_COLUMNS || w->sub == EXPECT_DEFINITIONS)
		return 0;
	if (w->sub != EXPECT_ROWS && w->sub != EXPECT_COLUMNS_END)
		return PEEK_MAX;
	return w->nr_head && w->head[0] >= 0xfe ? PEEK_MAX : 1;
}

static void step_peek(struct pa_frame *f, struct pa_frame_cursor *c, enum pa_way way)
{
	struct pa_frame_way *w = &f->way[way];
	unsigned want, had;

	do {
		had = w->nr_head;
		want = way == PA_TO_SERVER ? client_wants(f, w) : server_wants(w);
		if (want > had + w->left)
			want = (unsigned)(had + w->left);
		if (want > had) {
			bool all = pa_frame_collect(c, w, want);

			w->left -= (uint64_t)(w->nr_head - had);
			if (!all)
				return;
		}
	} while (w->nr_head > had);
	if (way == PA_TO_CLIENT)
		peek_server(f, c, w);
	else if (w->sub == EXPECT_GREETING)
		peek_login(f, c, w);
	else
		peek_command(f, c, w);
}

static void step_head(struct pa_frame *f, struct pa_frame_cursor *c, enum pa_way way)
{
	struct pa_frame_way *w = &f->way[way];
	bool fresh = !CONTINUED(w), within = way == PA_TO_CLIENT && w->sub > EXPECT_MORE;
	uint64_t first_ns = w->first_ns, id = w->hash;
	uint8_t number_in_exchange;

	if (fresh && w->nr_head == 0) {
		pa_frame_begin(c, w);
		w->hash = way == PA_TO_CLIENT ? id : 0;
		if (within)
			w->first_ns = first_ns;
	}
	if (!pa_frame_collect(c, w, 4))
		return;
	w->left = le(w->head, 3);
	number_in_exchange = w->head[3];
	CONTINUED(w) = w->left == PAYLOAD_MAX;
	w->nr_head = 0;
	if (fresh)
		w->word = w->left;
	if (!fresh || (way == PA_TO_SERVER && w->sub != EXPECT_GREETING && number_in_exchange != 0)) {
		rest(c, w, way, PA_PHASE_SKIP); /* or authentication, or a file */
		return;
	}
	w->phase = PHASE_PEEK;
	if (!w->left)
		step_peek(f, c, way);
}

static void step_text(struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	size_t n = pa_frame_avail(c, w->left);

	pa_frame_take(c, w, n);
	w->left -= n;
	if (w->type != COM_QUERY && w->type != COM_PREPARE) {
		/* what is beyond the limit is no text */
		w->flags &= (uint8_t)~PA_WAY_TRUNCATED;
		w->phase = w->captured == w->limit ? PA_PHASE_SKIP : PHASE_TEXT;
	} else if (w->flags & PA_WAY_TRUNCATED) {
		w->phase = PA_PHASE_SKIP;
	}
	if (!w->left)
		packet_end(c, w, PA_TO_SERVER);
}

/* The other side spoke last: an exchange, or its answer, begins here. Nobody can say so of a continued one. */
static void step_lost(struct pa_frame *f, struct pa_frame_cursor *c, enum pa_way way, bool turn)
{
	struct pa_frame_way *w = &f->way[way];
	uint8_t asked = (uint8_t)pa_load_acquire(&f->nr_asked);

	if (!turn) {
		pa_frame_pass(c, w, c->len - c->at);
		return;
	}
	w->phase = PHASE_HEAD;
	w->sub = EXPECT_ANSWER;
	w->kind = PA_FRAME_NOTHING;
	CONTINUED(w) = 0;
	if (way == PA_TO_CLIENT)
		ANSWERED(w) = (uint8_t)(asked ? asked - 1 : 0);
}

void pa_frame_mysql(struct pa_frame *f, struct pa_frame_cursor *c, enum pa_way way)
{
	struct pa_frame_way *w = &f->way[way];
	uint8_t last = pa_load_relaxed(&f->last_way);

	if (w->phase == PA_PHASE_LOST)
		step_lost(f, c, way, last == (way == PA_TO_SERVER ? PA_LAST_SERVER : PA_LAST_CLIENT));
	else if (w->phase == PHASE_HEAD || w->phase == PA_PHASE_START)
		step_head(f, c, way);
	else if (w->phase == PHASE_PEEK)
		step_peek(f, c, way);
	else if (w->phase == PHASE_TEXT)
		step_text(c, w);
	else if (pa_frame_skip(c, w))
		packet_end(c, w, way);
	if (way == PA_TO_CLIENT)
		last = PA_LAST_SERVER;
	else
		last = w->phase == PA_PHASE_LOST ? PA_LAST_NOBODY : PA_LAST_CLIENT;
	pa_store_relaxed(&f->last_way, last);
}
