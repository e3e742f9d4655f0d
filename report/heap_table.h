/* Who allocates: rows of the memory tables. World: plain.
 *
 * An allocation belongs to the function that asked for it: the first one from the leaf that is no wrapper around the
 * allocator (operator new, parts of the C++ library, strdup, xmalloc and the like). What such wrappers are called from
 * is what a reader looks for; stacks and flame graphs show them all the same. */
#ifndef PA_REPORT_HEAP_TABLE_H
#define PA_REPORT_HEAP_TABLE_H

#include "report/model.h"

enum pa_heap_sort {
	PA_HEAP_SORT_BYTES,
	PA_HEAP_SORT_CALLS,
	PA_HEAP_SORT_LIVE,
	PA_HEAP_SORT_PEAK,
	PA_HEAP_SORT_TEMPORARY,
	PA_HEAP_SORT_BAD,
};
/* NULL: bytes. */
enum pa_heap_sort pa_heap_sort_find(const char *name);
/* What the rows are sorted by. Live memory that became less than nothing (of a window, or by lost events) is 0. */
uint64_t pa_heap_sort_value(const struct pa_heap_sum *sum, enum pa_heap_sort sort);

struct pa_heap_row {
	uint32_t function, file, line; /* strings; of a function row: the line of it with most */
	uint32_t module;               /* index */
	uint32_t thread;          /* index, by thread only: calls, bytes, frees and freed of self are what it did */
	uint32_t stack;           /* index, by stack only */
	struct pa_heap_sum self;  /* asked for by it */
	struct pa_heap_sum total; /* and by what it called; a stack counts once */
};

struct pa_heap_table {
	struct pa_heap_row *rows; /* largest first */
	size_t nr;
};

/* Errors: -ENOMEM. */
int pa_heap_table_build(const struct pa_report *r, enum pa_by by, enum pa_heap_sort sort, struct pa_heap_table *t);
/* By stack from who asked for the memory on. */
int pa_heap_table_askers(const struct pa_report *r, enum pa_heap_sort sort, struct pa_heap_table *t);
void pa_heap_table_fini(struct pa_heap_table *t);

/* Whether temporary allocations were counted: what a thread did next is known in exact mode only. */
bool pa_heap_knows_temporary(const struct pa_report *r);

/* The level (index into r->levels) that an allocation of this stack belongs to; *module is the index of its module. */
size_t pa_heap_owner(const struct pa_report *r, uint32_t stack, uint32_t *module);
/* Whether a function only hands on what its caller asked for. */
bool pa_heap_is_wrapper(const char *function);

/* Which stacks read the same: number[i] is equal for stacks whose functions, files and lines are, from 1; 0 for [0].
 * askers: wrappers at the leaf are not looked at, see pa_heap_owner.
 * Shapes: number has r->nr_stacks elements, the caller frees it. Errors: NULL: out of memory. */
uint32_t *pa_stacks_by_name(const struct pa_report *r, bool askers);

#endif
