#include "collector/drain.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/loop.h"
#include "common/ring.h"

/* Copies are looked at when this many bytes wait: small enough to stay in the cache. The room behind them, for a slot
 * whose rings are full to the brim, is hardly ever touched. */
#define BATCH_BYTES (1u << 20)
/* The clock is read once in so many early records: some of them are looked up in files. */
#define EARLY_AT_ONCE 16

struct piece {
	const uint8_t *data;
	size_t len;
	size_t offset; /* cursor */
};

/* What one slot contributed to the batch. */
struct entry {
	struct pa_drain_origin from;
	struct piece ring[2]; /* [0] signal, [1] hook */
};

struct early {
	const struct pa_record *record;
	uint32_t entry;
	uint32_t order; /* as found: qsort is not stable */
	bool hook;
};

struct pa_drain {
	uint8_t *buf;
	size_t room;
	size_t used;
	struct entry *entries;
	size_t nr_entries;
	size_t max_entries;
	struct early *early;
	size_t nr_early;
	size_t max_early;
	/* of the pass being made */
	struct pa_session *s;
	const struct pa_drain_sink *sink;
	struct pa_drain_result *result;
	uint64_t until_ns; /* of the part being made */
	uint32_t next_slot;
	bool flushing; /* a batch was begun: what is left of it is behind these two */
	size_t next_early;
	size_t next_entry;
};

struct pa_drain *pa_drain_new(void)
{
	return calloc(1, sizeof(struct pa_drain));
}

void pa_drain_free(struct pa_drain *d)
{
	if (!d)
		return;
	free(d->buf);
	free(d->entries);
	free(d->early);
	free(d);
}

static void give_up(struct pa_drain *d, const struct pa_drain_origin *from, bool hook, const char *why)
{
	struct pa_drain_origin at = *from;
	struct pa_slot_in *in = &d->s->in[from->slot];

	at.hook = hook;
	(hook ? &in->hook : &in->signal)->bad = true;
	if (d->sink->bad)
		d->sink->bad(d->sink->arg, &at, why);
}

static void hand_out(struct pa_drain *d, const struct pa_drain_origin *from, bool hook, const struct pa_record *r)
{
	struct pa_drain_origin at = *from;

	at.hook = hook;
	d->result->records++;
	d->sink->rows[r->type].fn(d->sink->arg, &at, r);
}

/* Finds the early records of one ring, wherever they stand. Leaves the cursor at 0. */
static void find_early(struct pa_drain *d, size_t entry, bool hook)
{
	struct piece *p = &d->entries[entry].ring[hook];
	const struct pa_record *r;

	while ((r = pa_wire_next(p->data, p->len, &p->offset)) != NULL) {
		if (r->type >= PA_REC_TYPES || !d->sink->rows[r->type].fn || !d->sink->rows[r->type].early)
			continue;
		if (d->nr_early == d->max_early) {
			size_t max = d->max_early ? d->max_early * 2 : 64;
			struct early *list = realloc(d->early, max * sizeof(*list));

			if (!list)
				break; /* modules are found by the look into /proc as well */
			d->early = list;
			d->max_early = max;
		}
		d->early[d->nr_early] = (struct early){r, (uint32_t)entry, (uint32_t)d->nr_early, hook};
		d->nr_early++;
	}
	p->offset = 0;
}

