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

void pa_talk_scope_count(struct pa_process_talks *talks, uint32_t tid, uint64_t start_ns, struct pa_form *form,
			 uint32_t stack)
{
	struct pa_talk_scope *scope = by_thread(talks, tid);

	if (!scope || scope->shared || start_ns < scope->start_ns)
		return;
	for (uint32_t i = 0; i < scope->nr; i++) {
		if (scope->asked[i].form != form)
			continue;
		scope->asked[i].times++;
		return;
	}
	if (scope->nr < PA_TALK_SCOPE_FORMS)
		scope->asked[scope->nr++] = (struct pa_scope_form){.form = form, .stack = stack, .times = 1};
}

void pa_talk_scope_end(struct pa_process_talks *talks, uint32_t conn, bool answered)
{
	struct pa_talk_scope *scope = by_conn(talks, conn);

	if (!scope)
		return;
	for (uint32_t i = 0; i < scope->nr && answered && !scope->shared; i++) {
		struct pa_store_exchange *row = &scope->asked[i].form->row;

		if (scope->asked[i].times < PA_REPEATS_MANY)
			continue;
		scope->asked[i].form->row_changed = true;
		row->repeated++;
		if (scope->asked[i].times <= row->repeats)
			continue;
		row->repeats = scope->asked[i].times;
		row->repeater = scope->asked[i].stack;
	}
	drop(talks, scope);
}
