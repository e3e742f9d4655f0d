/* The heap of one process: which blocks are live, what each stack has allocated and holds, the highest heap so far.
 *
 * It is played event by event in the order of their stamps, and read once a second (heap_flush.c). Sums are exact. In
 * sampled mode they are estimates in units of 1/1024 call and 1/1024 byte, so that the free of a block takes away
 * exactly what its allocation added, and rounding happens only where a figure leaves.
 *
 * The peak: a row notes what it held when it first changes after a peak; a row that has not changed since holds it
 * still. So a new peak is three stores, however many stacks there are. World: plain. */
#ifndef PA_COLLECTOR_HEAP_H
#define PA_COLLECTOR_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/heap_clock.h"
#include "collector/heap_live.h"
#include "collector/store.h"
#include "common/wire.h"

#define PA_HEAP_FRACTION_BITS 10                   /* of sums in sampled mode */
#define PA_HEAP_ROWS_MAX      (UINT32_C(4) << 20)  /* 128 bytes each; what comes after that is [other] */
#define PA_HEAP_LIVE_SLOTS    (UINT32_C(64) << 20) /* 1.5 GiB; 58 million blocks */
#define PA_HEAP_MEANS_MAX     64

/* What happens all the time touches one cache line. Calls and bytes only grow; live is the difference. */
struct pa_heap_row {
	uint64_t calls, bytes;
	uint64_t frees, freed;
	uint64_t temporary;
	uint64_t held_calls, held_bytes; /* at the moment of the peak, if it has changed since */
	uint64_t seen;                   /* peak number << 1 | is in the list of changed rows */
};

/* The rest of a row: as it was at the last flush. */
struct pa_heap_cold {
	uint32_t stack;
	uint64_t calls, bytes, frees, freed, temporary, temporary_bytes;
	uint64_t samples; /* since the last flush, like the variances */
	double var_bytes, var_freed;
};

/* What a thread has done, over all rings it had. */
struct pa_heap_thread {
	uint32_t id; /* of pa_store_heap_thread */
	bool changed;
	uint64_t calls, bytes, frees, freed;
};

/* Where events come from: a ring, or in sampled mode everything. */
struct pa_heap_source {
	uint32_t thread;       /* index of its pa_heap_thread */
	uint64_t last_address; /* its latest event was this allocation; 0: a free */
	uint64_t last_stamp;
};

struct pa_heap_event {
	uint64_t stamp; /* ticks */
	uint64_t address;
	uint64_t size;
	uint32_t row;
	uint16_t type; /* enum pa_heap_type: ALLOC, FREE, MAP, UNMAP */
	uint16_t mean; /* sampled: pa_heap_mean */
};

/* Found too early or too late; each is kept for the rest of its pass and all of the next one. */
struct pa_heap_aged {
	struct pa_live now, before;
};

struct pa_heap {
	uint32_t mode;     /* enum pa_heap_mode */
	uint32_t flags;    /* PA_HEAP_MMAP */
	uint32_t fraction; /* bits of sums below 1 */
	const struct pa_heap_clock *clock;
	struct pa_live live;
	struct pa_heap_aged freed_early; /* frees without a block: its allocation may still come */
	struct pa_heap_aged replaced;    /* blocks at whose address another one appeared: their free may still come */

	struct pa_heap_row *rows; /* 0: [other] */
	struct pa_heap_cold *cold;
	uint64_t *temporary_bytes; /* of each row: its line is full */
	uint32_t nr_rows, max_rows;
	uint32_t *by_stack; /* open addressing: row + 1, 0 free */
	uint32_t by_stack_size;
	uint32_t *changed; /* rows */
	uint32_t nr_changed;
	uint64_t folded; /* stacks that found no row */

	struct pa_heap_thread *threads; /* 0: unknown */
	uint32_t nr_threads, max_threads;
	uint32_t *by_thread;
	uint32_t by_thread_size;

	double means[PA_HEAP_MEANS_MAX];
	uint32_t nr_means;

	/* sums, in the unit of the mode */
	uint64_t calls, bytes, frees, freed, temporary;
	uint64_t unknown_frees;
	uint64_t untracked;   /* blocks that found no place in the table */
	uint64_t never_freed; /* replaced blocks whose free did not come */
	uint64_t mapped_calls, mapped_bytes, unmapped_bytes;
	uint64_t lifetime_calls[PA_HEAP_LIFETIMES], lifetime_bytes[PA_HEAP_LIFETIMES];

