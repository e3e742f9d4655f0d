/* Rings of a session into handlers: order, losses, lies, and producers that die in the middle of it. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "collector/drain.h"
#include "tests/unit/fake_agent.h"

#define SEEN_MAX 4096

struct fixture {
	struct pa_session *s;
	struct pa_drain *d;
	struct pa_drain_sink sink;
	struct pa_drain_result result;
	struct fake_agent agent;
	struct {
		uint16_t type;
		uint64_t number;
		uint32_t pid, tid;
	} seen[SEEN_MAX];
	size_t nr_seen;
	uint64_t sum, count;
	uint64_t lost_weight, truncated;
	char why[128];
	int nr_bad;
};

static void on_record(void *arg, const struct pa_drain_origin *from, const struct pa_record *record)
{
	struct fixture *f = arg;
	const struct pa_note *note = (const struct pa_note *)record;
	uint64_t number = record->type == PA_REC_NOTE ? note->a : record->time_ns;

	if (record->type == PA_REC_NOTE)
		assert_true(note->b == ~note->a);
	f->sum += number * 2654435761u;
	f->count++;
	if (f->nr_seen == SEEN_MAX)
		return;
	f->seen[f->nr_seen].type = record->type;
	f->seen[f->nr_seen].number = number;
	f->seen[f->nr_seen].pid = from->pid;
	f->seen[f->nr_seen].tid = from->tid;
	f->nr_seen++;
}

static void on_counters(void *arg, const struct pa_drain_origin *from, const struct pa_ring_counters *delta)
{
	struct fixture *f = arg;

	f->lost_weight += delta->lost_weight;
	f->truncated += delta->truncated;
}

static void on_bad(void *arg, const struct pa_drain_origin *from, const char *why)
{
	struct fixture *f = arg;

	snprintf(f->why, sizeof(f->why), "%s", why);
	f->nr_bad++;
}

static int setup(void **state)
{
	struct pa_geometry geometry = {
	    .nr_slots = 64, .signal_ring_bytes = 16384, .hook_ring_bytes = 8192, .period_ns = 10000000};
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(pa_session_create(&geometry, &f->s), 0);
	f->d = pa_drain_new();
	assert_non_null(f->d);
	f->sink.arg = f;
	f->sink.counters = on_counters;
	f->sink.bad = on_bad;
	for (int i = 1; i < PA_REC_TYPES; i++)
		f->sink.rows[i].fn = on_record;
	f->sink.rows[PA_REC_UNMAP].early = true;
	assert_true(fake_agent_map(&f->agent, f->s->fd, f->s->file_size));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_agent_unmap(&f->agent);
	pa_drain_free(f->d);
	pa_session_free(f->s);
	free(f);
	return 0;
}

static void drain(struct fixture *f)
{
	pa_drain_session(f->d, f->s, &f->sink, &f->result);
}

static void test_merges_both_rings_of_a_slot_by_time(void **state)
{
	static const uint64_t want[] = {10, 20, 25, 30, 40};
	struct fixture *f = *state;
	struct fake_thread t;

	assert_true(fake_claim(&f->agent, &t, 7, 8, 0));
	fake_note(&t.hook, 10, 10);
	fake_note(&t.hook, 30, 30);
	fake_note(&t.signal, 20, 20);
	fake_note(&t.signal, 25, 25);
	fake_note(&t.signal, 40, 40);
	drain(f);
	assert_int_equal(f->nr_seen, 5);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(f->seen[i].number, want[i]);
	assert_int_equal(f->seen[0].pid, 7);
	assert_int_equal(f->seen[0].tid, 8);
	drain(f);
	assert_int_equal(f->nr_seen, 5);
}

static void test_early_records_come_first_in_time_over_all_rings(void **state)
{
	static const uint64_t times[] = {60, 50};
	struct fixture *f = *state;
	struct fake_thread t;

	for (uint32_t i = 0; i < 2; i++) {
		struct pa_unmap *unmap;

		assert_true(fake_claim(&f->agent, &t, 7, 8 + i, 0));
		fake_note(&t.signal, 1, 1);
		unmap = fake_begin(&t.hook, PA_REC_UNMAP, sizeof(*unmap), times[i]);
		unmap->end = 1;
		pa_ring_commit(&t.hook);
	}
	drain(f);
	assert_int_equal(f->nr_seen, 4);
	assert_int_equal(f->seen[0].number, 50);
	assert_int_equal(f->seen[1].number, 60);
	assert_int_equal(f->seen[2].type, PA_REC_NOTE);
}

static void test_wrapped_rings_come_out_whole(void **state)
{
	struct fixture *f = *state;
	struct fake_thread t;
	uint64_t n = 0;

	assert_true(fake_claim(&f->agent, &t, 7, 8, 3));
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 61; i++)
			assert_true(fake_sample(&t, ++n, 0x1000, (uint16_t)(i % 20)));
		drain(f);
		assert_int_equal(f->count, n);
	}
	assert_int_equal(f->nr_bad, 0);
	for (size_t i = 0; i < f->nr_seen; i++)
		assert_int_equal(f->seen[i].number, i + 1);
}

static void test_frees_the_slot_of_an_ended_thread_once_drained(void **state)
{
	struct fixture *f = *state;
	struct fake_thread t, next;

	assert_true(fake_claim(&f->agent, &t, 7, 8, 5));
	fake_note(&t.hook, 1, 1);
	pa_store_release(&t.slot->signal_in.owner, PA_OWNER(7, 0));
	drain(f);
	assert_int_equal(f->nr_seen, 1);
	assert_int_equal(f->seen[0].pid, 7);
	assert_true(pa_load_relaxed(&t.slot->signal_in.owner) == 0);
	/* another process takes it over and goes on where the positions stand */
	assert_true(fake_claim(&f->agent, &next, 9, 9, 5));
	assert_ptr_equal(next.slot, t.slot);
	fake_note(&next.hook, 2, 2);
	drain(f);
	assert_int_equal(f->nr_seen, 2);
	assert_int_equal(f->seen[1].number, 2);
	assert_int_equal(f->seen[1].pid, 9);
}

