/* Tables of frames and stacks, and the memo of whole stacks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/stacks.h"
#include "common/wire.h"

static void ids_are_dense_from_two_and_new_once(void **state)
{
	struct pa_stacks *s = pa_stacks_new(1000);
	bool is_new;

	for (uint32_t i = 0; i < 100; i++) {
		assert_int_equal(pa_stacks_frame(s, 3, 0x1000 + i, &is_new), i + 2);
		assert_true(is_new);
		assert_int_equal(pa_stacks_frame(s, 3, 0x1000 + i, &is_new), i + 2);
		assert_false(is_new);
	}
	assert_int_equal(pa_stacks_frame(s, 4, 0x1000, NULL), 102); /* same address, other module */
	assert_int_equal(pa_stacks_nr_frames(s), 102);
	pa_stacks_free(s);
}

static void other_exists_from_the_start(void **state)
{
	struct pa_stacks *s = pa_stacks_new(10);
	uint32_t module = 9, parent = 9, frame = 9;
	uint64_t address = 0;
	bool is_new = true;

	assert_true(pa_stacks_frame_get(s, PA_STACKS_OTHER, &module, &address));
	assert_int_equal(module, 0);
	assert_int_equal(address, PA_FRAME_OTHER);
	assert_true(pa_stacks_stack_get(s, PA_STACKS_OTHER, &parent, &frame));
	assert_int_equal(parent, 0);
	assert_int_equal(frame, PA_STACKS_OTHER);
	assert_int_equal(pa_stacks_frame(s, 0, PA_FRAME_OTHER, &is_new), PA_STACKS_OTHER);
	assert_false(is_new);
	assert_int_equal(pa_stacks_push(s, 0, PA_STACKS_OTHER, &is_new), PA_STACKS_OTHER);
	assert_false(is_new);
	assert_false(pa_stacks_frame_get(s, 2, &module, &address));
	assert_false(pa_stacks_stack_get(s, 0, &parent, &frame));
	pa_stacks_free(s);
}

/* Every (parent, frame) of a tree of 32 levels gets an id of its own and leads back to the root. */
static void stacks_lead_back_to_their_root(void **state)
{
	struct pa_stacks *s = pa_stacks_new(1 << 20);

	for (uint64_t variant = 0; variant < 500; variant++) {
		uint32_t at = 0, parent, frame, module;
		uint64_t address;

		for (uint64_t level = 0; level < 32; level++)
			at = pa_stacks_push(s, at, pa_stacks_frame(s, 1, variant % (level + 1) << 8 | level, NULL),
					    NULL);
		for (uint64_t level = 32; level-- > 0; at = parent) {
			assert_true(pa_stacks_stack_get(s, at, &parent, &frame));
			assert_true(pa_stacks_frame_get(s, frame, &module, &address));
			assert_int_equal(address, variant % (level + 1) << 8 | level);
		}
		assert_int_equal(at, 0);
	}
	assert_int_equal(pa_stacks_folded(s), 0);
	pa_stacks_free(s);
}

static void limit_folds_into_other_and_counts(void **state)
{
	struct pa_stacks *s = pa_stacks_new(5);
	uint32_t deep = 0;
	bool is_new = false;

	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(pa_stacks_frame(s, 1, i, NULL), i + 2);
	assert_int_equal(pa_stacks_frame(s, 1, 77, &is_new), PA_STACKS_OTHER);
	assert_false(is_new);
	assert_int_equal(pa_stacks_folded(s), 1);
	assert_int_equal(pa_stacks_frame(s, 1, 3, NULL), 5); /* known ones are still found */

	for (uint32_t i = 0; i < 4; i++)
		deep = pa_stacks_push(s, deep, 2, NULL);
	assert_int_equal(deep, 5);
	deep = pa_stacks_push(s, deep, 2, NULL);
	assert_int_equal(deep, PA_STACKS_OTHER);
	assert_int_equal(pa_stacks_folded(s), 2);
	assert_int_equal(pa_stacks_push(s, deep, 3, NULL), PA_STACKS_OTHER); /* and stays there, uncounted */
	assert_int_equal(pa_stacks_folded(s), 2);
	assert_int_equal(pa_stacks_nr_stacks(s), 5);
	pa_stacks_free(s);
}

