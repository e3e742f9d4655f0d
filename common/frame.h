/* Framers: where messages begin and end in the two byte streams of a connection, and the few bytes of each that say
 * what it is. The agent runs them inside its socket hooks, the collector and the fuzzers as they are; what messages
 * mean is decoded in collector/decode*.c.
 *
 * A framer is a pure function of the bytes: cut the stream into calls as you like, the messages it reports are the
 * same, only that what is captured of one may come in several pieces (PA_FRAME_MORE). It allocates nothing, looks at
 * heads and at the text it captures, and steps over everything else by its length.
 *
 * Per way of a connection: the sum of `total` over final events and of what is not reported yet is the bytes fed.
 *
 * Threads: the two ways may be fed at the same time by different threads, each way by one thread at a time. Whoever
 * cannot wait for that feeds nothing and calls pa_frame_lost. World: signal. */
#ifndef PA_COMMON_FRAME_H
#define PA_COMMON_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pa_proto {
	PA_PROTO_UNSURE = 0, /* not enough seen yet */
	PA_PROTO_POSTGRES,
	PA_PROTO_MYSQL,
	PA_PROTO_RESP,
	PA_PROTO_HTTP,
	PA_PROTO_OPAQUE, /* encrypted, compressed, or switched to another protocol: nothing more is looked at */
	PA_PROTO_NONE,   /* none of these */
	PA_PROTO_SQLITE, /* no connection: calls of a library (waitwire.h, statements) */
	PA_PROTO_NR
};

enum pa_way { PA_TO_SERVER = 0, PA_TO_CLIENT = 1 };

#define PA_FRAME_TEXT_MAX  4096 /* captured of SQL and of a request line */
#define PA_FRAME_SHORT_MAX 256  /* captured of names and commands */

/* What an event reports; in brackets what is captured, and what count and value hold. No kind captures parameters,
 * passwords, cookies or results. */
enum pa_frame_kind {
	PA_FRAME_NOTHING = 0,
	PA_FRAME_NOT_THIS, /* the bytes were not of the protocol, proto is now NONE; value: what it was taken for */
	PA_FRAME_OPAQUE,   /* proto is now OPAQUE; value: enum pa_opaque */

	PA_FRAME_PG_STARTUP = 16, /* [name\0value\0 pairs: user, database, ...] value: protocol version */
	PA_FRAME_PG_CANCEL,
	PA_FRAME_PG_SSL,        /* asked for encryption */
	PA_FRAME_PG_SSL_ANSWER, /* value: the byte */
	PA_FRAME_PG_QUERY,      /* [text] */
	PA_FRAME_PG_PARSE,      /* [name\0text] */
	PA_FRAME_PG_BIND,       /* [portal\0name] */
	PA_FRAME_PG_EXECUTE,    /* [portal] */
	PA_FRAME_PG_CLOSE,      /* ['S' or 'P', name] */
	PA_FRAME_PG_CALL,       /* the fastpath function call */
	PA_FRAME_PG_SYNC,
	PA_FRAME_PG_COPY_DONE, /* or CopyFail; count: CopyData messages sent */
	PA_FRAME_PG_TERMINATE,
	PA_FRAME_PG_PARSED,    /* ParseComplete */
	PA_FRAME_PG_COMPLETE,  /* [tag] count: rows or CopyData since the last event that counts */
	PA_FRAME_PG_EMPTY,     /* EmptyQueryResponse */
	PA_FRAME_PG_SUSPENDED, /* the portal has more rows; count as above */
	PA_FRAME_PG_CALLED,    /* FunctionCallResponse */
	PA_FRAME_PG_ERROR,     /* [fields up to the third, each a letter and a string: S, V and C come first] */
	PA_FRAME_PG_NOTICE,    /* [the same] */
	PA_FRAME_PG_READY,     /* value: I, T or E */

	PA_FRAME_MYSQL_GREETING = 64,
	PA_FRAME_MYSQL_LOGIN,   /* value: capabilities of the client */
	PA_FRAME_MYSQL_COMMAND, /* value: the command; [text of a query or a statement to prepare, 4 bytes of its id] */
	PA_FRAME_MYSQL_OK,      /* count: affected rows; value: status flags */
	PA_FRAME_MYSQL_ROWS,    /* a result set's end; count: rows; value: status flags */
	PA_FRAME_MYSQL_ERROR,   /* value: code; count: 0, or the rows before it; [code, '#', SQLSTATE] */
	PA_FRAME_MYSQL_PREPARED, /* value: statement id */
	PA_FRAME_MYSQL_OTHER,    /* any other answer */

	PA_FRAME_RESP_COMMAND = 96, /* [name\r\n$len\r\nfirst argument, as on the wire] count: arguments */
	PA_FRAME_RESP_INLINE,       /* [the line up to its second blank] */
	PA_FRAME_RESP_REPLY,        /* value: type byte; count: elements; [first word of an error or a simple string] */
	PA_FRAME_RESP_PUSH,         /* not an answer; the same */

	PA_FRAME_HTTP_REQUEST = 128, /* [request line] */
	PA_FRAME_HTTP_HOST,          /* [value of Host] */
	PA_FRAME_HTTP_RESPONSE,      /* value: status */
	PA_FRAME_HTTP_END,           /* of a request or of a final response; count: bytes of the body */
};

enum pa_opaque {
	PA_OPAQUE_TLS = 1,
	PA_OPAQUE_GSS,
	PA_OPAQUE_COMPRESSED,
	PA_OPAQUE_UPGRADE, /* 101 Switching Protocols */
	PA_OPAQUE_TUNNEL,  /* CONNECT */
	PA_OPAQUE_HTTP2,
	PA_OPAQUE_REPLICATION,
};

