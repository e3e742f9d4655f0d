/* Stacks merged by the names of their frames, below one root frame per process when there are several. */
#include "report/model.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/escape.h"

struct grow {
	const struct pa_report *r;
	const struct pa_entries *e;
	const struct pa_tree_options *o;
	struct pa_tree *t;
	struct pa_map children; /* (parent, label) -> node */
	struct pa_map
	    places; /* (process, stack) -> node of a whole stack + 1, so that shared parents are walked once */
	struct pa_map labels; /* (text, module), (process) -> label + 1 */
	size_t label_capacity;
	uint32_t *label_of; /* per level: label + 1, 0: not made yet */
	uint32_t *process_label;
	bool several; /* processes have a frame of their own */
};

static void add(struct pa_sum *to, const struct pa_sum *what)
{
	to->weight += what->weight;
	to->ns += what->ns;
	to->signals += what->signals;
}

/* Errors: 0: out of memory. */
static uint32_t label_make(struct grow *g, const char *raw, uint32_t module, uint32_t process)
{
	struct pa_tree *t = g->t;
	char *text = pa_escape_dup(g->o->language, raw);
	uint32_t number = text ? pa_pool_add(t->strings, text) : 0;
	uint32_t *at = text ? pa_map_at(&g->labels, pa_pair(number, g->o->modules ? module : 0), process) : NULL;
	free(text);
	if (at && !*at) {
		if (!pa_grow((void **)&t->labels, &g->label_capacity, t->nr_labels, sizeof(*t->labels)))
			return 0;
		t->labels[t->nr_labels++] = (struct pa_label){.text = number, .module = module, .process = process};
		*at = (uint32_t)t->nr_labels;
	}
	return at ? *at : 0;
}

static uint32_t label_of_level(struct grow *g, const struct pa_report_frame *f, size_t level)
{
	if (!g->label_of[level])
		g->label_of[level] = label_make(g, pa_text(g->r, g->r->levels[level].function), f->module, 0);
	return g->label_of[level];
}

static uint32_t label_of_process(struct grow *g, uint32_t process)
{
	const struct pa_report_process *p = &g->r->processes[process];
	if (!g->process_label[process]) {
		const char *comm = pa_text(g->r, p->comm);
		size_t size = strlen(comm) + 32;
		char *text = malloc(size);
		if (!text)
			return 0;
		snprintf(text, size, process ? "%s (%" PRIu32 ")" : "%s", comm, p->pid);
		g->process_label[process] = label_make(g, text, 0, process);
		free(text);
	}
	return g->process_label[process];
}

/* The child of *node with that label becomes *node. When the tree is full the parent stays. Errors: false: memory. */
static bool step(struct grow *g, uint32_t *node, uint32_t label)
{
	struct pa_tree *t = g->t;
	if (!label)
		return false;
	if (t->nr >= PA_TREE_NODES_MAX)
		return true;
	uint32_t *at = pa_map_at(&g->children, pa_pair(*node, label), 0);
	if (!at)
		return false;
	if (!*at) {
		if (!pa_grow((void **)&t->nodes, &t->capacity, t->nr, sizeof(*t->nodes)))
			return false;
		t->nodes[t->nr] =
		    (struct pa_node){.label = label - 1, .parent = *node, .depth = t->nodes[*node].depth + 1};
		*at = (uint32_t)t->nr++;
	}
	*node = *at;
	return true;
}

static bool enter_process(struct grow *g, uint32_t process, uint32_t *node)
{
	return !g->several || step(g, node, label_of_process(g, process));
}

/* From the root: the levels of a frame, outermost first, on the node of the parent stack. */
static bool place(struct grow *g, uint32_t process, uint32_t stack, uint32_t *node)
{
	uint32_t chain[PA_REPORT_DEPTH_MAX + 1];
	size_t nr = 0;
	uint32_t at = stack, *known = NULL;

	for (;;) {
		known = pa_map_at(&g->places, pa_pair(process, at), 0);
		if (!known)
			return false;
		if (*known || nr > PA_REPORT_DEPTH_MAX)
			break;
		chain[nr++] = at;
		at = g->r->stacks[at].parent;
		if (!at)
			break;
	}
	*node = known && *known ? *known - 1 : 0;
	if (!*known && !enter_process(g, process, node))
		return false;
	while (nr--) {
		const struct pa_report_frame *f = &g->r->frames[g->r->stacks[chain[nr]].frame];
		for (uint32_t k = f->nr; k--;)
			if (!step(g, node, label_of_level(g, f, f->first + k)))
				return false;
		if (!(known = pa_map_at(&g->places, pa_pair(process, chain[nr]), 0)))
			return false;
		*known = *node + 1;
	}
	return true;
}

