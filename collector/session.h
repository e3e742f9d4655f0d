/* One sealed memfd that the collector made for one agent (and for the children it forks): what the collector keeps
 * about it in private memory, and the few words it writes into it.
 *
 * Nothing in the shared part is believed: geometry and tails are private copies. World: plain. */
#ifndef PA_COLLECTOR_SESSION_H
#define PA_COLLECTOR_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/wire.h"

#define PA_SESSION_SLOTS       2048
#define PA_SESSION_PID_MAX     4194304 /* the kernel's own limit for pid_max: no process has a larger number */
#define PA_SESSION_EXTENTS     4
#define PA_SESSION_SIGNAL_RING (64 * 1024)
#define PA_SESSION_HOOK_RING   (32 * 1024)
#define PA_SESSION_SAMPLE_RING (64 * 1024)   /* the hook ring that holds sampled allocations, too */
#define PA_SESSION_TALK_RING   (1024 * 1024) /* the hook ring that holds what is spoken on connections, too */
#define PA_SESSION_MEMFD_NAME  "perfagent"
/* Heap rings: for a few threads that allocate all the time, some that do often, and many that do now and then. Together
 * 256 MiB, of which only what is written takes memory. */
#define PA_SESSION_HEAP_CLASSES                                                                                        \
	{                                                                                                              \
		{16, 8u << 20}, {64, 1u << 20},                                                                        \
		{                                                                                                      \
			256, 256u << 10                                                                                \
		}                                                                                                      \
	}

struct pa_geometry {
	uint32_t nr_slots;          /* 1..65536 */
	uint32_t signal_ring_bytes; /* powers of two, 4096..1 MiB */
	uint32_t hook_ring_bytes;
	uint64_t period_ns; /* CPU time between two samples of a thread */
	uint32_t modes;     /* PA_MODE_* */
	uint32_t heap_mode; /* enum pa_heap_mode; off without PA_MODE_MEMORY */
	uint32_t heap_flags;
	uint64_t heap_mean;                                 /* bytes; 0 counts as 1 */
	struct pa_heap_class heap_classes[PA_HEAP_CLASSES]; /* of exact mode: powers of two, 4096..16 MiB; nr 0: none */
};

/* Counters of one ring as last read; they only mean something as differences. */
struct pa_ring_counters {
	uint64_t records;
	uint64_t lost_full;
	uint64_t lost_weight;
	uint64_t truncated;
	uint64_t self_ns;
	uint64_t ticks;
};

/* One ring as the collector knows it. Invariant: tail is what we stored last, whatever the shared word says now. */
struct pa_ring_in {
	uint64_t tail;
	struct pa_ring_counters seen;
	bool bad; /* never read again */
};

struct pa_slot_in {
	struct pa_ring_in signal;
	struct pa_ring_in hook;
	uint32_t pid; /* of the last owner seen, 0: free */
	uint32_t tid; /* of the last owner seen that was a thread */
};

struct pa_session {
	int fd;
	bool shareable; /* the file is sealed, and can be given to an agent; else it holds what agents send */
	uint64_t inode; /* of the memory that is shared with the target, or among its processes: tells who maps it */
	const char *maps_as; /* part of its name in /proc/PID/maps */
	uint64_t memory;     /* streamed: where it begins in the target, 0: not said yet */
	uint64_t file_size;
	struct pa_geometry geometry;
	uint64_t slots_offset;
	uint64_t rings_offset;
	uint64_t heap_lines_offset; /* 0: no heap rings */
	uint64_t heap_rings_offset;
	uint32_t nr_heap_rings;
	struct pa_heap_line *heap_lines; /* shared */
	struct pa_control *control;      /* shared; with the slots one mapping */
	struct pa_slot *slots;           /* shared */
	uint64_t extent_blocks;          /* of the file when the extents were found; else they are looked for anew */
	uint32_t nr_extents;             /* 0: not known, or more than fit */
	struct pa_extent {
		uint32_t first, end;
	} extents[PA_SESSION_EXTENTS]; /* slots on pages that were ever written */
	struct pa_slot_in *in;         /* private, nr_slots */
	uint64_t lost_no_slot;         /* last reading of the control page */
	uint64_t hook_busy;
	uint64_t agent_start; /* the agent's own mapping: cut from stacks */
	uint64_t agent_end;
	bool bad; /* something in the control part cannot be: the session is over */
};

/* Makes the memfd: sized, constants written, sealed (SHRINK, GROW, SEAL), state SAMPLING. Quick: a target waits.
 * Shapes: geometry NULL takes the defaults with period_ns as given. Errors: -errno. */
int pa_session_create(const struct pa_geometry *geometry, struct pa_session **out);
/* Ends the session for the agent (state ENDED) and unmaps. NULL allowed. */
void pa_session_free(struct pa_session *s);

/* Offset of a ring's data in the memfd. */
uint64_t pa_session_ring_offset(const struct pa_session *s, uint32_t slot, bool hook);

/* Offset of a heap ring's data in the memfd; *bytes: of it. */
uint64_t pa_session_heap_ring(const struct pa_session *s, uint32_t ring, uint32_t *bytes);

/* Visits every slot whose page the target has ever written, lowest first (a page nobody wrote is not touched: reading
 * it would allocate it). */
void pa_session_each_slot(struct pa_session *s, void (*fn)(void *arg, uint32_t slot), void *arg);
/* The same from slot `first` on, until fn returns false. Returns false: it did. */
bool pa_session_slots_from(struct pa_session *s, uint32_t first, bool (*fn)(void *arg, uint32_t slot), void *arg);

/* Frees the slots of a process that is gone; the caller has drained them. Returns how many. */
uint32_t pa_session_release_pid(struct pa_session *s, uint32_t inner_pid);

/* Asks the agent to arm a thread that it did not see start; pid and tid as the target counts them. False: the list is
 * full, try again later. */
bool pa_session_arm(struct pa_session *s, uint32_t inner_pid, uint32_t inner_tid);
/* Tells the agent that the maps changed behind its back. */
void pa_session_bump_cache(struct pa_session *s);
void pa_session_set_state(struct pa_session *s, uint32_t state);

#endif
