/* CPU time by request, for programs and for a person. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "report/escape.h"
#include "report/quantity.h"
#include "report/requests.h"
#include "report/text.h"

#define NAME_COLUMNS 120

static double seconds(uint64_t ns)
{
	return (double)ns / 1e9;
}

static int by_cpu(const void *left, const void *right, void *arg)
{
	const struct pa_report_requests *q = ((const struct pa_report *)arg)->requests;
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
	const struct pa_report_label *la = &q->labels[a], *lb = &q->labels[b];

	if (la->cpu.ns != lb->cpu.ns)
		return la->cpu.ns < lb->cpu.ns ? 1 : -1;
	if (la->requests != lb->requests)
		return la->requests < lb->requests ? 1 : -1;
	return a < b ? -1 : a > b;
}

/* The forms that had a request or CPU time, the most of it first. To be freed. NULL: no memory. */
static uint32_t *sorted(const struct pa_report *r, size_t *nr)
{
	const struct pa_report_requests *q = r->requests;
	uint32_t *order = calloc(q->nr_labels, sizeof(*order));

	*nr = 0;
	for (uint32_t i = PA_LABEL_FIRST; order && i < q->nr_labels; i++)
		if (q->labels[i].requests || q->labels[i].cpu.weight)
			order[(*nr)++] = i;
	if (*nr)
		qsort_r(order, *nr, sizeof(*order), by_cpu, (void *)(uintptr_t)r);
	return order;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

static void figures_json(struct pa_json *j, const struct pa_report *r, const struct pa_report_label *l)
{
	pa_json_seconds(j, "self_time", l->cpu.ns);
	pa_json_real(j, "self_pct", pa_percent(l->cpu.ns, r->sum.ns), 3);
	pa_json_u64(j, "sample_count", l->cpu.weight);
	pa_json_u64(j, "blocked_count", l->blocked);
	pa_json_real(j, "blocked_ms", (double)l->blocked_ns / 1e6, 3);
}

static void label_json(struct pa_json *j, const struct pa_report *r, const struct pa_report_label *l)
{
	pa_json_row(j, NULL);
	pa_json_text(j, "method", l->method ? pa_text(r, l->method) : NULL);
	pa_json_text(j, "path", pa_text(r, l->text));
	pa_json_u64(j, "requests", l->requests);
	pa_json_seconds(j, "alone_s", l->time_ns);
	figures_json(j, r, l);
	pa_json_end_object(j);
}

int pa_requests_json(struct pa_json *j, const struct pa_report *r, size_t limit)
{
	static const char *const others[] = {"outside", "several"};
	size_t nr;
	uint32_t *order = sorted(r, &nr);

	if (!order)
		return -ENOMEM;
	pa_json_object(j, "requests");
	pa_json_real(j, "certain_pct", pa_requests_certain_pct(r), 3);
	for (uint32_t i = 0; i < PA_LABEL_FIRST; i++) {
		pa_json_row(j, others[i]);
		figures_json(j, r, &r->requests->labels[i]);
		pa_json_end_object(j);
	}
	pa_json_array(j, "by_endpoint");
	for (size_t i = 0; i < nr && i < limit; i++)
		label_json(j, r, &r->requests->labels[order[i]]);
	pa_json_end_array(j);
	pa_json_u64(j, "by_endpoint_omitted", nr > limit ? nr - limit : 0);
	pa_json_end_object(j);
	free(order);
	return 0;
}

/* ---- text ------------------------------------------------------------------------------------------------------- */

static void row_text(const struct pa_report *r, const struct pa_report_label *l, FILE *out)
{
	char count[PA_QUANTITY_MAX];

	fprintf(out, "  %6.1f  %9.3f  %8s", pa_percent(l->cpu.ns, r->sum.ns), seconds(l->cpu.ns),
		pa_count_text(count, l->requests));
	if (l->requests)
		fprintf(out, "  %8.2f", (double)l->cpu.ns / 1e6 / (double)l->requests);
	else
		fputs("         -", out);
	fprintf(out, "  %7" PRIu64 "  %10.0f  ", l->blocked, (double)l->blocked_ns / 1e6);
}

int pa_requests_text(const struct pa_report *r, const struct pa_report_options *o, FILE *out)
{
	static const char *const others[] = {"[no request]", "[several requests at once]"};
	const struct pa_report_requests *q = r->requests;
	size_t nr, max = o->limit ? o->limit : PA_TEXT_ROWS;
	uint32_t *order = sorted(r, &nr);
	struct pa_style style;
	char name[8192];

	if (!order)
		return -ENOMEM;
	pa_style_get(o, &style);
	fprintf(out, "%s   CPU %%      CPU s  requests    ms each  blocked  blocked ms  endpoint%s\n", style.bold,
		style.plain);
	for (size_t i = 0; i < nr && i < max; i++) {
		row_text(r, &q->labels[order[i]], out);
		pa_requests_name(r, order[i], name, sizeof(name));
		pa_escape_columns(out, PA_PLAIN, name, NAME_COLUMNS);
		fputc('\n', out);
	}
	if (nr > max)
		fprintf(out, "  and %zu more (--format json lists all)\n", nr - max);
	for (uint32_t i = PA_LABEL_FIRST; i-- > 0;) {
		if (!q->labels[i].cpu.weight && !q->labels[i].blocked)
			continue;
		row_text(r, &q->labels[i], out);
		fprintf(out, "%s\n", others[i]);
	}
	fprintf(
	    out,
	    "\n  certain    %.1f %% of the CPU time within requests; else several were open on one thread at once\n",
	    pa_requests_certain_pct(r));
	free(order);
	return 0;
}
