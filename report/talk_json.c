/* Queries, endpoints, external services and connections of a report, for programs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "report/stack_out.h"
#include "report/talks.h"
#include "report/text.h"

#define ASKED_ROWS 100

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

static void text_or_null(struct pa_json *j, const char *key, const char *text)
{
	pa_json_text(j, key, *text ? text : NULL);
}

static void latency_json(struct pa_json *j, const struct pa_report_exchange *e)
{
	static const struct {
		const char *key;
		uint32_t permille;
	} quantiles[] = {{"p50_ms", 500}, {"p75_ms", 750}, {"p95_ms", 950}, {"p99_ms", 990}};

	pa_json_u64(j, "count", e->count);
	pa_json_u64(j, "errors", e->errors);
	pa_json_u64(j, "unanswered", e->lost);
	pa_json_u64(j, "slow", e->slow);
	pa_json_real(j, "total_ms", ms(e->total_ns), 3);
	pa_json_real(j, "avg_ms", ms(pa_exchange_mean(e)), 3);
	pa_json_real(j, "min_ms", ms(e->min_ns), 3);
	for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++)
		pa_json_real(j, quantiles[i].key, ms(pa_exchange_quantile(e, quantiles[i].permille)), 3);
	pa_json_real(j, "max_ms", ms(e->max_ns), 3);
	pa_json_u64(j, "sent_bytes", e->sent_bytes);
	pa_json_u64(j, "received_bytes", e->received_bytes);
}

/* The endpoint, as far as it is known. */
static void within_json(struct pa_json *j, const struct pa_report *r, const struct pa_report_within *w)
{
	const struct pa_report_exchange *e = w ? r->talks->exchanges[w->endpoint - 1] : NULL;

	text_or_null(j, "method", e ? pa_text(r, e->method) : "");
	text_or_null(j, "path", e ? pa_text(r, e->text) : "");
}

static void loop_repeats_json(struct pa_json *j, const struct pa_report *r, const struct pa_report_exchange *e)
{
	const struct pa_report_within *w = pa_exchange_repeats(r, e, true);

	if (!w)
		return;
	pa_json_object(j, "n_plus_one_in_loop");
	pa_json_u64(j, "times", w->sums.repeats);
	pa_json_u64(j, "iterations", w->sums.repeated);
	text_or_null(j, "caller", pa_text(r, pa_stack_caller(r, e->process, w->stack)));
	pa_stack_json(j, "stack", r, w->stack);
	pa_json_end_object(j);
}

/* What was certainly asked for an endpoint. */
static void asked_json(struct pa_json *j, const struct pa_report *r, const struct pa_report_exchange *e, size_t limit)
{
	const struct pa_report_talks *t = r->talks;
	size_t shown = 0;

	pa_json_array(j, "asked");
	for (size_t i = 0; i < t->nr_within && shown < limit; i++) {
		const struct pa_report_within *w = &t->within[i];

		if (!w->endpoint || t->exchanges[w->endpoint - 1] != e)
			continue;
		shown++;
		pa_json_row(j, NULL);
		pa_json_text(j, "fingerprint", pa_text(r, t->exchanges[w->exchange]->text));
		pa_json_u64(j, "count", w->sums.count);
		pa_json_real(j, "total_ms", ms(w->sums.total_ns), 3);
		pa_json_u64(j, "times_max", w->sums.repeats);
		pa_json_end_object(j);
	}
	pa_json_end_array(j);
}

static void repeats_json(struct pa_json *j, const struct pa_report *r, const struct pa_report_exchange *e)
{
	pa_json_object(j, "n_plus_one");
	pa_json_u64(j, "times", e->repeats);
	pa_json_u64(j, "requests", e->repeated);
	within_json(j, r, pa_exchange_repeats(r, e, false));
	text_or_null(j, "caller", pa_text(r, pa_stack_caller(r, e->process, e->repeater)));
	pa_stack_json(j, "stack", r, e->repeater);
	pa_json_end_object(j);
}

static void exchange_json(struct pa_json *j, const struct pa_report *r, const struct pa_report_exchange *e)
{
	enum pa_talk_section section = pa_exchange_section(e);

	pa_json_object(j, NULL);
	if (section == PA_TALK_QUERIES) {
		pa_json_text(j, "fingerprint", pa_text(r, e->text));
		pa_json_text(j, "role", e->role == PA_ROLE_SERVER ? "server" : "client");
	} else {
		text_or_null(j, "method", pa_text(r, e->method));
		pa_json_text(j, "path", pa_text(r, e->text));
	}
	if (section != PA_TALK_ENDPOINTS) {
		text_or_null(j, "peer", pa_text(r, e->peer));
		pa_json_text(j, "protocol", pa_proto_name(e->proto));
	}
	pa_json_u64(j, "processes", e->nr_processes);
	latency_json(j, e);
	text_or_null(j, "error", pa_text(r, e->error));
	if (section == PA_TALK_QUERIES)
		pa_json_u64(j, "rows", e->rows);
	if (section == PA_TALK_QUERIES && e->repeated)
		repeats_json(j, r, e);
	if (section == PA_TALK_QUERIES)
		loop_repeats_json(j, r, e);
	if (section == PA_TALK_ENDPOINTS)
		asked_json(j, r, e, ASKED_ROWS);
	if (e->stack) {
		text_or_null(j, "caller", pa_text(r, pa_stack_caller(r, e->process, e->stack)));
		pa_stack_json(j, "stack", r, e->stack);
	}
	pa_json_end_object(j);
}

