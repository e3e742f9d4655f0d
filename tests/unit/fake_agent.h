/* The agent's side of a session for tests: maps the memfd, claims slots, writes records as the agent does. */
#ifndef PA_TESTS_FAKE_AGENT_H
#define PA_TESTS_FAKE_AGENT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "common/ring.h"

struct fake_agent {
	struct pa_control *control;
	struct pa_slot *slots;
	uint8_t *base;
	size_t size;
};

struct fake_thread {
	struct pa_slot *slot;
	struct pa_ring signal;
	struct pa_ring hook;
	uint32_t tid;
};

static inline bool fake_agent_map(struct fake_agent *a, int fd, size_t size)
{
	memset(a, 0, sizeof(*a));
	a->size = size;
	a->base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (a->base == MAP_FAILED)
		return false;
	a->control = (struct pa_control *)a->base;
	a->slots = (struct pa_slot *)(a->base + a->control->slots_offset);
	return true;
}

static inline void fake_agent_unmap(struct fake_agent *a)
{
	munmap(a->base, a->size);
}

static inline struct pa_ring fake_ring(struct pa_ring_producer *out, struct pa_ring_consumer *in, uint8_t *data,
				       uint64_t size)
{
	return (struct pa_ring){.out = out, .in = in, .data = data, .size = size, .head = pa_load_relaxed(&out->head)};
}

/* Claims a free slot, from `first` on. */
static inline bool fake_claim(struct fake_agent *a, struct fake_thread *t, uint32_t pid, uint32_t tid, uint32_t first)
{
	uint64_t pair = (uint64_t)a->control->signal_ring_bytes + a->control->hook_ring_bytes;

	memset(t, 0, sizeof(*t));

	for (uint32_t i = first; i < a->control->nr_slots; i++) {
		struct pa_slot *slot = &a->slots[i];
		uint8_t *data = a->base + a->control->rings_offset + i * pair;

		if (!pa_claim_u64(&slot->signal_in.owner, 0, PA_OWNER(pid, tid)))
			continue;
		t->slot = slot;
		t->tid = tid;
		t->signal = fake_ring(&slot->signal, &slot->signal_in, data, a->control->signal_ring_bytes);
		t->hook = fake_ring(&slot->hook, &slot->hook_in, data + a->control->signal_ring_bytes,
				    a->control->hook_ring_bytes);
		return true;
	}
	return false;
}

static inline void *fake_begin(struct pa_ring *ring, uint16_t type, uint32_t size, uint64_t time_ns)
{
	struct pa_record *r = pa_ring_reserve(ring, size);

	if (!r)
		return NULL;
	memset(r, 0, size);
	r->size = size;
	r->type = type;
	r->time_ns = time_ns;
	return r;
}

/* A note that carries a number; false when the ring is full. */
static inline bool fake_note(struct pa_ring *ring, uint64_t time_ns, uint64_t number)
{
	struct pa_note *note = fake_begin(ring, PA_REC_NOTE, sizeof(*note), time_ns);

	if (!note)
		return false;
	note->code = 1;
	note->a = number;
	note->b = ~number;
	pa_ring_commit(ring);
	return true;
}

/* A sample of nr frames base, base + 16, ... */
static inline bool fake_sample(struct fake_thread *t, uint64_t time_ns, uint64_t base, uint16_t nr)
{
	struct pa_sample *s = fake_begin(&t->signal, PA_REC_SAMPLE, sizeof(*s) + nr * 8u, time_ns);

	if (!s)
		return false;
	s->tid = t->tid;
	s->weight = 1;
	s->nr_frames = nr;
	for (int i = 0; i < nr; i++)
		s->frames[i] = base + 16u * (unsigned)i;
	pa_ring_commit(&t->signal);
	return true;
}

#endif
