/* Connections of a report, for programs and for a person. */
#include <inttypes.h>
#include <stdio.h>

#include "report/escape.h"
#include "report/quantity.h"
#include "report/stack_out.h"
#include "report/talks.h"
#include "report/text.h"

#define TEXT_ROWS   15
#define TEXT_HELD   3 /* of a pool, with their stack */
#define TEXT_FRAMES 12

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

static double ratio(uint64_t part, uint64_t whole)
{
	return whole ? (double)part / (double)whole : 0;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

static void at_json(struct pa_json *j, const struct pa_report *r, const char *key, uint64_t ns)
{
	if (r->started_mono_ns && ns >= r->started_mono_ns)
		pa_json_seconds(j, key, ns - r->started_mono_ns);
	else
		pa_json_text(j, key, NULL);
}

static void use_json(struct pa_json *j, const struct pa_report_pool *p)
{
	const struct pa_store_pool_chunk *u = &p->use;

	pa_json_row(j, "use");
	pa_json_seconds(j, "seconds", p->span_ns);
	pa_json_real(j, "open_avg", ratio(u->open_ns, p->span_ns), 3);
	pa_json_real(j, "taken_avg", ratio(u->taken_ns, p->span_ns), 3);
	pa_json_real(j, "used_pct", pa_percent(u->used_ns, p->span_ns), 3);
	pa_json_real(j, "full_pct", pa_percent(u->full_ns, p->span_ns), 3);
	pa_json_end_object(j);
	pa_json_row(j, "waits");
	pa_json_bool(j, "known", p->life.known && !p->life.shared);
	pa_json_seconds(j, "seconds", u->short_ns);
	pa_json_real(j, "pct", pa_percent(u->short_ns, p->span_ns), 3);
	pa_json_u64(j, "times", u->short_times);
	pa_json_real(j, "requests_avg", ratio(u->waiting_ns, u->short_ns), 3);
	pa_json_u64(j, "answered", u->answered);
	pa_json_real(j, "avg_ms", ms(pa_pool_wait_ns(p)), 3);
	pa_json_u64(j, "connects", p->life.busy_connects);
	pa_json_end_object(j);
}

static void life_json(struct pa_json *j, const struct pa_report_pool *p)
{
	pa_json_row(j, "connect_time_ms");
	pa_json_u64(j, "count", p->life.connects);
	pa_json_real(j, "p50", ms(pa_latency_quantile(p->connect, 500)), 3);
	pa_json_real(j, "p95", ms(pa_latency_quantile(p->connect, 950)), 3);
	pa_json_real(j, "max", ms(p->life.connect_max_ns), 3);
	pa_json_end_object(j);
	pa_json_row(j, "lifetime_ms");
	pa_json_u64(j, "count", p->life.lives);
	pa_json_real(j, "p50", ms(pa_latency_quantile(p->lives, 500)), 3);
	pa_json_real(j, "max", ms(p->life.life_max_ns), 3);
	pa_json_end_object(j);
	pa_json_u64(j, "timeouts", p->life.timeouts);
	pa_json_u64(j, "resets", p->life.resets);
	pa_json_u64(j, "abandoned", p->life.abandoned);
}

static void held_json(struct pa_json *j, const struct pa_report *r, const struct pa_report_pool *p, size_t limit)
{
	const struct pa_report_talks *t = r->talks;
	size_t shown = 0;

	pa_json_array(j, "leak_suspects");
	for (size_t i = 0; i < t->nr_held && shown < limit; i++) {
		if (t->held[i].pool != p->id)
			continue;
		shown++;
		pa_json_object(j, NULL);
		pa_json_text(j, "kind", pa_pool_held_name(t->held[i].kind));
		at_json(j, r, "opened_at_s", t->held[i].opened_ns);
		at_json(j, r, "since_s", t->held[i].since_ns);
		pa_stack_json(j, "stack", r, t->held[i].stack);
		pa_json_end_object(j);
	}
	pa_json_end_array(j);
	pa_json_u64(j, "leak_suspects_omitted", p->nr_held - shown);
}

/* The latest, when there are more than fit. */
static void timeline_json(struct pa_json *j, const struct pa_report *r, const struct pa_report_pool *p, size_t limit)
{
	const struct pa_report_talks *t = r->talks;
	size_t nr = 0;

	for (size_t i = 0; i < t->nr_points; i++)
		nr += t->points[i].pool == p->id;
	pa_json_u64(j, "timeline_omitted", nr > limit ? nr - limit : 0);
	pa_json_array(j, "timeline");
	for (size_t i = 0; i < t->nr_points; i++) {
		const struct pa_store_pool_chunk *c = &t->points[i].use;
		uint64_t span_ns = c->last_ns - c->first_ns;

		if (t->points[i].pool != p->id || nr-- > limit)
			continue;
		pa_json_row(j, NULL);
		at_json(j, r, "at_s", c->first_ns);
		pa_json_seconds(j, "seconds", span_ns);
		pa_json_u64(j, "open", c->open);
		pa_json_u64(j, "active", c->active);
		pa_json_u64(j, "idle_in_transaction", c->in_tx);
		pa_json_real(j, "open_avg", ratio(c->open_ns, span_ns), 3);
		pa_json_real(j, "taken_avg", ratio(c->taken_ns, span_ns), 3);
		pa_json_real(j, "full_pct", pa_percent(c->full_ns, span_ns), 3);
		pa_json_real(j, "waiting_avg", ratio(c->waiting_ns, span_ns), 3);
		pa_json_end_object(j);
	}
	pa_json_end_array(j);
}

static void pool_json(struct pa_json *j, const struct pa_report *r, const struct pa_report_pool *p, size_t limit)
{
	const struct pa_store_pool *s = &p->sums;

	pa_json_object(j, NULL);
	pa_json_u64(j, "process", r->processes[p->process].id);
	pa_json_text(j, "peer", *pa_text(r, p->peer) ? pa_text(r, p->peer) : NULL);
	pa_json_text(j, "protocol", pa_proto_name(s->proto));
	pa_json_text(j, "status", s->opened ? "connected" : "unavailable");
	pa_json_u64(j, "size", s->open_max);
	pa_json_u64(j, "open", s->open);
	pa_json_u64(j, "active", s->active);
	pa_json_u64(j, "active_max", s->active_max);
	pa_json_u64(j, "idle", s->open - s->active - s->in_tx);
	pa_json_u64(j, "idle_in_transaction", s->in_tx);
	pa_json_u64(j, "idle_in_transaction_max", s->in_tx_max);
	pa_json_u64(j, "opened", s->opened);
	pa_json_u64(j, "closed", s->closed);
	pa_json_u64(j, "failed", s->failed);
	pa_json_u64(j, "errors", s->errors);
	pa_json_seconds(j, "open_s", s->open_ns);
	pa_json_seconds(j, "active_s", s->active_ns);
	pa_json_seconds(j, "idle_in_transaction_s", s->in_tx_ns);
	pa_json_real(j, "utilisation_pct", pa_percent(s->active_ns, s->open_ns), 3);
	pa_json_real(j, "connect_ms", s->opened ? ms(s->connect_ns / s->opened) : 0, 3);
	use_json(j, p);
	life_json(j, p);
	held_json(j, r, p, limit);
	timeline_json(j, r, p, limit);
	pa_stack_json(j, "stack", r, p->stack);
	pa_json_end_object(j);
}

void pa_pools_json(struct pa_json *j, const char *key, const struct pa_report *r, const struct pa_report_pool *list,
		   size_t nr, size_t limit)
{
	char omitted[32];

	pa_json_array(j, key);
	for (size_t i = 0; i < nr && i < limit; i++)
		pool_json(j, r, &list[i], limit);
	pa_json_end_array(j);
	snprintf(omitted, sizeof(omitted), "%s_omitted", key);
	pa_json_u64(j, omitted, nr > limit ? nr - limit : 0);
}

/* ---- text ------------------------------------------------------------------------------------------------------- */

static void peer_text(const struct pa_report *r, const struct pa_report_pool *p, FILE *out)
{
	fprintf(out, "%-10s  ", pa_proto_name(p->sums.proto));
	if (*pa_text(r, p->peer))
		pa_escape(out, PA_PLAIN, pa_text(r, p->peer));
	else
		fputs("unknown", out);
	fprintf(out, "  (process %" PRIu32 ")\n", r->processes[p->process].pid);
}

static void pool_text(const struct pa_report *r, const struct pa_report_pool *p, FILE *out)
{
	const struct pa_store_pool *s = &p->sums;

	fprintf(out,
		"  %5" PRIu64 "  %5" PRIu64 "  %6" PRIu64 "  %6" PRIu64 "  %6.1f  %6.1f  %7" PRIu64 "  %6" PRIu64
		"  %6" PRIu64 "  %6" PRIu64 "  ",
		s->open_max, s->open, s->active_max, s->in_tx_max, pa_percent(s->active_ns, s->open_ns),
		pa_percent(p->use.full_ns, p->span_ns), s->opened, s->closed, s->failed, s->errors);
	peer_text(r, p, out);
}

static void waits_text(const struct pa_report *r, const struct pa_report_pool *p, FILE *out)
{
	if (!p->use.short_ns || !p->life.known || p->life.shared)
		return;
	fprintf(out,
		"\n  waits: for %.1f %% of the time all %" PRIu64
		" were taken and %.1f requests more were being handled, a wait of %.1f ms each (estimate): ",
		pa_percent(p->use.short_ns, p->span_ns), p->sums.open_max, ratio(p->use.waiting_ns, p->use.short_ns),
		ms(pa_pool_wait_ns(p)));
	peer_text(r, p, out);
}

static void held_text(const struct pa_report *r, const struct pa_report_options *o, const struct pa_report_pool *p,
		      FILE *out)
{
	const struct pa_stack_style style = {.indent = 6, .max = TEXT_FRAMES};
	static const char *const words[PA_POOL_HELD_KINDS] = {
	    [PA_POOL_HELD_BUSY] = "at work since",
	    [PA_POOL_HELD_IN_TX] = "in a transaction since",
	    [PA_POOL_HELD_UNUSED] = "unused, while others were opened, since",
	};
	const struct pa_report_talks *t = r->talks;
	size_t max = o->limit ? o->limit : TEXT_HELD, shown = 0;
	char when[PA_QUANTITY_MAX];

	for (size_t i = 0; i < t->nr_held && shown < max; i++) {
		const struct pa_report_pool_held *h = &t->held[i];
		uint64_t at = h->since_ns > r->started_mono_ns ? h->since_ns - r->started_mono_ns : 0;

		if (h->pool != p->id)
			continue;
		shown++;
		fprintf(out, "\n  never given back? %s %s: ", words[h->kind], pa_time_text(when, at));
		peer_text(r, p, out);
		if (h->stack)
			pa_stack_text(r, o, h->stack, &style, out);
	}
	if (p->nr_held > shown)
		fprintf(out, "\n  and %" PRIu64 " more of them (--format json lists them)\n", p->nr_held - shown);
}

static void databases_text(const struct pa_report *r, const struct pa_report_options *o, FILE *out)
{
	size_t max = o->limit ? o->limit : TEXT_ROWS;
	struct pa_style style;

	if (!r->talks->nr_pools)
		return;
	pa_style_get(o, &style);
	fprintf(out,
		"\n%sconnections to databases%s\n%s   most   open  active  in txn  busy %%  full %%   opened  closed  "
		"failed  "
		"errors  peer%s\n",
		style.bold, style.plain, style.bold, style.plain);
	for (size_t i = 0; i < r->talks->nr_pools && i < max; i++)
		pool_text(r, &r->talks->pools[i], out);
	if (r->talks->nr_pools > max)
		fprintf(out, "  and %zu more (--format json lists all)\n", r->talks->nr_pools - max);
	for (size_t i = 0; i < r->talks->nr_pools && i < max; i++) {
		waits_text(r, &r->talks->pools[i], out);
		held_text(r, o, &r->talks->pools[i], out);
	}
}

static void external_text(const struct pa_report *r, const struct pa_report_options *o, FILE *out)
{
	size_t max = o->limit ? o->limit : TEXT_ROWS;
	struct pa_style style;

	if (!r->talks->nr_peers)
		return;
	pa_style_get(o, &style);
	fprintf(out,
		"\n%sconnections to others%s\n%s   opened  failed  timeouts  resets  abandoned  connect p50 ms    p95 "
		"ms    "
		"max ms  peer%s\n",
		style.bold, style.plain, style.bold, style.plain);
	for (size_t i = 0; i < r->talks->nr_peers && i < max; i++) {
		const struct pa_report_pool *p = &r->talks->peers[i];

		fprintf(out,
			"  %7" PRIu64 "  %6" PRIu64 "  %8" PRIu64 "  %6" PRIu64 "  %9" PRIu64
			"  %14.2f  %8.2f  %8.2f  ",
			p->sums.opened, p->sums.failed, p->life.timeouts, p->life.resets, p->life.abandoned,
			ms(pa_latency_quantile(p->connect, 500)), ms(pa_latency_quantile(p->connect, 950)),
			ms(p->life.connect_max_ns));
		peer_text(r, p, out);
	}
	if (r->talks->nr_peers > max)
		fprintf(out, "  and %zu more (--format json lists all)\n", r->talks->nr_peers - max);
}

void pa_pools_text(const struct pa_report *r, const struct pa_report_options *o, FILE *out)
{
	databases_text(r, o, out);
	external_text(r, o, out);
}
