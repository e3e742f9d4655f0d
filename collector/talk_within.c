/* What is asked within requests of a form, and what is asked again and again within an iteration of a loop. World:
 * plain. */
#include <stdlib.h>

#include "collector/talks_impl.h"

#define LOOPS_MAX 256 /* threads of a process with long iterations */
#define FORMS     8   /* of one iteration that are told apart */
#define ASKED     512 /* in one iteration, the latest */

/* ---- sums -------------------------------------------------------------------------------------------------------- */

struct pa_talk_within *pa_talk_within_of(struct pa_process *p, const struct pa_form *form, uint32_t endpoint)
{
	struct pa_process_talks *talks = p->talks;
	struct pa_talk_within **list = &talks->within[(form->row.id * 31 + endpoint) % PA_TALK_BUCKETS], *w;

	for (w = *list; w; w = w->chain)
		if (w->row.exchange == form->row.id && w->row.endpoint == endpoint)
			return w;
	w = talks->nr_within < PA_TALK_WITHIN ? calloc(1, sizeof(*w)) : NULL;
	if (!w)
		return NULL;
	w->row = (struct pa_store_exchange_within){
	    .id = ++p->recorder->talks->next_within, .exchange = form->row.id, .endpoint = endpoint};
	w->chain = *list;
	*list = w;
	talks->nr_within++;
	return w;
}

void pa_talk_within_repeats(struct pa_talk_within *w, uint32_t times, uint32_t stack)
{
	w->changed = true;
	w->row.repeated++;
	if (times <= w->row.repeats)
		return;
	w->row.repeats = times;
	w->row.repeater = stack;
}

void pa_talk_within_flush(struct pa_process *p)
{
	for (unsigned i = 0; i < PA_TALK_BUCKETS && p->talks->nr_within; i++) {
		for (struct pa_talk_within *w = p->talks->within[i]; w; w = w->chain) {
			if (w->changed)
				pa_recorder_store(p->recorder,
						  pa_store_put_exchange_within(p->recorder->store, &w->row));
			w->changed = false;
		}
	}
}

/* ---- loops --------------------------------------------------------------------------------------------------------
 *
 * What is asked and answered within one iteration kept its loop waiting, again and again. What is only asked in one may
 * be of as many requests as the loop handles. */

struct asked {
	struct pa_form *form;
	uint64_t start_ns, end_ns;
	uint32_t stack;
};

struct pa_talk_loop {
	uint32_t tid;
	uint64_t nr_asked; /* since the latest iteration; the latest ASKED of them are there */
	struct asked asked[ASKED];
	struct pa_talk_loop *next;
};

static struct pa_talk_loop *loop_of(struct pa_process_talks *talks, uint32_t tid)
{
	struct pa_talk_loop *loop = talks->loops;

	while (loop && loop->tid != tid)
		loop = loop->next;
	return loop;
}

static struct pa_talk_loop *make_loop(struct pa_process_talks *talks, uint32_t tid)
{
	struct pa_talk_loop *loop = talks->nr_loops < LOOPS_MAX ? calloc(1, sizeof(*loop)) : NULL;

	if (!loop)
		return NULL;
	loop->tid = tid;
	loop->next = talks->loops;
	talks->loops = loop;
	talks->nr_loops++;
	return loop;
}

void pa_talk_loop_count(struct pa_process *p, uint32_t tid, const struct pa_exchange *x, struct pa_form *form,
			uint32_t stack)
{
	struct pa_talk_loop *loop = loop_of(p->talks, tid);

	if (loop && x->end_ns)
		loop->asked[loop->nr_asked++ % ASKED] =
		    (struct asked){.form = form, .start_ns = x->start_ns, .end_ns = x->end_ns, .stack = stack};
}

static void count(struct pa_scope_form *forms, const struct asked *a)
{
	for (uint32_t i = 0; i < FORMS; i++) {
		if (forms[i].form && forms[i].form != a->form)
			continue;
		if (!forms[i].form)
			forms[i] = (struct pa_scope_form){.form = a->form, .stack = a->stack};
		forms[i].times++;
		return;
	}
}

void pa_talk_loop_iteration(struct pa_process *p, const struct pa_iteration *it)
{
	struct pa_talk_loop *loop = p->talks ? loop_of(p->talks, it->tid) : NULL;
	struct pa_scope_form forms[FORMS] = {0};

	if (!loop && p->talks)
		loop = make_loop(p->talks, it->tid);
	if (!loop)
		return;
	for (uint64_t i = 0; i < loop->nr_asked && i < ASKED; i++)
		if (loop->asked[i].start_ns >= it->start_ns && loop->asked[i].end_ns <= it->head.time_ns)
			count(forms, &loop->asked[i]);
	loop->nr_asked = 0;
	for (uint32_t i = 0; i < FORMS && forms[i].form; i++) {
		struct pa_talk_within *within =
		    forms[i].times >= PA_REPEATS_MANY ? pa_talk_within_of(p, forms[i].form, 0) : NULL;

		if (within)
			pa_talk_within_repeats(within, forms[i].times, forms[i].stack);
	}
}

void pa_talk_within_free(struct pa_process_talks *talks)
{
	for (unsigned i = 0; i < PA_TALK_BUCKETS; i++)
		for (struct pa_talk_within *w = talks->within[i], *next; w; w = next) {
			next = w->chain;
			free(w);
		}
	for (struct pa_talk_loop *loop = talks->loops, *next; loop; loop = next) {
		next = loop->next;
		free(loop);
	}
}
