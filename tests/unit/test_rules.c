/* The rule cache: what it answers for a pc, by the pc or by a block around it, is what the module's tables say of that
 * pc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/arch/rule.h"
#include "agent/rules_sig.h"
#include "agent/walk_sig.h"

#define PCS        20000
#define CODE_BYTES 0x40000

static struct pa_walk_info info;
static uint64_t seed;

/* Somewhere in libc's code, around a function of it. */
static uint64_t random_pc(void)
{
	uint64_t start = (uint64_t)(uintptr_t)&printf & ~UINT64_C(0xffff);

	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return start + (seed >> 33) % CODE_BYTES;
}

static bool work_out(uint64_t pc, uint32_t *bits)
{
	struct pa_rules rules = {.info = &info, .generation = pa_rules_generation_sig()};
	struct pa_rule rule;

	info.nr_modules = 0;
	pa_rules_work_out_sig(&rules, pc, true, &rule);
	return rule.kind <= PA_RULE_ROW && pa_arch_rule_pack(&rule, bits);
}

static bool by_large_block(uint64_t pc)
{
	uint32_t bits;

	return pa_rules_block_cached_sig(pa_rules_large, pc, PA_RULES_LARGE_SHIFT, PA_RULES_LARGE_BITS,
					 pa_rules_generation_sig(), &bits);
}

static bool by_block(uint64_t pc)
{
	uint32_t bits;

	return pa_rules_block_cached_sig(pa_rules_small, pc, PA_RULES_SMALL_SHIFT, PA_RULES_SMALL_BITS,
					 pa_rules_generation_sig(), &bits) ||
	       by_large_block(pc);
}

static void cached_rules_are_those_of_the_tables(void **state)
{
	unsigned hits = 0, block_hits = 0, large_hits = 0, wrong = 0;
	uint32_t cached, fresh;

	(void)state;
	assert_int_equal(pa_walk_init(), 0);
	seed = 1;
	for (int i = 0; i < PCS; i++)
		work_out(random_pc(), &fresh);
	seed = 2;
	for (int i = 0; i < PCS; i++) {
		uint64_t pc = random_pc();

		if (!pa_rules_cached_sig(pc, pa_rules_generation_sig(), &cached))
			continue;
		hits++;
		block_hits += by_block(pc);
		large_hits += by_large_block(pc);
		wrong += !work_out(pc, &fresh) || fresh != cached;
	}
	assert_int_equal(wrong, 0);
	assert_true(hits > PCS / 2);
	assert_true(block_hits > PCS / 4);
	assert_true(large_hits > PCS / 16);
}

static void a_flush_forgets_blocks(void **state)
{
	uint64_t pc = 0;
	uint32_t bits;

	(void)state;
	assert_int_equal(pa_walk_init(), 0);
	seed = 3;
	for (int i = 0; i < PCS && !by_block(pc); i++) {
		pc = random_pc();
		work_out(pc, &bits);
	}
	assert_true(by_block(pc));
	pa_walk_flush_sig();
	assert_false(pa_rules_cached_sig(pc, pa_rules_generation_sig(), &bits));
	/* the generation comes round after 255 flushes: the word must be gone by then */
	for (int i = 0; i < 254; i++)
		pa_walk_flush_sig();
	assert_false(pa_rules_cached_sig(pc, pa_rules_generation_sig(), &bits));
}

/* A search that begins anywhere ends where one from the middle does. */
static void hints_change_no_answer(void **state)
{
	uint32_t plain, hinted;
	bool has_plain;

	(void)state;
	assert_int_equal(pa_walk_init(), 0);
	seed = 4;
	for (int i = 0; i < PCS / 20; i++) {
		uint64_t pc = random_pc();

		for (uint32_t k = 0; k < PA_RULES_HINTS; k++)
			pa_store_relaxed(&pa_rules_hints[k], UINT32_MAX); /* behind the end: no hint */
		has_plain = work_out(pc, &plain);
		for (int k = 0; k < 4; k++) {
			seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
			for (uint32_t n = 0; n < PA_RULES_HINTS; n++)
				pa_store_relaxed(&pa_rules_hints[n], (uint32_t)(seed >> 40) >> k * 4);
			assert_int_equal(work_out(pc, &hinted), has_plain);
			assert_true(!has_plain || hinted == plain);
			assert_int_equal(work_out(pc, &hinted), has_plain); /* and from where it ended */
			assert_true(!has_plain || hinted == plain);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(cached_rules_are_those_of_the_tables),
	    cmocka_unit_test(a_flush_forgets_blocks),
	    cmocka_unit_test(hints_change_no_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
