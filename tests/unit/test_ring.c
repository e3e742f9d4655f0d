/* One ring: room, padding, losses, and the two threads on its ends. The consumer here copies from memory, not by pread,
 * so that ThreadSanitizer sees both sides. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/ring.h"

#define RING_BYTES 4096

struct both {
	struct pa_ring_producer out;
	struct pa_ring_consumer in;
	struct pa_ring ring;
	_Alignas(8) uint8_t data[RING_BYTES];
	_Atomic int done;
};

static struct both *new_ring(void)
{
	struct both *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	b->ring = (struct pa_ring){.out = &b->out, .in = &b->in, .data = b->data, .size = RING_BYTES};
	return b;
}

/* A note that carries a number twice, in a record of its own size. */
static bool put_number(struct both *b, uint64_t number, uint32_t extra)
{
	uint32_t size = sizeof(struct pa_note) + extra;
	struct pa_note *note = pa_ring_reserve(&b->ring, size);

	if (!note)
		return false;
	note->head.size = size;
	note->head.type = PA_REC_NOTE;
	note->head.flags = 0;
	note->a = number;
	note->b = ~number;
	pa_ring_commit(&b->ring);
	return true;
}

static void test_refuses_record_larger_than_free_space(void **state)
{
	struct both *b = new_ring();
	uint64_t n = 0;

	while (put_number(b, n, 0))
		n++;
	assert_int_equal(n, RING_BYTES / sizeof(struct pa_note));
	assert_int_equal(pa_load_relaxed(&b->out.records), n);
	assert_true(pa_ring_check(pa_load_relaxed(&b->out.head), 0, RING_BYTES));
	/* room comes back with the tail */
	pa_store_release(&b->in.tail, 2 * sizeof(struct pa_note));
	assert_true(put_number(b, n, 0));
	free(b);
}

static void test_pads_to_the_end_instead_of_wrapping_a_record(void **state)
{
	struct both *b = new_ring();
	const struct pa_record *filler;
	size_t offset = 0;

	/* 102 records of 40 bytes leave 16 */
	for (int i = 0; i < 102; i++)
		assert_true(put_number(b, (uint64_t)i, 0));
	pa_store_release(&b->in.tail, 2048);
	assert_true(put_number(b, 102, 0));
	filler = (const struct pa_record *)(b->data + RING_BYTES - 16);
	assert_int_equal(filler->type, PA_REC_FILLER);
	assert_int_equal(filler->size, 16);
	assert_int_equal(pa_load_relaxed(&b->out.head), RING_BYTES + sizeof(struct pa_note));
	assert_int_equal(((const struct pa_note *)pa_wire_next(b->data, 40, &offset))->a, 102);
	free(b);
}

static void test_a_hostile_tail_never_makes_room(void **state)
{
	static const uint64_t tails[] = {1u << 20, UINT64_MAX, UINT64_MAX - 4095, (uint64_t)-8};
	struct both *b = new_ring();

	while (put_number(b, 0, 0))
		;
	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		pa_store_release(&b->in.tail, tails[i]);
		assert_false(put_number(b, 1, 0));
	}
	free(b);
}

static void test_check_refuses_positions_that_cannot_be(void **state)
{
	assert_true(pa_ring_check(0, 0, 4096));
	assert_true(pa_ring_check(4096, 0, 4096));
	assert_true(pa_ring_check(UINT64_MAX - 7, UINT64_MAX - 15, 4096));
	assert_false(pa_ring_check(8, 16, 4096));   /* behind the tail */
	assert_false(pa_ring_check(4104, 0, 4096)); /* more than the ring holds */
	assert_false(pa_ring_check(12, 8, 4096));   /* unaligned */
	assert_false(pa_ring_check(16, 8, 4095));   /* no power of two */
	assert_false(pa_ring_check(16, 8, 2048));   /* too small */
	assert_false(pa_ring_check(UINT64_MAX, 0, 4096));
}

#define NUMBERS 200000

static void *produce(void *arg)
{
	struct both *b = arg;
	uint32_t random = 1;

	for (uint64_t n = 0; n < NUMBERS;) {
		random = random * 1103515245u + 12345u;
		if (put_number(b, n, (random >> 16) % 16 * 8))
			n++;
	}
	pa_store_release(&b->done, 1);
	return NULL;
}

/* Copies what is there and checks it. Returns the number expected next. */
static uint64_t consume(struct both *b, uint64_t *tail, uint64_t next)
{
	_Alignas(8) static uint8_t copy[RING_BYTES];
	uint64_t head = pa_load_acquire(&b->out.head);
	uint64_t len = head - *tail, at = *tail % RING_BYTES;
	uint64_t first = len < RING_BYTES - at ? len : RING_BYTES - at;
	const struct pa_record *r;
	size_t offset = 0;

	assert_true(pa_ring_check(head, *tail, RING_BYTES));
	memcpy(copy, b->data + at, first);
	memcpy(copy + first, b->data, len - first);
	*tail = head;
	pa_store_release(&b->in.tail, head);
	while ((r = pa_wire_next(copy, len, &offset)) != NULL) {
		assert_int_equal(((const struct pa_note *)r)->a, next);
		assert_int_equal(((const struct pa_note *)r)->b, ~next);
		next++;
	}
	assert_int_equal(offset, len);
	return next;
}

static void test_two_threads_lose_and_change_nothing(void **state)
{
	struct both *b = new_ring();
	uint64_t tail = 0, next = 0;
	pthread_t thread;
	int done;

	assert_int_equal(pthread_create(&thread, NULL, produce, b), 0);
	do {
		done = pa_load_acquire(&b->done);
		next = consume(b, &tail, next);
	} while (!done);
	pthread_join(thread, NULL);
	assert_int_equal(next, NUMBERS);
	assert_int_equal(pa_load_relaxed(&b->out.records), NUMBERS);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_refuses_record_larger_than_free_space),
	    cmocka_unit_test(test_pads_to_the_end_instead_of_wrapping_a_record),
	    cmocka_unit_test(test_a_hostile_tail_never_makes_room),
	    cmocka_unit_test(test_check_refuses_positions_that_cannot_be),
	    cmocka_unit_test(test_two_threads_lose_and_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
