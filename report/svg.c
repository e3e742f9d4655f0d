/* A flame graph as one SVG file: a static picture that a browser can also zoom into and search. The script is a
 * constant; what a target controls is text between tags and nothing else, written by escape.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/escape.h"
#include "report/flame_kind.h"
#include "report/model.h"
#include "report/quantity.h"
#include "report/report.h"
#include "report/text.h"
#include "report/wall.h"

/* The parts that never change: report/flame.css and report/flame.js, as they are. */
#define EMBED(name, file)                                                                                              \
	__asm__(".pushsection .rodata\n.global pa_" #name "\npa_" #name ":\n.incbin \"" file                           \
		"\"\n.byte 0\n.popsection\n");                                                                         \
	extern const char pa_##name[]
EMBED(flame_css, "report/flame.css");
EMBED(flame_js, "report/flame.js");

#define WIDTH     1200
#define MARGIN    10
#define HEAD      96
#define ROW       17
#define CHARACTER 7.23 /* of the 12 px monospace font */
#define HUES      24
#define NODES_MAX 30000
#define LEGEND    6

struct picture {
	const struct pa_report *r;
	const struct pa_report_options *o;
	struct pa_flame flame;
	struct pa_tree tree;
	FILE *out;
	double px;      /* per period, byte or call */
	uint8_t *drawn; /* per node */
	size_t nr_drawn;
	uint32_t deepest; /* of those drawn */
	uint32_t *rank;   /* per module: place by self time, from 0 */
	uint64_t *start;  /* per node, in the same */
	uint64_t *self;   /* per module: of the stacks whose leaf is in it */
};

/* The widest first; of equals the one nearer to the root, so that no frame comes before what it stands on. */
static int by_width(const void *left, const void *right, void *arg)
{
	const struct pa_node *nodes = arg;
	uint32_t i = *(const uint32_t *)left, k = *(const uint32_t *)right;
	const struct pa_node *a = &nodes[i], *b = &nodes[k];
	if (a->total.weight != b->total.weight)
		return a->total.weight < b->total.weight ? 1 : -1;
	if (a->depth != b->depth)
		return a->depth < b->depth ? -1 : 1;
	return i < k ? -1 : i > k;
}

/* Frames below 0.1 px are left to their parent; if still more than a browser likes, the narrowest. */
static int choose(struct picture *p)
{
	const struct pa_tree *t = &p->tree;
	uint64_t all = t->nodes[0].total.weight;
	p->px = all ? (WIDTH - 2 * MARGIN) / (double)all : 0;
	uint64_t least = p->px > 0 ? (uint64_t)(0.1 / p->px + 0.999999) : 1;
	uint32_t *wide = malloc(t->nr * sizeof(*wide));
	p->drawn = calloc(t->nr, 1);
	if (!wide || !p->drawn) {
		free(wide);
		return -ENOMEM;
	}
	p->nr_drawn = 0;
	for (uint32_t i = 0; i < t->nr; i++)
		if (!i || t->nodes[i].total.weight >= least)
			wide[p->nr_drawn++] = i;
	if (p->nr_drawn > NODES_MAX) {
		qsort_r(wide, p->nr_drawn, sizeof(*wide), by_width, t->nodes);
		p->nr_drawn = NODES_MAX;
	}
	for (size_t i = 0; i < p->nr_drawn; i++) {
		p->drawn[wide[i]] = 1;
		if (t->nodes[wide[i]].depth > p->deepest)
			p->deepest = t->nodes[wide[i]].depth;
	}
	free(wide);
	return 0;
}

static int by_self(const void *left, const void *right, void *arg)
{
	const uint64_t *self = arg;
	uint64_t a = self[*(const uint32_t *)left], b = self[*(const uint32_t *)right];
	if (a != b)
		return a < b ? 1 : -1;
	return *(const uint32_t *)left < *(const uint32_t *)right ? -1 : 1;
}

/* Modules in the order of their own share: neighbours in rank are far apart in hue. */
static uint32_t *modules_by_self(struct picture *p)
{
	const struct pa_report *r = p->r;
	const struct pa_entries *e = &p->flame.entries;
	uint32_t *order = calloc(r->nr_modules, sizeof(*order));
	p->self = calloc(r->nr_modules, sizeof(*p->self));
	if (!order || !p->self) {
		free(order);
		return NULL;
	}
	for (size_t i = 0; i < e->nr; i++)
		p->self[r->frames[r->stacks[e->entries[i].stack].frame].module] += e->entries[i].sum.weight;
	for (uint32_t i = 0; i < r->nr_modules; i++)
		order[i] = i;
	if (r->nr_modules > 2)
		qsort_r(order + 1, r->nr_modules - 1, sizeof(*order), by_self, p->self);
	return order;
}

