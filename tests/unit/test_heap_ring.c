/* Heap rings: claims, room, the part kept for frees, laps, losses, and readers that write nonsense. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/heap_area_util.h"

#define BYTES 4096u

static struct pa_heap_ring ring;

static bool put(uint32_t bytes, bool free)
{
	uint64_t *record = pa_heap_ring_reserve(&ring, bytes, free);

	if (!record)
		return false;
	memset(record, 0xee, bytes);
	pa_heap_head_set(record, bytes, free ? PA_HR_FREE : PA_HR_ALLOC, 1);
	pa_heap_ring_commit(&ring, bytes);
	return true;
}

static unsigned fill(uint32_t bytes, bool free)
{
	unsigned n = 0;

	while (put(bytes, free))
		n++;
	return n;
}

static unsigned drain(void)
{
	unsigned n = 0;

	while (area_read(0))
		n++;
	return n;
}

static int setup(void **state)
{
	area_make(3, BYTES);
	return pa_heap_ring_claim_hook(&ring, 10, 11) ? 0 : -1;
}

static int teardown(void **state)
{
	area_drop();
	return 0;
}

static void a_claimed_ring_begins_with_its_owner(void **state)
{
	const struct pa_heap_owner *owner = (const struct pa_heap_owner *)area_read(0);

	assert_non_null(owner);
	assert_int_equal(owner->head.type, PA_HR_OWNER);
	assert_int_equal(owner->head.delta, 0);
	assert_int_equal(owner->pid, 10);
	assert_int_equal(owner->tid, 11);
	assert_int_equal(owner->ticks, area_ticks);
	assert_int_equal(pa_load_relaxed(&pa_heap_area.lines[0].in.owner), PA_OWNER(10, 11));
}

static void rings_go_to_one_thread_each_and_are_left_to_the_process(void **state)
{
	struct pa_heap_ring second, third, none, again;

	assert_true(pa_heap_ring_claim_hook(&second, 10, 12));
	assert_true(pa_heap_ring_claim_hook(&third, 10, 13));
	assert_false(pa_heap_ring_claim_hook(&none, 10, 14));
	assert_null(none.line);
	pa_heap_ring_release_hook(&second);
	pa_heap_ring_release_hook(&second); /* once is enough */
	assert_int_equal(pa_load_relaxed(&pa_heap_area.lines[1].in.owner), PA_OWNER(10, 0));
	assert_false(pa_heap_ring_claim_hook(&none, 20, 21)); /* not to another process: the collector frees it first */
	assert_true(pa_heap_ring_claim_hook(&again, 10, 15));
	assert_ptr_equal(again.line, &pa_heap_area.lines[1]);
	assert_int_equal(again.head, 2 * sizeof(struct pa_heap_owner));
}

static void a_ring_that_is_full_is_nobodys(void **state)
{
	struct pa_heap_ring other;

	fill(16, true);
	pa_heap_ring_release_hook(&ring);
	assert_true(pa_heap_ring_claim_hook(&other, 10, 12));
	assert_ptr_equal(other.line, &pa_heap_area.lines[1]);
	assert_int_equal(pa_load_relaxed(&pa_heap_area.lines[0].in.owner), PA_OWNER(10, 0));
}

static void the_last_part_is_kept_for_frees(void **state)
{
	unsigned allocs = fill(24, false), frees = fill(16, true);

	assert_int_equal(allocs, (BYTES - BYTES / 16 - sizeof(struct pa_heap_owner)) / 24);
	assert_true(frees * 16 >= BYTES / 16 && frees * 16 < BYTES / 16 + 24);
	assert_int_equal(drain(), 1 + allocs + frees);
	assert_true(put(24, false));
}

