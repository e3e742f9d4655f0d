/* What is a loop, and what an iteration: decisions of agent/loop_hook.c on waits made up here. Times in milliseconds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/loop_hook.h"

#define MS UINT64_C(1000000)

static struct pa_loops loops;
static struct pa_loop_turn turn;

static int start(void **state)
{
	loops = (struct pa_loops){0};
	return 0;
}

static struct pa_wait_place epoll_at(uint64_t fd, uint64_t cfa)
{
	return (struct pa_wait_place){.kind = PA_WAIT_EPOLL, .key = fd, .pc = 0x1000, .cfa = cfa};
}

static struct pa_wait_place poll_at(uint64_t pc, uint64_t cfa)
{
	return (struct pa_wait_place){.kind = PA_WAIT_POLL, .key = pc, .pc = pc, .cfa = cfa, .watched = 2};
}

/* One own wait from `from` to `to`, as wait_hook.c does it. The loop, as it is after that. */
static struct pa_loop_state *own_wait(const struct pa_wait_place *at, uint64_t from, uint64_t to, int64_t ready)
{
	struct pa_loop_state *l = pa_loop_find_hook(&loops, at);

	if (!l) {
		l = pa_loop_room_hook(&loops);
		pa_loop_init_hook(l, at, from * MS);
	}
	pa_loop_wait_hook(&loops, l, at, from * MS, &turn);
	pa_loop_waited_hook(&loops, l, from * MS, to * MS);
	pa_loop_returned_hook(l, from * MS, to * MS, ready);
	return l;
}

static bool other_wait(uint64_t from, uint64_t to)
{
	return pa_loop_waited_hook(&loops, NULL, from * MS, to * MS);
}

static void second_wait_of_a_descriptor_makes_a_loop(void **state)
{
	const struct pa_wait_place at = epoll_at(5, 0x7000);
	struct pa_loop_state *l = own_wait(&at, 100, 110, 1);

	assert_false(l->is_loop);
	assert_int_equal(turn.start_ns, 0);
	assert_ptr_equal(own_wait(&at, 160, 165, 2), l);
	assert_true(l->is_loop);
	assert_int_equal(turn.start_ns, 110 * MS);
	assert_int_equal(turn.ready, 1);
	assert_int_equal(l->iterations, 1);
	assert_int_equal(l->busy_ns, 50 * MS);
	assert_int_equal(l->wait_ns, 15 * MS);
	assert_int_equal(l->ready, 3);
	assert_int_equal(loops.nr, 1);
}

static void polls_of_one_place_need_three(void **state)
{
	const struct pa_wait_place at = poll_at(0x4444, 0x7000);
	struct pa_loop_state *l = own_wait(&at, 0, 10, 0);

	own_wait(&at, 20, 30, 4);
	assert_false(l->is_loop);
	assert_int_equal(l->iterations, 0);
	own_wait(&at, 37, 40, 0);
	assert_true(l->is_loop);
	/* what came before its first iteration is not a loop's */
	assert_int_equal(l->iterations, 1);
	assert_int_equal(l->busy_ns, 7 * MS);
	assert_int_equal(l->wait_ns, 3 * MS);
	assert_int_equal(l->ready, 4);
	assert_int_equal(l->since_ns, 30 * MS);
}

static void waits_by_other_calls_belong_to_the_iteration(void **state)
{
	const struct pa_wait_place at = epoll_at(5, 0x7000);

	assert_false(other_wait(1, 2));
	own_wait(&at, 100, 110, 1);
	assert_true(pa_loop_any_hook(&loops));
	assert_true(other_wait(120, 150));
	assert_true(other_wait(160, 165));
	own_wait(&at, 200, 1000, 1);
	assert_int_equal(turn.start_ns, 110 * MS);
	assert_int_equal(turn.waited_ns, 35 * MS);
	/* idle in its own wait is nobody's lag */
	own_wait(&at, 1001, 1002, 1);
	assert_int_equal(turn.waited_ns, 0);
	/* waits within waits, a handler's, are not more than all of it */
	other_wait(1003, 1010);
	other_wait(1003, 1010);
	own_wait(&at, 1010, 1011, 1);
	assert_int_equal(turn.waited_ns, 8 * MS);
}

static void candidate_of_polls_is_not_waited_for(void **state)
{
	const struct pa_wait_place at = poll_at(0x4444, 0x7000);

	own_wait(&at, 0, 10, 0);
	assert_false(other_wait(11, 12));
	own_wait(&at, 13, 14, 0);
	assert_true(other_wait(15, 16));
}

static void loop_inside_a_callback_blocks_the_outer_one(void **state)
{
	const struct pa_wait_place outer = epoll_at(5, 0x7000), inner = epoll_at(6, 0x6000);
	struct pa_loop_state *in, *out;

	own_wait(&outer, 0, 1, 1);
	out = own_wait(&outer, 2, 3, 1);
	own_wait(&inner, 10, 30, 0);
	in = own_wait(&inner, 32, 52, 0);
	assert_int_equal(in->busy_ns, 2 * MS);
	own_wait(&outer, 60, 61, 1);
	assert_int_equal(turn.start_ns, 3 * MS);
	assert_int_equal(turn.waited_ns, 40 * MS);
	assert_int_equal(out->iterations, 2);
	/* the inner one begins anew next time: what lies between was not its iteration */
	own_wait(&inner, 500, 501, 0);
	assert_int_equal(turn.start_ns, 0);
	assert_int_equal(in->iterations, 1);
}

