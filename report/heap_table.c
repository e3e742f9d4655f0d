/* One step per stack and level: memory is rows and levels, whatever the number of allocations. */
#include "report/heap_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"
#include "report/level_rows.h"

enum pa_heap_sort pa_heap_sort_find(const char *name)
{
	static const char *const names[] = {"bytes", "calls", "live", "peak", "temporary"};
	for (int i = 0; name && i < PA_HEAP_SORT_BAD; i++)
		if (!strcmp(name, names[i]))
			return (enum pa_heap_sort)i;
	return name ? PA_HEAP_SORT_BAD : PA_HEAP_SORT_BYTES;
}

uint64_t pa_heap_sort_value(const struct pa_heap_sum *sum, enum pa_heap_sort sort)
{
	switch (sort) {
	case PA_HEAP_SORT_CALLS:
		return sum->calls;
	case PA_HEAP_SORT_LIVE:
		return sum->live > 0 ? (uint64_t)sum->live : 0;
	case PA_HEAP_SORT_PEAK:
		return sum->peak;
	case PA_HEAP_SORT_TEMPORARY:
		return sum->temporary;
	default:
		return sum->bytes;
	}
}

bool pa_heap_knows_temporary(const struct pa_report *r)
{
	size_t exact = 0;
	for (size_t i = 0; i < r->heap.nr_processes; i++)
		exact += r->heap.processes[i].mode == PA_HEAP_EXACT;
	return exact > 0;
}

/* Where the qualified name begins in what a demangler wrote: templates come with their return type, and names of
 * glibc's own calls with a prefix. "void std::f<int>(int)" -> "std::f<int>(int)". */
static const char *qualified_name(const char *function)
{
	const char *name = function;
	int depth = 0;
	for (const char *at = function; *at && (*at != '(' || depth || at == name); at++) {
		depth += *at == '<' || *at == '(';
		depth -= *at == '>' || *at == ')';
		if (!depth && !strncmp(at, "operator", 8))
			break; /* blanks and brackets are part of its name */
		if (!depth && *at == ' ')
			name = at + 1;
	}
	return strncmp(name, "__GI_", 5) ? name : name + 5;
}

/* Names that libraries give to functions which allocate for their caller; a * at the end stands for anything. Only
 * names that mean this everywhere: a program's own allocate_something() is what a reader looks for. */
bool pa_heap_is_wrapper(const char *function)
{
	static const char *const names[] = {
	    "operator new*",    "std::*",           "__gnu_cxx::*",      "strdup",           "__strdup",
	    "strndup",          "__strndup",        "xmalloc",           "xcalloc",          "xrealloc",
	    "xstrdup",          "xstrndup",         "xmemdup",           "xzalloc",          "xnmalloc",
	    "x2realloc",        "x2nrealloc",       "ximalloc",          "xicalloc",         "g_malloc*",
	    "g_realloc*",       "g_try_malloc*",    "g_strdup",          "g_slice_alloc*",   "zmalloc",
	    "zcalloc",          "zrealloc",         "ztrymalloc*",       "ztrycalloc*",      "ztryrealloc*",
	    "PyMem_*",          "_PyMem_*",         "PyObject_Malloc",   "PyObject_Calloc",  "PyObject_Realloc",
	    "_PyObject_Malloc", "_PyObject_Calloc", "_PyObject_Realloc", "sqlite3MemMalloc", "sqlite3MemRealloc",
	    "sqlite3Malloc",    "sqlite3Realloc",   "mallocWithAlarm",
	};
	const char *name = qualified_name(function);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t len = strlen(names[i]);
		if (names[i][len - 1] == '*' ? !strncmp(name, names[i], len - 1) : !strcmp(name, names[i]))
			return true;
	}
	return false;
}

size_t pa_heap_owner(const struct pa_report *r, uint32_t stack, uint32_t *module)
{
	const struct pa_report_frame *f = &r->frames[r->stacks[stack].frame];
	size_t leaf = f->first;
	*module = f->module;
	for (uint32_t at = stack; at; at = r->stacks[at].parent) {
		f = &r->frames[r->stacks[at].frame];
		for (uint32_t k = 0; k < f->nr; k++) {
			if (pa_heap_is_wrapper(pa_text(r, r->levels[f->first + k].function)))
				continue;
			if (!f->module) /* [truncated] and the like: the wrapper says more */
				return leaf;
			*module = f->module;
			return f->first + k;
		}
	}
	return leaf;
}

struct numbering {
	const struct pa_report *r;
	struct pa_map nodes, names; /* (parent node, name) and (function, module, file, line), both to numbers */
	uint32_t nr_nodes, nr_names;
};

