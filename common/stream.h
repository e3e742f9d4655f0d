/* The socket transport: what travels over the connection of the handshake when no memory is shared with the collector.
 *
 * The agent keeps the session's memory (common/wire.h, the same layout) among the processes of the target alone, and
 * whoever finds a ring due sends what is in it: BATCH, one ring's bytes from the sender's tail up to its head, with the
 * counters as they stand. The collector answers with what it would have written into the control page: WORDS. A packet
 * is one message; nothing is acknowledged.
 *
 * Two senders may overlap: a batch that repeats what was sent is that, not an error; one that leaves a gap is.
 * World: signal (agent), plain (collector). */
#ifndef PA_COMMON_STREAM_H
#define PA_COMMON_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/wire.h"

/* A ring is sent in one piece: no ring of a streamed session is larger. Source: unix(7): a packet has to fit into
 * SO_SNDBUF, 208 KiB by default. */
#define PA_STREAM_RING_MAX 65536u

/* Positions stay below this: sums of them do not overflow. */
#define PA_STREAM_POSITION_MAX (UINT64_C(1) << 62)

/* HELLO.flags: the connection stays, and no file is to be shared. The rest of them: common/wire.h. */
#define PA_HELLO_STREAM 8u

/* Types of messages after the handshake's (enum pa_message). */
enum pa_stream_message {
	PA_MSG_LAYOUT = 3, /* collector -> agent, once, behind CONFIG */
	PA_MSG_BATCH = 4,  /* agent -> collector */
	PA_MSG_WORDS = 5,  /* collector -> agent */
};

/* After CONFIG: the constants of the control page, from which the agent lays its memory out. */
struct pa_stream_layout {
	struct pa_msg_head head; /* PA_MSG_LAYOUT */
	uint8_t reserved[48];
	struct pa_control control;
};

enum pa_stream_ring { PA_STREAM_SIGNAL = 0, PA_STREAM_HOOK = 1 };

/* As they stand, since the session began: struct pa_ring_producer, in its order. */
struct pa_stream_counters {
	uint64_t records;
	uint64_t lost_full;
	uint64_t lost_weight;
	uint64_t truncated;
	uint64_t self_ns;
	uint64_t ticks;
};

/* The target's part of the control page. */
struct pa_stream_figures {
	uint64_t lost_no_slot;
	uint64_t hook_busy;
	uint64_t own_start;
	uint64_t own_end;
	uint64_t heap_own_bytes;
	uint64_t heap_unrecorded;
	uint64_t heap_mean_now;
	uint64_t memory; /* where the session's memory begins, for whoever looks who maps it */
};

struct pa_stream_batch {
	struct pa_msg_head head; /* PA_MSG_BATCH */
	uint32_t slot;
	uint32_t ring;     /* enum pa_stream_ring */
	uint64_t position; /* of the first byte */
	uint32_t bytes;    /* behind this struct: whole records; 0: only the rest has news */
	uint32_t reserved;
	uint64_t owner; /* PA_OWNER(pid, tid) of the slot; tid 0: the thread has ended */
	struct pa_stream_counters counters;
	struct pa_stream_figures figures;
};

#define PA_STREAM_MESSAGE_MAX (sizeof(struct pa_stream_batch) + PA_STREAM_RING_MAX)

#define PA_STREAM_GONE_MAX 8

/* Part of the name that memory shared without a file has in /proc/PID/maps. */
#define PA_STREAM_MAPS_AS "/dev/zero"

/* The collector's part of the control page, whenever it has changed. */
struct pa_stream_words {
	struct pa_msg_head head; /* PA_MSG_WORDS */
	uint32_t state;          /* enum pa_session_state */
	uint32_t cache_generation;
	uint32_t nr_arm;
	uint32_t nr_gone;
	uint64_t arm[PA_ARM_MAX];          /* threads to arm, as in the control page */
	uint32_t gone[PA_STREAM_GONE_MAX]; /* processes that ended, as they saw themselves: their slots are free */
};

PA_ASSERT_SIZE(struct pa_stream_layout, 64 + PA_CONTROL_BYTES);
PA_ASSERT_SIZE(struct pa_stream_batch, 160);
PA_ASSERT_SIZE(struct pa_stream_words, 576);

/* Fills the head of a message of `bytes`. World: plain. */
void pa_stream_head(struct pa_msg_head *head, enum pa_stream_message type, uint32_t bytes);

/* Whether a packet of len bytes is a batch for a session of nr_slots with rings of at most PA_STREAM_RING_MAX.
 * Errors: -EPROTO. World: plain. */
int pa_stream_check_batch(const void *packet, size_t len, uint32_t nr_slots);

/* Whether a packet of len bytes is what the collector may say. World: signal. */
static inline bool pa_stream_words_ok(const struct pa_stream_words *w, size_t len)
{
	return len == sizeof(*w) && w->head.magic == PA_WIRE_MAGIC && w->head.major == PA_WIRE_MAJOR &&
	       w->head.type == PA_MSG_WORDS && w->head.size == len && w->nr_arm <= PA_ARM_MAX &&
	       w->nr_gone <= PA_STREAM_GONE_MAX;
}

#endif