/* Far apart for neighbours in rank, and none near the magenta of search results. */
static unsigned hue(unsigned rank)
{
	unsigned degrees = (unsigned)(28 + rank * 137.508) % 360;
	return degrees > 280 && degrees < 345 ? (degrees + 100) % 360 : degrees;
}

static void write_style(struct picture *p)
{
	fputs("<style>\n", p->out);
	fputs(pa_flame_css, p->out);
	for (unsigned i = 0; i < HUES; i++)
		fprintf(p->out, ".c%u { fill: hsl(%u, 66%%, 70%%); }\n", i, hue(i));
	fputs(".pseudo { fill: #c4c4c4; }\n.process { fill: #a9b7c6; }\n.root { fill: #d4d4d4; }\n"
	      "@media (prefers-color-scheme: dark) {\n",
	      p->out);
	for (unsigned i = 0; i < HUES; i++)
		fprintf(p->out, "\t.c%u { fill: hsl(%u, 42%%, 38%%); }\n", i, hue(i));
	fputs("\t.pseudo { fill: #55585e; }\n\t.process { fill: #47566a; }\n\t.root { fill: #3d4147; }\n}\n</style>\n",
	      p->out);
}

static void write_class(struct picture *p, uint32_t node)
{
	const struct pa_label *l = &p->tree.labels[p->tree.nodes[node].label];
	if (!node)
		fputs("root", p->out);
	else if (l->process)
		fputs("process", p->out);
	else if (!l->module)
		fputs("pseudo", p->out);
	else
		fprintf(p->out, "c%" PRIu32 " s%" PRIu32, p->rank[l->module] % HUES, l->text % 3);
}

static void write_title(struct picture *p, const struct pa_node *n, const char *name)
{
	const struct pa_label *l = &p->tree.labels[n->label];
	uint64_t all = p->tree.nodes[0].total.weight;
	fputs("<title>", p->out);
	pa_escape(p->out, PA_XML, name);
	if (l->module) {
		fputc('\n', p->out);
		pa_escape(p->out, PA_XML, pa_text(p->r, p->r->modules[l->module].path));
	}
	char value[PA_FLAME_VALUE_MAX];
	fprintf(p->out, "\n%s, %.2f %%", pa_flame_value(&p->flame, value, n->total.weight),
		pa_percent(n->total.weight, all));
	if (!p->flame.heap)
		fprintf(p->out, " (%.3f s)", (double)n->total.ns / 1e9);
	if (n->self.weight && !p->flame.heap)
		fprintf(p->out, "\nself %" PRIu64 ", %.2f %%", n->self.weight, pa_percent(n->self.weight, all));
	else if (n->self.weight)
		fprintf(p->out, "\nself %s, %.2f %%", pa_flame_value(&p->flame, value, n->self.weight),
			pa_percent(n->self.weight, all));
	fputs("</title>", p->out);
}

static void write_frame(struct picture *p, uint32_t node)
{
	const struct pa_node *n = &p->tree.nodes[node];
	const char *name = pa_pool_get(p->tree.strings, p->tree.labels[n->label].text);
	double x = MARGIN + (double)p->start[node] * p->px, w = (double)n->total.weight * p->px;
	unsigned y = HEAD + (p->deepest - n->depth) * ROW;

	fprintf(p->out, "<g class=\"f\" data-s=\"%" PRIu64 "\" data-n=\"%" PRIu64 "\" data-d=\"%" PRIu32 "\">",
		p->start[node], n->total.weight, n->depth);
	write_title(p, n, name);
	fputs("<rect class=\"", p->out);
	write_class(p, node);
	fprintf(p->out, "\" x=\"%.2f\" y=\"%u\" width=\"%.2f\" height=\"%u\"/>", x, y, w > 2 ? w - 0.6 : w, ROW - 1);
	if (w >= 3 * CHARACTER + 6) {
		fprintf(p->out, "<text x=\"%.1f\" y=\"%u\">", x + 3, y + 12);
		pa_escape_columns(p->out, PA_XML, name, (size_t)((w - 6) / CHARACTER));
		fputs("</text>", p->out);
	}
	fputs("</g>\n", p->out);
}