/* The node of a level on a parent; 0: out of memory. */
static uint32_t node_on(struct numbering *n, uint32_t parent, const struct pa_report_level *l, uint32_t module)
{
	uint32_t *name = pa_map_at(&n->names, pa_pair(l->function, module), pa_pair(l->file, l->line));
	if (name && !*name)
		*name = ++n->nr_names;
	uint32_t *at = name ? pa_map_at(&n->nodes, pa_pair(parent, *name), 0) : NULL;
	if (at && !*at)
		*at = ++n->nr_nodes;
	return at ? *at : 0;
}

uint32_t *pa_stacks_by_name(const struct pa_report *r, bool askers)
{
	struct numbering n = {.r = r};
	uint32_t *whole = calloc(r->nr_stacks, sizeof(*whole)), *asker = calloc(r->nr_stacks, sizeof(*asker));
	bool fine = whole && asker;

	/* parents come before their children */
	for (size_t i = 1; fine && i < r->nr_stacks; i++) {
		const struct pa_report_frame *f = &r->frames[r->stacks[i].frame];
		uint32_t node = whole[r->stacks[i].parent];
		asker[i] = asker[r->stacks[i].parent];
		for (uint32_t k = f->nr; fine && k--;) {
			const struct pa_report_level *l = &r->levels[f->first + k];
			fine = (node = node_on(&n, node, l, f->module)) != 0;
			if (!pa_heap_is_wrapper(pa_text(r, l->function)))
				asker[i] = f->module ? node : 0;
		}
		whole[i] = node;
	}
	for (size_t i = 1; fine && askers && i < r->nr_stacks; i++)
		whole[i] = asker[i] ? asker[i] : whole[i];
	pa_map_fini(&n.nodes);
	pa_map_fini(&n.names);
	free(asker);
	if (!fine)
		free(whole);
	return fine ? whole : NULL;
}

/* ---- building -------------------------------------------------------------------------------------------------- */

struct build {
	const struct pa_report *r;
	struct pa_heap_table *t;
	struct pa_level_rows levels;
	uint32_t *seen; /* per row: the entry + 1 that counted in it last */
};

/* The rows, empty, under their names. */
static bool make_rows(struct build *b, enum pa_by by)
{
	struct pa_heap_table *t = b->t;
	if (pa_level_rows_init(b->r, by, &b->levels) || !(t->rows = calloc(b->levels.nr + 1, sizeof(*t->rows))))
		return false;
	for (; t->nr < b->levels.nr; t->nr++) {
		const struct pa_level_row *l = &b->levels.rows[t->nr];
		t->rows[t->nr] = (struct pa_heap_row){
		    .function = l->function, .file = l->file, .line = l->line, .module = l->module};
	}
	return true;
}

static void add_totals(struct build *b, uint32_t entry, uint32_t stack, const struct pa_heap_sum *sum)
{
	const struct pa_report *r = b->r;
	do {
		const struct pa_report_frame *f = &r->frames[r->stacks[stack].frame];
		for (uint32_t k = 0; k < f->nr; k++) {
			uint32_t row = b->levels.of[f->first + k];
			if (b->seen[row] == entry + 1)
				continue;
			b->seen[row] = entry + 1;
			pa_heap_sum_add(&b->t->rows[row].total, sum);
		}
		stack = r->stacks[stack].parent;
	} while (stack);
}

/* Rows in the order of the levels, unsorted. */
static int build(const struct pa_report *r, enum pa_by by, struct pa_heap_table *t)
{
	struct build b = {.r = r, .t = t};
	int err = -ENOMEM;

	if (!make_rows(&b, by) || !(b.seen = calloc(t->nr + 1, sizeof(*b.seen))))
		goto out;
	for (size_t i = 0; i < r->heap.nr_held; i++) {
		const struct pa_report_held *h = &r->heap.held[i];
		uint32_t module;
		size_t owner = pa_heap_owner(r, h->stack, &module);
		pa_heap_sum_add(&t->rows[b.levels.of[owner]].self, &h->sum);
		add_totals(&b, (uint32_t)i, h->stack, &h->sum);
	}
	err = 0;
out:
	pa_level_rows_fini(&b.levels);
	free(b.seen);
	return err;
}

static int by_thread(const struct pa_report *r, struct pa_heap_table *t)
{
	t->rows = calloc(r->heap.nr_threads + 1, sizeof(*t->rows));
	if (!t->rows)
		return -ENOMEM;
	for (size_t i = 0; i < r->heap.nr_threads; i++) {
		const struct pa_report_heap_thread *h = &r->heap.threads[i];
		struct pa_heap_sum sum = {.calls = h->calls, .bytes = h->bytes, .frees = h->frees, .freed = h->freed};
		t->rows[t->nr++] = (struct pa_heap_row){
		    .function = r->threads[h->thread].name, .thread = h->thread, .self = sum, .total = sum};
	}
	return 0;
}

