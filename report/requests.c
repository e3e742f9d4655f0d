#include "report/requests.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store_request.h"
#include "collector/store_talk.h"
#include "common/frame.h"
#include "report/load.h"
#include "report/loops.h"

/* A request, or the end of one, on its thread. */
struct edge {
	uint64_t time_ns;
	uint32_t thread, label;
	bool ends;
};

struct loading {
	struct pa_report *r;
	struct pa_report_requests *to;
	struct pa_span span;
	struct pa_map texts; /* (method, path) -> label */
	struct pa_map ids;   /* id of an exchange -> label */
	struct edge *edges;
	size_t nr_edges, edge_capacity, label_capacity, moment_capacity;
};

/* ---- forms ------------------------------------------------------------------------------------------------------- */

static uint32_t *add_label(struct loading *l, uint32_t method, uint32_t text)
{
	uint32_t *at = pa_map_at(&l->texts, pa_pair(method, text), 0);

	if (!at)
		return NULL;
	if (!*at) {
		if (!pa_grow((void **)&l->to->labels, &l->label_capacity, l->to->nr_labels, sizeof(*l->to->labels)))
			return NULL;
		*at = (uint32_t)l->to->nr_labels;
		l->to->labels[l->to->nr_labels++] = (struct pa_report_label){.method = method, .text = text};
	}
	return at;
}

static int on_exchange(void *arg, const struct pa_store_exchange *e)
{
	struct loading *l = arg;
	uint32_t *at, *id;

	if (e->role != PA_ROLE_SERVER || e->proto != PA_PROTO_HTTP)
		return 0;
	if (l->to->nr_labels >= PA_REPORT_ENDPOINTS_MAX)
		at = add_label(l, 0, pa_pool_add(l->r->strings, "[other forms]"));
	else
		at = add_label(l, pa_pool_add(l->r->strings, e->method), pa_pool_add(l->r->strings, e->text));
	id = at ? pa_map_at(&l->ids, e->id, 0) : NULL;
	if (!id)
		return -ENOMEM;
	*id = *at;
	return 0;
}

/* ---- moments ----------------------------------------------------------------------------------------------------- */

static bool add_edge(struct loading *l, const struct edge *e)
{
	if (!pa_grow((void **)&l->edges, &l->edge_capacity, l->nr_edges, sizeof(*l->edges)))
		return false;
	l->edges[l->nr_edges++] = *e;
	return true;
}

static int on_request(void *arg, const struct pa_store_request *q)
{
	struct loading *l = arg;
	struct pa_report *r = l->r;
	uint32_t thread = pa_index_of(r->threads, r->nr_threads, sizeof(*r->threads), q->thread);
	uint32_t *label = pa_map_at(&l->ids, q->exchange, 0);
	struct edge e = {.time_ns = q->start_ns, .thread = thread, .label = label ? *label : 0};

	if (!label)
		return -ENOMEM;
	if (!thread || !e.label)
		return 0;
	/* a window counts requests that end in it, as for the endpoints; moments are of all */
	if (q->end_ns > l->span.from && (q->end_ns <= l->span.to || l->span.to == UINT64_MAX)) {
		l->to->labels[e.label].requests++;
		l->to->labels[e.label].unsure += q->flags & PA_REQUEST_UNSURE;
	}
	/* while it is not known whether it is under way nothing is certain */
	if (q->flags & PA_REQUEST_UNSURE)
		e.label = PA_LABEL_SEVERAL;
	if (!add_edge(l, &e))
		return -ENOMEM;
	e.ends = true;
	e.time_ns = q->end_ns;
	return add_edge(l, &e) ? 0 : -ENOMEM;
}

static int by_time(const void *left, const void *right)
{
	const struct edge *a = left, *b = right;

	if (a->thread != b->thread)
		return a->thread < b->thread ? -1 : 1;
	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns ? -1 : 1;
	/* one that ends when the next begins was alone */
	return a->ends == b->ends ? 0 : a->ends ? -1 : 1;
}

/* What is open. */
struct sweep {
	uint64_t nr;
	uint64_t sum; /* of the labels that are open: the label itself when there is one */
};

static uint32_t label_now(const struct sweep *s)
{
	return s->nr == 0 ? PA_LABEL_NONE : s->nr == 1 ? (uint32_t)s->sum : PA_LABEL_SEVERAL;
}

static bool note(struct loading *l, const struct edge *e, uint32_t label)
{
	struct pa_report_requests *to = l->to;
	struct pa_report_moment *last = to->nr_moments ? &to->moments[to->nr_moments - 1] : NULL;

	if (last && last->thread == e->thread) {
		to->labels[last->label].time_ns += e->time_ns - last->time_ns;
		if (last->label == label)
			return true;
		if (last->time_ns == e->time_ns) {
			last->label = label;
			return true;
		}
	}
	if (!pa_grow((void **)&to->moments, &l->moment_capacity, to->nr_moments, sizeof(*to->moments)))
		return false;
	to->moments[to->nr_moments++] =
	    (struct pa_report_moment){.thread = e->thread, .label = label, .time_ns = e->time_ns};
	return true;
}

