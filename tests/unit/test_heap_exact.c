/* What exact heap mode writes, read back: every event once, in order, with the stack that a walk without memory or
 * dictionary finds; through epochs, full rings, changes of hands and forks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/heap_thread_hook.h"
#include "agent/rules_sig.h"
#include "tests/unit/heap_area_util.h"
#include "tests/unit/wander.h"

extern void *__libc_stack_end;

#define NODES_MAX 70000
#define MAX       512

static struct pa_block block;
static struct pa_walk_info info;
static uint64_t truth[MAX];
static size_t nr_truth;
static volatile int sink;

/* The reader: what the records of ring 0 say. */
static struct {
	uint64_t frame[NODES_MAX];
	uint32_t parent[NODES_MAX];
	uint32_t nr;
	uint64_t ticks;
	unsigned epochs, owners, times;
} seen;

static void fill_room(void)
{
	while (pa_heap_ring_reserve(&pa_tls.heap->ring, 24, false)) {
		struct pa_heap_map *r = pa_heap_ring_reserve(&pa_tls.heap->ring, 24, false);

		memset(r, 0, 24);
		pa_heap_head_set(r, 24, PA_HR_UNMAP, 0);
		pa_heap_ring_commit(&pa_tls.heap->ring, 24);
	}
}

/* Takes the next event out of the ring, definitions and clocks before it included. */
static const struct pa_heap_head *next_event(void)
{
	const struct pa_heap_head *head;

	while ((head = area_read(0))) {
		const struct pa_heap_node *node = (const struct pa_heap_node *)head;

		seen.ticks += head->delta;
		switch (head->type) {
		case PA_HR_OWNER:
			seen.ticks = ((const struct pa_heap_owner *)head)->ticks;
			seen.owners++;
			seen.nr = 0;
			break;
		case PA_HR_TIME:
			seen.ticks = ((const struct pa_heap_time *)head)->ticks;
			seen.times++;
			break;
		case PA_HR_EPOCH:
			seen.epochs++;
			seen.nr = 0;
			break;
		case PA_HR_NODE:
			assert_int_equal(node->id, seen.nr + 1);
			assert_true(node->parent < node->id);
			assert_true(node->id < NODES_MAX);
			seen.nr = node->id;
			seen.frame[node->id] = node->frame;
			seen.parent[node->id] = node->parent;
			break;
		default:
			return head;
		}
	}
	return NULL;
}

static void stack_is_the_truth(uint32_t node)
{
	for (size_t i = 0; i < nr_truth; i++) {
		assert_true(node > 0 && node <= seen.nr);
		assert_int_equal(seen.frame[node], truth[i]);
		node = seen.parent[node];
	}
	assert_int_equal(node, 0);
}

static void alloc_was(const void *p, size_t size)
{
	const struct pa_heap_alloc *r = (const struct pa_heap_alloc *)next_event();

	assert_non_null(r);
	assert_int_equal(r->head.type, PA_HR_ALLOC);
	assert_int_equal(r->address, (uint64_t)(uintptr_t)p);
	assert_int_equal(r->size, size);
	assert_int_equal(seen.ticks, area_ticks);
	stack_is_the_truth(r->node);
}

static void free_was(const void *p, uint64_t ticks)
{
	const struct pa_heap_freed *r = (const struct pa_heap_freed *)next_event();

	assert_non_null(r);
	assert_int_equal(r->head.type, PA_HR_FREE);
	assert_int_equal(r->address, (uint64_t)(uintptr_t)p);
	assert_int_equal(seen.ticks, ticks);
}

static void *address(void)
{
	return (void *)(uintptr_t)(0x10000 + (uint64_t)rand() * 16);
}

