#include "collector/heap_drain.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/loop.h"
#include "common/atomics.h"
#include "common/heapwire.h"
#include "common/ring.h"

#define COPY_BYTES      (64u << 10)         /* at a time: stays in the cache between copying and playing */
#define BATCH           32u                 /* events decoded ahead, so that what they will touch is on its way */
#define STEPS_MAX       16384u              /* records looked at for a batch: only a liar has more without an event */
#define BATCHES_AT_ONCE 64u                 /* between two looks at the clock */
#define AHEAD_NS        1e9                 /* the clocks of two processors differ by less */
#define SIZE_MAX_BYTES  (UINT64_C(1) << 48) /* no block is larger: an address space */

/* What a ring needs while it has a writer. */
struct work {
	struct pa_heap_event events[BATCH];
	uint8_t bytes[COPY_BYTES] __attribute__((aligned(8)));
};

struct node {
	uint32_t stack;
	uint32_t row; /* UINT32_MAX: not asked for yet */
};

struct ring {
	struct pa_heap_line *line; /* shared */
	uint64_t offset;           /* of its data in the memfd */
	uint64_t size;
	uint64_t tail;     /* copied up to here, as the writer was told */
	uint64_t head;     /* as found in this pass */
	uint64_t old_head; /* as found in the last one: the stamps before it have passed by now */
	uint32_t number;
	uint32_t pid; /* of the last owner seen, 0: free */
	uint32_t tid;
	bool bad;     /* never read again */
	bool owned;   /* an OWNER record was read */
	bool leaving; /* its thread had ended when its head was read */
	struct pa_ring_counters seen;

	struct work *work;
	uint32_t at, end;  /* in work->bytes: to be decoded */
	uint32_t next, nr; /* in work->events: to be played */
	uint64_t clock;    /* stamp of the last record */
	struct pa_heap_writer writer;
	struct pa_heap_source source;
	uint32_t no_row; /* of stack 0; UINT32_MAX: not asked for yet */
	struct node *nodes;
	uint32_t nr_nodes, max_nodes;
};

struct pa_heap_drain {
	struct pa_session *s;
	const struct pa_heap_clock *clock;
	uint64_t until; /* the clock of this pass */
	struct ring *rings;
	struct ring **queue; /* heap of rings by the stamp of their next event */
	uint32_t nr_queue;
	/* of the pass being made */
	const struct pa_heap_sink *sink;
	struct pa_heap_drain_result *result;
	uint64_t until_ns; /* of the part being made, by pa_now_ns */
	uint32_t batches;  /* decoded in it */
	uint32_t nr_begun; /* rings */
	uint32_t nr_ended;
	bool paused;
};

struct pa_heap_drain *pa_heap_drain_new(struct pa_session *s, const struct pa_heap_clock *clock)
{
	struct pa_heap_drain *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->s = s;
	d->clock = clock;
	d->rings = calloc(s->nr_heap_rings, sizeof(*d->rings));
	d->queue = calloc(s->nr_heap_rings, sizeof(struct ring *));
	if (!d->rings || !d->queue) {
		pa_heap_drain_free(d);
		return NULL;
	}
	for (uint32_t i = 0; i < s->nr_heap_rings; i++) {
		struct ring *r = &d->rings[i];
		uint32_t bytes;

		r->offset = pa_session_heap_ring(s, i, &bytes);
		r->size = bytes;
		r->line = &s->heap_lines[i];
		r->number = i;
	}
	return d;
}

/* The ring's private memory; what it meant ends with it. */
static void let_go(struct ring *r)
{
	free(r->work);
	free(r->nodes);
	r->work = NULL;
	r->nodes = NULL;
	r->nr_nodes = r->max_nodes = 0;
	r->at = r->end = r->next = r->nr = 0;
	r->owned = false;
	r->writer = (struct pa_heap_writer){0};
	r->source = (struct pa_heap_source){0};
}

void pa_heap_drain_free(struct pa_heap_drain *d)
{
	if (!d)
		return;
	for (uint32_t i = 0; d->rings && i < d->s->nr_heap_rings; i++)
		let_go(&d->rings[i]);
	free(d->rings);
	free(d->queue);
	free(d);
}

uint64_t pa_heap_drain_clock(const struct pa_heap_drain *d)
{
	return d->until;
}

static void give_up(struct pa_heap_drain *d, struct ring *r, const char *why)
{
	r->bad = true;
	r->at = r->end = 0;
	if (r->writer.heap)
		pa_heap_mark_uncertain(r->writer.heap, pa_heap_clock_ns(d->clock, r->clock));
	if (d->sink->bad)
		d->sink->bad(d->sink->arg, r->writer.heap, r->pid, r->number, why);
}

