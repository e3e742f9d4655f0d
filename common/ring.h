/* Position arithmetic of one ring: a byte queue of records in shared memory with one producer and one consumer.
 *
 * Positions are u64 and only grow; a record never wraps: when it does not fit before the end of the ring, a filler
 * record pads to the end. The producer writes the record, then stores head with release (pairs with the acquire of
 * the consumer); the consumer copies, then stores tail with release (pairs with the acquire of the producer).
 * World: signal. */
#ifndef PA_COMMON_RING_H
#define PA_COMMON_RING_H

#include <stddef.h>
#include <string.h>

#include "common/atomics.h"
#include "common/wire.h"

/* The producer's private view of a ring; lives in the thread's block, never in shared memory. */
struct pa_ring {
	struct pa_ring_producer *out; /* our line in the slot */
	struct pa_ring_consumer *in;  /* the collector's line */
	uint8_t *data;
	uint64_t size;    /* power of two */
	uint64_t head;    /* our copy: nobody else moves it */
	uint64_t reserve; /* end of the record being written */
};

/* Room for a record of `bytes`, or NULL when the ring is full (the caller counts the loss).
 * Shapes: bytes is a multiple of 8, at most size / 2. The record is invisible until pa_ring_commit. */
static inline void *pa_ring_reserve(struct pa_ring *ring, uint32_t bytes)
{
	uint64_t at = ring->head & (ring->size - 1);
	uint64_t to_end = ring->size - at;
	uint64_t pad = bytes > to_end ? to_end : 0;
	/* pairs with the release of the collector's tail: what it freed has been copied out */
	uint64_t tail = pa_load_acquire(&ring->in->tail);

	/* written so that a hostile tail cannot make room by overflow: the used part is at most size */
	if (ring->head - tail > ring->size || pad + bytes > ring->size - (ring->head - tail))
		return NULL;
	if (pad) {
		struct pa_record *filler = (struct pa_record *)(ring->data + at);
		filler->size = (uint32_t)pad;
		filler->type = PA_REC_FILLER;
		filler->flags = 0;
		at = 0;
	}
	ring->reserve = ring->head + pad + bytes;
	return ring->data + at;
}

/* Makes the reserved record visible. */
static inline void pa_ring_commit(struct pa_ring *ring)
{
	ring->head = ring->reserve;
	pa_bump(&ring->out->records, 1);
	/* pairs with the acquire of the collector's head */
	pa_store_release(&ring->out->head, ring->head);
}

/* Whether positions read once into locals can be those of a ring of `size` bytes. World: plain. */
static inline bool pa_ring_check(uint64_t head, uint64_t tail, uint64_t size)
{
	return size >= 4096 && (size & (size - 1)) == 0 && tail <= head && head - tail <= size && head % 8 == 0 &&
	       tail % 8 == 0;
}

#endif