static int list_json(struct pa_json *j, const char *key, const struct pa_report *r, enum pa_talk_section section,
		     size_t limit)
{
	const struct pa_report_exchange **list;
	char omitted[32];
	size_t nr;
	int err = pa_talks_select(r, section, &list, &nr);

	if (err)
		return err;
	pa_json_array(j, key);
	for (size_t i = 0; i < nr && i < limit; i++)
		exchange_json(j, r, list[i]);
	pa_json_end_array(j);
	snprintf(omitted, sizeof(omitted), "%s_omitted", key);
	pa_json_u64(j, omitted, nr > limit ? nr - limit : 0);
	free(list);
	return 0;
}

static void slow_json(struct pa_json *j, const struct pa_report *r, enum pa_talk_section section, size_t limit)
{
	const struct pa_report_talks *t = r->talks;
	size_t shown = 0;

	pa_json_array(j, "slow");
	for (size_t i = 0; i < t->nr_slow && shown < limit; i++) {
		const struct pa_report_slow *s = &t->slow[i];
		const struct pa_report_exchange *e = t->exchanges[s->exchange];

		if (pa_exchange_section(e) != section)
			continue;
		shown++;
		pa_json_object(j, NULL);
		pa_json_text(j, "fingerprint", pa_text(r, e->text));
		pa_json_real(j, "ms", ms(s->end_ns - s->start_ns), 3);
		if (r->started_mono_ns && s->start_ns >= r->started_mono_ns)
			pa_json_seconds(j, "at_s", s->start_ns - r->started_mono_ns);
		else
			pa_json_text(j, "at_s", NULL);
		pa_json_u64(j, "thread", r->threads[s->thread].id);
		pa_json_bool(j, "failed", s->failed);
		pa_json_u64(j, "rows", s->rows);
		pa_stack_json(j, "stack", r, s->stack);
		pa_json_end_object(j);
	}
	pa_json_end_array(j);
}

/* A database that is a library of the process needs no connection. */
static bool is_inside(const struct pa_report_talks *t)
{
	for (size_t i = 0; i < t->nr_exchanges; i++)
		if (t->exchanges[i]->proto == PA_PROTO_SQLITE)
			return true;
	return false;
}

static int database_json(struct pa_json *j, const struct pa_report *r, size_t limit)
{
	const struct pa_report_talks *t = r->talks;
	struct pa_store_pool all = {0};
	int err;

	for (size_t i = 0; i < t->nr_pools; i++) {
		all.opened += t->pools[i].sums.opened;
		all.open_max += t->pools[i].sums.open_max;
		all.open += t->pools[i].sums.open;
		all.active += t->pools[i].sums.active;
		all.in_tx += t->pools[i].sums.in_tx;
	}
	pa_json_object(j, "database");
	pa_json_text(j, "status", all.opened || is_inside(t) ? "connected" : t->nr_pools ? "unavailable" : "not_used");
	pa_json_u64(j, "pool_size", all.open_max);
	pa_json_u64(j, "active_connections", all.active);
	pa_json_u64(j, "idle_connections", all.open - all.active - all.in_tx);
	pa_json_real(j, "slow_from_ms", ms(t->threshold_ns), 3);
	pa_pools_json(j, "pools", r, t->pools, t->nr_pools, limit);
	err = list_json(j, "queries", r, PA_TALK_QUERIES, limit);
	slow_json(j, r, PA_TALK_QUERIES, limit);
	pa_json_end_object(j);
	return err;
}

int pa_talks_json(struct pa_json *j, const struct pa_report *r, size_t limit)
{
	int err = r->talks->db ? database_json(j, r, limit) : 0;

	if (!err && r->talks->http)
		err = list_json(j, "endpoints", r, PA_TALK_ENDPOINTS, limit);
	if (!err && r->talks->http)
		err = list_json(j, "external", r, PA_TALK_EXTERNAL, limit);
	if (!err && r->talks->http)
		pa_pools_json(j, "external_peers", r, r->talks->peers, r->talks->nr_peers, limit);
	return err;
}