/* ---- looking ---------------------------------------------------------------------------------------------------- */

void pa_heap_drain_look(struct pa_heap_drain *d)
{
	d->until = pa_heap_clock_ticks(d->clock);
	for (uint32_t i = 0; i < d->s->nr_heap_rings; i++) {
		struct ring *r = &d->rings[i];
		/* before the head: once it says that the thread has ended, the head read after it is its last */
		uint64_t owner = pa_load_acquire(&r->line->in.owner);

		r->leaving = !(uint32_t)owner;
		if (owner && owner >> 32 <= PA_SESSION_PID_MAX) {
			r->pid = (uint32_t)(owner >> 32);
			r->tid = (uint32_t)owner ? (uint32_t)owner : r->tid;
		}
		if (!r->pid || r->bad)
			continue;
		r->old_head = r->head;
		/* pairs with the release of the producer's head: the records before it are complete */
		r->head = pa_load_acquire(&r->line->out.head);
	}
}

#define DELTA(field)                                                                                                   \
	do {                                                                                                           \
		uint64_t now = pa_load_relaxed(&r->line->out.field);                                                   \
		delta.field = now - r->seen.field;                                                                     \
		r->seen.field = now;                                                                                   \
		any |= delta.field;                                                                                    \
	} while (0)

static void read_counters(struct pa_heap_drain *d, struct ring *r)
{
	struct pa_ring_counters delta = {0};
	uint64_t any = 0;

	DELTA(records);
	DELTA(lost_full);
	DELTA(lost_weight);
	DELTA(self_ns);
	DELTA(ticks);
	if (any && d->sink->counters)
		d->sink->counters(d->sink->arg, r->writer.heap, r->pid, &delta);
}

/* ---- copying ---------------------------------------------------------------------------------------------------- */

/* Bytes [tail, tail + len) of a ring. pread, not a mapping: a page nobody wrote is not allocated by it, and no SIGBUS
 * is possible. */
static bool copy_out(struct pa_heap_drain *d, struct ring *r, uint64_t len)
{
	uint64_t at = r->tail & (r->size - 1);
	uint64_t first = len < r->size - at ? len : r->size - at;
	uint8_t *to = r->work->bytes + r->end;

	if (pread(d->s->fd, to, first, (off_t)(r->offset + at)) != (ssize_t)first)
		return false;
	return len == first || pread(d->s->fd, to + first, len - first, (off_t)r->offset) == (ssize_t)(len - first);
}

/* Copies more of a ring behind what is left of the last copy. False: there is no more. */
static bool refill(struct pa_heap_drain *d, struct ring *r)
{
	uint64_t len = r->head - r->tail;

	if (!len || r->bad)
		return false;
	memmove(r->work->bytes, r->work->bytes + r->at, r->end - r->at);
	r->end -= r->at;
	r->at = 0;
	if (len > COPY_BYTES - r->end)
		len = COPY_BYTES - r->end;
	if (!copy_out(d, r, len)) {
		give_up(d, r, "it cannot be read");
		return false;
	}
	r->end += (uint32_t)len;
	r->tail += len;
	d->result->bytes += len;
	/* pairs with the acquire of the producer's tail: the bytes have been copied out */
	pa_store_release(&r->line->in.tail, r->tail);
	return true;
}

/* ---- decoding --------------------------------------------------------------------------------------------------- */

static void set_owner(struct pa_heap_drain *d, struct ring *r, const struct pa_heap_owner *owner)
{
	uint64_t ns = pa_heap_clock_ns(d->clock, owner->ticks);

	r->owned = true;
	r->nr_nodes = 0;
	r->no_row = UINT32_MAX;
	r->source = (struct pa_heap_source){0};
	r->writer = d->sink->writer(d->sink->arg, owner->pid, owner->tid, ns);
	if (r->writer.heap)
		r->source.thread = pa_heap_thread(r->writer.heap, r->writer.thread);
}

static bool grow_nodes(struct ring *r)
{
	uint32_t max = r->max_nodes ? r->max_nodes * 2 : 256;
	struct node *nodes = realloc(r->nodes, max * sizeof(*nodes));

	if (!nodes)
		return false;
	r->nodes = nodes;
	r->max_nodes = max;
	return true;
}