/* One event of each kind now and then, compared at once. */
static __attribute__((noinline)) void event(void)
{
	PA_HEAP_CALLER(caller);
	void *p = address(), *q = address();
	uint64_t stamp;

	nr_truth = pa_walk_here_sig(caller.pc, caller.sp, caller.fp, &block.stack, truth, MAX, &info);
	area_ticks += (uint64_t)rand() % 100000;
	switch (rand() % 6) {
	case 0:
		pa_exact_free_hook(p);
		free_was(p, area_ticks);
		break;
	case 1:
		stamp = pa_exact_stamp_hook();
		area_ticks += 500;
		pa_exact_realloc_hook(p, stamp, q, 77, &caller);
		free_was(p, stamp);
		alloc_was(q, 77);
		break;
	default:
		pa_exact_alloc_hook(p, 100, &caller);
		alloc_was(p, 100);
	}
}

static unsigned events_left;

static bool any_left(void)
{
	return events_left > 0;
}

static void one_or_two(void)
{
	events_left--;
	event();
	if (rand() % 2)
		event();
}

static int setup(void **state)
{
	uint64_t top = (uint64_t)(uintptr_t)__libc_stack_end;

	area_make(2, 1 << 20);
	memset(&seen, 0, sizeof(seen));
	memset(&block, 0, sizeof(block));
	area_is_mine = true;
	block.stack = (struct pa_stack_bounds){top - (UINT64_C(8) << 20), top};
	pa_tls.block = &block;
	wander_goes_on = any_left;
	wander_visit = one_or_two;
	srand(20261121);
	return pa_walk_init();
}

static int teardown(void **state)
{
	pa_exact_leave_hook();
	area_drop();
	return 0;
}

static void every_event_has_its_stack(void **state)
{
	unsigned flushes = 0;

	for (int round = 0; round < 400; round++) {
		events_left = 50;
		while (events_left)
			functions[rand() % FUNCTIONS]((unsigned)rand() % 40);
		if (round % 50 == 49) {
			pa_walk_flush_sig(); /* as after dlclose */
			flushes++;
		}
	}
	events_left = 1;
	functions[0](0);
	assert_int_equal(pa_load_relaxed(&pa_heap_area.lines[0].out.lost_full), 0);
	assert_int_equal(seen.owners, 1);
	assert_true(seen.epochs > 0 && seen.epochs <= flushes);
}

static __attribute__((noinline)) void deep(unsigned depth)
{
	if (depth)
		deep(depth - 1);
	else
		event();
	sink++;
}

static __attribute__((noinline)) void alloc_here(const void *p, size_t size)
{
	PA_HEAP_CALLER(caller);

	nr_truth = pa_walk_here_sig(caller.pc, caller.sp, caller.fp, &block.stack, truth, MAX, &info);
	pa_exact_alloc_hook(p, size, &caller);
}

static __attribute__((noinline)) void alloc_deep(unsigned depth)
{
	if (depth)
		alloc_deep(depth - 1);
	else
		alloc_here((void *)0x1000, 5);
	sink++;
}

/* The leaf-most 480 frames, a mark, and the root as it was seen before. */
static void a_stack_too_deep_is_cut_in_the_middle(void **state)
{
	const struct pa_heap_alloc *r;
	uint32_t node;
	unsigned nr = 0;

	deep(100);
	for (int i = 0; i < 3; i++) {
		alloc_deep(900);
		r = (const struct pa_heap_alloc *)next_event();
		assert_non_null(r);
		node = r->node;
		for (nr = 0; nr < PA_FRAMES_LEAF; nr++, node = seen.parent[node])
			assert_int_equal(seen.frame[node], truth[nr]);
		assert_int_equal(seen.frame[node], PA_FRAME_TRUNCATED);
		for (nr = 0; node; node = seen.parent[node])
			nr++;
		assert_true(nr > 1 && nr <= 1 + PA_ROOT_FRAMES);
	}
	alloc_deep(10);
	alloc_was((void *)0x1000, 5);
}

