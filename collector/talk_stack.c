/* Who sends: a stack has its frames the first time that a thread's records name it, then a number. World: plain. */
#include <stdlib.h>

#include "collector/talks_impl.h"

/* That of a tid, made when there is none. NULL: limit or memory. */
static struct pa_talk_thread *thread_of(struct pa_process_talks *talks, uint32_t tid)
{
	struct pa_talk_thread **at = &talks->threads[tid % PA_TALK_BUCKETS], *t;

	while (*at && (*at)->tid != tid)
		at = &(*at)->chain;
	if (*at)
		return *at;
	t = talks->nr_threads < PA_TALK_THREADS ? calloc(1, sizeof(*t)) : NULL;
	if (!t)
		return NULL;
	t->tid = tid;
	talks->nr_threads++;
	*at = t;
	return t;
}

uint32_t pa_talk_stack_of(struct pa_process *p, const struct pa_conn_messages *m)
{
	uint32_t id = pa_talk_stack(p, m->head.time_ns, m->frames, m->nr_frames, m->stop);
	struct pa_talk_thread *t = m->stack ? thread_of(p->talks, m->tid) : NULL;

	if (!t) {
		pa_records_loss(p, "exchange stacks beyond the limit of threads", m->stack && !id);
		return id;
	}
	if (m->nr_frames)
		t->stacks[m->stack - 1] = id;
	return t->stacks[m->stack - 1];
}

void pa_talk_stacks_free(struct pa_process_talks *talks)
{
	for (unsigned i = 0; i < PA_TALK_BUCKETS; i++) {
		while (talks->threads[i]) {
			struct pa_talk_thread *t = talks->threads[i];

			talks->threads[i] = t->chain;
			free(t);
		}
	}
	talks->nr_threads = 0;
}