static void every_record_comes_through_many_laps(void **state)
{
	unsigned written = 1, read = 0;

	srand(3);
	for (int i = 0; i < 20000; i++) {
		static const uint32_t sizes[] = {16, 24, 24, 32};

		written += put(sizes[rand() % 4], rand() % 2);
		if (rand() % 3 == 0) {
			const struct pa_heap_head *head = area_read(0);

			read += head != NULL;
		}
		if (rand() % 500 == 0)
			read += drain();
	}
	assert_int_equal(read + drain(), written);
	assert_int_equal(pa_load_relaxed(&ring.line->in.tail), ring.head);
}

static void after_a_loss_half_a_ring_has_to_be_read(void **state)
{
	unsigned more = 0;

	fill(24, false);
	pa_heap_ring_lost_hook(&ring, false);
	pa_heap_ring_lost_hook(&ring, false);
	for (unsigned i = 0; i < BYTES / 24 / 2 - 4; i++)
		area_read(0);
	assert_false(put(24, false));
	assert_true(put(16, true)); /* frees are written as long as there is room at all */
	pa_heap_ring_lost_hook(&ring, true);
	for (; more < 8 && area_read(0); more++)
		;
	assert_int_equal(more, 8);
	assert_true(put(24, false));
	assert_true(put(24, false));
	assert_int_equal(pa_load_relaxed(&ring.line->out.lost_full), 3);
	assert_int_equal(pa_load_relaxed(&ring.line->out.lost_weight), 1);
}

/* Whatever the tail says, what is written stays inside the ring and what is read of it are whole records. */
static void a_tail_that_is_nonsense_makes_no_room_outside(void **state)
{
	static const uint64_t tails[] = {UINT64_MAX, UINT64_MAX / 2, BYTES * 1000ull, 1, 3, UINT64_MAX - BYTES, 7777};
	uint8_t *before = (uint8_t *)pa_heap_area.rings + BYTES; /* ring 1 is nobody's */

	for (unsigned k = 0; k < sizeof(tails) / sizeof(*tails); k++) {
		pa_store_relaxed(&ring.line->in.tail, tails[k]);
		for (int i = 0; i < 2000; i++) {
			if (!put(i % 3 ? 24 : 32, i % 2))
				pa_heap_ring_lost_hook(&ring, i % 2);
			if (i % 7 == 0)
				pa_store_relaxed(&ring.line->in.tail, tails[k] + (uint64_t)i * 8);
		}
		for (unsigned i = 0; i < BYTES; i++)
			assert_int_equal(before[i], 0);
	}
}

/* Threads of libc's own end without a word. Process 10 is another than this one: nothing is known of its threads. */
static void rings_of_threads_that_are_gone_are_swept(void **state)
{
	uint32_t pid = (uint32_t)getpid(), no_thread = INT32_MAX;
	struct pa_heap_ring here, gone, next;

	assert_true(pa_heap_ring_claim_hook(&here, pid, pid));
	assert_true(pa_heap_ring_claim_hook(&gone, pid, no_thread));
	assert_false(pa_heap_ring_claim_hook(&next, pid, 14));
	pa_heap_ring_sweep_hook(pid);
	assert_int_equal(pa_load_relaxed(&pa_heap_area.lines[0].in.owner), PA_OWNER(10, 11));
	assert_int_equal(pa_load_relaxed(&pa_heap_area.lines[1].in.owner), PA_OWNER(pid, pid));
	assert_int_equal(pa_load_relaxed(&pa_heap_area.lines[2].in.owner), PA_OWNER(pid, 0));
	assert_true(pa_heap_ring_claim_hook(&next, pid, 14));
	assert_ptr_equal(next.line, &pa_heap_area.lines[2]);
}

