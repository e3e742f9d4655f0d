#include "report/diff.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/heap_table.h"

struct match {
	struct pa_diff *d;
	struct pa_map functions; /* (function, module) -> row + 1 */
	struct pa_map names;     /* (function, module) -> number of that name */
	struct pa_map nodes;     /* (parent, name) -> node of the tree of all stacks */
	struct pa_map stacks;    /* node -> row + 1 */
	uint32_t nr_names, nr_nodes;
	size_t function_capacity, stack_capacity;
};

static uint64_t key_of(struct match *m, const struct pa_report *r, uint32_t function, uint32_t module)
{
	uint32_t name = pa_pool_add(m->d->strings, pa_text(r, function));
	return pa_pair(name, pa_pool_add(m->d->strings, pa_text(r, r->modules[module].base)));
}

static struct pa_diff_row *row_in(struct match *m, struct pa_map *map, uint64_t key, struct pa_diff_row **rows,
				  size_t *nr, size_t *capacity)
{
	uint32_t *at = pa_map_at(map, key, 1);
	if (!at || (!*at && !pa_grow((void **)rows, capacity, *nr, sizeof(**rows))))
		return NULL;
	if (!*at) {
		(*rows)[*nr] = (struct pa_diff_row){0};
		*at = (uint32_t)++ * nr;
	}
	return &(*rows)[*at - 1];
}

static struct pa_diff_row *function_row(struct match *m, const struct pa_report *r, uint32_t function, uint32_t module)
{
	struct pa_diff *d = m->d;
	uint64_t key = key_of(m, r, function, module);
	struct pa_diff_row *row = row_in(m, &m->functions, key, &d->functions, &d->nr_functions, &m->function_capacity);
	if (row) {
		row->function = pa_pool_get(d->strings, (uint32_t)key);
		row->module = pa_pool_get(d->strings, (uint32_t)(key >> 32));
	}
	return row;
}

/* Node of a stack in the tree that both recordings share; 0: out of memory. place: per stack of r, filled in parents
 * first. */
static uint32_t node_of(struct match *m, const struct pa_report *r, uint32_t stack, const uint32_t *place)
{
	const struct pa_report_frame *f = &r->frames[r->stacks[stack].frame];
	uint32_t node = place[r->stacks[stack].parent];
	for (uint32_t k = f->nr; k--;) {
		uint32_t *name = pa_map_at(&m->names, key_of(m, r, r->levels[f->first + k].function, f->module), 0);
		if (name && !*name)
			*name = ++m->nr_names;
		uint32_t *at = name ? pa_map_at(&m->nodes, pa_pair(node, *name), 0) : NULL;
		if (!at)
			return 0;
		if (!*at)
			*at = ++m->nr_nodes;
		node = *at;
	}
	return node;
}

static uint32_t *place_stacks(struct match *m, const struct pa_report *r)
{
	uint32_t *place = calloc(r->nr_stacks, sizeof(*place));
	for (uint32_t i = 1; place && i < r->nr_stacks; i++) {
		place[i] = node_of(m, r, i, place);
		if (!place[i]) {
			free(place);
			place = NULL;
		}
	}
	return place;
}

static void add_sum(struct pa_diff_row *row, int side, const struct pa_heap_sum *s)
{
	row->live[side] += s->live;
	row->calls[side] += s->calls;
	row->bytes[side] += s->bytes;
	row->peak[side] += s->peak;
	row->var_live[side] += s->var_live;
}

static int add_stacks(struct match *m, int side)
{
	struct pa_diff *d = m->d;
	const struct pa_report *r = d->r[side];
	uint32_t *place = place_stacks(m, r);
	int err = place ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < r->heap.nr_held; i++) {
		const struct pa_report_held *h = &r->heap.held[i];
		uint32_t module;
		const struct pa_report_level *owner = &r->levels[pa_heap_owner(r, h->stack, &module)];
		struct pa_diff_row *function = function_row(m, r, owner->function, module);
		if (function)
			add_sum(function, side, &h->sum);
		struct pa_diff_row *row =
		    row_in(m, &m->stacks, place[h->stack], &d->stacks, &d->nr_stacks, &m->stack_capacity);
		if (!function || !row) {
			err = -ENOMEM;
			break;
		}
		row->function = function->function;
		row->module = function->module;
		row->stack[side] = h->stack;
		add_sum(row, side, &h->sum);
	}
	free(place);
	return err;
}