/* Root first, so that the script meets a frame before what stands on it. */
static void write_frames(struct picture *p)
{
	const struct pa_node *nodes = p->tree.nodes;
	uint32_t node = 0;

	for (;;) {
		uint32_t to = 0;
		if (p->drawn[node]) {
			write_frame(p, node);
			to = nodes[node].first;
			if (to)
				p->start[to] = p->start[node];
		}
		while (!to && node) {
			to = nodes[node].next;
			if (to)
				p->start[to] = p->start[node] + nodes[node].total.weight;
			node = nodes[node].parent;
		}
		if (!to)
			break;
		node = to;
	}
}

static void write_cpu_figures(struct picture *p)
{
	struct pa_figures f;
	pa_figures_get(p->r, &f);
	fprintf(p->out, "CPU time: %.3f s in %" PRIu64 " samples", (double)f.accounted_ns / 1e9, p->r->sum.weight);
	fprintf(p->out, ", %" PRIu64 " lost, %" PRIu64 " truncated; %zu process%s, %zu thread%s", f.lost, f.truncated,
		f.nr_processes, f.nr_processes == 1 ? "" : "es", f.nr_threads, f.nr_threads == 1 ? "" : "s");
}

static void write_heap_figures(struct picture *p)
{
	const struct pa_report_heap *h = &p->r->heap;
	char value[PA_FLAME_VALUE_MAX];
	uint64_t lost = 0;
	for (size_t i = 0; i < h->nr_processes; i++)
		lost += h->processes[i].lost;
	fprintf(p->out, "%s: %s%s", p->flame.title, h->estimated ? "about " : "",
		pa_flame_value(&p->flame, value, p->tree.nodes[0].total.weight));
	if (h->estimated)
		fprintf(p->out, " by %" PRIu64 " samples", h->sum.samples);
	if (lost)
		fprintf(p->out, ", %" PRIu64 " events lost", lost);
	fprintf(p->out, "; %zu process%s", h->nr_processes, h->nr_processes == 1 ? "" : "es");
}

static void write_wall_figures(struct picture *p)
{
	fprintf(p->out, "%s: %.3f s on a processor, %.3f s in waits that were looked at", p->flame.title,
		(double)p->r->sum.ns / 1e9, (double)p->r->wall->ns / 1e9);
	if (p->r->wall->missed != UINT64_MAX)
		fprintf(p->out, ", %" PRIu64 " of %" PRIu64 " rounds left out", p->r->wall->missed,
			p->r->wall->missed + p->r->wall->rounds);
}

static void write_window(struct picture *p)
{
	const struct pa_report_window *w = &p->r->window;
	char from[PA_QUANTITY_MAX], to[PA_QUANTITY_MAX];
	if (!w->from_ns && w->to_ns == UINT64_MAX)
		return;
	fprintf(p->out, "; from %s to %s", pa_time_text(from, w->from_ns),
		w->to_ns == UINT64_MAX ? "the end" : pa_time_text(to, w->to_ns));
}

static void write_subtitle(struct picture *p)
{
	const struct pa_report *r = p->r;
	fprintf(p->out, "<text class=\"sub\" x=\"%d\" y=\"44\">", MARGIN);
	if (p->flame.heap)
		write_heap_figures(p);
	else if (p->flame.wall)
		write_wall_figures(p);
	else
		write_cpu_figures(p);
	write_window(p);
	if (*pa_text(r, r->host)) {
		fputs("; ", p->out);
		pa_escape_columns(p->out, PA_XML, pa_text(r, r->host), 40);
	}
	if (*pa_text(r, r->started)) {
		fputs(", ", p->out);
		pa_escape_columns(p->out, PA_XML, pa_text(r, r->started), 20);
	}
	if (!r->clean)
		fputs("; ended early", p->out);
	if (p->o->invert)
		fputs("; inverted: callers stand on what they call", p->out);
	if (p->nr_drawn < p->tree.nr)
		fprintf(p->out, "; %zu narrow frames not drawn", p->tree.nr - p->nr_drawn);
	fputs("</text>\n", p->out);
}

static void write_legend(struct picture *p, const uint32_t *order)
{
	const struct pa_report *r = p->r;
	double x = MARGIN;
	for (uint32_t i = 1; i < r->nr_modules && i <= LEGEND; i++) {
		const struct pa_report_module *m = &r->modules[order[i]];
		const char *name = pa_text(r, m->base);
		if (!p->self[order[i]])
			break;
		size_t columns = pa_escape_width(PA_XML, name);
		columns = columns > 24 ? 24 : columns;
		fprintf(p->out, "<rect class=\"c%" PRIu32 "\" x=\"%.0f\" y=\"53\" width=\"11\" height=\"11\"/>",
			p->rank[order[i]] % HUES, x);
		fprintf(p->out, "<text class=\"legend\" x=\"%.0f\" y=\"63\">", x + 15);
		pa_escape_columns(p->out, PA_XML, name, 24);
		fprintf(p->out, " %.1f %%</text>\n", pa_percent(p->self[order[i]], p->tree.nodes[0].total.weight));
		x += 15 + 7.0 * (double)(columns + 9);
	}
}

