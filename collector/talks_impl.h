/* What the files of talks share: talks.c (records in order), talk_conn.c (connections), talk_peer.c (addresses),
 * talk_scope.c (requests being handled), talk_stack.c (stacks by number), statements.c (databases inside the
 * process). World: plain. */
#ifndef PA_COLLECTOR_TALKS_IMPL_H
#define PA_COLLECTOR_TALKS_IMPL_H

#include "collector/decode.h"
#include "collector/exchanges.h"
#include "collector/pools.h"
#include "collector/recorder_impl.h"
#include "collector/store_request.h"
#include "collector/talks.h"
#include "common/message.h"
#include "common/waitwire.h"

#define PA_PEER_MAX     128 /* bytes of an address as text */
#define PA_TALK_BUCKETS 1024
#define PA_TALK_ASKED   16 /* latest requests whose thread and stack are known */

/* Who sent a request, or read it. */
struct pa_asked {
	uint64_t start_ns;
	uint32_t stack; /* 0: not known */
	uint32_t tid;
};

struct pa_talk_conn {
	struct pa_process *p;
	uint32_t number;
	uint32_t role; /* enum pa_talk_role; 0: not known yet */
	uint32_t next_order[2];
	uint64_t opened_ns; /* when connecting began; 0: it was there before */
	uint64_t ready_ns;  /* when it was connected */
	uint32_t stack;     /* that opened it */
	size_t decode_bytes;
	struct pa_decode *decode; /* NULL: nothing was said yet */
	struct pa_pooled pooled;
	struct pa_asked asked[PA_TALK_ASKED];
	uint64_t nr_asked;
	struct pa_talk_conn *chain;
	char peer[PA_PEER_MAX];
};

#define PA_TALK_SCOPES      256 /* requests that a process handles at once, as far as they are looked at */
#define PA_TALK_SCOPE_FORMS 32

/* A request that is being handled, and what was asked meanwhile. */
struct pa_talk_scope {
	uint32_t conn, tid;
	bool shared;                         /* its thread handled another one, too */
	uint32_t endpoint;                   /* place of its method and path + 1; 0: not known */
	uint32_t exchange;                   /* id of its form, 0: not known */
	uint32_t asked_pools, counted_pools; /* bits by place: that were asked while it was alone, that count it */
	uint32_t nr;
	uint64_t start_ns;
	struct pa_scope_form {
		struct pa_form *form;
		uint32_t stack; /* that asked first */
		uint32_t times;
	} asked[PA_TALK_SCOPE_FORMS];
};

#define PA_TALK_THREADS 16384 /* of a process, whose stacks are known by number */

/* Stacks that a thread's records refer to. */
struct pa_talk_thread {
	uint32_t tid;
	uint32_t stacks[PA_CONN_STACKS];
	struct pa_talk_thread *chain;
};

#define PA_TALK_KINDS 256 /* of a process, that are looked at */

/* Requests of one method and path whose thread handled no other meanwhile, and how many of them asked each pool. */
struct pa_talk_endpoint {
	uint64_t key; /* 0: none here */
	uint32_t alone, asked[PA_POOLS_COUNTED];
};

#define PA_TALK_WITHIN 8192 /* of a process */

/* What was asked within requests of one form, or (endpoint 0) within iterations of loops. */
struct pa_talk_within {
	struct pa_store_exchange_within row;
	bool changed;
	struct pa_talk_within *chain;
};

struct pa_process_talks {
	struct pa_talk_conn *conns[PA_TALK_BUCKETS];
	uint32_t nr_conns;
	uint64_t last_ns; /* of the latest record */
	struct pa_forms forms;
	struct pa_pools pools;              /* databases */
	struct pa_pools peers;              /* whom else it connects to */
	struct pa_talk_endpoint *endpoints; /* NULL: none yet */
	struct pa_talk_scope *scopes;       /* NULL: none yet */
	struct pa_talk_within *within[PA_TALK_BUCKETS];
	uint32_t nr_within;
	struct pa_talk_loop *loops;
	uint32_t nr_loops;
	uint32_t nr_scopes;
	struct pa_talk_thread *threads[PA_TALK_BUCKETS];
	uint32_t nr_threads;
	struct pa_statements *statements; /* NULL: none yet */
};

