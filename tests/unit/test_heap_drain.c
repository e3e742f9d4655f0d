/* Heap rings into heaps: the order over rings, the dictionary, writers that come and go, and rings that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/heap_drain.h"
#include "collector/loop.h"
#include "tests/unit/fake_heap.h"

struct fixture {
	struct pa_session *s;
	struct pa_heap_drain *d;
	struct pa_heap_clock clock;
	struct pa_heap *heap;
	struct pa_heap_sink sink;
	struct pa_heap_drain_result result;
	struct fake_agent agent;
	uint64_t lost;
	int nr_bad;
	char why[128];
	bool in_parts;
	int parts;
	uint64_t now; /* stamps of tests begin there, in the past */
};

static struct pa_heap_writer on_writer(void *arg, uint32_t pid, uint32_t tid, uint64_t time_ns)
{
	struct fixture *f = arg;

	return pid == 7 ? (struct pa_heap_writer){f->heap, f, tid} : (struct pa_heap_writer){0};
}

/* A stack is known by its frames: parent * 1000 + frame. */
static uint32_t on_stack(void *arg, void *process, uint32_t parent, uint64_t frame, uint64_t time_ns)
{
	assert_ptr_equal(process, arg);
	return parent * 1000 + (uint32_t)frame;
}

static uint32_t on_no_stack(void *arg)
{
	return 999999;
}

static void on_counters(void *arg, struct pa_heap *heap, uint32_t pid, const struct pa_ring_counters *delta)
{
	((struct fixture *)arg)->lost += delta->lost_full;
}

static void on_bad(void *arg, struct pa_heap *heap, uint32_t pid, uint32_t ring, const char *why)
{
	struct fixture *f = arg;

	f->nr_bad++;
	snprintf(f->why, sizeof(f->why), "%s", why);
}

static int setup(void **state)
{
	struct pa_geometry geometry = {.nr_slots = 16,
				       .signal_ring_bytes = 4096,
				       .hook_ring_bytes = 4096,
				       .period_ns = 1000000,
				       .modes = PA_MODE_MEMORY,
				       .heap_mode = PA_HEAP_EXACT,
				       .heap_classes = {{4, 65536}, {4, 4096}}};
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(pa_session_create(&geometry, &f->s), 0);
	pa_heap_clock_init(&f->clock, false);
	f->d = pa_heap_drain_new(f->s, &f->clock);
	f->heap = pa_heap_new(PA_HEAP_EXACT, 0, &f->clock, 0, 1u << 16);
	assert_non_null(f->d);
	assert_non_null(f->heap);
	f->sink = (struct pa_heap_sink){f, on_writer, on_stack, on_no_stack, on_counters, on_bad};
	assert_true(fake_agent_map(&f->agent, f->s->fd, f->s->file_size));
	f->now = pa_now_ns() - 1000000000;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_agent_unmap(&f->agent);
	pa_heap_drain_free(f->d);
	pa_heap_free(f->heap);
	pa_session_free(f->s);
	free(f);
	return 0;
}

static void pass(struct fixture *f)
{
	pa_heap_drain_look(f->d);
	if (f->in_parts)
		while (!pa_heap_drain_part(f->d, &f->sink, 1, &f->result))
			f->parts++;
	else
		pa_heap_drain_play(f->d, &f->sink, &f->result);
	pa_heap_end_pass(f->heap);
}

static uint64_t live(const struct fixture *f)
{
	return f->heap->bytes - f->heap->freed;
}

/* ---- order ------------------------------------------------------------------------------------------------------ */

/* Threads hand blocks on in a ring, so that one address has four owners in turn: any other order leaves frees without a
 * block, or two blocks at one address. */
static void hand_on(struct fixture *f, uint32_t threads, uint64_t rounds_a_pass)
{
	struct fake_heap w[4];
	uint64_t stamp = f->now, peak = 0;

	for (uint32_t i = 0; i < threads; i++)
		assert_true(fake_heap_claim(&f->agent, &w[i], i, 7, 70 + i, f->now));
	for (uint64_t round = 0; round < 300; round++) {
		for (uint64_t k = 0; k < 8; k++) {
			struct fake_heap *from = &w[(round + k) % threads];
			struct fake_heap *to = &w[(round * 7 + k * 3 + 1) % threads];

			assert_true(fake_heap_alloc(from, ++stamp, 4096 + k * 16, 100 + k, 0));
			assert_true(fake_heap_free(to, ++stamp, 4096 + k * 16));
			peak = peak < 100 + k ? 100 + k : peak;
		}
		if (round % rounds_a_pass == rounds_a_pass - 1)
			pass(f);
	}
	pass(f);
	pass(f);
	assert_int_equal(f->heap->calls, 2400);
	assert_int_equal(f->heap->frees, 2400);
	assert_int_equal(f->heap->peak_bytes, peak);
	assert_int_equal(f->heap->unknown_frees + f->heap->never_freed, 0);
	assert_int_equal(f->nr_bad, 0);
}