/* From the leaf: callers are children, the process comes last. */
static bool place_inverted(struct grow *g, uint32_t process, uint32_t stack, uint32_t *node)
{
	const struct pa_report *r = g->r;
	*node = 0;
	for (uint32_t at = stack;; at = r->stacks[at].parent) {
		const struct pa_report_frame *f = &r->frames[r->stacks[at].frame];
		for (uint32_t k = 0; k < f->nr; k++)
			if (!step(g, node, label_of_level(g, f, f->first + k)))
				return false;
		if (!r->stacks[at].parent)
			return enter_process(g, process, node);
	}
}

static int order(const void *left, const void *right, void *arg)
{
	const struct pa_tree *t = arg;
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
	int names = strcmp(pa_pool_get(t->strings, t->labels[a].text), pa_pool_get(t->strings, t->labels[b].text));
	if (names)
		return names;
	return a < b ? -1 : a > b;
}

/* Nodes by the text of their label: labels are sorted by comparing, the many nodes then by counting. */
static bool sort_nodes(const struct pa_tree *t, uint32_t *sorted)
{
	uint32_t *labels = malloc(t->nr_labels * sizeof(*labels));
	size_t *place = calloc(t->nr_labels, sizeof(*place)), at = 0;
	if (labels && place) {
		for (uint32_t i = 0; i < t->nr_labels; i++)
			labels[i] = i;
		qsort_r(labels, t->nr_labels, sizeof(*labels), order, (void *)t);
		for (size_t i = 0; i < t->nr; i++)
			place[t->nodes[i].label]++;
		for (size_t i = 0; i < t->nr_labels; i++) {
			size_t nr = place[labels[i]];
			place[labels[i]] = at;
			at += nr;
		}
		for (uint32_t i = 0; i < t->nr; i++)
			sorted[place[t->nodes[i].label]++] = i;
	}
	bool fine = labels && place;
	free(labels);
	free(place);
	return fine;
}

/* Links children in the order of their text, and sums up: children come after their parents in the array. */
static bool link_nodes(struct pa_tree *t)
{
	uint32_t *sorted = malloc(t->nr * sizeof(*sorted));
	if (!sorted || !sort_nodes(t, sorted)) {
		free(sorted);
		return false;
	}
	for (size_t i = 0; i < t->nr; i++)
		t->nodes[i].total = t->nodes[i].self;
	for (size_t i = t->nr - 1; i > 0; i--)
		add(&t->nodes[t->nodes[i].parent].total, &t->nodes[i].total);
	for (size_t i = t->nr; i--;) {
		if (!sorted[i])
			continue;
		struct pa_node *n = &t->nodes[sorted[i]], *parent = &t->nodes[n->parent];
		n->next = parent->first;
		parent->first = sorted[i];
	}
	free(sorted);
	return true;
}

/* Whether more than one process has a share. Errors: false: memory. */
static bool count_processes(struct grow *g)
{
	const struct pa_entries *e = g->e;
	bool *has = calloc(g->r->nr_processes, sizeof(*has));
	size_t nr = 0;

	for (size_t i = 0; has && i < e->nr; i++) {
		bool *this = &has[e->entries[i].process];
		nr += !*this && e->entries[i].sum.weight;
		*this = *this || e->entries[i].sum.weight;
	}
	g->several = nr > 1;
	free(has);
	return has != NULL;
}

static bool grow(struct grow *g)
{
	if (!count_processes(g))
		return false;
	for (size_t i = 0; i < g->e->nr; i++) {
		const struct pa_report_entry *e = &g->e->entries[i];
		uint32_t node;
		if (!(g->o->invert ? place_inverted : place)(g, e->process, e->stack, &node))
			return false;
		add(&g->t->nodes[node].self, &e->sum);
	}
	return link_nodes(g->t) && !pa_pool_failed(g->t->strings);
}

int pa_tree_build(const struct pa_report *r, const struct pa_entries *e, const struct pa_tree_options *o,
		  struct pa_tree *t)
{
	struct grow g = {.r = r, .e = e, .o = o, .t = t};

	memset(t, 0, sizeof(*t));
	t->strings = pa_pool_new();
	g.label_of = calloc(r->nr_levels, sizeof(*g.label_of));
	g.process_label = calloc(r->nr_processes, sizeof(*g.process_label));
	bool fine = t->strings && g.label_of && g.process_label &&
		    pa_grow((void **)&t->nodes, &t->capacity, 0, sizeof(*t->nodes));
	if (fine) {
		t->nodes[t->nr++] = (struct pa_node){0};
		fine = label_make(&g, "all", 0, 0) && grow(&g);
	}
	pa_map_fini(&g.children);
	pa_map_fini(&g.places);
	pa_map_fini(&g.labels);
	free(g.label_of);
	free(g.process_label);
	if (!fine)
		pa_tree_fini(t);
	return fine ? 0 : -ENOMEM;
}

void pa_tree_fini(struct pa_tree *t)
{
	free(t->nodes);
	free(t->labels);
	if (t->strings)
		pa_pool_free(t->strings);
	*t = (struct pa_tree){0};
}