static void a_limit_leaves_small_rings_and_those_in_use(void **state)
{
	struct pa_heap_ring none;

	assert_true(pa_heap_ring_claim_hook(&none, 10, 12));
	pa_heap_rings_limit_hook(10, (uint64_t)BYTES * 3 * PA_HEAP_LIMIT_PART);
	assert_int_equal(pa_heap_area.first, 0);
	pa_heap_rings_limit_hook(10, (uint64_t)BYTES * PA_HEAP_LIMIT_PART);
	assert_int_equal(pa_heap_area.first, 2);
	assert_true(put(24, false)); /* ring 0 has its thread */
	pa_heap_rings_limit_hook(10, 0);
	assert_int_equal(pa_heap_area.first, 3);
	assert_true(put(24, false));
	assert_false(pa_heap_ring_claim_hook(&none, 10, 13));
}

static void a_stall_needs_credit_and_leaves_errno(void **state)
{
	fill(24, false);
	errno = 77;
	assert_false(pa_heap_ring_stall_hook(&ring, PA_HEAP_STALL_NS)); /* just claimed */
	area_ticks += 100000;                                           /* 50 us of credit are less than a slice */
	assert_false(pa_heap_ring_stall_hook(&ring, PA_HEAP_STALL_NS));
	pa_heap_ring_lost_hook(&ring, false);
	area_ticks += 1000000000;
	assert_false(pa_heap_ring_stall_hook(&ring, PA_HEAP_STALL_NS)); /* while it drops it does not wait */
	assert_int_equal(pa_load_relaxed(&ring.line->out.ticks), 0);
	drain();
	assert_true(put(24, false));
	assert_true(pa_heap_ring_stall_hook(&ring, PA_HEAP_STALL_NS)); /* there is room: one slice */
	assert_int_equal(pa_load_relaxed(&ring.line->out.ticks), 1);
	assert_int_equal(errno, 77);
}

/* The collector is stopped, or dead: it is waited for a little, once. The test's clock moves on by itself. */
static void a_reader_that_stands_still_is_given_up(void **state)
{
	unsigned waited = 0;

	fill(24, false);
	area_ticks += 1000000000;
	area_step = 2000000;
	assert_int_equal(pa_heap_ring_behind_hook(&ring), 6);
	for (int i = 0; i < 100; i++)
		waited += pa_heap_ring_stall_hook(&ring, PA_HEAP_STALL_NS);
	assert_true(waited >= 10 && waited <= 12);
	assert_int_equal(pa_heap_ring_behind_hook(&ring), 0);
	area_read(0); /* it lives */
	assert_int_equal(pa_heap_ring_behind_hook(&ring), 6);
	assert_true(pa_heap_ring_stall_hook(&ring, PA_HEAP_STALL_NS));
	area_step = 0;
}

static void time_sets_the_clock(void **state)
{
	const struct pa_heap_time *time;

	drain();
	area_ticks = 5000;
	assert_true(pa_heap_ring_time_hook(&ring, UINT64_C(1) << 40));
	time = (const struct pa_heap_time *)area_read(0);
	assert_non_null(time);
	assert_int_equal(time->head.type, PA_HR_TIME);
	assert_int_equal(time->ticks, UINT64_C(1) << 40);
	assert_int_equal(time->ns, 5000);
	assert_int_equal(ring.time_due, (UINT64_C(1) << 40) + PA_HEAP_TICKS_MAX);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    CASE(a_claimed_ring_begins_with_its_owner),
	    CASE(rings_go_to_one_thread_each_and_are_left_to_the_process),
	    CASE(a_ring_that_is_full_is_nobodys),
	    CASE(the_last_part_is_kept_for_frees),
	    CASE(every_record_comes_through_many_laps),
	    CASE(after_a_loss_half_a_ring_has_to_be_read),
	    CASE(a_tail_that_is_nonsense_makes_no_room_outside),
	    CASE(rings_of_threads_that_are_gone_are_swept),
	    CASE(a_limit_leaves_small_rings_and_those_in_use),
	    CASE(a_stall_needs_credit_and_leaves_errno),
	    CASE(a_reader_that_stands_still_is_given_up),
	    CASE(time_sets_the_clock),
	};

	return cmocka_run_group_tests_name("heap_ring", tests, NULL, NULL);
}