static void ids_never_given_out_fold(void **state)
{
	struct pa_stacks *s = pa_stacks_new(10);

	assert_int_equal(pa_stacks_push(s, 0, 2, NULL), PA_STACKS_OTHER);
	assert_int_equal(pa_stacks_push(s, 7, 1, NULL), PA_STACKS_OTHER);
	assert_int_equal(pa_stacks_push(s, 0, 0, NULL), PA_STACKS_OTHER);
	assert_null(pa_stacks_new(0));
	pa_stacks_free(s);
}

/* Addresses as programs have them: multiples of 16 in a few regions, which a weak hash would pile up. */
static void many_regular_frames_keep_their_ids(void **state)
{
	struct pa_stacks *s = pa_stacks_new(1 << 20);
	uint32_t *ids = calloc(300000, sizeof(*ids));

	for (uint32_t i = 0; i < 300000; i++)
		ids[i] = pa_stacks_frame(s, i % 3, (uint64_t)i << 4, NULL);
	for (uint32_t i = 0; i < 300000; i++)
		assert_int_equal(pa_stacks_frame(s, i % 3, (uint64_t)i << 4, NULL), ids[i]);
	assert_int_equal(pa_stacks_nr_frames(s), 300001);
	free(ids);
	pa_stacks_free(s);
}

static void memo_finds_only_the_very_same_stack(void **state)
{
	struct pa_stackmemo *m = pa_stackmemo_new(64, 40);
	uint64_t frames[40];

	for (size_t i = 0; i < 40; i++)
		frames[i] = 0x400000 + i * 24;
	assert_int_equal(pa_stackmemo_find(m, 1, frames, 32), 0);
	pa_stackmemo_put(m, 1, frames, 32, 7);
	assert_int_equal(pa_stackmemo_find(m, 1, frames, 32), 7);
	assert_int_equal(pa_stackmemo_find(m, 2, frames, 32), 0);
	assert_int_equal(pa_stackmemo_find(m, 1, frames, 31), 0);
	assert_int_equal(pa_stackmemo_find(m, 1, frames, 33), 0);
	for (size_t i = 0; i < 32; i++) {
		frames[i] ^= 1;
		assert_int_equal(pa_stackmemo_find(m, 1, frames, 32), 0);
		frames[i] ^= 1;
	}
	pa_stackmemo_put(m, 1, frames, 32, 8);
	assert_int_equal(pa_stackmemo_find(m, 1, frames, 32), 8);
	pa_stackmemo_free(m);
}

static void memo_is_bounded_and_never_wrong(void **state)
{
	struct pa_stackmemo *m = pa_stackmemo_new(8, 4);
	uint64_t frames[5] = {0};
	size_t found = 0;

	for (uint32_t i = 1; i <= 1000; i++) {
		frames[0] = i;
		pa_stackmemo_put(m, 0, frames, 1 + i % 4, i);
	}
	for (uint32_t i = 1; i <= 1000; i++) {
		uint32_t id;

		frames[0] = i;
		id = pa_stackmemo_find(m, 0, frames, 1 + i % 4);
		assert_true(id == 0 || id == i);
		found += id != 0;
	}
	assert_in_range(found, 1, 8);
	pa_stackmemo_put(m, 0, frames, 5, 9); /* deeper than it takes */
	assert_int_equal(pa_stackmemo_find(m, 0, frames, 5), 0);
	pa_stackmemo_free(m);
	assert_null(pa_stackmemo_new(0, 1));
	assert_null(pa_stackmemo_new(1, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ids_are_dense_from_two_and_new_once),
	    cmocka_unit_test(other_exists_from_the_start),
	    cmocka_unit_test(stacks_lead_back_to_their_root),
	    cmocka_unit_test(limit_folds_into_other_and_counts),
	    cmocka_unit_test(ids_never_given_out_fold),
	    cmocka_unit_test(many_regular_frames_keep_their_ids),
	    cmocka_unit_test(memo_finds_only_the_very_same_stack),
	    cmocka_unit_test(memo_is_bounded_and_never_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
