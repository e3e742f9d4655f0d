/* What the hooks on calls that wait say of them: loops, their iterations, and long waits; records of the hook rings
 * (wire.h). docs/WIRE.md has the byte tables.
 *
 * A loop is a thread that waits again and again for the same epoll descriptor, or at the same call of poll or select
 * for more than one descriptor. Between the return of its wait and its next wait it is busy, and whatever else is ready
 * waits for it: that time is the iteration, waits by other calls inside it (a driver's poll for one socket, a sleep)
 * included. Iterations below PA_LOOP_EACH_NS are added up by the agent, longer ones come one by one. World: signal. */
#ifndef PA_COMMON_WAITWIRE_H
#define PA_COMMON_WAITWIRE_H

#include <stdint.h>

#include "common/wire.h"

#define PA_LOOP_EACH_NS  UINT64_C(1000000)   /* iterations from here on have a record of their own */
#define PA_LOOP_FLUSH_NS UINT64_C(100000000) /* a loop's sums are written at its first wait after that */
#define PA_WAIT_LONG_NS  UINT64_C(5000000)   /* waits from here on have a record, with their stack */

enum pa_wait_kind {
	PA_WAIT_NONE = 0,
	PA_WAIT_EPOLL = 1,
	PA_WAIT_POLL = 2,
	PA_WAIT_SELECT = 3,
	PA_WAIT_SLEEP = 4, /* nanosleep, clock_nanosleep, sleep, usleep */
	PA_WAIT_CONNECT = 5,
	PA_WAIT_ACCEPT = 6,
	PA_WAIT_RECEIVE = 7, /* recv family; read of a socket, pipe or terminal */
	PA_WAIT_SEND = 8,
	PA_WAIT_LOCK = 9,       /* a mutex or read-write lock */
	PA_WAIT_CONDITION = 10, /* condition variables, semaphores, joins */
	PA_WAIT_CHILD = 11,     /* waitpid and the like */
	PA_WAIT_FILE = 12,      /* read, write, fsync of a regular file */
	PA_WAIT_KINDS
};

/* A loop since its record before this one (head time_ns: now, on entry to its wait). Sums are of all iterations that
 * ended in that time, those with a record of their own included. */
struct pa_loop {
	struct pa_record head;
	uint32_t tid;
	uint32_t kind;     /* EPOLL, POLL, SELECT */
	uint64_t key;      /* EPOLL: the descriptor; else the return address of the call */
	uint64_t pc;       /* return address of the wait's latest call */
	uint64_t since_ns; /* what follows happened from then on */
	uint64_t iterations;
	uint64_t ready;   /* events returned to them */
	uint64_t busy_ns; /* from the returns of its wait to its next wait */
	uint64_t wait_ns; /* in its own wait */
	uint32_t watched; /* descriptors in its latest poll or select; 0: not known */
	uint32_t reserved;
};

/* One iteration of PA_LOOP_EACH_NS or more; head time_ns: its end. */
struct pa_iteration {
	struct pa_record head;
	uint32_t tid;
	uint32_t kind;
	uint64_t key;
	uint64_t start_ns;
	uint64_t waited_ns; /* of it, in waits by other calls that we see */
	uint32_t ready;     /* events its wait had returned */
	uint32_t reserved;
};

/* A call that kept its thread for PA_WAIT_LONG_NS or more, other than a loop's own wait; head time_ns: its return. */
struct pa_wait {
	struct pa_record head;
	uint32_t tid;
	uint16_t kind;
	uint16_t nr_frames; /* 0..PA_FRAMES_MAX */
	uint64_t start_ns;
	int64_t descriptor; /* -1: none or several */
	uint16_t stop;      /* enum pa_stop */
	uint16_t flags;     /* PA_WAIT_IN_LOOP */
	uint32_t reserved;
	uint64_t frames[]; /* as in struct pa_heap_sample, on the function that waited: the leaf, exact */
};

#define PA_WAIT_IN_LOOP 1u /* inside an iteration of a loop of the same thread */

/* ---- connections -------------------------------------------------------------------------------------------------
 *
 * A connection is a connected stream socket of the program, or an SSL object over one, from the call that made it (or
 * the first that used it: FOUND) to its close. `connection` numbers them within a process, from 1, never again the
 * same. What flows is cut into messages, the events of common/frame.h; a MESSAGES record has those of one call.
 * Messages of one connection may come from several threads, so by several rings: `order` counts them per connection and
 * way, from 0; a number that is missing was lost. */