static const char *title_of(const struct picture *p)
{
	const char *title = p->o->title ? p->o->title : pa_text(p->r, p->r->command);
	return *title ? title : "perfagent";
}

static void write_head(struct picture *p, const uint32_t *order)
{
	fprintf(p->out, "<g class=\"head\"><rect class=\"bg wide\" width=\"%d\" height=\"%d\"/>\n", WIDTH, HEAD - 4);
	fprintf(p->out, "<text class=\"title\" x=\"%d\" y=\"24\">", MARGIN);
	pa_escape_columns(p->out, PA_XML, title_of(p), 80);
	fputs("</text>\n", p->out);
	write_subtitle(p);
	write_legend(p, order);
	fprintf(
	    p->out,
	    "<text class=\"details js\" x=\"%d\" y=\"83\">point at a frame for its figures, click to zoom, / or Ctrl-F "
	    "to search, Esc to go back</text>\n",
	    MARGIN);
	fprintf(p->out,
		"<g class=\"right js\"><text class=\"sub matched\" x=\"%d\" y=\"63\" text-anchor=\"end\"></text>\n"
		"<g class=\"button reset off\" tabindex=\"0\" role=\"button\"><rect x=\"%d\" y=\"8\" width=\"90\" "
		"height=\"24\" rx=\"4\"/>"
		"<text x=\"%d\" y=\"24\" text-anchor=\"middle\">Reset zoom</text></g>\n"
		"<foreignObject x=\"%d\" y=\"8\" width=\"200\" height=\"26\"><input "
		"xmlns=\"http://www.w3.org/1999/xhtml\" type=\"search\" "
		"placeholder=\"Search\" aria-label=\"Search frames\"/></foreignObject></g></g>\n",
		WIDTH - MARGIN, WIDTH - MARGIN - 300, WIDTH - MARGIN - 255, WIDTH - MARGIN - 200);
}

static int draw(struct picture *p)
{
	uint32_t *order = modules_by_self(p);
	p->rank = calloc(p->r->nr_modules, sizeof(*p->rank));
	p->start = calloc(p->tree.nr, sizeof(*p->start));
	if (!order || !p->rank || !p->start || choose(p)) {
		free(order);
		return -ENOMEM;
	}
	for (uint32_t i = 1; i < p->r->nr_modules; i++)
		p->rank[order[i]] = i - 1;
	unsigned height = HEAD + (p->deepest + 1) * ROW + MARGIN;
	fprintf(
	    p->out,
	    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"perfagent\" "
	    "width=\"%d\" height=\"%u\" viewBox=\"0 0 %d %u\" role=\"img\" aria-label=\"flame graph\">\n",
	    WIDTH, height, WIDTH, height);
	/* a title of the document, first: without one browsers look for it again at every title of a frame */
	fputs("<title>", p->out);
	pa_escape_columns(p->out, PA_XML, title_of(p), 80);
	fputs("</title>\n", p->out);
	write_style(p);
	fprintf(p->out, "<rect class=\"bg wide\" width=\"%d\" height=\"%u\"/>\n", WIDTH, height);
	fputs("<g>\n", p->out);
	write_frames(p);
	fputs("</g>\n", p->out);
	write_head(p, order);
	fprintf(p->out, "<script><![CDATA[\n%s]]></script>\n</svg>\n", pa_flame_js);
	free(order);
	return ferror(p->out) ? -EIO : 0;
}

int pa_write_svg(const struct pa_report *r, const struct pa_report_options *o, FILE *out)
{
	const struct pa_tree_options how = {.invert = o->invert, .modules = true, .language = PA_PLAIN};
	struct picture p = {.r = r, .o = o, .out = out};
	int err = pa_flame_init(r, o, &p.flame);
	if (!err)
		err = pa_tree_build(r, &p.flame.entries, &how, &p.tree);
	if (!err)
		err = draw(&p);
	pa_flame_fini(&p.flame);
	free(p.self);
	free(p.drawn);
	free(p.rank);
	free(p.start);
	pa_tree_fini(&p.tree);
	return err;
}
