/* The writer of a heap ring for tests: what an agent in exact mode does, without an agent. */
#ifndef PA_TESTS_FAKE_HEAP_H
#define PA_TESTS_FAKE_HEAP_H

#include "common/heapwire.h"
#include "tests/unit/fake_agent.h"

struct fake_heap {
	struct pa_heap_line *line;
	uint8_t *data;
	uint64_t size;
	uint64_t head;
	uint64_t clock;
	uint32_t nodes;
};

/* Room for a record; NULL: full. Not visible before fake_heap_commit. */
static inline void *fake_heap_begin(struct fake_heap *r, uint16_t type, uint16_t size, uint64_t ticks)
{
	uint64_t at = r->head & (r->size - 1), pad = size > r->size - at ? r->size - at : 0;
	struct pa_heap_head *head;

	if (r->head + pad + size - pa_load_acquire(&r->line->in.tail) > r->size)
		return NULL;
	if (pad) {
		head = (struct pa_heap_head *)(r->data + at);
		*head = (struct pa_heap_head){.size = (uint16_t)pad, .type = PA_HR_FILLER};
		r->head += pad;
		at = 0;
	}
	head = (struct pa_heap_head *)(r->data + at);
	memset(head, 0, size);
	*head = (struct pa_heap_head){.size = size, .type = type, .delta = (uint32_t)(ticks - r->clock)};
	r->clock = ticks;
	r->head += size;
	return head;
}

static inline void fake_heap_commit(struct fake_heap *r)
{
	pa_store_release(&r->line->out.head, r->head);
}

static inline bool fake_heap_own(struct fake_heap *r, uint32_t pid, uint32_t tid, uint64_t ticks)
{
	struct pa_heap_owner *o = fake_heap_begin(r, PA_HR_OWNER, sizeof(*o), ticks);

	if (!o)
		return false;
	o->head.delta = 0;
	o->ticks = ticks;
	o->ns = ticks;
	o->pid = pid;
	o->tid = tid;
	r->nodes = 0;
	fake_heap_commit(r);
	return true;
}

/* Takes a certain ring, as a thread does that finds it free. */
static inline bool fake_heap_claim(struct fake_agent *a, struct fake_heap *r, uint32_t ring, uint32_t pid, uint32_t tid,
				   uint64_t ticks)
{
	uint64_t at = a->control->heap_rings_offset;
	uint32_t left = ring;

	memset(r, 0, sizeof(*r));
	for (int i = 0; i < PA_HEAP_CLASSES; i++) {
		const struct pa_heap_class *c = &a->control->heap_classes[i];

		if (left < c->nr) {
			r->data = a->base + at + (uint64_t)left * c->bytes;
			r->size = c->bytes;
			break;
		}
		left -= c->nr;
		at += (uint64_t)c->nr * c->bytes;
	}
	r->line = (struct pa_heap_line *)(a->base + a->control->heap_lines_offset) + ring;
	if (!r->size || (!pa_claim_u64(&r->line->in.owner, 0, PA_OWNER(pid, tid)) &&
			 !pa_claim_u64(&r->line->in.owner, PA_OWNER(pid, 0), PA_OWNER(pid, tid))))
		return false;
	r->head = pa_load_relaxed(&r->line->out.head);
	return fake_heap_own(r, pid, tid, ticks);
}

static inline void fake_heap_leave(struct fake_heap *r, uint32_t pid)
{
	pa_store_release(&r->line->in.owner, PA_OWNER(pid, 0));
}

/* Returns the id; 0: full. */
static inline uint32_t fake_heap_node(struct fake_heap *r, uint64_t ticks, uint32_t parent, uint64_t frame)
{
	struct pa_heap_node *n = fake_heap_begin(r, PA_HR_NODE, sizeof(*n), ticks);

	if (!n)
		return 0;
	n->id = ++r->nodes;
	n->parent = parent;
	n->frame = frame;
	fake_heap_commit(r);
	return n->id;
}

static inline bool fake_heap_alloc(struct fake_heap *r, uint64_t ticks, uint64_t address, uint64_t size, uint32_t node)
{
	struct pa_heap_alloc *a;
	struct pa_heap_alloc_large *l;

	if (size >> 32) {
		l = fake_heap_begin(r, PA_HR_ALLOC_LARGE, sizeof(*l), ticks);
		if (!l)
			return false;
		l->address = address;
		l->size = size;
		l->node = node;
	} else {
		a = fake_heap_begin(r, PA_HR_ALLOC, sizeof(*a), ticks);
		if (!a)
			return false;
		a->address = address;
		a->size = (uint32_t)size;
		a->node = node;
	}
	fake_heap_commit(r);
	return true;
}

static inline bool fake_heap_free(struct fake_heap *r, uint64_t ticks, uint64_t address)
{
	struct pa_heap_freed *f = fake_heap_begin(r, PA_HR_FREE, sizeof(*f), ticks);

	if (!f)
		return false;
	f->address = address;
	fake_heap_commit(r);
	return true;
}

#endif
