/* What the decoders share: texts, the queue of what is unanswered, names of prepared statements. World: plain. */
#ifndef PA_COLLECTOR_DECODE_IMPL_H
#define PA_COLLECTOR_DECODE_IMPL_H

#include "collector/decode.h"

#define PA_DECODE_PENDING_MAX 4096       /* unanswered requests */
#define PA_DECODE_NAMES_MAX   1024       /* prepared statements, portals */
#define PA_DECODE_TEXT_MAX    (4u << 20) /* bytes of all texts of a connection */
#define PA_DECODE_IDLE_NS                                                                                              \
	UINT64_C(20000000) /* silence after which a request stands at the beginning of an exchange                     \
			    */

struct pa_decode_text {
	uint32_t refs;
	uint32_t len;
	bool cut;
	char bytes[];
};

/* A request, or (sync) the point at which PostgreSQL's answers end. */
struct pa_pending {
	struct pa_exchange x; /* text, method, host and error are filled in when it is reported */
	struct pa_decode_text *text;
	bool sync;      /* nothing to report */
	bool batch;     /* answered by ReadyForQuery, as simple queries are */
	bool done;      /* answered, reported with the batch */
	bool sized;     /* HTTP: all of the request has been seen */
	uint32_t wants; /* answers to come */
	char error[16];
	char method[16];
	char host[128];
};

/* A name's 64-bit hash, or a number. */
struct pa_decode_name {
	uint64_t key;
	uint64_t start_ns; /* of its Parse or Bind */
	uint64_t batch;    /* in which that was */
	struct pa_decode_text *text;
};

struct pa_decode_names {
	struct pa_decode_name *list;
	size_t nr, size, oldest;
};

struct pa_decode {
	pa_exchange_fn sink;
	void *arg;
	struct pa_decode_counts counts;
	enum pa_proto proto;
	struct pa_pending *queue; /* a ring of size entries */
	size_t nr, size, head;
	size_t text_bytes;
	struct pa_decode_names statements, portals;
	uint64_t batch;       /* PostgreSQL: number of the batch being sent */
	uint64_t sent_bytes;  /* of messages that belong to the next request */
	uint64_t last_ns;     /* of the last event */
	uint64_t last_end_ns; /* of the last answer */
	char tx;
	bool resync;     /* messages were missed: not in step */
	bool within;     /* PostgreSQL: some of a batch has been sent */
	bool turn;       /* the last event was the server's */
	bool pipelines;  /* the client does not always wait for an answer */
	bool overlaps;   /* nor for all of them, once there is one */
	bool subscribed; /* Redis */
	bool answering;  /* HTTP: an answer's head has been seen, and is that of the queue's first */
	struct {
		uint16_t kind;
		bool begun;
		uint32_t len;
		uint8_t *bytes; /* of a message in several pieces, PA_FRAME_TEXT_MAX; NULL for most */
	} piece[2];
};

/* A text of len bytes, one reference; NULL: no room, which is counted. */
struct pa_decode_text *pa_decode_text_new(struct pa_decode *d, const void *bytes, size_t len, bool cut);
struct pa_decode_text *pa_decode_text_get(struct pa_decode_text *text);
void pa_decode_text_put(struct pa_decode *d, struct pa_decode_text *text);

/* A request, at the queue's end; the text's reference is taken over. NULL: no room, the text is let go. */
struct pa_pending *pa_decode_push(struct pa_decode *d, enum pa_exchange_kind kind, const struct pa_frame_event *e,
				  struct pa_decode_text *text);
/* The i-th of the queue; NULL beyond its end. */
struct pa_pending *pa_decode_at(struct pa_decode *d, size_t i);
/* Reports the first of the queue and takes it out. */
void pa_decode_pop(struct pa_decode *d);
/* Reports all of the queue: what is not done has the flag. end_ns 0: not known. */
void pa_decode_flush(struct pa_decode *d, uint32_t flag, uint64_t end_ns);
/* Notes an answer that ends a request. */
void pa_decode_answer(struct pa_decode *d, struct pa_pending *p, const struct pa_frame_event *e);
/* Before a request. Not in step: may it be taken as the beginning of an exchange? Yes of a client that waits for its
 * answers, one by one or all of a burst, and after a silence. What was under way is then lost. */
void pa_decode_restart(struct pa_decode *d, const struct pa_frame_event *e);

/* An answer nobody asked for: if messages were missed, the answers before it may have been matched wrongly. */
void pa_decode_unmatched(struct pa_decode *d);

struct pa_decode_name *pa_decode_name_get(struct pa_decode_names *names, uint64_t key);
/* Sets a name; the text's reference is taken over. NULL: no memory. */
struct pa_decode_name *pa_decode_name_set(struct pa_decode *d, struct pa_decode_names *names, uint64_t key,
					  struct pa_decode_text *text);
void pa_decode_name_drop(struct pa_decode *d, struct pa_decode_names *names, uint64_t key);
uint64_t pa_decode_key(const void *bytes, size_t len);

/* One final event, its bytes put together; kinds of that protocol only. */
void pa_decode_postgres(struct pa_decode *d, const struct pa_frame_event *e);
void pa_decode_mysql(struct pa_decode *d, const struct pa_frame_event *e);
void pa_decode_resp(struct pa_decode *d, const struct pa_frame_event *e);
void pa_decode_http(struct pa_decode *d, enum pa_way way, const struct pa_frame_event *e);

#endif
