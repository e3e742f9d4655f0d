/* Connections and what is spoken on them, into this thread's hook ring. World: hook. */
#ifndef PA_AGENT_CONN_RECORD_HOOK_H
#define PA_AGENT_CONN_RECORD_HOOK_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent/conn_area_hook.h"
#include "agent/conn_stack_hook.h"
#include "agent/wait_hook.h"
#include "common/message.h"

union pa_address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

/* One hook at work. */
struct pa_conn_at {
	struct pa_block *block;
	const struct pa_caller *caller;
	uint64_t now_ns;
	uint32_t before;                   /* pa_session_enter_sig's */
	bool walked;                       /* the caller's stack is in a record of this call already */
	bool met;                          /* a walk has met modules that are not announced yet */
	struct pa_conn_messages *messages; /* being written; NULL: none */
	struct pa_message_list list;       /* its entries */
	uint8_t *limit;                    /* where its room ends */
	struct pa_said_news news;          /* what it says of stacks */
};

/* Begins to work with the session. False: nobody listens, or another hook of this thread is at work. */
bool pa_conn_enter_hook(struct pa_conn_at *at, const struct pa_caller *caller);
/* Messages that were put are seen now. */
void pa_conn_leave_hook(struct pa_conn_at *at);

struct pa_conn_event {
	uint32_t event; /* enum pa_connection_event */
	int error;
	uint64_t start_ns;               /* 0: at->now_ns */
	const union pa_address *address; /* NULL: none */
	uint32_t address_len;
	uint32_t parents; /* INHERITED */
};

/* A CONNECTION record; with the caller's stack where one was made. Errors: without room none, counted. */
void pa_conn_put_hook(struct pa_conn_at *at, struct pa_conn *c, int fd, const struct pa_conn_event *event);

/* A message, into the record that this call's messages share; the first request has the caller's stack. Without room
 * its number is missing. Shapes: between enter and leave all are of one connection and way. */
void pa_conn_put_message_hook(struct pa_conn_at *at, struct pa_conn *c, enum pa_way way,
			      const struct pa_frame_event *event);

/* Of conn_hook.c, for connections whose bytes come by other calls (conn_tls_hook.c). A cell is filled in; bytes of it are
 * framed; the connection of a descriptor, encrypted from now on: NULL: it has none, or it cannot be said yet. */
struct pa_transfer;
void pa_conn_init_hook(struct pa_conn_at *at, struct pa_conn *c, bool is_client, enum pa_proto hint, bool mid);
void pa_conn_feed_hook(struct pa_conn_at *at, struct pa_conn *c, enum pa_way way, const struct pa_transfer *t);
struct pa_conn *pa_conn_tls_hook(struct pa_conn_at *at, int fd);

/* A connect() in the background is over (conn_hook.c). */
void pa_conn_connected_hook(struct pa_conn_at *at, struct pa_conn *c, int fd, int error);

#endif
