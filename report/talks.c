/* Exchanges and pools of a recording into arrays. */
#include "report/talks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "report/load.h"

struct loading {
	struct pa_report *r;
	struct pa_report_talks *to;
	struct pa_span span;
	struct pa_map forms; /* (texts) -> index + 1 */
	struct pa_map ids;   /* id -> index + 1 */
	size_t exchange_capacity, slow_capacity, within_capacity;
};

const char *pa_proto_name(uint32_t proto)
{
	static const char *const names[] = {
	    [PA_PROTO_UNSURE] = "unknown", [PA_PROTO_POSTGRES] = "postgresql", [PA_PROTO_MYSQL] = "mysql",
	    [PA_PROTO_RESP] = "redis",     [PA_PROTO_HTTP] = "http",         [PA_PROTO_SQLITE] = "sqlite",
	};

	return proto < sizeof(names) / sizeof(names[0]) && names[proto] ? names[proto] : names[0];
}

enum pa_talk_section pa_exchange_section(const struct pa_report_exchange *e)
{
	if (e->proto != PA_PROTO_HTTP)
		return PA_TALK_QUERIES;
	return e->role == PA_ROLE_SERVER ? PA_TALK_ENDPOINTS : PA_TALK_EXTERNAL;
}

uint64_t pa_exchange_quantile(const struct pa_report_exchange *e, uint32_t permille)
{
	uint64_t ns = pa_lag_quantile(&e->latency, permille) / 1000;

	return ns < e->min_ns ? e->min_ns : ns > e->max_ns ? e->max_ns : ns;
}

uint64_t pa_latency_quantile(const struct pa_lag *lag, uint32_t permille)
{
	return lag ? pa_lag_quantile(lag, permille) / 1000 : 0;
}

