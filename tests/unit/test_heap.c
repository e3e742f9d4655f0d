/* One heap against books kept by a list: totals, live, the peak by stack, temporary blocks, lifetimes, and what happens
 * when frees are late, early, lost, or of blocks nobody knows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/heap.h"
#include "common/heapwire.h"
#include "tests/unit/store_util.h"

#define STACKS 7
#define BLOCKS 500

static struct pa_heap_clock clock_ns; /* stamps are ns */

static uint64_t draw(void)
{
	static uint64_t state = 7;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static struct pa_heap *new_heap(uint32_t mode)
{
	struct pa_heap *h;

	pa_heap_clock_init(&clock_ns, false);
	h = pa_heap_new(mode, 0, &clock_ns, 0, 4096);
	assert_non_null(h);
	return h;
}

static void play(struct pa_heap *h, struct pa_heap_source *s, uint16_t type, uint64_t stamp, uint64_t address,
		 uint64_t size, uint32_t row)
{
	struct pa_heap_event e = {stamp, address, size, row, type, 0};

	pa_heap_play(h, s, &e);
}

static uint64_t live_of(const struct pa_heap *h, uint32_t row)
{
	return h->rows[row].bytes - h->rows[row].freed;
}

/* ---- against books ---------------------------------------------------------------------------------------------- */

struct books {
	struct {
		uint64_t stamp, size;
		uint32_t stack; /* 0: free */
		int thread;
	} blocks[BLOCKS];
	uint64_t calls[STACKS], bytes[STACKS], frees[STACKS], freed[STACKS], temporary[STACKS], temporary_bytes[STACKS];
	uint64_t live, peak, peak_stamp, peak_bytes[STACKS], peak_calls[STACKS];
	uint64_t lifetimes[PA_HEAP_LIFETIMES];
	int last[2]; /* block a thread allocated with its latest call, -1 */
};

static void books_alloc(struct books *b, int thread, int i, uint64_t stamp, uint64_t size, uint32_t stack)
{
	b->blocks[i].stamp = stamp;
	b->blocks[i].size = size;
	b->blocks[i].stack = stack;
	b->blocks[i].thread = thread;
	b->calls[stack]++;
	b->bytes[stack] += size;
	b->live += size;
	b->last[thread] = i;
	if (b->live <= b->peak)
		return;
	b->peak = b->live;
	b->peak_stamp = stamp;
	memset(b->peak_bytes, 0, sizeof(b->peak_bytes));
	memset(b->peak_calls, 0, sizeof(b->peak_calls));
	for (int k = 0; k < BLOCKS; k++) {
		b->peak_bytes[b->blocks[k].stack] += b->blocks[k].stack ? b->blocks[k].size : 0;
		b->peak_calls[b->blocks[k].stack] += b->blocks[k].stack != 0;
	}
}

static void books_free(struct books *b, int thread, int i, uint64_t stamp)
{
	uint64_t lived = stamp - b->blocks[i].stamp, limit = 10000;
	int class = 0;

	for (; class < PA_HEAP_LIFETIMES - 1 && lived >= limit; class ++)
		limit *= 10;
	b->lifetimes[class]++;
	b->frees[b->blocks[i].stack]++;
	b->freed[b->blocks[i].stack] += b->blocks[i].size;
	b->temporary[b->blocks[i].stack] += b->last[thread] == i;
	b->temporary_bytes[b->blocks[i].stack] += b->last[thread] == i ? b->blocks[i].size : 0;
	b->live -= b->blocks[i].size;
	b->blocks[i].stack = 0;
	b->last[thread] = -1;
	if (b->last[!thread] == i)
		b->last[!thread] = -1;
}

static void test_agrees_with_books(void **unused)
{
	struct pa_heap *h = new_heap(PA_HEAP_EXACT);
	struct pa_heap_source source[2] = {{.thread = pa_heap_thread(h, 11)}, {.thread = pa_heap_thread(h, 22)}};
	struct books b = {.last = {-1, -1}};
	uint32_t rows[STACKS];
	uint64_t stamp = 1000000, temporary = 0;

	for (uint32_t i = 1; i < STACKS; i++)
		rows[i] = pa_heap_row(h, 100 + i);
	for (int step = 0; step < 200000; step++) {
		int i = draw() % 3 ? (int)(draw() % BLOCKS) : b.last[draw() % 2], thread = (int)(draw() % 2);

		i = i < 0 ? 0 : i;
		stamp += draw() % (step % 1000 == 0 ? 20000000000 : 5000);
		if (b.blocks[i].stack) {
			play(h, &source[thread], PA_HR_FREE, stamp, 4096 + 16 * (uint64_t)i, 0, 0);
			books_free(&b, thread, i, stamp);
		} else {
			uint32_t stack = 1 + (uint32_t)(draw() % (STACKS - 1));
			uint64_t size = draw() % 10000;

			play(h, &source[thread], PA_HR_ALLOC, stamp, 4096 + 16 * (uint64_t)i, size, rows[stack]);
			books_alloc(&b, thread, i, stamp, size, stack);
		}
		if (step % 100 == 0)
			pa_heap_end_pass(h);
	}
	for (uint32_t i = 1; i < STACKS; i++) {
		uint64_t calls, bytes;

		assert_int_equal(h->rows[rows[i]].calls, b.calls[i]);
		assert_int_equal(h->rows[rows[i]].bytes, b.bytes[i]);
		assert_int_equal(h->rows[rows[i]].frees, b.frees[i]);
		assert_int_equal(h->rows[rows[i]].freed, b.freed[i]);
		assert_int_equal(h->rows[rows[i]].temporary, b.temporary[i]);
		assert_int_equal(h->temporary_bytes[rows[i]], b.temporary_bytes[i]);
		pa_heap_held(h, rows[i], &calls, &bytes);
		assert_int_equal(calls, b.peak_calls[i]);
		assert_int_equal(bytes, b.peak_bytes[i]);
		temporary += b.temporary[i];
	}
	assert_true(temporary > 1000);
	assert_int_equal(h->temporary, temporary);
	assert_int_equal(h->bytes - h->freed, b.live);
	assert_int_equal(h->peak_bytes, b.peak);
	assert_int_equal(h->peak_stamp, b.peak_stamp);
	for (int i = 0; i < PA_HEAP_LIFETIMES; i++)
		assert_int_equal(h->lifetime_calls[i], b.lifetimes[i]);
	assert_true(b.lifetimes[PA_HEAP_LIFETIMES - 1] > 0);
	assert_int_equal(h->unknown_frees + h->never_freed + h->uncertain_ns, 0);
	pa_heap_free(h);
}

/* ---- order ------------------------------------------------------------------------------------------------------ */

/* One thread's realloc lets another one have the old address before its free is written. */
static void test_late_free_ends_the_block_that_was_replaced(void **unused)
{
	struct pa_heap *h = new_heap(PA_HEAP_EXACT);
	struct pa_heap_source a = {.thread = 0}, b = {.thread = 0};
	uint32_t one = pa_heap_row(h, 100), two = pa_heap_row(h, 200);

	play(h, &a, PA_HR_ALLOC, 10, 4096, 50, one);
	play(h, &b, PA_HR_ALLOC, 30, 4096, 70, two);
	assert_int_equal(live_of(h, one), 0);
	pa_heap_end_pass(h);
	play(h, &a, PA_HR_FREE, 20, 4096, 0, 0);
	assert_int_equal(live_of(h, two), 70);
	pa_heap_end(h);
	assert_int_equal(h->never_freed, 0);
	assert_int_equal(h->unknown_frees, 0);
	assert_int_equal(h->uncertain_ns, 0);
	assert_int_equal(h->frees, 1);
	assert_int_equal(h->freed, 50);
	pa_heap_free(h);
}

static void test_lost_free_is_told_after_the_next_pass(void **unused)
{
	struct pa_heap *h = new_heap(PA_HEAP_EXACT);
	struct pa_heap_source s = {.thread = 0};
	uint32_t row = pa_heap_row(h, 100);

	play(h, &s, PA_HR_ALLOC, 10, 4096, 50, row);
	play(h, &s, PA_HR_ALLOC, 30, 4096, 70, row);
	pa_heap_end_pass(h);
	assert_int_equal(h->never_freed, 0);
	pa_heap_end_pass(h);
	assert_int_equal(h->never_freed, 1);
	/* it may have been wrong from the moment it was allocated */
	assert_int_equal(h->uncertain_ns, 10);
	assert_int_equal(live_of(h, row), 70);
	pa_heap_free(h);
}

static void test_free_before_its_allocation_waits_a_pass(void **unused)
{
	struct pa_heap *h = new_heap(PA_HEAP_EXACT);
	struct pa_heap_source s = {.thread = 0};
	uint32_t row = pa_heap_row(h, 100);

	play(h, &s, PA_HR_FREE, 20, 4096, 0, 0);
	pa_heap_end_pass(h);
	assert_int_equal(h->unknown_frees, 0);
	play(h, &s, PA_HR_ALLOC, 10, 4096, 50, row);
	assert_int_equal(live_of(h, row), 0);
	assert_int_equal(h->frees, 1);
	/* a later block at that address is another one */
	play(h, &s, PA_HR_FREE, 30, 8192, 0, 0);
	play(h, &s, PA_HR_ALLOC, 40, 8192, 60, row);
	assert_int_equal(live_of(h, row), 60);
	pa_heap_end(h);
	assert_int_equal(h->unknown_frees, 1);
	assert_int_equal(h->uncertain_ns, 0);
	pa_heap_free(h);
}

static void test_older_allocation_that_comes_late_does_not_live(void **unused)
{
	struct pa_heap *h = new_heap(PA_HEAP_EXACT);
	struct pa_heap_source s = {.thread = 0};
	uint32_t one = pa_heap_row(h, 100), two = pa_heap_row(h, 200);

	play(h, &s, PA_HR_ALLOC, 30, 4096, 70, two);
	play(h, &s, PA_HR_ALLOC, 10, 4096, 50, one);
	assert_int_equal(live_of(h, one), 0);
	assert_int_equal(live_of(h, two), 70);
	play(h, &s, PA_HR_FREE, 20, 4096, 0, 0);
	pa_heap_end(h);
	assert_int_equal(h->never_freed, 0);
	assert_int_equal(h->unknown_frees, 0);
	play(h, &s, PA_HR_FREE, 40, 4096, 0, 0);
	assert_int_equal(live_of(h, two), 0);
	pa_heap_free(h);
}

static void test_temporary_is_the_very_next_call_of_the_thread_that_allocated(void **unused)
{
	struct pa_heap *h = new_heap(PA_HEAP_EXACT);
	struct pa_heap_source a = {.thread = 0}, b = {.thread = 0};
	uint32_t row = pa_heap_row(h, 100);

	play(h, &a, PA_HR_ALLOC, 10, 16, 1, row);
	play(h, &b, PA_HR_ALLOC, 11, 32, 1, row); /* another thread's call lies between */
	play(h, &a, PA_HR_FREE, 12, 16, 0, 0);
	assert_int_equal(h->temporary, 1);
	play(h, &a, PA_HR_FREE, 13, 32, 0, 0); /* freed by another thread */
	assert_int_equal(h->temporary, 1);
	play(h, &a, PA_HR_ALLOC, 20, 16, 1, row);
	play(h, &a, PA_HR_ALLOC, 21, 32, 1, row);
	play(h, &a, PA_HR_FREE, 22, 16, 0, 0);
	play(h, &a, PA_HR_FREE, 23, 32, 0, 0);
	assert_int_equal(h->temporary, 1);
	/* the address is the same, the block is another one */
	play(h, &a, PA_HR_ALLOC, 30, 16, 1, row);
	play(h, &b, PA_HR_FREE, 31, 16, 0, 0);
	play(h, &b, PA_HR_ALLOC, 32, 16, 1, row);
	play(h, &a, PA_HR_FREE, 33, 16, 0, 0);
	assert_int_equal(h->temporary, 1);
	pa_heap_free(h);
}

/* ---- limits ----------------------------------------------------------------------------------------------------- */

static void test_more_blocks_than_can_be_tracked(void **unused)
{
	struct pa_heap *h = new_heap(PA_HEAP_EXACT); /* 4096 slots */
	struct pa_heap_source s = {.thread = 0};
	uint32_t row = pa_heap_row(h, 100);

	for (uint64_t i = 1; i <= 5000; i++)
		play(h, &s, PA_HR_ALLOC, i, i * 16, 10, row);
	assert_int_equal(h->calls, 5000);
	assert_int_equal(h->bytes, 50000);
	assert_int_equal(h->untracked, 5000 - 3584);
	assert_int_equal(live_of(h, row), 35840);
	assert_int_equal(h->uncertain_ns, 3585);
	pa_heap_free(h);
}

static void test_a_hundred_thousand_stacks_keep_their_rows(void **unused)
{
	struct pa_heap *h = new_heap(PA_HEAP_EXACT);
	struct pa_heap_source s = {.thread = 0};

	for (uint32_t i = 2; i < 100000; i++) {
		play(h, &s, PA_HR_ALLOC, i, 16, i, pa_heap_row(h, i * 3));
		play(h, &s, PA_HR_FREE, i, 16, 0, 0);
	}
	for (uint32_t i = 2; i < 100000; i++) {
		uint32_t row = pa_heap_row(h, i * 3);

		assert_int_equal(h->rows[row].bytes, i);
		assert_int_equal(h->cold[row].stack, i * 3);
	}
	assert_int_equal(h->folded, 0);
	pa_heap_free(h);
}

static void test_lifetime_classes_are_decades(void **unused)
{
	uint64_t limit = 10000;

	pa_heap_clock_init(&clock_ns, false);
	for (uint32_t i = 0; i < PA_HEAP_LIFETIMES - 1; i++, limit *= 10) {
		assert_int_equal(pa_heap_clock_class(&clock_ns, limit - 1), i);
		assert_int_equal(pa_heap_clock_class(&clock_ns, limit), i + 1);
	}
	assert_int_equal(pa_heap_clock_class(&clock_ns, 0), 0);
	assert_int_equal(pa_heap_clock_class(&clock_ns, UINT64_MAX), PA_HEAP_LIFETIMES - 1);
}

/* ---- what is written ----------------------------------------------------------------------------------------------
 */

struct chunks {
	uint64_t first_ns[8], last_ns[8];
	size_t nr;
};

static int on_chunk(void *arg, uint32_t process, uint64_t first_ns, uint64_t last_ns,
		    const struct pa_store_heap_delta *deltas, size_t nr)
{
	struct chunks *c = arg;

	assert_true(c->nr < 8 && process == 1 && nr == 1 && deltas[0].calls == 1);
	c->first_ns[c->nr] = first_ns;
	c->last_ns[c->nr++] = last_ns;
	return 0;
}

/* A chunk lasts from its first event to its last, however long the collector waited. */
static void test_a_chunk_is_dated_by_its_events(void **state)
{
	struct pa_store *s = store_begin(*state);
	struct pa_heap *h = new_heap(PA_HEAP_EXACT);
	struct pa_heap_source source = {0};
	uint32_t row = pa_heap_row(h, 1);
	struct chunks c = {0};
	struct pa_recording *r;

	play(h, &source, PA_HR_ALLOC, 1000, 4096, 8, row);
	assert_int_equal(pa_heap_flush(h, s, 1, 5000, false), 0);
	play(h, &source, PA_HR_ALLOC, 7000, 8192, 8, row);
	play(h, &source, PA_HR_FREE, 7100, 8192, 0, 0);
	assert_int_equal(pa_heap_flush(h, s, 1, 9000, false), 0);
	/* stamps nobody can believe: older than what was written, later than now */
	play(h, &source, PA_HR_ALLOC, 20, 12288, 8, row);
	assert_int_equal(pa_heap_flush(h, s, 1, 9500, false), 0);
	play(h, &source, PA_HR_ALLOC, 99000, 16384, 8, row);
	assert_int_equal(pa_heap_flush(h, s, 1, 10000, true), 0);
	pa_heap_free(h);
	assert_int_equal(pa_store_close(s, true), 0);
	r = recording_begin(*state);
	assert_int_equal(pa_recording_heap_chunks(r, on_chunk, &c), 0);
	pa_recording_close(r);
	assert_int_equal(c.nr, 4);
	assert_memory_equal(c.first_ns, ((uint64_t[]){999, 6999, 7100, 10000}), 4 * sizeof(uint64_t));
	assert_memory_equal(c.last_ns, ((uint64_t[]){1000, 7100, 7100, 10000}), 4 * sizeof(uint64_t));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_a_chunk_is_dated_by_its_events, place_setup, place_teardown),
	    cmocka_unit_test(test_agrees_with_books),
	    cmocka_unit_test(test_late_free_ends_the_block_that_was_replaced),
	    cmocka_unit_test(test_lost_free_is_told_after_the_next_pass),
	    cmocka_unit_test(test_free_before_its_allocation_waits_a_pass),
	    cmocka_unit_test(test_older_allocation_that_comes_late_does_not_live),
	    cmocka_unit_test(test_temporary_is_the_very_next_call_of_the_thread_that_allocated),
	    cmocka_unit_test(test_more_blocks_than_can_be_tracked),
	    cmocka_unit_test(test_a_hundred_thousand_stacks_keep_their_rows),
	    cmocka_unit_test(test_lifetime_classes_are_decades),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