	uint64_t peak_nr; /* new with every peak */
	uint64_t peak_calls, peak_bytes, peak_stamp;
	uint64_t first_stamp,
	    last_stamp; /* of the event that first changed a row since the last flush; of the latest */

	/* told by others */
	uint64_t lost, lost_frees, unrecorded, stalled_ns, own_bytes, mean;
	uint64_t uncertain_ns;
	uint64_t changes; /* bumped with everything but allocations and frees */

	struct { /* as of the last flush */
		uint64_t ns, changes, peak_nr,
		    peak_bytes; /* ns: of the last event written; before: when the heap began */
	} flushed;
	struct { /* HEAP_FIGURES; time_ns 0: none yet */
		uint64_t time_ns, arena, mapped, used, unused;
	} libc;
};

/* Shapes: mode and flags of the session; clock outlives the heap and gives the time of stamps; start_ns:
 * CLOCK_MONOTONIC; live_slots 0: the usual. Errors: NULL: out of memory. */
struct pa_heap *pa_heap_new(uint32_t mode, uint32_t flags, const struct pa_heap_clock *clock, uint64_t start_ns,
			    size_t live_slots);
void pa_heap_free(struct pa_heap *h); /* NULL allowed */

/* The row of a stack. Errors: 0, the row of [other], when there is no room. */
uint32_t pa_heap_row(struct pa_heap *h, uint32_t stack);
/* The index of a thread by its id in the store. Errors: 0, which stands for no thread. */
uint32_t pa_heap_thread(struct pa_heap *h, uint32_t id);
/* The index of a mean, bytes >= 1; one that is as good as another shares its index. */
uint16_t pa_heap_mean(struct pa_heap *h, uint64_t mean);

/* Plays one event. Shapes: row below nr_rows, address not 0 (else it is ignored). */
void pa_heap_play(struct pa_heap *h, struct pa_heap_source *source, const struct pa_heap_event *event);
/* Brings what an event will touch into the cache. */
static inline void pa_heap_prefetch(const struct pa_heap *h, const struct pa_heap_event *event)
{
	pa_live_prefetch(&h->live, event->address);
	__builtin_prefetch(&h->rows[event->row], 1);
}
/* All that was committed when the pass began has been played. */
void pa_heap_end_pass(struct pa_heap *h);

/* From `ns` (CLOCK_MONOTONIC) on the live heap may be wrong. */
void pa_heap_mark_uncertain(struct pa_heap *h, uint64_t ns);

/* What was not live yet or no more when the process ended comes to an end, too: nothing can follow. */
void pa_heap_end(struct pa_heap *h);

/* A sum as it is reported. */
static inline uint64_t pa_heap_whole(const struct pa_heap *h, uint64_t sum)
{
	return h->fraction ? (sum + (UINT64_C(1) << (h->fraction - 1))) >> h->fraction : sum;
}

/* What a row held at the peak, in the unit of the mode. */
static inline void pa_heap_held(const struct pa_heap *h, uint32_t row, uint64_t *calls, uint64_t *bytes)
{
	const struct pa_heap_row *r = &h->rows[row];
	bool noted = r->seen >> 1 == h->peak_nr;

	*calls = noted ? r->held_calls : r->calls - r->frees;
	*bytes = noted ? r->held_bytes : r->bytes - r->freed;
}

/* What one sampled block stands for, and the variance of its bytes. */
void pa_heap_weight(double size, double mean, double *calls, double *bytes, double *variance);

/* heap_rows.c: rows and threads, with row [other] and thread 0. Errors: 0 or -ENOMEM. */
int pa_heap_rows_init(struct pa_heap *h);
void pa_heap_rows_fini(struct pa_heap *h);

/* heap_flush.c: everything since the last flush; no event is dated later than last_ns. Errors: the first of the store.
 */
int pa_heap_flush(struct pa_heap *h, struct pa_store *store, uint32_t process, uint64_t last_ns, bool at_end);
/* A point of the timeline. rss_bytes UINT64_MAX: not known. */
int pa_heap_flush_point(struct pa_heap *h, struct pa_store *store, uint32_t process, uint64_t time_ns,
			uint64_t rss_bytes);

#endif
