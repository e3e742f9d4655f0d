/* The connections of the program, by descriptor: a byte for each number that says whether it is looked at, and a cell
 * for each that is. Numbers from PA_CONN_FDS on are not looked at. World: hook. */
#ifndef PA_AGENT_CONN_AREA_HOOK_H
#define PA_AGENT_CONN_AREA_HOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/atomics.h"
#include "common/frame.h"

#define PA_CONN_FDS   65536
#define PA_CONN_CHUNK 512 /* cells of one mapping */

enum pa_conn_kind {
	PA_CONN_UNKNOWN = 0,
	PA_CONN_IGNORED = 1, /* no stream socket, or nothing that we can read is spoken on it */
	PA_CONN_STREAM = 2,  /* has a cell */
};

struct pa_conn {
	_Atomic uint32_t making;   /* a thread fills the cell in */
	uint32_t id;               /* struct pa_connection.connection; 0: made, not connected yet */
	uint32_t session;          /* of the area, that it was told of in */
	uint32_t pid;              /* and the process */
	int32_t error;             /* errno of its latest call that failed for good */
	bool is_client;            /* we are: what we send goes to the server */
	bool connecting;           /* connect() has said EINPROGRESS */
	_Atomic uint8_t busy[2];   /* by way: a thread feeds it */
	_Atomic uint8_t missed[2]; /* by way: bytes went by while another one did */
	_Atomic uint8_t is_tls;    /* its messages are seen at a library's calls: what its socket moves is encrypted */
	uint32_t order[2];
	uint64_t start_ns; /* of connect() */
	struct pa_frame frame;
};

extern _Atomic uint8_t pa_conn_kinds[PA_CONN_FDS];

static inline uint8_t pa_conn_kind(int fd)
{
	return (unsigned)fd < PA_CONN_FDS ? pa_load_relaxed(&pa_conn_kinds[fd]) : PA_CONN_IGNORED;
}

/* A new session: nothing is known of any descriptor. World: signal. */
void pa_conn_area_start_sig(void);
/* Which one it is; cells of others are void. */
uint32_t pa_conn_area_session_hook(void);

/* The cell of a descriptor, made when it has none (zeroed, or what an earlier one left there). NULL: no memory. */
struct pa_conn *pa_conn_cell_hook(int fd);
/* The one it has; NULL: none. */
struct pa_conn *pa_conn_peek_hook(int fd);

void pa_conn_set_kind_hook(int fd, enum pa_conn_kind kind);
/* One above the highest number that any kind was set for. */
int pa_conn_highest_hook(void);

/* The next number of a connection in this process. */
uint32_t pa_conn_next_id_hook(void);

#endif
