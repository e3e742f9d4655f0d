/* When which thread was at which request: what samples are told apart by. World: plain. */
#include <stdlib.h>

#include "collector/talks_impl.h"

void pa_talk_requests_flush(struct pa_recorder *r)
{
	struct pa_talks *t = r->talks;

	if (!t || !t->nr_requests)
		return;
	pa_recorder_store(r, pa_store_add_requests(r->store, t->requests, t->nr_requests));
	t->nr_requests = 0;
}

static bool make_room(struct pa_recorder *r)
{
	struct pa_talks *t = r->talks;

	if (t->all_requests >= PA_REQUESTS_MAX)
		return false;
	if (!t->requests)
		t->requests = calloc(PA_REQUESTS_CHUNK, sizeof(*t->requests));
	if (t->nr_requests == PA_REQUESTS_CHUNK)
		pa_talk_requests_flush(r);
	return t->requests;
}

void pa_talk_request(struct pa_process *p, const struct pa_form *form, const struct pa_exchange *x, uint32_t tid)
{
	bool sure = x->end_ns && !(x->flags & PA_EXCHANGE_LOST);
	/* how long it was under way is not known: until now at most */
	uint64_t end_ns = sure ? x->end_ns : x->end_ns > p->talks->last_ns ? x->end_ns : p->talks->last_ns;
	uint32_t thread = pa_recorder_thread_at(p, tid, x->start_ns);
	struct pa_talks *talks = p->recorder->talks;

	if (!thread || !make_room(p->recorder)) {
		pa_records_loss(p, "exchanges whose thread is not listed", 1);
		return;
	}
	talks->all_requests++;
	talks->requests[talks->nr_requests++] = (struct pa_store_request){
	    .exchange = form->row.id,
	    .thread = thread,
	    .flags = sure ? 0 : PA_REQUEST_UNSURE,
	    .start_ns = x->start_ns,
	    .end_ns = end_ns > x->start_ns ? end_ns : x->start_ns,
	};
}