static void test_counters_are_reported_as_differences(void **state)
{
	struct fixture *f = *state;
	struct fake_thread t;

	assert_true(fake_claim(&f->agent, &t, 7, 8, 0));
	pa_bump(&t.slot->signal.lost_weight, 5);
	pa_bump(&t.slot->signal.truncated, 2);
	drain(f);
	pa_bump(&t.slot->signal.lost_weight, 1);
	drain(f);
	drain(f);
	assert_int_equal(f->lost_weight, 6);
	assert_int_equal(f->truncated, 2);
}

static void test_impossible_positions_end_that_ring_only(void **state)
{
	static const uint64_t heads[] = {UINT64_MAX, 1u << 20, 12, 16392};
	struct fixture *f = *state;
	struct fake_thread bad, good;

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		assert_true(fake_claim(&f->agent, &bad, 7, 8 + (uint32_t)i, 0));
		pa_store_release(&bad.slot->signal.head, heads[i]);
		fake_note(&bad.hook, 1, 100 + i);
	}
	assert_true(fake_claim(&f->agent, &good, 7, 99, 0));
	fake_note(&good.signal, 1, 1);
	drain(f);
	assert_int_equal(f->nr_bad, 4);
	assert_string_equal(f->why, "its positions make no sense");
	assert_int_equal(f->count, 5); /* the hook rings and the good one */
	/* a ring that lied is not believed again */
	pa_store_release(&bad.slot->signal.head, 0);
	fake_note(&bad.signal, 2, 2);
	drain(f);
	assert_int_equal(f->nr_bad, 4);
	assert_int_equal(f->count, 5);
}

static void test_a_moved_tail_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct fake_thread t;

	assert_true(fake_claim(&f->agent, &t, 7, 8, 0));
	for (uint64_t i = 0; i < 10; i++)
		fake_note(&t.signal, i, i);
	drain(f);
	assert_int_equal(f->count, 10);
	/* the shared tail is what the target reads; ours is private: nothing is read twice */
	pa_store_release(&t.slot->signal_in.tail, 0);
	drain(f);
	assert_int_equal(f->count, 10);
	fake_note(&t.signal, 11, 11);
	drain(f);
	assert_int_equal(f->count, 11);
	assert_int_equal(f->nr_bad, 0);
}

static void test_a_record_that_is_none_ends_the_ring_behind_the_good_ones(void **state)
{
	struct fixture *f = *state;
	struct fake_thread t;
	struct pa_note *note;

	assert_true(fake_claim(&f->agent, &t, 7, 8, 0));
	fake_note(&t.signal, 1, 1);
	note = fake_begin(&t.signal, PA_REC_NOTE, sizeof(*note), 2);
	note->head.size = UINT32_MAX - 7;
	pa_ring_commit(&t.signal);
	fake_note(&t.signal, 3, 3);
	drain(f);
	assert_int_equal(f->count, 1);
	assert_int_equal(f->nr_bad, 1);
	assert_string_equal(f->why, "a record in it makes no sense");
}

/* What a handler was given stays what it was, whatever the target writes meanwhile. */
static void change_behind(void *arg, const struct pa_drain_origin *from, const struct pa_record *record)
{
	struct fixture *f = arg;

	memset(f->agent.base + f->agent.control->rings_offset, 0xff, 4096);
	on_record(arg, from, record);
}