static void same_wait_from_further_down_is_another_one(void **state)
{
	const struct pa_wait_place outer = poll_at(0x4444, 0x7000), deeper = poll_at(0x4444, 0x6000);

	for (unsigned i = 0; i < 3; i++)
		own_wait(&outer, 10 * i, 10 * i + 1, 1);
	assert_true(other_wait(22, 23));
	own_wait(&deeper, 30, 80, 0);
	assert_int_equal(loops.nr, 2);
	own_wait(&outer, 90, 91, 1);
	assert_int_equal(turn.start_ns, 21 * MS);
	assert_int_equal(turn.waited_ns, 51 * MS);
}

static void loop_goes_on_from_further_up(void **state)
{
	const struct pa_wait_place deep = epoll_at(5, 0x6000), shallow = epoll_at(5, 0x7000);
	struct pa_loop_state *l;

	own_wait(&deep, 0, 1, 1);
	own_wait(&deep, 2, 3, 1);
	l = own_wait(&shallow, 4, 5, 1);
	assert_int_equal(loops.nr, 1);
	assert_int_equal(l->iterations, 2);
	assert_int_equal(l->cfa, 0x7000);
}

static void descriptor_made_anew_is_another_loop(void **state)
{
	struct pa_wait_place at = epoll_at(5, 0x7000);

	own_wait(&at, 0, 1, 1);
	own_wait(&at, 2, 3, 1);
	at.born = 1;
	own_wait(&at, 1000, 1001, 1);
	assert_int_equal(turn.start_ns, 0);
	assert_int_equal(loops.nr, 2);
}

static void left_by_a_jump_nothing_is_known(void **state)
{
	const struct pa_wait_place at = epoll_at(5, 0x7000);
	struct pa_loop_state *l;

	own_wait(&at, 0, 1, 1);
	l = own_wait(&at, 2, 3, 1);
	pa_loop_wait_hook(&loops, l, &at, 4 * MS, &turn);
	assert_false(pa_loop_any_hook(&loops));
	/* it never returned; the thread goes on elsewhere, and comes back */
	assert_false(other_wait(5, 6));
	own_wait(&at, 1000, 1001, 1);
	assert_int_equal(turn.start_ns, 0);
	assert_int_equal(l->iterations, 2);
}

static void least_worth_makes_room(void **state)
{
	struct pa_wait_place at;
	struct pa_loop_state *l;

	for (unsigned i = 0; i < PA_LOOPS_EACH; i++) {
		at = epoll_at(10 + i, 0x7000);
		own_wait(&at, 10 * i, 10 * i + 1, 1);
		/* all but the third are loops */
		if (i != 2)
			own_wait(&at, 10 * i + 2, 10 * i + 3, 1);
	}
	assert_int_equal(loops.nr, PA_LOOPS_EACH);
	l = pa_loop_room_hook(&loops);
	assert_int_equal(l->key, 12);
	at = epoll_at(20, 0x7000);
	pa_loop_init_hook(l, &at, 100 * MS);
	pa_loop_wait_hook(&loops, l, &at, 100 * MS, &turn);
	pa_loop_returned_hook(l, 100 * MS, 101 * MS, 0);
	pa_loop_wait_hook(&loops, l, &at, 102 * MS, &turn);
	/* now the one not seen for longest */
	assert_int_equal(pa_loop_room_hook(&loops)->key, 10);
}

static void sums_are_due_after_a_while(void **state)
{
	const struct pa_wait_place at = epoll_at(5, 0x7000);
	struct pa_loop_state *l = own_wait(&at, 0, 1, 1);

	assert_false(pa_loop_due_hook(l, 500 * MS));
	own_wait(&at, 2, 3, 1);
	assert_false(pa_loop_due_hook(l, 50 * MS));
	assert_true(pa_loop_due_hook(l, 100 * MS));
	pa_loop_flushed_hook(l, 100 * MS);
	assert_int_equal(l->iterations | l->ready | l->busy_ns | l->wait_ns, 0);
	assert_int_equal(l->since_ns, 100 * MS);
	/* an idle one has nothing to say */
	assert_false(pa_loop_due_hook(l, 900 * MS));
}

static void interrupted_wait_is_a_wait(void **state)
{
	const struct pa_wait_place at = epoll_at(5, 0x7000);
	struct pa_loop_state *l;

	own_wait(&at, 0, 1, -1);
	l = own_wait(&at, 2, 3, -1);
	assert_true(l->is_loop);
	assert_int_equal(l->ready, 0);
	assert_int_equal(l->iterations, 1);
}

#define CASE(name) cmocka_unit_test_setup(name, start)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(second_wait_of_a_descriptor_makes_a_loop),
	    CASE(polls_of_one_place_need_three),
	    CASE(waits_by_other_calls_belong_to_the_iteration),
	    CASE(candidate_of_polls_is_not_waited_for),
	    CASE(loop_inside_a_callback_blocks_the_outer_one),
	    CASE(same_wait_from_further_down_is_another_one),
	    CASE(loop_goes_on_from_further_up),
	    CASE(descriptor_made_anew_is_another_loop),
	    CASE(left_by_a_jump_nothing_is_known),
	    CASE(least_worth_makes_room),
	    CASE(sums_are_due_after_a_while),
	    CASE(interrupted_wait_is_a_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