/* Errors: why the ring cannot be believed any more, NULL: it can. */
static const char *define_node(struct pa_heap_drain *d, struct ring *r, const struct pa_heap_node *node)
{
	uint32_t parent = 0;

	if (node->id != r->nr_nodes + 1 || node->parent >= node->id || node->id > PA_HEAP_NODES_MAX)
		return "its dictionary makes no sense";
	if (node->id > r->max_nodes && !grow_nodes(r))
		return "there is no memory for its dictionary";
	if (r->writer.heap) {
		if (node->parent)
			parent = r->nodes[node->parent - 1].stack;
		parent = d->sink->stack(d->sink->arg, r->writer.process, parent, node->frame,
					pa_heap_clock_ns(d->clock, r->clock));
	}
	r->nodes[r->nr_nodes++] = (struct node){parent, UINT32_MAX};
	return NULL;
}

static uint32_t row_of(struct pa_heap_drain *d, struct ring *r, uint32_t node)
{
	uint32_t *row = node ? &r->nodes[node - 1].row : &r->no_row;
	uint32_t stack = node ? r->nodes[node - 1].stack : 0;

	if (__builtin_expect(*row == UINT32_MAX, 0))
		*row = pa_heap_row(r->writer.heap, stack ? stack : d->sink->no_stack(d->sink->arg));
	return *row;
}

/* One more event to be played. Errors: false: it names a node that is not there. */
static inline bool put_event(struct pa_heap_drain *d, struct ring *r, uint16_t type, uint64_t address, uint64_t size,
			     uint32_t node)
{
	struct pa_heap_event *e = &r->work->events[r->nr];

	if (__builtin_expect(node > r->nr_nodes, 0))
		return false;
	if (__builtin_expect(!r->writer.heap, 0))
		return true;
	e->stamp = r->clock;
	e->address = address;
	e->size = size < SIZE_MAX_BYTES ? size : SIZE_MAX_BYTES;
	e->row = type == PA_HR_ALLOC ? row_of(d, r, node) : 0;
	e->type = type;
	e->mean = 0;
	pa_heap_prefetch(r->writer.heap, e);
	r->nr++;
	return true;
}

/* What a record that is an event, or defines something, means. Errors: why the ring cannot be believed any more. */
static inline const char *take_record(struct pa_heap_drain *d, struct ring *r, const struct pa_heap_head *head)
{
	static const char no_node[] = "an event names a stack that was not defined";
	const struct pa_heap_alloc *alloc = (const void *)head;
	const struct pa_heap_alloc_large *large = (const void *)head;
	const struct pa_heap_freed *freed = (const void *)head;
	const struct pa_heap_map *map = (const void *)head;
	const struct pa_heap_unmap *unmap = (const void *)head;

	switch (head->type) {
	case PA_HR_ALLOC:
		return put_event(d, r, PA_HR_ALLOC, alloc->address, alloc->size, alloc->node) ? NULL : no_node;
	case PA_HR_FREE:
		put_event(d, r, PA_HR_FREE, freed->address, 0, 0);
		return NULL;
	case PA_HR_ALLOC_LARGE:
		return put_event(d, r, PA_HR_ALLOC, large->address, large->size, large->node) ? NULL : no_node;
	case PA_HR_MAP:
		return put_event(d, r, PA_HR_MAP, map->address, map->size, map->node) ? NULL : no_node;
	case PA_HR_UNMAP:
		put_event(d, r, PA_HR_UNMAP, unmap->address, unmap->size, 0);
		return NULL;
	case PA_HR_NODE:
		return define_node(d, r, (const struct pa_heap_node *)head);
	case PA_HR_EPOCH:
		r->nr_nodes = 0;
		return NULL;
	}
	return NULL;
}

/* The stamp of a record. */
static inline uint64_t stamp_of(const struct ring *r, const struct pa_heap_head *head)
{
	if (head->type == PA_HR_OWNER)
		return ((const struct pa_heap_owner *)head)->ticks;
	if (head->type == PA_HR_TIME)
		return ((const struct pa_heap_time *)head)->ticks;
	return r->clock + head->delta;
}

/* A record of the future stays for the next pass. One that had been written when the last pass began has a clock that
 * is ahead of ours: by a little, and it waits; by more, and it would wait for ever. */
static void leave_for_later(struct pa_heap_drain *d, struct ring *r, uint64_t ahead)
{
	uint64_t position = r->tail - (r->end - r->at);

	if ((int64_t)(r->old_head - position) > 0 && (double)ahead * d->clock->ns_per_tick > AHEAD_NS)
		give_up(d, r, "its clock makes no sense");
}

