/* From the messages that framers report of one connection to exchanges: what was asked, when, and what came of it.
 *
 * Answers are matched to requests in their order. Where messages were missed, a decoder waits for the next point at
 * which both sides are known to be in step; what was under way is reported as lost, and nothing is ever matched on a
 * guess that a sequential client would prove wrong. What is kept grows with what is unanswered and prepared, up to
 * bounds that are counted when they are hit. World: plain. */
#ifndef PA_COLLECTOR_DECODE_H
#define PA_COLLECTOR_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/frame.h"

enum pa_exchange_kind {
	PA_EXCHANGE_CONNECT, /* from the first packet to being ready; PostgreSQL: text is user\0NAME\0database\0NAME...
			      */
	PA_EXCHANGE_QUERY,   /* a statement; of several in one text there is one exchange */
	PA_EXCHANGE_PREPARE, /* a statement that got a name */
	PA_EXCHANGE_COMMAND, /* Redis: text as captured, see pa_normalize_redis; MySQL: what is no statement, by name */
	PA_EXCHANGE_HTTP,
};

#define PA_EXCHANGE_CUT        0x0001 /* the text goes on behind what was captured */
#define PA_EXCHANGE_NO_TEXT    0x0002 /* it was prepared unseen, or there was no room */
#define PA_EXCHANGE_PREPARED   0x0004 /* text is that of a prepared statement */
#define PA_EXCHANGE_FAILED     0x0008 /* error says how; HTTP: status 500 and above */
#define PA_EXCHANGE_SKIPPED    0x0010 /* not run: an error before it in the pipeline */
#define PA_EXCHANGE_LOST       0x0020 /* the answer was not seen: rows and bytes are not known; end_ns is 0 if unknown */
#define PA_EXCHANGE_UNANSWERED 0x0040 /* the connection ended before */
#define PA_EXCHANGE_PIPELINED  0x0080 /* asked while others waited for their answer */
#define PA_EXCHANGE_INLINE     0x0100 /* Redis: text is a line */
#define PA_EXCHANGE_QUEUED     0x0200 /* Redis: for the EXEC to come */

/* Everything is lent for the call. */
struct pa_exchange {
	enum pa_proto proto;
	enum pa_exchange_kind kind;
	uint32_t flags;
	uint32_t status;  /* HTTP */
	const char *text; /* not ended by NUL, any bytes; HTTP: the target */
	size_t text_len;
	const char *method; /* HTTP, else NULL; ended by NUL, as are host and error */
	const char *host;   /* HTTP, "" where there is none; else NULL */
	const char *error;  /* SQLSTATE, first word of a Redis error, "" */
	uint64_t start_ns;  /* first byte of the request; with its Parse and Bind where they belong to it alone */
	uint64_t turn_ns;   /* when the answer before was complete, if later: its turn in a pipeline */
	uint64_t first_ns;  /* first byte of the answer, or of its rows */
	uint64_t end_ns;    /* last byte of the answer */
	uint64_t rows;      /* returned or changed; Redis: elements */
	uint64_t sent_bytes;
	uint64_t received_bytes;
	char tx_before; /* I idle, T in a transaction, E in a failed one, 0 unknown */
	char tx_after;
};

struct pa_decode_counts {
	uint64_t exchanges;
	uint64_t gaps;      /* places where messages were missed */
	uint64_t lost;      /* exchanges with LOST */
	uint64_t unmatched; /* answers nobody was seen to ask for */
	uint64_t no_room;   /* requests or texts beyond the bounds */
	uint64_t malformed; /* pieces or contents that cannot be */
};

typedef void (*pa_exchange_fn)(void *arg, const struct pa_exchange *exchange);

struct pa_decode;

/* A connection. NULL: no memory. */
struct pa_decode *pa_decode_new(pa_exchange_fn sink, void *arg);
void pa_decode_free(struct pa_decode *d);

/* Takes what a framer reported of a way: pieces and final events, times of both ways by one clock. */
void pa_decode_event(struct pa_decode *d, enum pa_way way, const struct pa_frame_event *e);

/* Events were lost between framer and decoder. */
void pa_decode_lost(struct pa_decode *d);

/* The connection ended. What is unanswered is reported so. */
void pa_decode_close(struct pa_decode *d, uint64_t now_ns);

const struct pa_decode_counts *pa_decode_counts(const struct pa_decode *d);

/* How much is unanswered. */
size_t pa_decode_pending(const struct pa_decode *d);

/* Memory that it holds. */
size_t pa_decode_bytes(const struct pa_decode *d);

/* I, T, E or 0: the transaction's state as last heard. */
char pa_decode_tx(const struct pa_decode *d);

#endif