static void test_plays_all_rings_in_the_order_of_their_stamps(void **state)
{
	hand_on(*state, 4, 50);
}

static void test_parts_are_in_that_order_too(void **state)
{
	struct fixture *f = *state;

	f->in_parts = true;
	hand_on(f, 4, 300);
	assert_true(f->parts >= 4 + 2); /* the rings as they are begun, and every so many events */
}

static void test_parts_of_two_rings_are_in_that_order_too(void **state)
{
	struct fixture *f = *state;

	f->in_parts = true;
	hand_on(f, 2, 300);
	assert_true(f->parts >= 2 + 2);
}

static void test_event_of_the_future_waits(void **state)
{
	struct fixture *f = *state;
	struct fake_heap w;
	uint64_t soon;

	assert_true(fake_heap_claim(&f->agent, &w, 0, 7, 70, f->now));
	soon = pa_now_ns() + 30000000;
	assert_true(fake_heap_alloc(&w, f->now + 1, 16, 1, 0));
	assert_true(fake_heap_alloc(&w, soon, 32, 2, 0));
	pass(f);
	assert_int_equal(live(f), 1);
	/* it was there when the last pass began and is ahead still: by little */
	pass(f);
	assert_int_equal(f->nr_bad, 0);
	while (pa_now_ns() <= soon)
		;
	pass(f);
	assert_int_equal(live(f), 3);
}

static void test_clock_far_ahead_gives_the_ring_up(void **state)
{
	struct fixture *f = *state;
	struct fake_heap w;

	assert_true(fake_heap_claim(&f->agent, &w, 0, 7, 70, f->now));
	assert_true(fake_heap_alloc(&w, f->now + 4200000000u, 32, 2, 0));
	pass(f);
	pass(f);
	assert_int_equal(f->nr_bad, 1);
	assert_string_equal(f->why, "its clock makes no sense");
	assert_true(f->heap->uncertain_ns > 0);
}

/* ---- dictionary ------------------------------------------------------------------------------------------------- */

static void test_stacks_are_those_of_the_dictionary(void **state)
{
	struct fixture *f = *state;
	struct fake_heap w;
	uint32_t a, b, c;

	assert_true(fake_heap_claim(&f->agent, &w, 0, 7, 70, f->now));
	a = fake_heap_node(&w, f->now, 0, 1);
	b = fake_heap_node(&w, f->now, a, 2);
	c = fake_heap_node(&w, f->now, a, 3);
	fake_heap_alloc(&w, f->now, 16, 10, b);
	fake_heap_alloc(&w, f->now, 32, 20, c);
	fake_heap_alloc(&w, f->now, 48, 40, 0);
	pass(f);
	assert_int_equal(f->heap->rows[pa_heap_row(f->heap, 1002)].bytes, 10);
	assert_int_equal(f->heap->rows[pa_heap_row(f->heap, 1003)].bytes, 20);
	assert_int_equal(f->heap->rows[pa_heap_row(f->heap, 999999)].bytes, 40);
}

static void test_an_epoch_forgets_all_ids(void **state)
{
	struct fixture *f = *state;
	struct pa_heap_epoch *epoch;
	struct fake_heap w;

	assert_true(fake_heap_claim(&f->agent, &w, 0, 7, 70, f->now));
	fake_heap_node(&w, f->now, 0, 1);
	fake_heap_alloc(&w, f->now, 16, 10, 1);
	epoch = fake_heap_begin(&w, PA_HR_EPOCH, sizeof(*epoch), f->now);
	assert_non_null(epoch);
	fake_heap_commit(&w);
	w.nodes = 0;
	fake_heap_node(&w, f->now, 0, 5);
	fake_heap_alloc(&w, f->now, 32, 20, 1);
	pass(f);
	assert_int_equal(f->heap->rows[pa_heap_row(f->heap, 1)].bytes, 10);
	assert_int_equal(f->heap->rows[pa_heap_row(f->heap, 5)].bytes, 20);
	assert_int_equal(f->nr_bad, 0);
}

static void expect_bad(struct fixture *f, const char *why)
{
	pass(f);
	assert_int_equal(f->nr_bad, 1);
	assert_string_equal(f->why, why);
	assert_true(f->heap->uncertain_ns > 0);
	pass(f);
	assert_int_equal(f->nr_bad, 1);
}