enum pa_connection_event {
	PA_CONNECTION_CONNECT = 1, /* start_ns: of connect(); head time_ns: when it was connected, or failed (error) */
	PA_CONNECTION_ACCEPT = 2,  /* we are the server */
	PA_CONNECTION_FOUND = 3,   /* it was there before us: which side we are is not known */
	PA_CONNECTION_CLOSE = 4,   /* by the program; error: 0 or what its last call failed with (ECONNRESET, ...) */
	PA_CONNECTION_TLS = 5,     /* encrypted: its messages are seen at the library's calls from now on, if at all */
	PA_CONNECTION_INHERITED = 6, /* in a forked child: `reserved` is its number in the parent */
};

#define PA_ADDRESS_MAX 112

#define PA_CONNECTION_CLIENT 1u /* flags: we are the client */

/* head time_ns: of the event. */
struct pa_connection {
	struct pa_record head;
	uint32_t connection;
	uint32_t tid;
	uint16_t event; /* enum pa_connection_event */
	uint16_t proto; /* enum pa_proto, as far as it is known */
	int32_t error;  /* errno, 0: none */
	uint64_t start_ns;
	int32_t descriptor;
	uint16_t address_len; /* bytes of the peer's sockaddr; 0: unknown */
	uint16_t nr_frames;   /* CONNECT, ACCEPT, FOUND: who made it */
	uint16_t stop;        /* enum pa_stop */
	uint16_t flags;
	uint32_t reserved;
	uint8_t address[PA_ADDRESS_MAX];
	uint64_t frames[];
};

#define PA_CONN_STACKS 32 /* stacks that a thread's records refer to by number */

/* Messages of one way of a connection that one call has sent or received, one after the other; head time_ns: when they
 * were complete. What is said of each: common/message.h. */
struct pa_conn_messages {
	struct pa_record head;
	uint32_t connection;
	uint32_t tid;
	uint32_t order;     /* of the first */
	uint16_t nr;        /* 1..PA_ENTRIES_MAX */
	uint8_t way;        /* enum pa_way */
	uint8_t proto;      /* enum pa_proto */
	uint16_t nr_frames; /* where requests are sent: who sends them, for the first time */
	uint16_t stop;      /* enum pa_stop */
	uint16_t stack;    /* 1..PA_CONN_STACKS: of this thread's stacks, the one that is here if there are frames, else
			    * that of its latest record with that number and frames; 0: not asked for */
	uint16_t nr_bytes; /* of the entries, after the frames; the record is padded to 8 */
	uint64_t frames[]; /* nr_frames, then nr_bytes bytes */
};

/* ---- statements --------------------------------------------------------------------------------------------------
 *
 * Of databases that are libraries in the program's own process: SQLite. Texts and names of databases are written once,
 * by the thread that meets them first, before the execution that shows their number. */

#define PA_STATEMENT_TEXT_MAX 4096

enum pa_statement_kind {
	PA_STATEMENT_STEPPED = 1, /* a prepared one, from its first step until it was done, reset or finalised */
	PA_STATEMENT_EXEC = 2,    /* a text by sqlite3_exec, of one statement or several */
	PA_STATEMENT_REFUSED = 3, /* it could not be prepared */
};

#define PA_STATEMENT_BUSY 1u /* flags: it met a lock, and was tried again */

/* An execution; head time_ns: when it was over. */
struct pa_statement {
	struct pa_record head;
	uint32_t tid; /* that ended it */
	uint16_t kind;
	uint16_t flags;
	uint64_t start_ns;   /* its first call */
	uint64_t last_ns;    /* return of the last that did something for it */
	uint64_t library_ns; /* in calls of the library */
	uint64_t busy_ns;    /* of that, asleep because others held a lock */
	uint64_t rows;
	uint64_t text;     /* number of its text, 0: not known */
	uint64_t database; /* of its database's name, 0: not known */
	int32_t error;     /* the library's code, 0: none */
	uint16_t nr_frames;
	uint16_t stop;     /* enum pa_stop */
	uint64_t frames[]; /* who made the first call */
};

/* A text or a name, of this process. */
struct pa_statement_text {
	struct pa_record head;
	uint64_t number;   /* made of its bytes */
	uint16_t nr_bytes; /* 0..PA_STATEMENT_TEXT_MAX */
	uint16_t flags;    /* PA_STATEMENT_TEXT_* */
	uint32_t reserved;
	uint8_t bytes[]; /* padded to 8 */
};

#define PA_STATEMENT_TEXT_CUT  1u /* goes on behind what is here */
#define PA_STATEMENT_TEXT_NAME 2u /* of a database: its file, empty: none */

PA_ASSERT_SIZE(struct pa_statement, 88);
PA_ASSERT_SIZE(struct pa_statement_text, 32);
PA_ASSERT_SIZE(struct pa_loop, 88);
PA_ASSERT_SIZE(struct pa_iteration, 56);
PA_ASSERT_SIZE(struct pa_wait, 48);
PA_ASSERT_SIZE(struct pa_connection, 56 + PA_ADDRESS_MAX);
PA_ASSERT_SIZE(struct pa_conn_messages, 40);

#endif
