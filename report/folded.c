/* The collapsed format other flame graph tools read: one line per distinct stack, `root;caller;leaf COUNT`, counts in
 * periods, so that they add up to cpu.sample_count of the JSON report, or what --kind and --unit ask for. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "report/escape.h"
#include "report/flame_kind.h"
#include "report/model.h"
#include "report/report.h"

static void write_line(const struct pa_tree *t, const uint32_t *path, uint32_t depth, FILE *out)
{
	for (uint32_t i = 0; i < depth; i++) {
		if (i)
			fputc(';', out);
		fputs(pa_pool_get(t->strings, t->labels[t->nodes[path[i]].label].text), out);
	}
	fprintf(out, " %" PRIu64 "\n", t->nodes[path[depth - 1]].self.weight);
}

int pa_write_folded(const struct pa_report *r, const struct pa_report_options *o, FILE *out)
{
	const struct pa_tree_options how = {.invert = o->invert, .language = PA_FOLDED};
	struct pa_tree t;
	uint32_t deepest = 0, *path;
	struct pa_flame f;
	int err = pa_flame_init(r, o, &f);
	if (!err)
		err = pa_tree_build(r, &f.entries, &how, &t);
	pa_flame_fini(&f);
	if (err)
		return err;
	for (size_t i = 0; i < t.nr; i++)
		if (t.nodes[i].depth > deepest)
			deepest = t.nodes[i].depth;
	path = calloc(deepest + 1, sizeof(*path));
	if (!path) {
		pa_tree_fini(&t);
		return -ENOMEM;
	}
	for (uint32_t node = t.nodes[0].first; node;) {
		const struct pa_node *n = &t.nodes[node];
		path[n->depth - 1] = node;
		if (n->self.weight)
			write_line(&t, path, n->depth, out);
		uint32_t to = n->first;
		while (!to && node) {
			to = t.nodes[node].next;
			node = t.nodes[node].parent;
		}
		node = to;
	}
	free(path);
	pa_tree_fini(&t);
	return ferror(out) ? -EIO : 0;
}