static void test_undefined_stack_gives_the_ring_up(void **state)
{
	struct fixture *f = *state;
	struct fake_heap w;

	assert_true(fake_heap_claim(&f->agent, &w, 0, 7, 70, f->now));
	fake_heap_alloc(&w, f->now, 16, 10, 0);
	fake_heap_alloc(&w, f->now, 32, 10, 1);
	fake_heap_alloc(&w, f->now, 48, 10, 0);
	expect_bad(f, "an event names a stack that was not defined");
	/* what came before it counts */
	assert_int_equal(live(f), 10);
}

static void test_parent_that_is_not_older_gives_the_ring_up(void **state)
{
	struct fixture *f = *state;
	struct fake_heap w;

	assert_true(fake_heap_claim(&f->agent, &w, 0, 7, 70, f->now));
	fake_heap_node(&w, f->now, 1, 5);
	expect_bad(f, "its dictionary makes no sense");
}

static void test_record_of_another_size_gives_the_ring_up(void **state)
{
	struct fixture *f = *state;
	struct fake_heap w;

	assert_true(fake_heap_claim(&f->agent, &w, 0, 7, 70, f->now));
	assert_non_null(fake_heap_begin(&w, PA_HR_ALLOC, 16, f->now));
	fake_heap_commit(&w);
	expect_bad(f, "a record in it makes no sense");
}

static void test_head_before_the_tail_gives_the_ring_up(void **state)
{
	struct fixture *f = *state;
	struct fake_heap w;

	assert_true(fake_heap_claim(&f->agent, &w, 0, 7, 70, f->now));
	pass(f);
	pa_store_release(&w.line->out.head, 0);
	expect_bad(f, "its positions make no sense");
}

static void test_ring_without_an_owner_record_is_given_up(void **state)
{
	struct fixture *f = *state;
	struct fake_heap w;

	assert_true(fake_heap_claim(&f->agent, &w, 0, 7, 70, f->now));
	w.head = 0;
	fake_heap_alloc(&w, f->now, 16, 10, 0);
	pass(f);
	assert_int_equal(f->nr_bad, 1);
	assert_string_equal(f->why, "it does not say whose it is");
}

/* ---- many bytes, many writers ----------------------------------------------------------------------------------- */

/* Far more than the ring and the copies hold, with fillers at every end. */
static void test_goes_round_the_ring_many_times(void **state)
{
	struct fixture *f = *state;
	uint64_t stamp = f->now, calls = 0, bytes = 0;
	struct fake_heap w;

	assert_true(fake_heap_claim(&f->agent, &w, 5, 7, 70, f->now));
	while (calls < 20000) {
		uint64_t size = calls % 100 == 0 ? UINT64_C(5) << 32 : calls % 1000;

		/* sizes that do not divide the ring */
		if (fake_heap_alloc(&w, ++stamp, 16, size, 0) && fake_heap_free(&w, ++stamp, 16)) {
			calls++;
			bytes += size;
			continue;
		}
		if (calls > f->heap->calls)
			pass(f);
		/* the free found no room: it was not taken back, so write it now */
		if (live(f) && fake_heap_free(&w, ++stamp, 16)) {
			calls++;
			bytes += size;
		}
	}
	pass(f);
	assert_int_equal(f->heap->calls, calls);
	assert_int_equal(f->heap->bytes, bytes);
	assert_int_equal(live(f), 0);
	assert_int_equal(f->nr_bad, 0);
}

static void test_a_left_ring_is_free_and_the_next_thread_starts_anew(void **state)
{
	struct fixture *f = *state;
	struct fake_heap w;

	assert_true(fake_heap_claim(&f->agent, &w, 0, 7, 70, f->now));
	fake_heap_node(&w, f->now, 0, 1);
	fake_heap_alloc(&w, f->now, 16, 10, 1);
	fake_heap_leave(&w, 7);
	pass(f);
	assert_int_equal(pa_load_relaxed(&w.line->in.owner), 0);
	assert_true(fake_heap_claim(&f->agent, &w, 0, 7, 71, f->now + 10));
	fake_heap_node(&w, f->now + 10, 0, 2);
	fake_heap_free(&w, f->now + 11, 16);
	fake_heap_alloc(&w, f->now + 12, 16, 30, 1);
	pass(f);
	assert_int_equal(f->heap->rows[pa_heap_row(f->heap, 2)].bytes, 30);
	assert_int_equal(live(f), 30);
	assert_int_equal(f->heap->threads[pa_heap_thread(f->heap, 70)].bytes, 10);
	assert_int_equal(f->heap->threads[pa_heap_thread(f->heap, 71)].bytes, 30);
	assert_int_equal(f->heap->threads[pa_heap_thread(f->heap, 71)].freed, 10);
}