/* Fills the batch of a ring. False: nothing more in this pass. */
static bool decode(struct pa_heap_drain *d, struct ring *r)
{
	uint32_t steps = 0;

	r->next = r->nr = 0;
	while (r->nr < BATCH && steps++ < STEPS_MAX) {
		const struct pa_heap_head *head;
		const char *why = NULL;
		uint64_t stamp;
		size_t at;

		if (r->end - r->at < PA_HEAP_RECORD_MAX)
			refill(d, r);
		at = r->at;
		head = pa_heapwire_next(r->work->bytes, r->end, &at);
		if (!head && at != r->at) {
			r->at = (uint32_t)at; /* fillers, and what follows them may not be all there yet */
			continue;
		}
		if (!head) {
			if (at < r->end)
				give_up(d, r, "a record in it makes no sense");
			break;
		}
		stamp = stamp_of(r, head);
		if (__builtin_expect((int64_t)(stamp - d->until) > 0, 0)) {
			leave_for_later(d, r, stamp - d->until);
			break;
		}
		if (__builtin_expect(head->type == PA_HR_OWNER, 0) && r->nr)
			break; /* events of the one before it are played first */
		r->at = (uint32_t)at;
		r->clock = stamp;
		if (__builtin_expect(head->type == PA_HR_OWNER, 0))
			set_owner(d, r, (const struct pa_heap_owner *)head);
		else if (__builtin_expect(!r->owned, 0))
			why = "it does not say whose it is";
		else
			why = take_record(d, r, head);
		if (__builtin_expect(why != NULL, 0)) {
			give_up(d, r, why);
			break;
		}
	}
	return r->nr != 0;
}

/* The next batch of a ring whose last one was played, and a look at the clock. False: nothing more in this pass. */
static bool decode_on(struct pa_heap_drain *d, struct ring *r)
{
	if (!decode(d, r))
		return false;
	if (++d->batches % BATCHES_AT_ONCE == 0 && d->until_ns != UINT64_MAX)
		d->paused = pa_now_ns() >= d->until_ns;
	return true;
}

/* ---- playing ---------------------------------------------------------------------------------------------------- */

static inline uint64_t next_stamp(const struct pa_heap_drain *d, uint32_t place)
{
	const struct ring *r = d->queue[place];

	return r->work->events[r->next].stamp;
}

static void sift_down(struct pa_heap_drain *d, uint32_t place)
{
	for (;;) {
		uint32_t least = place, left = 2 * place + 1;
		struct ring *swap;

		if (left < d->nr_queue && next_stamp(d, left) < next_stamp(d, least))
			least = left;
		if (left + 1 < d->nr_queue && next_stamp(d, left + 1) < next_stamp(d, least))
			least = left + 1;
		if (least == place)
			return;
		swap = d->queue[place];
		d->queue[place] = d->queue[least];
		d->queue[least] = swap;
		place = least;
	}
}

/* Plays the events of one ring up to a stamp. False: it has no more. */
static bool play_until(struct pa_heap_drain *d, struct ring *r, uint64_t stamp)
{
	do {
		struct pa_heap *h = r->writer.heap;
		const struct pa_heap_event *e = r->work->events;
		uint32_t i = r->next;

		for (; i < r->nr && e[i].stamp <= stamp; i++)
			pa_heap_play(h, &r->source, &e[i]);
		d->result->events += i - r->next;
		r->next = i;
		if (i < r->nr)
			return true;
		if (!decode_on(d, r))
			return false;
	} while (!d->paused);
	return true;
}

/* Two rings, which is what two processors keep busy: whose turn it is can be foretold by nobody, so it is no branch. */
static void play_two(struct pa_heap_drain *d)
{
	struct ring *ring[2] = {d->queue[0], d->queue[1]};

	do {
		struct pa_heap_event *e[2] = {ring[0]->work->events + ring[0]->next,
					      ring[1]->work->events + ring[1]->next};
		const struct pa_heap_event *end[2] = {ring[0]->work->events + ring[0]->nr,
						      ring[1]->work->events + ring[1]->nr};

		while (e[0] < end[0] && e[1] < end[1]) {
			uint32_t which = e[1]->stamp < e[0]->stamp;

			pa_heap_play(ring[which]->writer.heap, &ring[which]->source, e[which]++);
		}
		for (int i = 0; i < 2; i++) {
			d->result->events += (uint64_t)(e[i] - (ring[i]->work->events + ring[i]->next));
			ring[i]->next = (uint32_t)(e[i] - ring[i]->work->events);
		}
	} while ((ring[0]->next < ring[0]->nr || decode_on(d, ring[0])) &&
		 (ring[1]->next < ring[1]->nr || decode_on(d, ring[1])) && !d->paused);
	if (ring[0]->next < ring[0]->nr && ring[1]->next < ring[1]->nr)
		return;
	d->queue[0] = ring[0]->next < ring[0]->nr ? ring[0] : ring[1];
	d->nr_queue = 1;
}

