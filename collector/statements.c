/* Executions of statements by a database that is a library in the program (SQLite), as exchanges with its file. World:
 * plain. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/talks_impl.h"

#define NR_BUCKETS 256
#define TEXTS_MAX  16384       /* of a process */
#define BYTES_MAX  (16u << 20) /* of them */

struct text {
	struct text *chain;
	uint64_t number;
	uint32_t len;
	bool cut;
	char bytes[];
};

struct pa_statements {
	struct text *buckets[NR_BUCKETS];
	uint32_t nr;
	size_t bytes;
};

static struct text **place_of(struct pa_statements *s, uint64_t number)
{
	struct text **at = &s->buckets[number / 2 % NR_BUCKETS];

	while (*at && (*at)->number != number)
		at = &(*at)->chain;
	return at;
}

static const struct text *text_of(const struct pa_process_talks *talks, uint64_t number)
{
	return talks->statements && number ? *place_of(talks->statements, number) : NULL;
}

void pa_talk_statement_text(struct pa_process *p, const struct pa_statement_text *record)
{
	struct pa_process_talks *talks = pa_talks_of(p);
	struct pa_statements *s;
	struct text **at, *t;

	if (talks && !talks->statements)
		talks->statements = calloc(1, sizeof(*talks->statements));
	s = talks ? talks->statements : NULL;
	at = s ? place_of(s, record->number) : NULL;
	if (at && *at)
		return;
	t = at && s->nr < TEXTS_MAX && s->bytes + record->nr_bytes <= BYTES_MAX ? malloc(sizeof(*t) + record->nr_bytes)
										: NULL;
	if (!t) {
		pa_records_loss(p, "exchange texts beyond the limit", 1);
		return;
	}
	*t = (struct text){
	    .number = record->number, .len = record->nr_bytes, .cut = record->flags & PA_STATEMENT_TEXT_CUT};
	memcpy(t->bytes, record->bytes, t->len);
	s->nr++;
	s->bytes += t->len;
	*at = t;
}

void pa_talk_statements_free(struct pa_statements *s)
{
	for (unsigned i = 0; s && i < NR_BUCKETS; i++) {
		for (struct text *t = s->buckets[i], *next; t; t = next) {
			next = t->chain;
			free(t);
		}
	}
	free(s);
}

/* The end of a long path says more than its beginning. */
static void name_text(const struct text *name, char *out)
{
	uint32_t skip = name && name->len >= PA_PEER_MAX ? name->len - (PA_PEER_MAX - 1) : 0;

	if (!name)
		out[0] = 0;
	else if (!name->len)
		snprintf(out, PA_PEER_MAX, ":memory:");
	else
		snprintf(out, PA_PEER_MAX, "%.*s", (int)(name->len - skip), name->bytes + skip);
}

/* The names of its primary result codes; the interface promises not to change them. */
static void error_text(int32_t code, char *out, size_t size)
{
	static const char *const names[] = {
	    "OK",        "ERROR",      "INTERNAL", "PERM",     "ABORT", "BUSY",     "LOCKED",   "NOMEM", "READONLY",
	    "INTERRUPT", "IOERR",      "CORRUPT",  "NOTFOUND", "FULL",  "CANTOPEN", "PROTOCOL", "EMPTY", "SCHEMA",
	    "TOOBIG",    "CONSTRAINT", "MISMATCH", "MISUSE",   "NOLFS", "AUTH",     "FORMAT",   "RANGE", "NOTADB",
	};
	uint32_t primary = (uint32_t)code & 0xff;

	if (primary < sizeof(names) / sizeof(names[0]))
		snprintf(out, size, "SQLITE_%s", names[primary]);
	else
		snprintf(out, size, "%d", code);
}

void pa_talk_statement(struct pa_process *p, const struct pa_statement *record)
{
	struct pa_process_talks *talks = pa_talks_of(p);
	const struct text *text = talks ? text_of(talks, record->text) : NULL;
	char peer[PA_PEER_MAX], error[32];
	uint64_t end_ns = record->last_ns <= record->head.time_ns ? record->last_ns : record->head.time_ns;
	struct pa_exchange x = {
	    .proto = PA_PROTO_SQLITE,
	    .kind = PA_EXCHANGE_QUERY,
	    .flags = (text && text->cut ? PA_EXCHANGE_CUT : 0) | (text ? 0 : PA_EXCHANGE_NO_TEXT) |
		     (record->error ? PA_EXCHANGE_FAILED : 0),
	    .text = text ? text->bytes : "",
	    .text_len = text ? text->len : 0,
	    .error = error,
	    .start_ns = record->start_ns,
	    .end_ns = end_ns > record->start_ns ? end_ns : record->start_ns,
	    .rows = record->rows,
	};
	struct pa_party party = {.process = p->id, .role = PA_ROLE_CLIENT, .peer = peer};

	/* an empty text is no statement */
	if (!talks || (text && !text->len))
		return;
	error_text(record->error, error, sizeof(error));
	name_text(text_of(talks, record->database), peer);
	/* between its calls the library does nothing: what the program does with its rows is not the database's time */
	x.turn_ns = x.end_ns - x.start_ns > record->library_ns ? x.end_ns - record->library_ns : x.start_ns;
	party.stack = pa_talk_stack(p, record->head.time_ns, record->frames, record->nr_frames, record->stop);
	pa_talk_exchange(p, &x, &party, record->tid);
}