static void sizes_of_4_gib_and_more_are_exact(void **state)
{
	const struct pa_heap_alloc_large *r;

	alloc_here((void *)0x1000, UINT32_MAX);
	alloc_was((void *)0x1000, UINT32_MAX);
	alloc_here((void *)0x1000, (size_t)UINT32_MAX + 1);
	r = (const struct pa_heap_alloc_large *)next_event();
	assert_non_null(r);
	assert_int_equal(r->head.type, PA_HR_ALLOC_LARGE);
	assert_int_equal(r->size, (size_t)UINT32_MAX + 1);
	stack_is_the_truth(r->node);
}

static void long_pauses_are_bridged_by_a_time_record(void **state)
{
	alloc_here((void *)0x1000, 1);
	alloc_was((void *)0x1000, 1);
	area_ticks += UINT64_C(1) << 31;
	pa_exact_free_hook((void *)0x1000);
	free_was((void *)0x1000, area_ticks);
	assert_int_equal(seen.times, 1);
	area_ticks += UINT64_C(1) << 40;
	alloc_here((void *)0x1000, 1);
	alloc_was((void *)0x1000, 1);
	assert_int_equal(seen.times, 2);
	/* many events, none far from the one before it: the clock is set all the same */
	for (int i = 0; i < 5; i++) {
		area_ticks += UINT64_C(1) << 29;
		alloc_here((void *)0x1000, 1);
		alloc_was((void *)0x1000, 1);
	}
	assert_int_equal(seen.times, 3);
}

static void figures_are_asked_for_once_a_time_record(void **state)
{
	area_figures = 0;
	for (int i = 0; i < 3; i++) {
		alloc_here((void *)0x1000, 100); /* from the thread's cache, perhaps: not at such a time */
		assert_int_equal(area_figures, i);
		alloc_here((void *)0x1000, 5000);
		alloc_here((void *)0x1000, 5000);
		alloc_here((void *)0x1000, 5000);
		assert_int_equal(area_figures, i + 1);
		area_ticks += UINT64_C(1) << 31;
	}
}

static void a_clock_that_goes_back_stands_still(void **state)
{
	const struct pa_heap_freed *r;

	alloc_here((void *)0x1000, 1);
	alloc_was((void *)0x1000, 1);
	area_ticks -= 300;
	pa_exact_free_hook((void *)0x1000);
	r = (const struct pa_heap_freed *)next_event();
	assert_non_null(r);
	assert_int_equal(r->head.delta, 0);
}

static void a_full_dictionary_begins_anew(void **state)
{
	struct pa_heap_thread *t;
	unsigned made = 0;

	alloc_here((void *)0x1000, 1);
	alloc_was((void *)0x1000, 1);
	t = pa_tls.heap;
	/* other stacks by the thousand, as a parser that recurses would have */
	while (seen.epochs == 0 && made < 2 * PA_STACKDICT_MOST) {
		while (!pa_stackdict_full(&t->dict)) {
			seen.nr = pa_stackdict_put_hook(&t->dict, 1, 0x600000 + made++);
		}
		deep(rand() % 40 + 1);
	}
	assert_int_equal(seen.epochs, 1);
	assert_true(made >= PA_STACKDICT_MOST / 4);
	deep(7);
}

/* Without room nothing of a new stack is defined, nor anything used that was not. */
static void lost_definitions_are_made_up_for(void **state)
{
	struct pa_heap_line *line = &pa_heap_area.lines[0];

	alloc_deep(3);
	alloc_was((void *)0x1000, 5);
	fill_room();
	alloc_deep(30);
	alloc_deep(31);
	pa_walk_flush_sig();
	alloc_deep(30);
	assert_int_equal(pa_load_relaxed(&line->out.lost_full), 3);
	assert_int_equal(pa_load_relaxed(&line->out.lost_weight), 0);
	while (next_event())
		;
	alloc_deep(31);
	alloc_was((void *)0x1000, 5);
	alloc_deep(30);
	alloc_was((void *)0x1000, 5);
	assert_int_equal(seen.epochs, 1);
}