static int by_stack(const struct pa_report *r, bool askers, struct pa_heap_table *t)
{
	uint32_t *names = pa_stacks_by_name(r, askers), module;
	struct pa_map map = {0};
	size_t capacity = 0;
	int err = names ? 0 : -ENOMEM;
	for (size_t i = 0; !err && i < r->heap.nr_held; i++) {
		const struct pa_report_held *h = &r->heap.held[i];
		uint32_t *at = pa_map_at(&map, names[h->stack], 1);
		err = -ENOMEM;
		if (!at || (!*at && !pa_grow((void **)&t->rows, &capacity, t->nr, sizeof(*t->rows))))
			break;
		if (!*at) {
			const struct pa_report_level *l = &r->levels[pa_heap_owner(r, h->stack, &module)];
			t->rows[t->nr++] = (struct pa_heap_row){.function = l->function,
								.file = l->file,
								.line = l->line,
								.module = module,
								.stack = h->stack};
			*at = (uint32_t)t->nr;
		}
		pa_heap_sum_add(&t->rows[*at - 1].self, &h->sum);
		t->rows[*at - 1].total = t->rows[*at - 1].self;
		err = 0;
	}
	pa_map_fini(&map);
	free(names);
	return err;
}

/* ---- the order ------------------------------------------------------------------------------------------------- */

struct order {
	const struct pa_report *r;
	enum pa_heap_sort sort;
};

static int compare(uint64_t a, uint64_t b)
{
	return a < b ? 1 : a > b ? -1 : 0;
}

static int order(const void *left, const void *right, void *arg)
{
	const struct pa_heap_row *a = left, *b = right;
	const struct order *o = arg;
	const struct pa_report *r = o->r;
	int is = compare(pa_heap_sort_value(&a->self, o->sort), pa_heap_sort_value(&b->self, o->sort));
	if (!is)
		is = compare(pa_heap_sort_value(&a->total, o->sort), pa_heap_sort_value(&b->total, o->sort));
	if (!is)
		is = compare(a->self.bytes, b->self.bytes);
	if (!is)
		is = strcmp(pa_text(r, a->function), pa_text(r, b->function));
	if (!is)
		is = strcmp(pa_text(r, r->modules[a->module].path), pa_text(r, r->modules[b->module].path));
	if (!is)
		is = strcmp(pa_text(r, a->file), pa_text(r, b->file));
	if (!is)
		is = compare(b->line, a->line);
	if (!is)
		is = compare(b->thread, a->thread);
	return is ? is : compare(b->stack, a->stack);
}

static bool is_empty(const struct pa_heap_sum *s)
{
	return !s->calls && !s->bytes && !s->live && !s->peak && !s->before && !s->frees;
}

static void finish(const struct pa_report *r, enum pa_heap_sort sort, struct pa_heap_table *t)
{
	size_t kept = 0;
	for (size_t i = 0; i < t->nr; i++)
		if (!is_empty(&t->rows[i].total))
			t->rows[kept++] = t->rows[i];
	t->nr = kept;
	if (t->nr)
		qsort_r(t->rows, t->nr, sizeof(*t->rows), order, &(struct order){r, sort});
}

/* Each function row names the line of it that has most: the lines come in that order. */
static int best_lines(const struct pa_report *r, enum pa_heap_sort sort, struct pa_heap_table *functions)
{
	struct pa_heap_table lines = {0};
	struct pa_map map = {0};
	int err = build(r, PA_BY_LINE, &lines);
	if (err)
		goto out;
	finish(r, sort, &lines);
	err = -ENOMEM;
	for (size_t i = 0; i < lines.nr; i++) {
		uint32_t *at = pa_map_at(&map, pa_pair(lines.rows[i].function, lines.rows[i].module), 0);
		if (!at)
			goto out;
		if (!*at && lines.rows[i].line)
			*at = (uint32_t)i + 1;
	}
	for (size_t i = 0; i < functions->nr; i++) {
		struct pa_heap_row *f = &functions->rows[i];
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
	pa_heap_table_fini(&lines);
	return err;
}

int pa_heap_table_build(const struct pa_report *r, enum pa_by by, enum pa_heap_sort sort, struct pa_heap_table *t)
{
	*t = (struct pa_heap_table){0};
	int err = by == PA_BY_THREAD ? by_thread(r, t) : by == PA_BY_STACK ? by_stack(r, false, t) : build(r, by, t);
	if (!err)
		finish(r, sort, t);
	if (!err && by == PA_BY_FUNCTION)
		err = best_lines(r, sort, t);
	if (err)
		pa_heap_table_fini(t);
	return err;
}

int pa_heap_table_askers(const struct pa_report *r, enum pa_heap_sort sort, struct pa_heap_table *t)
{
	*t = (struct pa_heap_table){0};
	int err = by_stack(r, true, t);
	if (!err)
		finish(r, sort, t);
	else
		pa_heap_table_fini(t);
	return err;
}

void pa_heap_table_fini(struct pa_heap_table *t)
{
	free(t->rows);
	*t = (struct pa_heap_table){0};
}