/* Whoever comes and goes between the reading of the head and the release leaves the same owner word behind. */
static void come_and_go(void *arg, struct pa_heap *heap, uint32_t pid, const struct pa_ring_counters *delta)
{
	struct fixture *f = arg;
	struct fake_heap w;

	f->sink.counters = NULL;
	assert_true(fake_heap_claim(&f->agent, &w, 0, 7, 71, f->now + 10));
	fake_heap_alloc(&w, f->now + 11, 32, 20, 0);
	fake_heap_leave(&w, 7);
}

static void test_a_thread_that_comes_and_goes_during_a_pass_is_not_forgotten(void **state)
{
	struct fixture *f = *state;
	struct fake_heap w;

	assert_true(fake_heap_claim(&f->agent, &w, 0, 7, 70, f->now));
	fake_heap_alloc(&w, f->now, 16, 10, 0);
	pa_store_relaxed(&w.line->out.records, 1);
	fake_heap_leave(&w, 7);
	f->sink.counters = come_and_go;
	pass(f);
	assert_int_equal(live(f), 10);
	pass(f);
	assert_int_equal(live(f), 30);
	/* and then it is free */
	pass(f);
	assert_int_equal(pa_heap_drain_touched(f->d, 7), 0);
}

static void test_two_owners_in_one_pass_have_their_own_events(void **state)
{
	struct fixture *f = *state;
	struct fake_heap w;

	assert_true(fake_heap_claim(&f->agent, &w, 0, 7, 70, f->now));
	fake_heap_alloc(&w, f->now, 16, 10, 0);
	fake_heap_own(&w, 7, 71, f->now + 5);
	fake_heap_alloc(&w, f->now + 6, 32, 20, 0);
	/* another process, of which nothing is known */
	fake_heap_own(&w, 8, 80, f->now + 7);
	fake_heap_alloc(&w, f->now + 8, 48, 40, 0);
	pass(f);
	assert_int_equal(f->heap->threads[pa_heap_thread(f->heap, 70)].bytes, 10);
	assert_int_equal(f->heap->threads[pa_heap_thread(f->heap, 71)].bytes, 20);
	assert_int_equal(f->heap->bytes, 30);
}

static void test_a_dead_process_leaves_its_rings_to_others(void **state)
{
	struct fixture *f = *state;
	struct fake_heap w;

	assert_true(fake_heap_claim(&f->agent, &w, 0, 7, 70, f->now));
	fake_heap_alloc(&w, f->now, 16, 10, 0);
	pass(f);
	assert_int_equal(pa_heap_drain_touched(f->d, 7), sizeof(struct pa_heap_owner) + sizeof(struct pa_heap_alloc));
	pa_heap_drain_release(f->d, 7, f->heap);
	assert_int_equal(pa_load_relaxed(&w.line->in.owner), 0);
	assert_true(fake_heap_claim(&f->agent, &w, 0, 7, 70, f->now));
	fake_heap_alloc(&w, f->now, 32, 10, 0);
	pass(f);
	assert_int_equal(live(f), 20);
}

static void test_counters_are_told_as_differences(void **state)
{
	struct fixture *f = *state;
	struct fake_heap w;

	assert_true(fake_heap_claim(&f->agent, &w, 0, 7, 70, f->now));
	pa_store_relaxed(&w.line->out.lost_full, 5);
	pass(f);
	pass(f);
	assert_int_equal(f->lost, 5);
	pa_store_relaxed(&w.line->out.lost_full, 7);
	pass(f);
	assert_int_equal(f->lost, 7);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    TEST(test_plays_all_rings_in_the_order_of_their_stamps),
	    TEST(test_parts_are_in_that_order_too),
	    TEST(test_parts_of_two_rings_are_in_that_order_too),
	    TEST(test_event_of_the_future_waits),
	    TEST(test_clock_far_ahead_gives_the_ring_up),
	    TEST(test_stacks_are_those_of_the_dictionary),
	    TEST(test_an_epoch_forgets_all_ids),
	    TEST(test_undefined_stack_gives_the_ring_up),
	    TEST(test_parent_that_is_not_older_gives_the_ring_up),
	    TEST(test_record_of_another_size_gives_the_ring_up),
	    TEST(test_head_before_the_tail_gives_the_ring_up),
	    TEST(test_ring_without_an_owner_record_is_given_up),
	    TEST(test_goes_round_the_ring_many_times),
	    TEST(test_a_left_ring_is_free_and_the_next_thread_starts_anew),
	    TEST(test_a_thread_that_comes_and_goes_during_a_pass_is_not_forgotten),
	    TEST(test_two_owners_in_one_pass_have_their_own_events),
	    TEST(test_a_dead_process_leaves_its_rings_to_others),
	    TEST(test_counters_are_told_as_differences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
