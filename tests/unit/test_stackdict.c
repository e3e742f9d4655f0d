/* The dictionary of stacks: ids in the order of definition, through growth and forgetting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/heap_memory_hook.h"
#include "agent/stackdict_hook.h"
#include "tests/unit/heap_area_util.h"

static uint32_t define(struct pa_stackdict *d, uint32_t parent, uint64_t frame)
{
	uint32_t id = pa_stackdict_get(d, parent, frame);

	if (id)
		return id;
	if (pa_stackdict_full(d) && !pa_stackdict_grow_hook(d))
		return 0;
	return pa_stackdict_put_hook(d, parent, frame);
}

static uint64_t frame_of(uint32_t i)
{
	return UINT64_C(0x7f0000001000) + i % 1000 * 0x21;
}

/* Node i + 1 hangs on one of the nodes before it. */
static uint32_t parent_of(uint32_t i)
{
	return i < 1000 ? 0 : i * 2654435761u % i;
}

static void drop(struct pa_stackdict *d)
{
	pa_heap_unmap_hook(d->nodes, pa_stackdict_bytes(d->slots));
	*d = (struct pa_stackdict){0};
}

static void ids_are_numbered_and_stay_through_growth(void **state)
{
	_Atomic uint64_t home = 0;
	struct pa_stackdict d = {.home = &home}, again;
	uint32_t nr = PA_STACKDICT_MOST / 2 - 1;

	assert_true(pa_stackdict_grow_hook(&d));
	for (uint32_t i = 0; i < nr; i++) {
		uint32_t before = d.nr, id = define(&d, parent_of(i), frame_of(i));

		assert_true(id == before + 1 || (id && id <= before));
		assert_int_equal(define(&d, parent_of(i), frame_of(i)), id);
	}
	for (uint32_t i = nr; i-- > 0;)
		assert_true(define(&d, parent_of(i), frame_of(i)) <= d.nr);
	/* what a child would find of it */
	again = pa_stackdict_at(&home);
	assert_ptr_equal(again.nodes, d.nodes);
	assert_ptr_equal(again.table, d.table);
	assert_int_equal(again.slots, d.slots);
	drop(&d);
}

static void a_full_one_says_so_and_goes_on_after_it_was_cleared(void **state)
{
	struct pa_stackdict d = {0};
	uint32_t last = 0;

	assert_true(pa_stackdict_grow_hook(&d));
	for (uint32_t i = 0; i < PA_STACKDICT_MOST / 2 - 1; i++)
		last = define(&d, last, 0x400000);
	assert_int_equal(last, PA_STACKDICT_MOST / 2 - 1);
	assert_int_equal(define(&d, last, 0x400000), 0);
	assert_int_equal(define(&d, 0, 0x400000), 1); /* what it has it still finds */
	for (int round = 0; round < 5; round++) {
		pa_stackdict_clear_hook(&d);
		assert_int_equal(define(&d, 0, 0x500000), 1);
		assert_int_equal(define(&d, 0, 0x400000), 2);
		assert_int_equal(define(&d, 1, 0x400000), 3);
		assert_int_equal(define(&d, 0, 0x500000), 1);
	}
	drop(&d);
}

static void numbers_may_run_out(void **state)
{
	struct pa_stackdict d = {0};

	assert_true(pa_stackdict_grow_hook(&d));
	assert_int_equal(define(&d, 0, 0x1000), 1);
	d.base = INT32_MAX - 1; /* as if so many had been defined before */
	d.nr = 0;
	assert_int_equal(define(&d, 0, 0x2000), 1);
	assert_int_equal(define(&d, 1, 0x2000), 2);
	pa_stackdict_clear_hook(&d);
	assert_int_equal(d.base, 0);
	assert_int_equal(define(&d, 0, 0x3000), 1);
	assert_int_equal(define(&d, 1, 0x2000), 2);
	assert_int_equal(define(&d, 0, 0x2000), 3);
	drop(&d);
}

static void memory_is_counted_and_bounded(void **state)
{
	void *at[64];
	size_t nr = 0;

	memset(&area_control, 0, sizeof(area_control));
	pa_mapping.control = &area_control;
	while (nr < 64 && (at[nr] = pa_heap_map_hook(1 << 20)))
		nr++;
	assert_int_equal(nr, PA_HEAP_MEMORY_MAX >> 20);
	assert_int_equal(pa_load_relaxed(&area_control.heap_own_bytes), PA_HEAP_MEMORY_MAX);
	while (nr > 0)
		pa_heap_unmap_hook(at[--nr], 1 << 20);
	assert_int_equal(pa_load_relaxed(&area_control.heap_own_bytes), 0);
	at[0] = pa_heap_map_hook(4096);
	assert_non_null(at[0]);
	pa_heap_unmap_hook(at[0], 4096);
	pa_mapping.control = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ids_are_numbered_and_stay_through_growth),
	    cmocka_unit_test(a_full_one_says_so_and_goes_on_after_it_was_cleared),
	    cmocka_unit_test(numbers_may_run_out),
	    cmocka_unit_test(memory_is_counted_and_bounded),
	};

	return cmocka_run_group_tests_name("stackdict", tests, NULL, NULL);
}