static int by_time(const void *a, const void *b)
{
	const struct early *x = a, *y = b;

	if (x->record->time_ns != y->record->time_ns)
		return x->record->time_ns < y->record->time_ns ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

/* In the order of time over all rings: one thread unmaps what another one then maps anew. */
static void find_all_early(struct pa_drain *d)
{
	d->nr_early = 0;
	for (size_t i = 0; i < d->nr_entries; i++) {
		find_early(d, i, true);
		find_early(d, i, false);
	}
	if (d->nr_early > 1)
		qsort(d->early, d->nr_early, sizeof(*d->early), by_time);
}

static bool out_of_time(const struct pa_drain *d)
{
	return d->until_ns != UINT64_MAX && pa_now_ns() >= d->until_ns;
}

/* The next record that is not early and has a handler; NULL at the end. A record that is none ends the ring. */
static const struct pa_record *next_late(struct pa_drain *d, struct entry *e, bool hook)
{
	struct piece *p = &e->ring[hook];
	const struct pa_record *r;

	while ((r = pa_wire_next(p->data, p->len, &p->offset)) != NULL)
		if (r->type < PA_REC_TYPES && d->sink->rows[r->type].fn && !d->sink->rows[r->type].early)
			return r;
	if (p->offset < p->len) {
		p->len = p->offset;
		give_up(d, &e->from, hook, "a record in it makes no sense");
	}
	return NULL;
}

static void hand_out_late(struct pa_drain *d, struct entry *e)
{
	const struct pa_record *next[2] = {next_late(d, e, false), next_late(d, e, true)};

	while (next[0] || next[1]) {
		bool hook = next[1] && (!next[0] || next[1]->time_ns < next[0]->time_ns);

		hand_out(d, &e->from, hook, next[hook]);
		next[hook] = next_late(d, e, hook);
	}
}

/* False: the time is over, and the rest of the batch waits for the next part. */
static bool flush(struct pa_drain *d)
{
	if (!d->flushing) {
		find_all_early(d);
		d->next_early = d->next_entry = 0;
		d->flushing = true;
	}
	while (d->next_early < d->nr_early) {
		const struct early *early = &d->early[d->next_early++];

		hand_out(d, &d->entries[early->entry].from, early->hook, early->record);
		if (d->next_early % EARLY_AT_ONCE == 0 && out_of_time(d))
			return false;
	}
	while (d->next_entry < d->nr_entries) {
		hand_out_late(d, &d->entries[d->next_entry++]);
		if (out_of_time(d))
			return false;
	}
	d->nr_entries = 0;
	d->used = 0;
	d->flushing = false;
	return true;
}

/* Bytes [tail, head) of a ring, in order, behind what the buffer holds already; room was made before. */
static bool copy_out(struct pa_drain *d, uint64_t base, uint64_t size, uint64_t tail, uint64_t len, struct piece *p)
{
	uint64_t at = tail & (size - 1);
	uint64_t first = len < size - at ? len : size - at;

	p->data = d->buf + d->used;
	p->offset = 0;
	p->len = len;
	/* pread, not a mapping: a page nobody wrote is not allocated by it, and no SIGBUS is possible */
	if (pread(d->s->fd, d->buf + d->used, first, (off_t)(base + at)) != (ssize_t)first)
		return false;
	if (len > first &&
	    pread(d->s->fd, d->buf + d->used + first, len - first, (off_t)base) != (ssize_t)(len - first))
		return false;
	d->used += len;
	return true;
}

static void note_fill(struct pa_drain *d, uint64_t len, uint64_t size)
{
	uint32_t permille = (uint32_t)(len * 1000 / size);

	d->result->bytes += len;
	if (permille > d->result->fill_permille)
		d->result->fill_permille = permille;
}

static void copy_ring(struct pa_drain *d, struct entry *e, bool hook)
{
	struct pa_slot *shared = &d->s->slots[e->from.slot];
	struct pa_ring_in *in = hook ? &d->s->in[e->from.slot].hook : &d->s->in[e->from.slot].signal;
	uint64_t size = hook ? d->s->geometry.hook_ring_bytes : d->s->geometry.signal_ring_bytes;
	/* pairs with the release of the producer's head: the records before it are complete */
	uint64_t head = pa_load_acquire(hook ? &shared->hook.head : &shared->signal.head);
	uint64_t tail = in->tail;

	e->ring[hook] = (struct piece){0};
	if (in->bad || head == tail)
		return;
	if (!pa_ring_check(head, tail, size)) {
		give_up(d, &e->from, hook, "its positions make no sense");
		return;
	}
	if (!copy_out(d, pa_session_ring_offset(d->s, e->from.slot, hook), size, tail, head - tail, &e->ring[hook])) {
		e->ring[hook] = (struct piece){0};
		give_up(d, &e->from, hook, "it cannot be read");
		return;
	}
	in->tail = head;
	/* pairs with the acquire of the producer's tail: the bytes have been copied out */
	pa_store_release(hook ? &shared->hook_in.tail : &shared->signal_in.tail, head);
	note_fill(d, head - tail, size);
}

#define DELTA(field)                                                                                                   \
	do {                                                                                                           \
		uint64_t now = pa_load_relaxed(&shared->field);                                                        \
		delta.field = now - in->seen.field;                                                                    \
		in->seen.field = now;                                                                                  \
		any |= delta.field;                                                                                    \
	} while (0)

static void read_counters(struct pa_drain *d, const struct pa_drain_origin *from, bool hook)
{
	struct pa_ring_producer *shared = hook ? &d->s->slots[from->slot].hook : &d->s->slots[from->slot].signal;
	struct pa_ring_in *in = hook ? &d->s->in[from->slot].hook : &d->s->in[from->slot].signal;
	struct pa_drain_origin at = *from;
	struct pa_ring_counters delta;
	uint64_t any = 0;

	DELTA(records);
	DELTA(lost_full);
	DELTA(lost_weight);
	DELTA(truncated);
	DELTA(self_ns);
	DELTA(ticks);
	at.hook = hook;
	if (any && d->sink->counters)
		d->sink->counters(d->sink->arg, &at, &delta);
}

static size_t most_of_a_slot(const struct pa_drain *d)
{
	return (size_t)d->s->geometry.signal_ring_bytes + d->s->geometry.hook_ring_bytes;
}

/* Room for one more slot's rings, full to the brim. */
static bool make_room(struct pa_drain *d)
{
	size_t most = most_of_a_slot(d);

	if (!d->buf || d->room < BATCH_BYTES + most) {
		size_t room = BATCH_BYTES + most;
		uint8_t *buf = realloc(d->buf, room);

		if (!buf)
			return false;
		d->buf = buf;
		d->room = room;
	}
	if (d->nr_entries == d->max_entries) {
		size_t max = d->max_entries ? d->max_entries * 2 : 64;
		struct entry *entries = realloc(d->entries, max * sizeof(*entries));

		if (!entries)
			return false;
		d->entries = entries;
		d->max_entries = max;
	}
	return true;
}

/* Its owner is nobody: what it says is nobody's. */
static void give_up_slot(struct pa_drain *d, uint32_t slot, uint64_t owner)
{
	struct pa_drain_origin from = {.slot = slot, .pid = (uint32_t)(owner >> 32), .tid = (uint32_t)owner};

	if (!d->s->in[slot].hook.bad || !d->s->in[slot].signal.bad)
		give_up(d, &from, true, "its owner cannot be");
	d->s->in[slot].signal.bad = true;
}

static void take_slot(struct pa_drain *d, uint32_t slot)
{
	struct pa_slot *shared = &d->s->slots[slot];
	struct pa_slot_in *in = &d->s->in[slot];
	/* before the heads: once it says that the thread has ended, the heads read after it are its last */
	uint64_t owner = pa_load_acquire(&shared->signal_in.owner);
	struct entry *e;

	if (!owner && !in->pid)
		return;
	if (owner >> 32 > PA_SESSION_PID_MAX) {
		give_up_slot(d, slot, owner);
		return;
	}
	if (owner) {
		in->pid = (uint32_t)(owner >> 32);
		in->tid = (uint32_t)owner ? (uint32_t)owner : in->tid;
		d->result->owned++;
	}
	if (!make_room(d))
		return; /* nothing was taken: the next pass tries again, a full ring counts its losses */
	e = &d->entries[d->nr_entries];
	e->from = (struct pa_drain_origin){.slot = slot, .pid = in->pid, .tid = in->tid};
	copy_ring(d, e, true);
	copy_ring(d, e, false);
	if (e->ring[0].len || e->ring[1].len)
		d->nr_entries++;
	read_counters(d, &e->from, true);
	read_counters(d, &e->from, false);
	/* all of an ended thread's records are out: the slot is free, unless another thread took it meanwhile, or has
	 * come and gone: then the next pass reads what it left */
	if (!(uint32_t)owner && !in->signal.bad && !in->hook.bad &&
	    (!owner || pa_claim_u64(&shared->signal_in.owner, owner, 0)) &&
	    pa_load_acquire(&shared->signal.head) == in->signal.tail &&
	    pa_load_acquire(&shared->hook.head) == in->hook.tail)
		in->pid = in->tid = 0;
}

static bool visit_slot(void *arg, uint32_t slot)
{
	struct pa_drain *d = arg;

	if (d->nr_entries && d->used >= BATCH_BYTES && !flush(d))
		return false;
	take_slot(d, slot);
	d->next_slot = slot + 1;
	/* what a slot's counters and positions mean is found out at once: it may take a look into /proc */
	return !out_of_time(d);
}

bool pa_drain_part(struct pa_drain *d, struct pa_session *s, const struct pa_drain_sink *sink, uint64_t until_ns,
		   struct pa_drain_result *result)
{
	*result = (struct pa_drain_result){0};
	d->s = s;
	d->sink = sink;
	d->result = result;
	d->until_ns = until_ns;
	if (d->flushing && !flush(d))
		return false;
	if (!pa_session_slots_from(s, d->next_slot, visit_slot, d))
		return false;
	d->next_slot = s->geometry.nr_slots;
	if (!flush(d))
		return false;
	d->next_slot = 0;
	return true;
}

void pa_drain_drop(struct pa_drain *d)
{
	d->nr_entries = d->used = 0;
	d->next_slot = 0;
	d->flushing = false;
}

void pa_drain_session(struct pa_drain *d, struct pa_session *s, const struct pa_drain_sink *sink,
		      struct pa_drain_result *result)
{
	pa_drain_part(d, s, sink, UINT64_MAX, result);
}