static void test_records_changed_after_the_check_have_been_copied(void **state)
{
	struct fixture *f = *state;
	struct fake_thread t;

	f->sink.rows[PA_REC_NOTE].fn = change_behind;
	assert_true(fake_claim(&f->agent, &t, 7, 8, 0));
	for (uint64_t i = 0; i < 50; i++)
		fake_note(&t.signal, i, i);
	drain(f);
	assert_int_equal(f->count, 50);
	assert_int_equal(f->nr_bad, 0);
	for (size_t i = 0; i < 50; i++)
		assert_int_equal(f->seen[i].number, i);
}

/* Without time each part gets on a little; all together are one pass. */
static void test_parts_add_up_to_one_pass(void **state)
{
	struct fixture *f = *state;
	struct fake_thread t[40];
	int parts = 0;
	bool done;

	for (uint32_t i = 0; i < 40; i++) {
		assert_true(fake_claim(&f->agent, &t[i], 7, 8 + i, i));
		for (uint64_t k = 0; k < 5; k++)
			fake_note(&t[i].hook, k, i * 5 + k);
	}
	do {
		done = pa_drain_part(f->d, f->s, &f->sink, 1, &f->result);
		/* behind what was visited: the next pass's */
		if (!parts++)
			fake_note(&t[0].hook, 9, 200);
	} while (!done);
	assert_in_range(parts, 40, 200);
	assert_int_equal(f->count, 200);
	for (size_t i = 0; i < 200; i++)
		assert_int_equal(f->seen[i].number, i);
	drain(f);
	assert_int_equal(f->count, 201);
}

static void test_a_dropped_part_is_forgotten(void **state)
{
	struct fixture *f = *state;
	struct fake_thread t;

	for (uint32_t i = 0; i < 8; i++) {
		assert_true(fake_claim(&f->agent, &t, 7, 8 + i, i));
		fake_note(&t.hook, 1, i);
	}
	assert_false(pa_drain_part(f->d, f->s, &f->sink, 1, &f->result));
	pa_drain_drop(f->d);
	drain(f);
	assert_int_equal(f->count, 7); /* the first was copied, and its reader went */
	assert_int_equal(f->nr_bad, 0);
}

#define PRODUCERS 4
#define EACH      50000

/* Writes EACH numbers per ring, waiting when it is full. Ends without a goodbye. */
static void produce(struct fake_agent *a, uint32_t tid)
{
	struct fake_thread t;

	/* a failed test must not leave us waiting for ever */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(60);
	/* thread 0 is what an ended thread leaves */
	if (!fake_claim(a, &t, (uint32_t)getpid(), tid + 1, tid * 7))
		_exit(1);
	for (uint64_t n = 0; n < EACH; n++) {
		while (!fake_note(&t.signal, n, n * PRODUCERS + tid))
			usleep(50);
		while (!fake_note(&t.hook, n, n * PRODUCERS + tid))
			usleep(50);
	}
	kill(getpid(), SIGKILL);
	_exit(1);
}

static void test_killed_producers_lose_nothing_they_have_written(void **state)
{
	struct fixture *f = *state;
	uint64_t sum = 0;
	int left = PRODUCERS, status;

	for (uint32_t i = 0; i < PRODUCERS; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			produce(&f->agent, i);
	}
	for (int idle = 0; left > 0 && idle < 20000; idle++) {
		drain(f);
		if (waitpid(-1, &status, WNOHANG) > 0) {
			assert_true(WIFSIGNALED(status));
			left--;
		} else {
			usleep(500);
		}
	}
	assert_int_equal(left, 0);
	drain(f);
	for (uint64_t n = 0; n < (uint64_t)EACH * PRODUCERS; n++)
		sum += 2 * n * 2654435761u;
	assert_int_equal(f->count, 2 * EACH * PRODUCERS);
	assert_true(f->sum == sum);
	assert_int_equal(f->nr_bad, 0);
	/* their slots are free again once somebody has seen them go */
	assert_int_equal(f->result.owned, PRODUCERS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_merges_both_rings_of_a_slot_by_time, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_early_records_come_first_in_time_over_all_rings, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_wrapped_rings_come_out_whole, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_frees_the_slot_of_an_ended_thread_once_drained, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_counters_are_reported_as_differences, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_impossible_positions_end_that_ring_only, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_moved_tail_changes_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_record_that_is_none_ends_the_ring_behind_the_good_ones, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(test_records_changed_after_the_check_have_been_copied, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_parts_add_up_to_one_pass, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_dropped_part_is_forgotten, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_killed_producers_lose_nothing_they_have_written, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
