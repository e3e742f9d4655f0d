/* Self and total time per function, line, module or thread.
 *
 * Stacks are a tree. Subtree sums go up once (children have larger indices than their parents), then one walk over the
 * tree adds the subtree of a node to each row whose key appears there for the first time on the way from the root. So
 * recursion counts once, and the cost is one step per node and level, whatever the number of samples or the depth. */
#include "report/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "report/level_rows.h"

struct build {
	const struct pa_report *r;
	const struct pa_entries *e;
	struct pa_table *t;
	struct pa_level_rows levels;
	uint32_t *on_path; /* per row: how often it is on the way from the root to the present node */
	struct pa_sum *own, *subtree;
	uint32_t *first, *next; /* per stack: first child, next sibling; 0: none */
};

static void add(struct pa_sum *to, const struct pa_sum *what)
{
	to->weight += what->weight;
	to->ns += what->ns;
	to->signals += what->signals;
}

/* The rows, empty, under their names. */
static bool make_rows(struct build *b, enum pa_by by)
{
	struct pa_table *t = b->t;
	if (pa_level_rows_init(b->r, by, &b->levels) || !(t->rows = calloc(b->levels.nr + 1, sizeof(*t->rows))))
		return false;
	for (; t->nr < b->levels.nr; t->nr++) {
		const struct pa_level_row *l = &b->levels.rows[t->nr];
		t->rows[t->nr] =
		    (struct pa_row){.function = l->function, .file = l->file, .line = l->line, .module = l->module};
	}
	return true;
}

static void sum_subtrees(struct build *b)
{
	const struct pa_report *r = b->r;
	for (size_t i = 0; i < b->e->nr; i++)
		add(&b->own[b->e->entries[i].stack], &b->e->entries[i].sum);
	memcpy(b->subtree, b->own, r->nr_stacks * sizeof(*b->own));
	for (size_t i = r->nr_stacks - 1; i > 0; i--) {
		uint32_t parent = r->stacks[i].parent;
		if (parent)
			add(&b->subtree[parent], &b->subtree[i]);
		b->next[i] = b->first[parent];
		b->first[parent] = (uint32_t)i;
	}
}

static void enter(struct build *b, uint32_t node)
{
	const struct pa_report_frame *f = &b->r->frames[b->r->stacks[node].frame];
	for (uint32_t k = 0; k < f->nr; k++) {
		uint32_t row = b->levels.of[f->first + k];
		if (!b->on_path[row]++)
			add(&b->t->rows[row].total, &b->subtree[node]);
	}
	add(&b->t->rows[b->levels.of[f->first]].self, &b->own[node]);
}

static void leave(struct build *b, uint32_t node)
{
	const struct pa_report_frame *f = &b->r->frames[b->r->stacks[node].frame];
	for (uint32_t k = 0; k < f->nr; k++)
		b->on_path[b->levels.of[f->first + k]]--;
}

/* Preorder without recursion: down to the first child, else on to the next sibling of the nearest ancestor that has
 * one. */
static void walk(struct build *b)
{
	uint32_t node = b->first[0];
	while (node) {
		enter(b, node);
		uint32_t to = b->first[node];
		while (!to && node) {
			leave(b, node);
			to = b->next[node];
			node = b->r->stacks[node].parent;
		}
		node = to;
	}
}

static bool prepare(struct build *b)
{
	const struct pa_report *r = b->r;
	b->own = calloc(r->nr_stacks, sizeof(*b->own));
	b->subtree = calloc(r->nr_stacks, sizeof(*b->subtree));
	b->first = calloc(r->nr_stacks, sizeof(*b->first));
	b->next = calloc(r->nr_stacks, sizeof(*b->next));
	return b->own && b->subtree && b->first && b->next;
}

static void fini(struct build *b)
{
	pa_level_rows_fini(&b->levels);
	free(b->on_path);
	free(b->own);
	free(b->subtree);
	free(b->first);
	free(b->next);
}

/* Rows in the order of the levels, unsorted. */
static int build(const struct pa_report *r, const struct pa_entries *e, enum pa_by by, struct pa_table *t)
{
	struct build b = {.r = r, .e = e, .t = t};
	int err = -ENOMEM;

	if (!prepare(&b) || !make_rows(&b, by) || !(b.on_path = calloc(t->nr + 1, sizeof(*b.on_path))))
		goto out;
	sum_subtrees(&b);
	walk(&b);
	enter(&b, 0); /* samples of a stack that the recording does not hold: one frame, [unknown] */
	err = 0;
out:
	fini(&b);
	return err;
}

