/* The remembered walk: over stacks that change at random between walks, a walk with a memo gives frame for frame what a
 * walk without one gives, and does use what it remembers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <cmocka.h>

#include "agent/arch/rule.h"
#include "agent/memo_sig.h"
#include "agent/walk_sig.h"
#include "tests/unit/wander.h"

#define MAX   480
#define WALKS 20000

extern void *__libc_stack_end;

static union {
	struct pa_memo head;
	char page[4096];
} memo_page;
static struct pa_memo *const memo = &memo_page.head;
static struct pa_walk_info with, without;
static uint64_t frames_with[MAX], frames_without[MAX];
static unsigned walks, joined, differing;
static volatile int sink;

static struct pa_stack_bounds main_stack(void)
{
	uint64_t top = (uint64_t)(uintptr_t)__libc_stack_end;

	return (struct pa_stack_bounds){top - (UINT64_C(8) << 20), top};
}

static __attribute__((noinline)) void walk_twice(void)
{
	struct pa_stack_bounds bounds = main_stack();
	ucontext_t uc;
	size_t nr_with, nr_without;

	getcontext(&uc);
	with.memo = memo;
	nr_with = pa_walk_sig(&uc, &bounds, frames_with, MAX, &with);
	nr_without = pa_walk_sig(&uc, &bounds, frames_without, MAX, &without);
	walks++;
	joined += memo->at < memo->capacity; /* a walk that went to the end by itself leaves it there */
	if (nr_with != nr_without || with.stop != without.stop ||
	    memcmp(frames_with, frames_without, nr_with * sizeof(frames_with[0])) != 0)
		differing++;
}

static bool more_walks(void)
{
	return walks < WALKS;
}

static void start_afresh(void)
{
	memset(&memo_page, 0, sizeof(memo_page));
	walks = joined = differing = 0;
	assert_int_equal(pa_walk_init(), 0);
	wander_goes_on = more_walks;
	wander_visit = walk_twice;
	srand(20261121);
}

static void memo_gives_the_walk_without_it(void **state)
{
	(void)state;
	start_afresh();
	while (walks < WALKS)
		functions[rand() % FUNCTIONS]((unsigned)rand() % 40);
	assert_int_equal(differing, 0);
	assert_int_equal(without.stop, PA_STOP_END);
	if (!PA_ARCH_RA_IN_REGISTER)
		assert_true(joined > walks / 2);
}

/* More frames than the page has entries: no chain, and no harm. */
static __attribute__((noinline)) void deep(unsigned depth)
{
	if (depth)
		deep(depth - 1);
	else
		walk_twice();
	sink++;
}

static void memo_survives_stacks_deeper_than_it(void **state)
{
	static const unsigned depths[] = {10, 300, 10, 120, 130, 460, 1000, 5, 125, 126, 127, 3};

	(void)state;
	start_afresh();
	for (unsigned round = 0; round < 50; round++) {
		for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++)
			deep(depths[i]);
	}
	assert_int_equal(differing, 0);
}

/* S17: a slot that changed under an unchanged state has to be seen. */
static void memo_forgets_after_a_flush(void **state)
{
	uint32_t flushes;

	(void)state;
	start_afresh();
	walk_twice();
	walk_twice();
	flushes = memo->flushes;
	pa_walk_flush_sig();
	walk_twice();
	assert_int_not_equal(memo->flushes, flushes);
	assert_int_equal(differing, 0);
}

/* A hand-made chain over a hand-made stack: each word that the old walk read is changed once, and the replay stops
 * just there. */