/* A message's first event has FIRST, its last one has not MORE. After FIRST without such a last one the next FIRST
 * begins anew: the message was given up. Only the last event has total, hash, count, value and the flags below. */
#define PA_FRAME_FIRST     0x0001
#define PA_FRAME_MORE      0x0002
#define PA_FRAME_CUT 0x0004 /* the limit kept bytes out that belong to the text */
#define PA_FRAME_GAP       0x0008 /* bytes were missed, or were no messages, before this one */
#define PA_FRAME_FAILED    0x0010 /* RESP: an error */
#define PA_FRAME_MESSAGE   0x0020 /* RESP: a pub/sub message or an invalidation: nobody's answer */
#define PA_FRAME_STATE     0x0040 /* RESP: (un)subscribed, one for each channel */
#define PA_FRAME_CLOSED    0x0080 /* HTTP: the connection's end ended it */

struct pa_frame_event {
	const uint8_t *bytes; /* captured; in the caller's buffer or in the framer, until the next call */
	uint32_t nr_bytes;
	uint16_t kind;     /* enum pa_frame_kind */
	uint16_t flags;    /* PA_FRAME_* */
	uint64_t first_ns; /* when its first byte was fed; of an answer with rows, that of the first row */
	uint64_t last_ns;  /* when this event was complete */
	uint64_t total;    /* bytes on the wire since the final event before */
	uint64_t hash;     /* of all that was captured, for kinds with text; else 0 */
	uint64_t count;
	uint64_t value;
};

/* Where events go. list[0..max): the caller's; max >= 2. */
struct pa_frame_out {
	struct pa_frame_event *list;
	uint32_t nr;
	uint32_t max;
};

/* One way. Fields mean what the protocol's file says; whoever feeds this way reads and writes them. */
struct pa_frame_way {
	uint64_t total; /* since the last final event */
	uint64_t left;  /* of the part of a message that is being stepped over or captured */
	uint64_t first_ns;
	uint64_t hash;
	uint64_t word; /* bytes that do not fill a word of the hash yet; a number, or a window while lost */
	uint64_t count;
	uint64_t need;
	uint8_t head[24];
	uint16_t captured;
	uint16_t limit;
	uint8_t nr_head;
	uint8_t phase;
	uint8_t kind;
	uint8_t sub;
	uint8_t type;
	uint8_t flags;
	uint8_t errors;   /* times that bytes made no sense */
	uint8_t good;     /* messages since `errors` was looked at */
	uint8_t nr_first; /* in pa_frame.first */
	uint8_t at_first; /* of them fed */
};

#define PA_FRAME_FIRST_MAX 12 /* bytes that decide which protocol it is */
#define PA_FRAME_COMMANDS  8  /* commands of MySQL that may be under way */

/* A connection. All zero and pa_frame_init'ed. The words above `first` are shared by the ways; each has one writer but
 * proto, which either way may set. */
struct pa_frame {
	_Atomic uint64_t heads;    /* HTTP, by TO_SERVER: bit i: request i mod 64 has an answer without body */
	_Atomic uint32_t nr_asked; /* by TO_SERVER: requests, commands, or whether encryption was asked for */
	_Atomic uint32_t caps;     /* MySQL, by TO_SERVER */
	_Atomic uint8_t commands[PA_FRAME_COMMANDS]; /* MySQL, by TO_SERVER: command i mod 8 */
	_Atomic uint8_t proto;                       /* enum pa_proto */
	_Atomic uint8_t last_way;                    /* MySQL: who spoke last */
	uint8_t hint;                                /* enum pa_proto */
	uint8_t mid;                                 /* the stream's beginning was not seen */
	uint8_t first[2][PA_FRAME_FIRST_MAX];
	struct pa_frame_way way[2];
};

_Static_assert(sizeof(struct pa_frame) <= 256, "128 bytes a way");

/* Prepares a framer. proto: what the connection is known to be, or UNSURE: its first bytes decide. hint: what port or
 * path suggest (pa_frame_hint), UNSURE for nothing. mid: bytes went by unseen; the first messages are then passed over
 * until one is recognised. World: signal. */
void pa_frame_init(struct pa_frame *f, enum pa_proto proto, enum pa_proto hint, bool mid);

/* Takes bytes of one way. Shapes: len bytes at buf; buf NULL: they went by but cannot be seen (sendfile, splice, a
 * peek thrown away). Units: now_ns when they were sent or received. Returns how many were taken: all, unless out is
 * full; empty it and feed the rest. World: signal. */
size_t pa_frame_feed(struct pa_frame *f, enum pa_way way, const void *buf, size_t len, uint64_t now_ns,
		     struct pa_frame_out *out);

/* Nobody knows how many bytes of a way went by. What is under way is given up; the next event has PA_FRAME_GAP. */
void pa_frame_lost(struct pa_frame *f, enum pa_way way);

/* The end of a way's bytes. A response that lasts until then is reported; out has room for one event. */
void pa_frame_close(struct pa_frame *f, enum pa_way way, uint64_t now_ns, struct pa_frame_out *out);

/* What the peer's port or the path of its socket suggest. Shapes: path is NUL-terminated or NULL. */
enum pa_proto pa_frame_hint(uint16_t port, const char *path);

/* What the first bytes of a way say. Shapes: n bytes at p, n <= PA_FRAME_FIRST_MAX. UNSURE: more are needed, or (n ==
 * PA_FRAME_FIRST_MAX) nothing fits. Content goes before the hint. */
enum pa_proto pa_frame_detect(enum pa_way way, const uint8_t *p, size_t n, enum pa_proto hint);

#endif