static int order(const void *left, const void *right, void *arg)
{
	const struct pa_row *a = left, *b = right;
	const struct pa_report *r = arg;
	if (a->self.ns != b->self.ns)
		return a->self.ns < b->self.ns ? 1 : -1;
	if (a->total.ns != b->total.ns)
		return a->total.ns < b->total.ns ? 1 : -1;
	int names = strcmp(pa_text(r, a->function), pa_text(r, b->function));
	if (!names)
		names = strcmp(pa_text(r, r->modules[a->module].path), pa_text(r, r->modules[b->module].path));
	if (!names)
		names = strcmp(pa_text(r, a->file), pa_text(r, b->file));
	if (names)
		return names;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return a->thread < b->thread ? -1 : a->thread > b->thread;
}

static void drop_empty(struct pa_table *t)
{
	size_t kept = 0;
	for (size_t i = 0; i < t->nr; i++)
		if (t->rows[i].total.weight)
			t->rows[kept++] = t->rows[i];
	t->nr = kept;
}

static void finish(const struct pa_report *r, struct pa_table *t)
{
	drop_empty(t);
	if (t->nr)
		qsort_r(t->rows, t->nr, sizeof(*t->rows), order, (void *)r);
}

/* Each function row names the line of it that took most: the lines come in that order. */
static int hottest_lines(const struct pa_report *r, const struct pa_entries *e, struct pa_table *functions)
{
	struct pa_table lines = {0};
	struct pa_map map = {0};
	int err = build(r, e, PA_BY_LINE, &lines);
	if (err)
		goto out;
	finish(r, &lines);
	err = -ENOMEM;
	for (size_t i = 0; i < lines.nr; i++) {
		uint32_t *at = pa_map_at(&map, pa_pair(lines.rows[i].function, lines.rows[i].module), 0);
		if (!at)
			goto out;
		if (!*at && lines.rows[i].line)
			*at = (uint32_t)i + 1;
	}
	for (size_t i = 0; i < functions->nr; i++) {
		struct pa_row *f = &functions->rows[i];
		uint32_t *at = pa_map_at(&map, pa_pair(f->function, f->module), 0);
		if (!at)
			goto out;
		if (*at) {
			f->file = lines.rows[*at - 1].file;
			f->line = lines.rows[*at - 1].line;
		}
	}
	err = 0;
out:
	pa_map_fini(&map);
	pa_table_fini(&lines);
	return err;
}

static int by_thread(const struct pa_report *r, struct pa_table *t)
{
	t->rows = calloc(r->nr_threads, sizeof(*t->rows));
	if (!t->rows)
		return -ENOMEM;
	for (size_t i = 0; i < r->nr_threads; i++) {
		const struct pa_report_thread *th = &r->threads[i];
		if (!th->sum.weight && !th->cpu_ns)
			continue;
		t->rows[t->nr++] =
		    (struct pa_row){.function = th->name, .thread = (uint32_t)i, .self = th->sum, .total = th->sum};
	}
	if (t->nr)
		qsort_r(t->rows, t->nr, sizeof(*t->rows), order, (void *)r);
	return 0;
}

int pa_table_build(const struct pa_report *r, const struct pa_entries *e, enum pa_by by, struct pa_table *t)
{
	int err = -EINVAL;
	memset(t, 0, sizeof(*t));
	if (by == PA_BY_THREAD) {
		if (e->unit == PA_UNIT_CPU)
			err = by_thread(r, t);
	} else if (by < PA_BY_THREAD) {
		err = build(r, e, by, t);
		if (!err)
			finish(r, t);
		if (!err && by == PA_BY_FUNCTION)
			err = hottest_lines(r, e, t);
	}
	if (err)
		pa_table_fini(t);
	return err;
}

void pa_table_fini(struct pa_table *t)
{
	free(t->rows);
	*t = (struct pa_table){0};
}

enum pa_by pa_by_find(const char *name)
{
	static const char *const names[] = {"function", "line", "module", "thread", "stack"};
	for (int i = PA_BY_FUNCTION; i < PA_BY_BAD; i++)
		if (!strcmp(name, names[i]))
			return (enum pa_by)i;
	return PA_BY_BAD;
}