static int add_cpu(struct match *m, int side)
{
	const struct pa_report *r = m->d->r[side];
	const struct pa_entries e = pa_cpu_entries(r);
	struct pa_table t;
	int err = pa_table_build(r, &e, PA_BY_FUNCTION, &t);
	if (err)
		return err;
	for (size_t i = 0; !err && i < t.nr; i++) {
		struct pa_diff_row *row = t.rows[i].self.ns ? function_row(m, r, t.rows[i].function, t.rows[i].module)
							    : NULL;
		if (row)
			row->cpu[side] += 100.0 * (double)t.rows[i].self.ns / (double)r->sum.ns;
		else if (t.rows[i].self.ns)
			err = -ENOMEM;
	}
	pa_table_fini(&t);
	return err;
}

static int by_name(const struct pa_diff_row *a, const struct pa_diff_row *b)
{
	int is = strcmp(a->function, b->function);
	return is ? is : strcmp(a->module, b->module);
}

/* What grew first, largest first; what shrank last, most of all last. */
static int by_growth(const void *left, const void *right)
{
	const struct pa_diff_row *a = left, *b = right;
	int64_t grew_a = a->live[1] - a->live[0], grew_b = b->live[1] - b->live[0];
	if (grew_a != grew_b)
		return grew_a < grew_b ? 1 : -1;
	if (a->bytes[1] != b->bytes[1])
		return a->bytes[1] < b->bytes[1] ? 1 : -1;
	int is = by_name(a, b);
	return is || a->stack[1] == b->stack[1] ? is : a->stack[1] < b->stack[1] ? -1 : 1;
}

static int by_cpu(const void *left, const void *right)
{
	const struct pa_diff_row *a = left, *b = right;
	double by_a = fabs(a->cpu[1] - a->cpu[0]), by_b = fabs(b->cpu[1] - b->cpu[0]);
	return by_a < by_b ? 1 : by_a > by_b ? -1 : by_name(a, b);
}

static double seconds_of(const struct pa_report *r)
{
	uint64_t to = r->window.to_ns < r->duration_ns ? r->window.to_ns : r->duration_ns;
	return to > r->window.from_ns ? (double)(to - r->window.from_ns) / 1e9 : 0;
}

static int sort_rows(struct pa_diff *d)
{
	d->cpu = calloc(d->nr_functions + 1, sizeof(*d->cpu));
	if (!d->cpu)
		return -ENOMEM;
	size_t kept = 0;
	for (size_t i = 0; i < d->nr_functions; i++) {
		const struct pa_diff_row *row = &d->functions[i];
		if (row->cpu[0] > 0 || row->cpu[1] > 0)
			d->cpu[d->nr_cpu++] = *row;
		if (row->calls[0] || row->calls[1] || row->live[0] || row->live[1])
			d->functions[kept++] = *row;
	}
	d->nr_functions = kept;
	qsort(d->cpu, d->nr_cpu, sizeof(*d->cpu), by_cpu);
	if (d->nr_functions)
		qsort(d->functions, d->nr_functions, sizeof(*d->functions), by_growth);
	if (d->nr_stacks)
		qsort(d->stacks, d->nr_stacks, sizeof(*d->stacks), by_growth);
	return 0;
}

int pa_diff_build(const struct pa_report *base, const struct pa_report *new, struct pa_diff *d)
{
	*d = (struct pa_diff){.r = {base, new}, .strings = pa_pool_new()};
	struct match m = {.d = d};
	int err = d->strings ? 0 : -ENOMEM;

	d->heap = base->heap.recorded && new->heap.recorded;
	d->growth = new->heap.sum.live - base->heap.sum.live;
	for (int side = 0; !err && side < 2; side++) {
		d->seconds[side] = seconds_of(d->r[side]);
		err = add_cpu(&m, side);
		if (!err && d->heap)
			err = add_stacks(&m, side);
	}
	if (!err && pa_pool_failed(d->strings))
		err = -ENOMEM;
	if (!err)
		err = sort_rows(d);
	pa_map_fini(&m.functions);
	pa_map_fini(&m.names);
	pa_map_fini(&m.nodes);
	pa_map_fini(&m.stacks);
	if (err)
		pa_diff_fini(d);
	return err;
}

void pa_diff_fini(struct pa_diff *d)
{
	free(d->functions);
	free(d->stacks);
	free(d->cpu);
	if (d->strings)
		pa_pool_free(d->strings);
	*d = (struct pa_diff){0};
}
