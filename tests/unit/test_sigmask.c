/* The arithmetic of virtual masks, checked against a model: a thread whose host believes one thing and whose kernel has
 * another, taken through every operation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>

#include "agent/sigmask_hook.h"

#define BIT(sig) (UINT64_C(1) << ((sig)-1))
#define SPARE    61

static const uint64_t filtered = BIT(SIGPROF) | BIT(SPARE);

static uint64_t apply(int how, uint64_t mask, uint64_t set)
{
	return how == SIG_BLOCK ? mask | set : how == SIG_UNBLOCK ? mask & ~set : set;
}

static uint64_t xorshift(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	return *x ^= *x << 17;
}

static void block_is_believed_and_not_done(void **unused)
{
	struct pa_sigmask_plan plan = pa_sigmask_plan_hook(SIG_BLOCK, BIT(SIGPROF) | BIT(SIGUSR1), filtered, 0, false);

	assert_int_equal(plan.kernel, BIT(SIGUSR1));
	assert_int_equal(plan.belief, BIT(SIGPROF));
}

static void setmask_of_everything_leaves_ours_out(void **unused)
{
	struct pa_sigmask_plan plan = pa_sigmask_plan_hook(SIG_SETMASK, ~0ull, filtered, 0, false);

	assert_int_equal(plan.kernel, ~filtered);
	assert_int_equal(plan.belief, filtered);
}

static void unknown_how_is_left_to_the_kernel(void **unused)
{
	struct pa_sigmask_plan plan = pa_sigmask_plan_hook(77, ~0ull, filtered, BIT(SPARE), false);

	assert_int_equal(plan.kernel, ~0ull);
	assert_int_equal(plan.belief, BIT(SPARE));
}

/* What the host sees is what a kernel without us would show, after any sequence; ours is never blocked. */
static void host_sees_its_own_mask_after_any_sequence(void **unused)
{
	static const int hows[] = {SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK};
	uint64_t seed = 88172645463325252u, model = 0, kernel = 0, belief = 0;

	for (int i = 0; i < 100000; i++) {
		int how = hows[xorshift(&seed) % 3];
		uint64_t set = xorshift(&seed) & xorshift(&seed);
		struct pa_sigmask_plan plan;

		if (i % 7 == 0)
			set |= filtered;
		plan = pa_sigmask_plan_hook(how, set, filtered, belief, false);
		model = apply(how, model, set);
		kernel = apply(how, kernel, plan.kernel);
		belief = plan.belief;
		assert_int_equal(kernel & filtered, 0);
		assert_int_equal(belief & ~filtered, 0);
		assert_int_equal(kernel | belief, model);
	}
}

/* On an alternate stack a tick must not get in, whatever the host does to its mask. */
static void pinned_signals_stay_blocked(void **unused)
{
	static const int hows[] = {SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK};
	uint64_t seed = 4711, model = 0, kernel = filtered, belief = 0;

	for (int i = 0; i < 100000; i++) {
		int how = hows[xorshift(&seed) % 3];
		uint64_t set = xorshift(&seed);
		struct pa_sigmask_plan plan = pa_sigmask_plan_hook(how, set, filtered, belief, true);

		model = apply(how, model, set);
		kernel = apply(how, kernel, plan.kernel);
		belief = plan.belief;
		assert_int_equal(kernel & filtered, filtered);
		assert_int_equal((kernel & ~filtered) | belief, model);
	}
}

static void without_filtered_signals_sets_pass_as_they_are(void **unused)
{
	struct pa_sigmask_plan plan = pa_sigmask_plan_hook(SIG_SETMASK, ~0ull, 0, 0, false);

	assert_int_equal(plan.kernel, ~0ull);
	assert_int_equal(plan.belief, 0);
}

static void full_sets_are_told_from_single_interests(void **unused)
{
	sigset_t set;

	sigfillset(&set);
	assert_true(pa_sigmask_all_realtime_hook(pa_sigset_get(&set)));
	sigdelset(&set, SIGTERM);
	assert_true(pa_sigmask_all_realtime_hook(pa_sigset_get(&set)));
	sigdelset(&set, SPARE - 1);
	assert_false(pa_sigmask_all_realtime_hook(pa_sigset_get(&set)));
	assert_false(pa_sigmask_all_realtime_hook(BIT(SPARE)));
}

static void first_word_of_a_set_is_the_kernels_mask(void **unused)
{
	sigset_t set;

	sigemptyset(&set);
	pa_sigset_put(&set, BIT(SIGPROF) | BIT(64));
	assert_int_equal(sigismember(&set, SIGPROF), 1);
	assert_int_equal(sigismember(&set, 64), 1);
	assert_int_equal(sigismember(&set, SIGTERM), 0);
	assert_int_equal(pa_sigset_get(&set), BIT(SIGPROF) | BIT(64));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(block_is_believed_and_not_done),
	    cmocka_unit_test(setmask_of_everything_leaves_ours_out),
	    cmocka_unit_test(unknown_how_is_left_to_the_kernel),
	    cmocka_unit_test(host_sees_its_own_mask_after_any_sequence),
	    cmocka_unit_test(pinned_signals_stay_blocked),
	    cmocka_unit_test(without_filtered_signals_sets_pass_as_they_are),
	    cmocka_unit_test(full_sets_are_told_from_single_interests),
	    cmocka_unit_test(first_word_of_a_set_is_the_kernels_mask),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
