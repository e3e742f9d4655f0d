/* HTTP requests that the program is handling, each by the thread that has read it, and what that thread asks databases
 * meanwhile. A thread that handles several at a time tells nothing about any of them. World: plain. */
#include <stdlib.h>
#include <string.h>

#include "collector/talks_impl.h"

/* The open request that answers `wanted`; NULL: none. */
static struct pa_talk_scope *by_conn(struct pa_process_talks *talks, uint32_t conn)
{
	for (uint32_t i = 0; i < talks->nr_scopes; i++)
		if (talks->scopes[i].conn == conn)
			return &talks->scopes[i];
	return NULL;
}

/* ---- which forms of requests ask which database ------------------------------------------------------------------ */

/* The form of a request line: method, target, version. NULL: it is none, or there is no memory. */
static struct pa_form *form_of(struct pa_process *p, const uint8_t *line, size_t len)
{
	const uint8_t *space = memchr(line, ' ', len), *end = line + len;
	const struct pa_party party = {.process = p->id, .role = PA_ROLE_SERVER, .peer = ""};
	struct pa_exchange x = {.proto = PA_PROTO_HTTP, .kind = PA_EXCHANGE_HTTP};
	char method[16] = "";

	if (!space || (size_t)(space - line) >= sizeof(method))
		return NULL;
	memcpy(method, line, (size_t)(space - line));
	while (end > space + 1 && *--end != ' ')
		;
	x.method = method;
	x.text = (const char *)space + 1;
	x.text_len = (size_t)(end - space - 1);
	return pa_forms_of(&p->talks->forms, &x, &party, &p->recorder->talks->next_exchange);
}

/* Its place + 1, made when there is none. 0: limit or memory. */
static uint32_t endpoint_of(struct pa_process_talks *talks, uint64_t key)
{
	if (!talks->endpoints)
		talks->endpoints = calloc(PA_TALK_KINDS, sizeof(*talks->endpoints));
	for (uint32_t i = 0; i < 8 && talks->endpoints && key; i++) {
		uint32_t at = (uint32_t)(key + i) % PA_TALK_KINDS;

		if (!talks->endpoints[at].key)
			talks->endpoints[at].key = key;
		if (talks->endpoints[at].key == key)
			return at + 1;
	}
	return 0;
}

/* Most of its requests that were alone asked it. */
static bool asks(const struct pa_talk_endpoint *e, uint32_t pool)
{
	return e->asked[pool] && e->asked[pool] > e->alone / 2;
}

static struct pa_pool *pool_at(struct pa_process_talks *talks, uint32_t place)
{
	struct pa_pool *pool = talks->pools.list;

	while (pool && pool->place != place)
		pool = pool->next;
	return pool;
}

/* The pools that it is known to ask count a request from here on. */
static void count_in(struct pa_process_talks *talks, struct pa_talk_scope *scope, uint64_t now_ns)
{
	const struct pa_talk_endpoint *e = &talks->endpoints[scope->endpoint - 1];

	for (uint32_t i = 0; i < PA_POOLS_COUNTED; i++) {
		struct pa_pool *pool = asks(e, i) ? pool_at(talks, i) : NULL;

		if (!pool)
			continue;
		scope->counted_pools |= 1u << i;
		pa_pool_request(pool, now_ns, 1, false);
	}
}

static void count_out(struct pa_process_talks *talks, const struct pa_talk_scope *scope, bool answered, uint64_t now_ns)
{
	for (uint32_t i = 0; i < PA_POOLS_COUNTED; i++)
		if (scope->counted_pools & 1u << i && pool_at(talks, i))
			pa_pool_request(pool_at(talks, i), now_ns, -1, answered);
}

static void learn(struct pa_process_talks *talks, const struct pa_talk_scope *scope)
{
	struct pa_talk_endpoint *e = &talks->endpoints[scope->endpoint - 1];

	e->alone++;
	for (uint32_t i = 0; i < PA_POOLS_COUNTED; i++) {
		bool before = asks(e, i);
		struct pa_pool *pool;

		e->asked[i] += scope->asked_pools >> i & 1;
		if (before == asks(e, i) || !(pool = pool_at(talks, i)))
			continue;
		pool->life.known = before ? pool->life.known - 1 : pool->life.known + 1;
		pool->changed = true;
	}
}

