/* Queries, endpoints, external services and connections of a report, for a person. */
#include <inttypes.h>
#include <stdlib.h>

#include "report/escape.h"
#include "report/quantity.h"
#include "report/stack_out.h"
#include "report/talks.h"
#include "report/text.h"

#define TEXT_ROWS    15
#define TEXT_SLOW    5
#define TEXT_FRAMES  12
#define TEXT_COLUMNS 160 /* of a statement that nobody limits */
#define PEER_COLUMNS 28
#define BEFORE       81 /* columns of a row's numbers */

static const struct {
	const char *title, *what;
} sections[] = {
    [PA_TALK_QUERIES] = {"queries", "statement"},
    [PA_TALK_ENDPOINTS] = {"endpoints", "method and path"},
    [PA_TALK_EXTERNAL] = {"external services", "service, method and path"},
};

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

static void put_ms(FILE *out, uint64_t ns)
{
	fprintf(out, "  %8.*f", ns < 100000000 ? 2 : 0, ms(ns));
}

static void name_text(const struct pa_report *r, const struct pa_report_options *o, const struct pa_report_exchange *e,
		      FILE *out)
{
	size_t columns = o->width > BEFORE + 40 ? o->width - BEFORE : o->width ? 40 : TEXT_COLUMNS;

	if (e->proto == PA_PROTO_HTTP && e->peer) {
		pa_escape_columns(out, PA_PLAIN, pa_text(r, e->peer), PEER_COLUMNS);
		fputc(' ', out);
	}
	if (e->method) {
		pa_escape(out, PA_PLAIN, pa_text(r, e->method));
		fputc(' ', out);
	}
	if (e->proto != PA_PROTO_HTTP && e->role == PA_ROLE_SERVER)
		fputs("(served) ", out);
	pa_escape_columns(out, PA_PLAIN, pa_text(r, e->text), columns);
}

static void row_text(const struct pa_report *r, const struct pa_report_options *o, const struct pa_report_exchange *e,
		     FILE *out)
{
	char count[PA_QUANTITY_MAX], errors[PA_QUANTITY_MAX];

	fprintf(out, "  %8s  %7s", pa_count_text(count, e->count), pa_count_text(errors, e->errors));
	put_ms(out, e->total_ns);
	put_ms(out, pa_exchange_mean(e));
	put_ms(out, pa_exchange_quantile(e, 500));
	put_ms(out, pa_exchange_quantile(e, 950));
	put_ms(out, pa_exchange_quantile(e, 990));
	put_ms(out, e->max_ns);
	fputs("  ", out);
	name_text(r, o, e, out);
	fputc('\n', out);
}

static void repeats_text(const struct pa_report *r, const struct pa_report_options *o,
			 const struct pa_report_exchange *e, FILE *out)
{
	const struct pa_stack_style style = {.indent = 6, .max = TEXT_FRAMES};
	const struct pa_report_within *w = pa_exchange_repeats(r, e, false);

	fprintf(out, "\n  N+1: up to %" PRIu32 " times in one request, in %" PRIu32 " requests", e->repeats,
		e->repeated);
	if (w) {
		fputs(" (", out);
		name_text(r, o, r->talks->exchanges[w->endpoint - 1], out);
		fputc(')', out);
	}
	fputs(": ", out);
	name_text(r, o, e, out);
	fputc('\n', out);
	if (e->repeater)
		pa_stack_text(r, o, e->repeater, &style, out);
}

static void loop_repeats_text(const struct pa_report *r, const struct pa_report_options *o,
			      const struct pa_report_exchange *e, FILE *out)
{
	const struct pa_stack_style style = {.indent = 6, .max = TEXT_FRAMES};
	const struct pa_report_within *w = pa_exchange_repeats(r, e, true);

	if (!w)
		return;
	fprintf(out, "\n  N+1: up to %" PRIu32 " times in one iteration of an event loop, in %" PRIu32 " iterations: ",
		w->sums.repeats, w->sums.repeated);
	name_text(r, o, e, out);
	fputc('\n', out);
	if (w->stack)
		pa_stack_text(r, o, w->stack, &style, out);
}

static void slow_text(const struct pa_report *r, const struct pa_report_options *o, enum pa_talk_section section,
		      FILE *out)
{
	const struct pa_stack_style style = {.indent = 6, .max = TEXT_FRAMES};
	const struct pa_report_talks *t = r->talks;
	size_t max = o->limit ? o->limit : TEXT_SLOW, shown = 0, nr = 0;

	for (size_t i = 0; i < t->nr_slow; i++) {
		const struct pa_report_slow *s = &t->slow[i];
		const struct pa_report_exchange *e = t->exchanges[s->exchange];

		if (pa_exchange_section(e) != section || ++nr > max)
			continue;
		shown++;
		fprintf(out, "\n  slow: %.1f ms, thread %" PRIu32 "%s: ", ms(s->end_ns - s->start_ns),
			r->threads[s->thread].tid, s->failed ? ", failed" : "");
		name_text(r, o, e, out);
		fputc('\n', out);
		if (s->stack)
			pa_stack_text(r, o, s->stack, &style, out);
	}
	if (nr > shown)
		fprintf(out, "\n  and %zu more of %.0f ms and more (--format json lists them)\n", nr - shown,
			ms(t->threshold_ns));
}

static int section_text(const struct pa_report *r, const struct pa_report_options *o, enum pa_talk_section section,
			FILE *out)
{
	const struct pa_report_exchange **list;
	size_t nr, max = o->limit ? o->limit : TEXT_ROWS;
	struct pa_style style;
	int err = pa_talks_select(r, section, &list, &nr);

	if (err)
		return err;
	pa_style_get(o, &style);
	if (nr)
		fprintf(out,
			"\n%s%s%s\n%s     count   errors  total ms    avg ms    p50 ms    p95 ms    p99 ms    max ms  "
			"%s%s\n",
			style.bold, sections[section].title, style.plain, style.bold, sections[section].what,
			style.plain);
	for (size_t i = 0; i < nr && i < max; i++)
		row_text(r, o, list[i], out);
	if (nr > max)
		fprintf(out, "  and %zu more (--format json lists all)\n", nr - max);
	for (size_t i = 0; i < nr && i < max; i++)
		if (list[i]->repeated)
			repeats_text(r, o, list[i], out);
	for (size_t i = 0; i < nr && i < max && section == PA_TALK_QUERIES; i++)
		loop_repeats_text(r, o, list[i], out);
	slow_text(r, o, section, out);
	free(list);
	return 0;
}

int pa_talks_text(const struct pa_report *r, const struct pa_report_options *o, FILE *out)
{
	int err = section_text(r, o, PA_TALK_ENDPOINTS, out);

	if (!err)
		err = section_text(r, o, PA_TALK_EXTERNAL, out);
	if (!err)
		err = section_text(r, o, PA_TALK_QUERIES, out);
	if (!err)
		pa_pools_text(r, o, out);
	return err;
}
