/* The socket transport: the way out of the rings when no memory is shared with the collector (common/stream.h).
 *
 * Slots and rings lie in memory that the processes of the target share with each other; what differs is who moves the
 * tail: whoever writes a record and finds a ring due sends what it holds over one descriptor, whose number is high and
 * whose identity is looked at before each use. A forked child writes into slots of its own in the same memory and sends
 * over the same connection, as it would have gone on in a shared file. Nobody waits, except the end of a process.
 * World: signal. */
#ifndef PA_AGENT_STREAM_SIG_H
#define PA_AGENT_STREAM_SIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "agent/hot.h"
#include "agent/thread.h"
#include "common/stream.h"

#define PA_STREAM_AGE_NS     250000000u  /* no record waits longer as long as any thread writes one or has a tick */
#define PA_STREAM_FILL       32768u      /* bytes in a ring that are sent at once; of small rings half */
#define PA_STREAM_RETRY_NS   1000000u    /* after the socket was full */
#define PA_STREAM_STEAL_NS   1000000000u /* a claim so old was left behind by a thread that is gone */
#define PA_STREAM_SWEEP      16u         /* slots that one call looks through for others */
#define PA_STREAM_GOODBYE_NS 20000000u   /* the longest wait for room at the end of a process */

/* What is too large for a handler's stack: a thread finds its own beside its slot, one for hooks and one for ticks. */
struct pa_stream_scratch {
	struct pa_stream_batch batch;
	struct iovec iov[3];
	struct msghdr msg;
	struct stat stat;
};

/* Of one slot; shared by the processes that use the session. */
struct pa_stream_slot {
	_Atomic uint64_t claim;    /* when somebody began to send; 0: nobody does */
	_Atomic uint64_t due_ns;   /* not before that, unless much has come together; 0: its thread is not known yet */
	_Atomic uint64_t retry_ns; /* not before that in any case */
	struct pa_stream_scratch scratch[2];
};

struct pa_stream_shared {
	_Atomic uint64_t sweep_ns; /* when somebody has to look through all slots again */
	_Atomic uint32_t cursor;   /* where the present look goes on */
	_Atomic uint32_t nr_used;  /* slots that were ever sent from, the highest and 1 */
	_Atomic uint64_t inbox_claim;
	struct pa_stream_words inbox;
	struct stat closing;
	struct pa_stream_slot slots[];
};

/* This process's own: a descriptor that one of them has lost is still there in the others. */
struct pa_stream {
	struct pa_stream_shared *shared; /* NULL: another transport, or lost */
	uint64_t memory;                 /* where the session's begins */
	int fd;
	uint64_t device; /* what it has to be */
	uint64_t inode;
};

extern struct pa_stream pa_stream PA_NEAR;

/* Cold half of pa_stream_look_sig. */
void pa_stream_visit_sig(struct pa_block *block, const struct pa_ring *ring, uint64_t now_ns);

/* A record is about to be written into a ring of the block, which has a slot: sends what is due. Units: now_ns
 * CLOCK_MONOTONIC, of the record. */
static inline void pa_stream_look_sig(struct pa_block *block, const struct pa_ring *ring, uint64_t now_ns)
{
	if (__builtin_expect(pa_stream.shared != NULL, 0))
		pa_stream_visit_sig(block, ring, now_ns);
}

/* The block's thread is about to leave its slot: the rest is sent. The slot is free as soon as all of it has been. */
void pa_stream_leave_sig(struct pa_block *block);

/* The process ends, or nothing can be sent for long; the block is the calling thread's, NULL: it has none. Sends what
 * all rings hold, and waits for room if it must, PA_STREAM_GOODBYE_NS at most. */
void pa_stream_goodbye_sig(struct pa_block *block);

/* The session is left (block as above): sends what there is and closes the descriptor, if it is still ours. */
void pa_stream_close_sig(struct pa_block *block);

/* The session was left, and nobody is at work in it: the connection is closed. */
void pa_stream_end_sig(void);

/* No system call from now on (seccomp); the caller has said goodbye. */
void pa_stream_quiet_sig(void);

#endif