static void replay_compares_every_word(void **state)
{
	uint64_t stack[16], out[8], lo = (uint64_t)(uintptr_t)stack, hi = lo + sizeof(stack);

	(void)state;
	for (int broken = -1; broken < 4; broken++) {
		static const int words[] = {3, 2, 7, 11};
		uint64_t pc = 0x1000, sp = lo, fp = 5;
		bool ended;
		size_t n;

		memset(stack, 0, sizeof(stack));
		memset(&memo_page, 0, sizeof(memo_page));
		memo->capacity = PA_MEMO_FRAMES;
		memo->first = memo->at = PA_MEMO_FRAMES - 4;
		memo->frames[memo->first + 0] =
		    (struct pa_memo_frame){.pc = 0x1000, .sp = lo, .fp = 5, .ra_at = -1, .fp_at = -2};
		memo->frames[memo->first + 1] =
		    (struct pa_memo_frame){.pc = 0x2000, .sp = lo + 32, .fp = 6, .ra_at = -1, .needs_fp = true};
		memo->frames[memo->first + 2] = (struct pa_memo_frame){
		    .pc = 0x3000, .sp = lo + 64, .fp = 6, .ra_at = -1, .by_fp = true, .needs_fp = true};
		memo->frames[memo->first + 3] =
		    (struct pa_memo_frame){.pc = 0x4000, .sp = lo + 96, .fp = 6, .kind = PA_MEMO_END};
		stack[3] = 0x2000;
		stack[2] = 6;
		stack[7] = 0x3000;
		stack[11] = 0x4000;
		if (broken >= 0)
			stack[words[broken]]++;
		assert_true(pa_memo_meets(memo, pc, sp, fp));
		n = pa_memo_replay(memo, out, 0, 8, lo, hi, &pc, &sp, &fp, &ended);
		assert_int_equal(ended, broken < 0);
		assert_int_equal(n, broken < 0 ? 4 : broken < 2 ? 0 : broken - 1);
		if (broken >= 0)
			assert_int_equal(pc, 0x1000 * (n + 1));
	}
}

/* The register of the frame pointer holds anything else where nobody goes by it: then it may change, and where the
 * stacks part its value is today's. */
static void fp_counts_only_where_it_is_used(void **state)
{
	uint64_t stack[16] = {[2] = 77, [3] = 0x2000, [7] = 0x3000, [11] = 0x4000}, out[8];
	uint64_t lo = (uint64_t)(uintptr_t)stack, hi = lo + sizeof(stack);

	(void)state;
	for (int part = 0; part < 2; part++) {
		uint64_t pc = 0x1000, sp = lo, fp = 1234;
		volatile uint32_t first;
		bool ended;
		size_t n;

		memset(&memo_page, 0, sizeof(memo_page));
		memo->capacity = memo->first = PA_MEMO_FRAMES;
		pa_memo_begin(memo, 0);
		pa_memo_note(memo, &(struct pa_memo_frame){.pc = 0x1000, .sp = lo, .fp = 5, .ra_at = -1, .fp_at = -2});
		pa_memo_note(memo, &(struct pa_memo_frame){.pc = 0x2000, .sp = lo + 32, .fp = 6, .ra_at = -1});
		pa_memo_note(memo, &(struct pa_memo_frame){.pc = 0x3000, .sp = lo + 64, .fp = 6, .ra_at = -1});
		pa_memo_finish(memo,
			       &(struct pa_memo_frame){
				   .pc = 0x4000, .sp = lo + 96, .fp = 6, .kind = PA_MEMO_END, .by_fp = part == 0});
		stack[7] = part ? 0x3001 : 0x3000;
		first = memo->first;
		assert_int_equal(first, PA_MEMO_FRAMES - 4);
		assert_int_equal(memo->frames[first].needs_fp, false); /* its caller gets another */
		assert_int_equal(memo->frames[first + 1].needs_fp, part == 0);
		pa_memo_begin(memo, 0);
		assert_true(pa_memo_meets(memo, pc, sp, fp));
		n = pa_memo_replay(memo, out, 0, 8, lo, hi, &pc, &sp, &fp, &ended);
		assert_false(ended);
		assert_int_equal(n, part);
		assert_int_equal(fp, part ? 77 : 1234);
		if (part) {
			assert_int_equal(memo->frames[0].fp, 1234);
			assert_int_equal(pc, 0x2000);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(memo_gives_the_walk_without_it),  cmocka_unit_test(memo_survives_stacks_deeper_than_it),
	    cmocka_unit_test(memo_forgets_after_a_flush),      cmocka_unit_test(replay_compares_every_word),
	    cmocka_unit_test(fp_counts_only_where_it_is_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