#define PA_TALK_WEIGHT 64 /* bytes that a message counts as, beside those of its record */

/* A record that waits for its turn. */
struct pa_talk {
	struct pa_process *p;
	uint64_t seq;
	bool waited; /* since the look before */
	struct pa_record *record;
};

struct pa_talks {
	struct pa_talk *list;
	size_t nr, size, bytes;
	uint64_t seq;
	size_t decode_bytes;
	uint32_t next_exchange, next_pool, next_held, next_within, nr_slow;
	struct pa_store_request *requests; /* PA_REQUESTS_CHUNK; NULL: none yet */
	size_t nr_requests;
	uint64_t all_requests;
};

/* An address as text, "" for what is none. Shapes: out has PA_PEER_MAX bytes. */
void pa_talk_peer(const uint8_t *address, size_t len, char *out);
/* Its port, 0: none. */
uint16_t pa_talk_port(const uint8_t *address, size_t len);

/* One record, when it is its turn. */
void pa_talk_connection(struct pa_process *p, const struct pa_connection *record);
void pa_talk_messages(struct pa_process *p, const struct pa_conn_messages *record);
/* Tells the store that a connection of a pool seems not to be given back, or is after all. */
void pa_talk_held(struct pa_talk_conn *c, enum pa_pool_held held);
void pa_talk_statement(struct pa_process *p, const struct pa_statement *record);
void pa_talk_statement_text(struct pa_process *p, const struct pa_statement_text *record);
void pa_talk_statements_free(struct pa_statements *s); /* NULL allowed */
/* An exchange, asked or served by a thread (0: not known), goes into its form, and where it belongs besides. */
void pa_talk_exchange(struct pa_process *p, const struct pa_exchange *x, const struct pa_party *party, uint32_t tid);
/* A request was answered, or will not be: its thread was at it. And those that wait go to the store. */
void pa_talk_request(struct pa_process *p, const struct pa_form *form, const struct pa_exchange *x, uint32_t tid);
void pa_talk_requests_flush(struct pa_recorder *r);
/* All connections of a process end. */
void pa_talk_conns_free(struct pa_process *p);

/* The stack of a record, 0: none; and all that is kept for that goes. */
uint32_t pa_talk_stack_of(struct pa_process *p, const struct pa_conn_messages *record);
void pa_talk_stacks_free(struct pa_process_talks *talks);

/* A thread has read a request; something was asked by a thread; the answer to the request begins (answered), or its
 * connection is gone. */
void pa_talk_scope_begin(struct pa_process_talks *talks, uint32_t conn, uint32_t tid, uint64_t now_ns);
/* Its request line. */
void pa_talk_scope_line(struct pa_process *p, uint32_t conn, const uint8_t *line, size_t len, uint64_t now_ns);
/* The sums of a form within those of an endpoint, made when there are none. NULL: limit or memory. */
struct pa_talk_within *pa_talk_within_of(struct pa_process *p, const struct pa_form *form, uint32_t endpoint);
/* Asked that often in one of them. */
void pa_talk_within_repeats(struct pa_talk_within *w, uint32_t times, uint32_t stack);
void pa_talk_within_flush(struct pa_process *p);
void pa_talk_within_free(struct pa_process_talks *talks);
/* A thread asked something; an iteration of its loop has ended. */
void pa_talk_loop_count(struct pa_process *p, uint32_t tid, const struct pa_exchange *x, struct pa_form *form,
			uint32_t stack);
void pa_talk_loop_iteration(struct pa_process *p, const struct pa_iteration *it);

/* A thread begins to ask a database. */
void pa_talk_scope_ask(struct pa_process_talks *talks, uint32_t tid, const struct pa_pool *pool);
void pa_talk_scope_count(struct pa_process *p, uint32_t tid, uint64_t start_ns, struct pa_form *form, uint32_t stack,
			 uint64_t ns);
void pa_talk_scope_end(struct pa_process *p, uint32_t conn, bool answered, uint64_t now_ns);

/* What a process has, made when there is none. NULL: no memory. */
struct pa_process_talks *pa_talks_of(struct pa_process *p);
uint32_t pa_talk_stack(struct pa_process *p, uint64_t time_ns, const uint64_t *frames, uint16_t nr, uint16_t stop);

#endif