static void play_all(struct pa_heap_drain *d)
{
	for (uint32_t i = d->nr_queue / 2; i-- > 0;)
		sift_down(d, i);
	while (d->nr_queue && !d->paused) {
		uint64_t until = UINT64_MAX;

		if (d->nr_queue == 2)
			play_two(d);
		if (d->paused)
			break;
		if (d->nr_queue > 1)
			until = next_stamp(d, 1);
		if (d->nr_queue > 2 && next_stamp(d, 2) < until)
			until = next_stamp(d, 2);
		if (!play_until(d, d->queue[0], until))
			d->queue[0] = d->queue[--d->nr_queue];
		sift_down(d, 0);
	}
}

/* ---- a pass ----------------------------------------------------------------------------------------------------- */

/* Whether there is anything to read in a ring; checks its positions. */
static bool begin_ring(struct pa_heap_drain *d, struct ring *r)
{
	uint64_t len = r->head - r->tail;
	uint32_t permille;

	if (r->bad || !r->pid || (!len && r->at == r->end))
		return false;
	if (!pa_ring_check(r->head, r->tail, r->size)) {
		give_up(d, r, "its positions make no sense");
		return false;
	}
	permille = (uint32_t)(len * 1000 / r->size);
	if (permille > d->result->fill_permille)
		d->result->fill_permille = permille;
	if (!r->work)
		r->work = malloc(sizeof(*r->work));
	return r->work && decode(d, r);
}

static void end_ring(struct pa_heap_drain *d, struct ring *r)
{
	uint64_t owner;

	if (!r->pid)
		return;
	read_counters(d, r);
	/* all of an ended thread's records are out: the ring is free, unless another thread took it meanwhile */
	if (!r->leaving || r->bad || r->tail != r->head || r->at != r->end)
		return;
	owner = pa_load_acquire(&r->line->in.owner);
	if ((uint32_t)owner || (owner && !pa_claim_u64(&r->line->in.owner, owner, 0)))
		return;
	/* ... or another one has come and gone since: its records are the next pass's */
	if (pa_load_acquire(&r->line->out.head) != r->tail)
		return;
	r->pid = r->tid = 0;
	let_go(r);
}

static bool out_of_time(const struct pa_heap_drain *d)
{
	return d->until_ns != UINT64_MAX && pa_now_ns() >= d->until_ns;
}

bool pa_heap_drain_part(struct pa_heap_drain *d, const struct pa_heap_sink *sink, uint64_t until_ns,
			struct pa_heap_drain_result *result)
{
	*result = (struct pa_heap_drain_result){0};
	d->sink = sink;
	d->result = result;
	d->until_ns = until_ns;
	d->paused = false;
	while (d->nr_begun < d->s->nr_heap_rings) {
		struct ring *r = &d->rings[d->nr_begun++];

		result->owned += r->pid != 0;
		if (begin_ring(d, r))
			d->queue[d->nr_queue++] = r;
		if (r->pid && out_of_time(d))
			return false;
	}
	play_all(d);
	if (d->paused)
		return false;
	while (d->nr_ended < d->s->nr_heap_rings) {
		struct ring *r = &d->rings[d->nr_ended++];

		end_ring(d, r);
		if (r->pid && out_of_time(d))
			return false;
	}
	d->nr_begun = d->nr_ended = 0;
	return true;
}

void pa_heap_drain_play(struct pa_heap_drain *d, const struct pa_heap_sink *sink, struct pa_heap_drain_result *result)
{
	pa_heap_drain_part(d, sink, UINT64_MAX, result);
}

void pa_heap_drain_release(struct pa_heap_drain *d, uint32_t inner_pid, const struct pa_heap *heap)
{
	for (uint32_t i = 0; i < d->s->nr_heap_rings; i++) {
		struct ring *r = &d->rings[i];
		uint64_t owner = pa_load_acquire(&r->line->in.owner);

		if (heap && r->writer.heap == heap)
			r->writer = (struct pa_heap_writer){0};
		if (r->bad || !owner || owner >> 32 != inner_pid || !pa_claim_u64(&r->line->in.owner, owner, 0))
			continue;
		r->pid = r->tid = 0;
		let_go(r);
	}
}

uint64_t pa_heap_drain_touched(const struct pa_heap_drain *d, uint32_t inner_pid)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < d->s->nr_heap_rings; i++) {
		const struct ring *r = &d->rings[i];

		if (r->pid == inner_pid)
			bytes += r->head < r->size ? r->head : r->size;
	}
	return bytes;
}