static void without_a_ring_events_are_counted(void **state)
{
	struct pa_heap_ring one, two;

	assert_true(pa_heap_ring_claim_hook(&one, 1, 1));
	assert_true(pa_heap_ring_claim_hook(&two, 1, 2));
	alloc_here((void *)0x1000, 1);
	pa_exact_free_hook((void *)0x1000);
	assert_int_equal(pa_exact_stamp_hook(), 0);
	assert_int_equal(pa_load_relaxed(&area_control.heap_unrecorded), 3);
	pa_store_relaxed(&pa_heap_area.lines[0].in.owner, 0); /* the collector has freed it */
	alloc_here((void *)0x1000, 1);
	assert_null(pa_tls.heap); /* not so soon */
	area_ticks += 20000000;
	alloc_here((void *)0x1000, 1);
	assert_non_null(pa_tls.heap);
	assert_int_equal(pa_load_relaxed(&area_control.heap_unrecorded), 4);
}

static void a_vfork_child_claims_nothing(void **state)
{
	area_is_mine = false;
	alloc_here((void *)0x1000, 1);
	assert_null(pa_tls.heap);
	assert_int_equal(pa_load_relaxed(&pa_heap_area.lines[0].in.owner), 0);
	assert_int_equal(pa_load_relaxed(&area_control.heap_unrecorded), 1);
}

static void memory_and_ring_go_to_the_next_thread(void **state)
{
	struct pa_heap_thread *first;

	deep(5);
	first = pa_tls.heap;
	pa_exact_leave_hook();
	pa_exact_leave_hook();
	assert_null(pa_tls.heap);
	deep(6);
	assert_ptr_equal(pa_tls.heap, first);
	assert_int_equal(seen.owners, 2);
	deep(5);
}

/* A child that nobody told finds its memory wiped: it writes into a ring of its own. */
static void a_child_by_any_fork_has_its_own_ring(void **state)
{
	uint64_t head, owned = pa_load_relaxed(&area_control.heap_own_bytes);
	int status;
	pid_t child;

	deep(5);
	head = pa_load_relaxed(&pa_heap_area.lines[0].out.head);
	for (int told = 0; told < 2; told++) {
		struct pa_heap_line *line = &pa_heap_area.lines[1];

		child = fork();
		if (child == 0) {
			uint64_t before = pa_load_relaxed(&area_control.heap_own_bytes);

			if (told)
				pa_exact_forget_hook();
			alloc_deep(5);
			alloc_deep(9);
			_exit(pa_load_relaxed(&area_control.heap_own_bytes) != before);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0); /* and it mapped nothing of its own */
		assert_int_equal(pa_load_relaxed(&line->in.owner) >> 32, child);
		assert_int_equal(pa_load_relaxed(&line->out.records), 2 * (told + 1));
		assert_int_equal(pa_load_relaxed(&pa_heap_area.lines[0].out.head), head);
		pa_store_relaxed(&line->in.owner, 0);
	}
	deep(5);
	assert_true(pa_load_relaxed(&area_control.heap_own_bytes) >= owned);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    CASE(every_event_has_its_stack),
	    CASE(a_stack_too_deep_is_cut_in_the_middle),
	    CASE(sizes_of_4_gib_and_more_are_exact),
	    CASE(long_pauses_are_bridged_by_a_time_record),
	    CASE(figures_are_asked_for_once_a_time_record),
	    CASE(a_clock_that_goes_back_stands_still),
	    CASE(a_full_dictionary_begins_anew),
	    CASE(lost_definitions_are_made_up_for),
	    CASE(without_a_ring_events_are_counted),
	    CASE(a_vfork_child_claims_nothing),
	    CASE(memory_and_ring_go_to_the_next_thread),
	    CASE(a_child_by_any_fork_has_its_own_ring),
	};

	return cmocka_run_group_tests_name("heap_exact", tests, NULL, NULL);
}