uint64_t pa_exchange_mean(const struct pa_report_exchange *e)
{
	return e->count > e->lost ? e->total_ns / (e->count - e->lost) : 0;
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

static bool in_window(const struct loading *l, uint64_t end_ns)
{
	return end_ns > l->span.from && (end_ns <= l->span.to || l->span.to == UINT64_MAX);
}

static uint32_t stack_index(const struct pa_report *r, uint32_t id)
{
	return pa_index_of(r->stacks, r->nr_stacks, sizeof(*r->stacks), id);
}

static struct pa_report_exchange *exchange_of(struct loading *l, uint32_t id)
{
	const uint32_t *at = pa_map_at(&l->ids, id, 0);

	return at && *at ? l->to->exchanges[*at - 1] : NULL;
}

/* The exchange of those texts, made when there is none. NULL: no memory. */
static struct pa_report_exchange *form_of(struct loading *l, const struct pa_store_exchange *from, uint32_t *index)
{
	struct pa_report *r = l->r;
	struct pa_report_exchange key = {
	    .role = from->role,
	    .proto = from->proto,
	    .peer = pa_pool_add(r->strings, from->peer),
	    .method = pa_pool_add(r->strings, from->method),
	    .text = pa_pool_add(r->strings, from->text),
	};
	struct pa_report_exchange *e;
	uint32_t *at;

	if (l->to->nr_exchanges >= PA_REPORT_EXCHANGES_MAX) {
		key.peer = key.method = 0;
		key.text = pa_pool_add(r->strings, "[other forms]");
	}
	at = pa_map_at(&l->forms, pa_pair(key.text, key.method), pa_pair(key.peer, key.role << 8 | key.proto));

	if (!at)
		return NULL;
	if (!*at) {
		e = calloc(1, sizeof(*e));
		if (!e || !pa_grow((void **)&l->to->exchanges, &l->exchange_capacity, l->to->nr_exchanges,
				   sizeof(struct pa_report_exchange *))) {
			free(e);
			return NULL;
		}
		*e = key;
		e->process = pa_index_of(r->processes, r->nr_processes, sizeof(*r->processes), from->process);
		l->to->exchanges[l->to->nr_exchanges++] = e;
		*at = (uint32_t)l->to->nr_exchanges;
	}
	*index = *at;
	return l->to->exchanges[*at - 1];
}

static int on_exchange(void *arg, const struct pa_store_exchange *from)
{
	struct loading *l = arg;
	uint32_t index, *id;
	struct pa_report_exchange *e = form_of(l, from, &index);

	id = e ? pa_map_at(&l->ids, from->id, 0) : NULL;
	if (!id)
		return -ENOMEM;
	*id = index;
	e->nr_processes++;
	if (from->error)
		e->error = pa_pool_add(l->r->strings, from->error);
	if (!e->stack)
		e->stack = stack_index(l->r, from->stack);
	e->repeated += from->repeated;
	if (from->repeats > e->repeats) {
		e->repeats = from->repeats;
		e->repeater = stack_index(l->r, from->repeater);
	}
	return 0;
}

static int on_chunk(void *arg, const struct pa_store_exchange_chunk *c)
{
	struct loading *l = arg;
	struct pa_report_exchange *e = exchange_of(l, c->exchange);
	uint64_t answered = c->count - c->lost;

	if (c->last_ns > l->r->last_ns)
		l->r->last_ns = c->last_ns;
	if (!e || !in_window(l, c->last_ns))
		return 0;
	if (answered && (e->count == e->lost || c->min_ns < e->min_ns))
		e->min_ns = c->min_ns;
	if (c->max_ns > e->max_ns)
		e->max_ns = c->max_ns;
	e->count += c->count;
	e->errors += c->errors;
	e->lost += c->lost;
	e->rows += c->rows;
	e->sent_bytes += c->sent_bytes;
	e->received_bytes += c->received_bytes;
	e->total_ns += c->total_ns;
	for (uint32_t i = 0; i < PA_LAG_BUCKETS; i++)
		e->latency.counts[i] += c->counts[i];
	return 0;
}

static int on_slow(void *arg, const struct pa_store_exchange_slow *from)
{
	struct loading *l = arg;
	struct pa_report *r = l->r;
	const uint32_t *at = pa_map_at(&l->ids, from->exchange, 0);

	if (!at)
		return -ENOMEM;
	if (!*at || !in_window(l, from->end_ns))
		return 0;
	if (!pa_grow((void **)&l->to->slow, &l->slow_capacity, l->to->nr_slow, sizeof(*l->to->slow)))
		return -ENOMEM;
	l->to->exchanges[*at - 1]->slow++;
	l->to->slow[l->to->nr_slow++] = (struct pa_report_slow){
	    .exchange = *at - 1,
	    .thread = pa_index_of(r->threads, r->nr_threads, sizeof(*r->threads), from->thread),
	    .stack = stack_index(r, from->stack),
	    .failed = from->failed,
	    .start_ns = from->start_ns,
	    .end_ns = from->end_ns,
	    .rows = from->rows,
	};
	return 0;
}

static int on_within(void *arg, const struct pa_store_exchange_within *from)
{
	struct loading *l = arg;
	const uint32_t *exchange = pa_map_at(&l->ids, from->exchange, 0);
	uint32_t index = exchange ? *exchange : 0;
	const uint32_t *endpoint = from->endpoint ? pa_map_at(&l->ids, from->endpoint, 0) : NULL;

	if (!exchange || (from->endpoint && !endpoint))
		return -ENOMEM;
	if (!index || (from->endpoint && !*endpoint))
		return 0;
	if (!pa_grow((void **)&l->to->within, &l->within_capacity, l->to->nr_within, sizeof(*l->to->within)))
		return -ENOMEM;
	l->to->within[l->to->nr_within++] = (struct pa_report_within){
	    .exchange = index - 1,
	    .endpoint = endpoint ? *endpoint : 0,
	    .stack = stack_index(l->r, from->repeater),
	    .sums = *from,
	};
	return 0;
}

const struct pa_report_within *pa_exchange_repeats(const struct pa_report *r, const struct pa_report_exchange *e,
						   bool loops)
{
	const struct pa_report_talks *t = r->talks;
	const struct pa_report_within *most = NULL;

	for (size_t i = 0; i < t->nr_within; i++) {
		const struct pa_report_within *w = &t->within[i];

		if (t->exchanges[w->exchange] == e && w->sums.repeated && !w->endpoint == loops &&
		    (!most || w->sums.repeats > most->sums.repeats))
			most = w;
	}
	return most;
}

/* ---- order ------------------------------------------------------------------------------------------------------ */

static int by_text(const struct pa_report_exchange *a, const struct pa_report_exchange *b)
{
	if (a->text != b->text)
		return a->text < b->text ? -1 : 1;
	return a->role != b->role ? (a->role < b->role ? -1 : 1) : a->peer < b->peer ? -1 : a->peer > b->peer;
}

static int by_total(const void *left, const void *right)
{
	const struct pa_report_exchange *a = *(const struct pa_report_exchange *const *)left,
					*b = *(const struct pa_report_exchange *const *)right;

	if (a->total_ns != b->total_ns)
		return a->total_ns < b->total_ns ? 1 : -1;
	return by_text(a, b);
}

static int by_mean(const void *left, const void *right)
{
	const struct pa_report_exchange *a = *(const struct pa_report_exchange *const *)left,
					*b = *(const struct pa_report_exchange *const *)right;
	uint64_t ma = pa_exchange_mean(a), mb = pa_exchange_mean(b);

	if (ma != mb)
		return ma < mb ? 1 : -1;
	return by_text(a, b);
}

static int by_length(const void *left, const void *right)
{
	const struct pa_report_slow *a = left, *b = right;
	uint64_t la = a->end_ns - a->start_ns, lb = b->end_ns - b->start_ns;

	if (la != lb)
		return la < lb ? 1 : -1;
	return a->start_ns < b->start_ns ? -1 : a->start_ns > b->start_ns;
}

static int by_within(const void *left, const void *right)
{
	const struct pa_report_within *a = left, *b = right;

	if (a->sums.total_ns != b->sums.total_ns)
		return a->sums.total_ns < b->sums.total_ns ? 1 : -1;
	return a->sums.id < b->sums.id ? -1 : a->sums.id > b->sums.id;
}

int pa_talks_select(const struct pa_report *r, enum pa_talk_section section, const struct pa_report_exchange ***list,
		    size_t *nr)
{
	const struct pa_report_talks *t = r->talks;

	*nr = 0;
	*list = calloc(t->nr_exchanges + 1, sizeof(**list));
	if (!*list)
		return -ENOMEM;
	for (size_t i = 0; i < t->nr_exchanges; i++)
		if (pa_exchange_section(t->exchanges[i]) == section && t->exchanges[i]->count)
			(*list)[(*nr)++] = t->exchanges[i];
	if (*nr)
		qsort(*list, *nr, sizeof(**list), section == PA_TALK_ENDPOINTS ? by_mean : by_total);
	return 0;
}

/* ---- all of it -------------------------------------------------------------------------------------------------- */

uint32_t pa_stack_caller(const struct pa_report *r, uint32_t process, uint32_t stack)
{
	uint32_t exe = r->processes[process].exe, leaf = stack;

	for (; stack; stack = r->stacks[stack].parent) {
		const struct pa_report_frame *f = &r->frames[r->stacks[stack].frame];

		if (f->module && r->modules[f->module].path == exe)
			return r->levels[f->first].function;
	}
	return leaf ? r->levels[r->frames[r->stacks[leaf].frame].first].function : 0;
}

static bool has_mode(const struct pa_report *r, const char *mode)
{
	const char *at = pa_text(r, r->mode);
	size_t len = strlen(mode);

	for (; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		if (strncmp(at, mode, len) == 0 && (at[len] == ',' || !at[len]))
			return true;
	return false;
}

int pa_load_talks(struct pa_report *r, struct pa_recording *rec)
{
	struct loading l = {.r = r, .span = pa_window_span(r)};
	uint64_t threshold_ns = pa_recording_meta_u64(rec, "exchange_slow_ns", 0);
	int err;

	/* an older recording, or one without */
	if (!threshold_ns)
		return 0;
	r->talks = l.to = calloc(1, sizeof(*r->talks));
	if (!l.to)
		return -ENOMEM;
	l.to->threshold_ns = threshold_ns;
	l.to->db = has_mode(r, "db");
	l.to->http = has_mode(r, "http");
	(void)((err = pa_recording_exchanges(rec, on_exchange, &l)) ||
	       (err = pa_recording_exchange_chunks(rec, on_chunk, &l)) ||
	       (err = pa_recording_exchange_slow(rec, on_slow, &l)) || (err = pa_load_pools(r, rec)) ||
	       (err = pa_recording_exchange_within(rec, on_within, &l)));
	if (l.to->nr_within)
		qsort(l.to->within, l.to->nr_within, sizeof(*l.to->within), by_within);
	for (size_t i = 0; i < l.to->nr_exchanges; i++)
		l.to->exchanges[i]->latency.max_ns = l.to->exchanges[i]->max_ns * 1000;
	if (l.to->nr_slow)
		qsort(l.to->slow, l.to->nr_slow, sizeof(*l.to->slow), by_length);
	pa_map_fini(&l.forms);
	pa_map_fini(&l.ids);
	return err;
}

void pa_talks_report_free(struct pa_report_talks *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->nr_exchanges; i++)
		free(t->exchanges[i]);
	free(t->exchanges);
	free(t->within);
	free(t->slow);
	pa_pools_report_free(t);
	free(t);
}