void pa_talk_scope_line(struct pa_process *p, uint32_t conn, const uint8_t *line, size_t len, uint64_t now_ns)
{
	struct pa_talk_scope *scope = by_conn(p->talks, conn);
	const struct pa_form *form = scope ? form_of(p, line, len) : NULL;

	if (!form)
		return;
	scope->exchange = form->row.id;
	scope->endpoint = endpoint_of(p->talks, form->row.id);
	if (scope->endpoint)
		count_in(p->talks, scope, now_ns);
}

void pa_talk_scope_ask(struct pa_process_talks *talks, uint32_t tid, const struct pa_pool *pool)
{
	struct pa_talk_scope *only = NULL;

	if (!pool || pool->place >= PA_POOLS_COUNTED)
		return;
	for (uint32_t i = 0; i < talks->nr_scopes; i++) {
		if (talks->scopes[i].tid != tid)
			continue;
		if (only)
			return;
		only = &talks->scopes[i];
	}
	if (only)
		only->asked_pools |= 1u << pool->place;
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static void drop(struct pa_process_talks *talks, struct pa_talk_scope *scope)
{
	*scope = talks->scopes[--talks->nr_scopes];
}

void pa_talk_scope_begin(struct pa_process_talks *talks, uint32_t conn, uint32_t tid, uint64_t now_ns)
{
	struct pa_talk_scope *scope = by_conn(talks, conn);
	bool shared = false;

	if (!talks->scopes)
		talks->scopes = calloc(PA_TALK_SCOPES, sizeof(*talks->scopes));
	if (!talks->scopes || (!scope && talks->nr_scopes == PA_TALK_SCOPES))
		return;
	/* pipelined: of two on one connection */
	shared = scope != NULL;
	for (uint32_t i = 0; i < talks->nr_scopes; i++) {
		if (talks->scopes[i].tid != tid)
			continue;
		talks->scopes[i].shared = true;
		shared = true;
	}
	if (!scope)
		scope = &talks->scopes[talks->nr_scopes++];
	else
		count_out(talks, scope, false, now_ns);
	*scope = (struct pa_talk_scope){.conn = conn, .tid = tid, .shared = shared, .start_ns = now_ns};
}

static struct pa_talk_scope *by_thread(struct pa_process_talks *talks, uint32_t tid)
{
	for (uint32_t i = 0; i < talks->nr_scopes; i++) {
		if (talks->scopes[i].tid == tid)
			return &talks->scopes[i];
	}
	return NULL;
}

void pa_talk_scope_count(struct pa_process *p, uint32_t tid, uint64_t start_ns, struct pa_form *form, uint32_t stack,
			 uint64_t ns)
{
	struct pa_talk_scope *scope = by_thread(p->talks, tid);
	struct pa_talk_within *within;

	if (!scope || scope->shared || start_ns < scope->start_ns)
		return;
	within = scope->exchange ? pa_talk_within_of(p, form, scope->exchange) : NULL;
	if (within) {
		within->changed = true;
		within->row.count++;
		within->row.total_ns += ns;
	}
	for (uint32_t i = 0; i < scope->nr; i++) {
		if (scope->asked[i].form != form)
			continue;
		scope->asked[i].times++;
		return;
	}
	if (scope->nr < PA_TALK_SCOPE_FORMS)
		scope->asked[scope->nr++] = (struct pa_scope_form){.form = form, .stack = stack, .times = 1};
}

static void put_repeats(struct pa_process *p, const struct pa_talk_scope *scope, const struct pa_scope_form *asked)
{
	struct pa_store_exchange *row = &asked->form->row;
	struct pa_talk_within *within = scope->exchange ? pa_talk_within_of(p, asked->form, scope->exchange) : NULL;

	if (asked->times < PA_REPEATS_MANY)
		return;
	if (within)
		pa_talk_within_repeats(within, asked->times, asked->stack);
	asked->form->row_changed = true;
	row->repeated++;
	if (asked->times <= row->repeats)
		return;
	row->repeats = asked->times;
	row->repeater = asked->stack;
}

void pa_talk_scope_end(struct pa_process *p, uint32_t conn, bool answered, uint64_t now_ns)
{
	struct pa_process_talks *talks = p->talks;
	struct pa_talk_scope *scope = by_conn(talks, conn);

	if (!scope)
		return;
	for (uint32_t i = 0; i < scope->nr && answered && !scope->shared; i++)
		put_repeats(p, scope, &scope->asked[i]);
	count_out(talks, scope, answered, now_ns);
	if (answered && !scope->shared && scope->endpoint)
		learn(talks, scope);
	drop(talks, scope);
}