/* An end whose beginning was of no length comes before it, so that counts may be below 0 for a moment: a request of no
 * length is none. */
static int make_moments(struct loading *l)
{
	struct sweep s = {0};

	if (l->nr_edges)
		qsort(l->edges, l->nr_edges, sizeof(*l->edges), by_time);
	for (size_t i = 0; i < l->nr_edges; i++) {
		const struct edge *e = &l->edges[i];

		s.nr += e->ends ? -UINT64_C(1) : 1;
		s.sum += e->ends ? -(uint64_t)e->label : e->label;
		if (!note(l, e, label_now(&s)))
			return -ENOMEM;
	}
	return 0;
}

static void find_wanted(struct pa_report *r)
{
	char name[8192];

	for (uint32_t i = PA_LABEL_FIRST; r->window.endpoint && i < r->requests->nr_labels; i++)
		if (pa_requests_name(r, i, name, sizeof(name)) && !strcmp(name, r->window.endpoint))
			r->requests->wanted = i;
}

int pa_load_requests(struct pa_report *r, struct pa_recording *rec)
{
	struct loading l = {.r = r, .span = pa_window_span(r)};
	int err;

	r->requests = l.to = calloc(1, sizeof(*r->requests));
	if (!l.to)
		return -ENOMEM;
	l.to->labels = calloc(PA_LABEL_FIRST, sizeof(*l.to->labels));
	l.label_capacity = l.to->nr_labels = l.to->labels ? PA_LABEL_FIRST : 0;
	err = l.to->labels ? 0 : -ENOMEM;
	(void)(err || (err = pa_recording_exchanges(rec, on_exchange, &l)) ||
	       (err = pa_recording_requests(rec, on_request, &l)) || (err = make_moments(&l)));
	pa_map_fini(&l.texts);
	pa_map_fini(&l.ids);
	free(l.edges);
	if (!err)
		find_wanted(r);
	return err;
}

void pa_requests_free(struct pa_report_requests *q)
{
	if (!q)
		return;
	free(q->labels);
	free(q->moments);
	free(q);
}

/* ---- questions --------------------------------------------------------------------------------------------------- */

/* How many moments are of threads before it, or of it and no later. */
static size_t up_to(const struct pa_report_requests *q, uint32_t thread, uint64_t time_ns)
{
	size_t low = 0, high = q->nr_moments;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct pa_report_moment *m = &q->moments[middle];

		if (m->thread < thread || (m->thread == thread && m->time_ns <= time_ns))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static uint32_t label_at(const struct pa_report_requests *q, uint32_t thread, size_t nr)
{
	return nr && q->moments[nr - 1].thread == thread ? q->moments[nr - 1].label : PA_LABEL_NONE;
}

uint32_t pa_requests_label(const struct pa_report *r, uint32_t thread, uint64_t time_ns)
{
	return label_at(r->requests, thread, up_to(r->requests, thread, time_ns));
}

uint32_t pa_requests_label_of(const struct pa_report *r, uint32_t thread, uint64_t from_ns, uint64_t to_ns)
{
	const struct pa_report_requests *q = r->requests;
	size_t at = up_to(q, thread, from_ns), end = up_to(q, thread, to_ns);
	uint32_t label = label_at(q, thread, at);

	for (; at < end; at++)
		if (q->moments[at].label != PA_LABEL_NONE && q->moments[at].label != label) {
			if (label != PA_LABEL_NONE)
				return PA_LABEL_SEVERAL;
			label = q->moments[at].label;
		}
	return label;
}

/* An iteration begins before what it handles is read: what is open within it counts. */
void pa_requests_blocked(struct pa_report *r)
{
	for (size_t i = 0; r->loops && i < r->loops->nr_blocked; i++) {
		const struct pa_report_blocked *b = &r->loops->blocked[i];
		uint32_t thread = r->loops->loops[b->loop]->thread;
		struct pa_report_label *l =
		    &r->requests->labels[pa_requests_label_of(r, thread, b->start_ns, b->end_ns)];

		l->blocked++;
		l->blocked_ns += b->end_ns - b->start_ns;
	}
}

double pa_requests_certain_pct(const struct pa_report *r)
{
	uint64_t all = 0, several = r->requests->labels[PA_LABEL_SEVERAL].cpu.ns;

	for (size_t i = PA_LABEL_SEVERAL; i < r->requests->nr_labels; i++)
		all += r->requests->labels[i].cpu.ns;
	return all ? 100.0 * (double)(all - several) / (double)all : 100;
}

bool pa_requests_name(const struct pa_report *r, uint32_t label, char *out, size_t size)
{
	const struct pa_report_label *l = &r->requests->labels[label];
	int len = snprintf(out, size, "%s%s%s", pa_text(r, l->method), l->method ? " " : "", pa_text(r, l->text));

	return len >= 0 && (size_t)len < size;
}
