/* Waits for locks of a recording into arrays, and what the CPU samples of those who held them say. */
#include "report/locks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store_lock.h"
#include "common/lockwire.h"
#include "report/load.h"

#define SLOW_MAX 20000 /* as many as a recording has */
#define BACK     64    /* waits for one holder that are looked at for one of its samples */

struct slow {
	uint32_t lock;   /* index */
	uint32_t holder; /* index of the thread */
	uint64_t start_ns, end_ns;
};

struct loading {
	struct pa_report *r;
	struct pa_report_locks *to;
	struct pa_span span;
	struct pa_map sites; /* (kind, stack) -> index + 1 */
	struct pa_map ids;   /* id -> index + 1 */
	struct slow *slow;   /* of those whose holder is known */
	size_t capacity, slow_capacity, nr_slow;
	struct pa_map hits; /* (lock, stack) -> index of its time + 1 */
	uint64_t *times;
	size_t nr_times, time_capacity;
};

const char *pa_lock_kind_name(uint32_t kind)
{
	static const char *const names[PA_LOCK_KINDS] = {"unknown",   "mutex",     "read lock", "write lock",
							 "condition", "semaphore", "join"};

	return kind < PA_LOCK_KINDS ? names[kind] : names[0];
}

bool pa_lock_is_contended(const struct pa_report_lock *l)
{
	return l->kind <= PA_LOCK_WRITE;
}

uint64_t pa_lock_quantile(const struct pa_report_lock *l, uint32_t permille)
{
	uint64_t ns = pa_lag_quantile(&l->latency, permille) / 1000;

	return ns < l->max_ns ? ns : l->max_ns;
}

enum pa_lock_holder pa_lock_holder(const struct pa_report_lock *l, uint32_t *stack)
{
	*stack = l->sampled_holder ? l->sampled_holder : l->waited_holder;
	return l->sampled_holder ? PA_HOLDER_SAMPLES : l->waited_holder ? PA_HOLDER_WAITED : PA_HOLDER_UNKNOWN;
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

static uint32_t stack_index(const struct pa_report *r, uint32_t id)
{
	return pa_index_of(r->stacks, r->nr_stacks, sizeof(*r->stacks), id);
}

static bool in_window(const struct loading *l, uint64_t end_ns)
{
	return end_ns > l->span.from && (end_ns <= l->span.to || l->span.to == UINT64_MAX);
}

static struct pa_report_lock *lock_of(struct loading *l, uint32_t id)
{
	const uint32_t *at = pa_map_at(&l->ids, id, 0);

	return at && *at ? l->to->locks[*at - 1] : NULL;
}

/* Workers that run the same program wait at the same place. */
static int on_lock(void *arg, const struct pa_store_lock *from)
{
	struct loading *l = arg;
	struct pa_report *r = l->r;
	uint32_t stack = stack_index(r, from->stack), index, *at = pa_map_at(&l->sites, pa_pair(stack, from->kind), 0);
	struct pa_report_lock *lock;

	if (!at)
		return -ENOMEM;
	if (!*at) {
		lock = calloc(1, sizeof(*lock));
		if (!lock ||
		    !pa_grow((void **)&l->to->locks, &l->capacity, l->to->nr_locks, sizeof(struct pa_report_lock *))) {
			free(lock);
			return -ENOMEM;
		}
		lock->kind = from->kind;
		lock->stack = stack;
		lock->process = pa_index_of(r->processes, r->nr_processes, sizeof(*r->processes), from->process);
		l->to->locks[l->to->nr_locks++] = lock;
		*at = (uint32_t)l->to->nr_locks;
	}
	index = *at;
	lock = l->to->locks[index - 1];
	lock->nr_processes++;
	lock->addresses += from->addresses;
	lock->unfinished += from->unfinished;
	if (from->holder_ns > lock->waited_holder_ns) {
		lock->waited_holder = stack_index(r, from->holder);
		lock->waited_holder_ns = from->holder_ns;
	}
	at = pa_map_at(&l->ids, from->id, 0);
	if (!at)
		return -ENOMEM;
	*at = index;
	return 0;
}

static int on_chunk(void *arg, const struct pa_store_lock_chunk *c)
{
	struct loading *l = arg;
	struct pa_report_lock *lock = lock_of(l, c->lock);

	if (c->last_ns > l->r->last_ns)
		l->r->last_ns = c->last_ns;
	if (!lock || !in_window(l, c->last_ns))
		return 0;
	lock->waits += c->waits;
	lock->timed_out += c->timed_out;
	lock->total_ns += c->total_ns;
	lock->held += c->held;
	lock->held_ns += c->held_ns;
	if (c->max_ns > lock->max_ns)
		lock->max_ns = c->max_ns;
	if (c->held_max_ns > lock->held_max_ns)
		lock->held_max_ns = c->held_max_ns;
	for (uint32_t i = 0; i < PA_LAG_BUCKETS; i++)
		lock->latency.counts[i] += c->counts[i];
	return 0;
}

static int on_slow(void *arg, const struct pa_store_lock_slow *from)
{
	struct loading *l = arg;
	struct pa_report *r = l->r;
	const uint32_t *at = pa_map_at(&l->ids, from->lock, 0);

	if (!at)
		return -ENOMEM;
	if (!*at || !in_window(l, from->end_ns))
		return 0;
	l->to->locks[*at - 1]->slow++;
	if (!from->holder || l->nr_slow >= SLOW_MAX)
		return 0;
	if (!pa_grow((void **)&l->slow, &l->slow_capacity, l->nr_slow, sizeof(*l->slow)))
		return -ENOMEM;
	l->slow[l->nr_slow++] = (struct slow){
	    .lock = *at - 1,
	    .holder = pa_index_of(r->threads, r->nr_threads, sizeof(*r->threads), from->holder),
	    .start_ns = from->start_ns,
	    .end_ns = from->end_ns,
	};
	return 0;
}

/* ---- what the holders did --------------------------------------------------------------------------------------- */

static int by_holder(const void *left, const void *right)
{
	const struct slow *a = left, *b = right;

	if (a->holder != b->holder)
		return a->holder < b->holder ? -1 : 1;
	return a->start_ns < b->start_ns ? -1 : a->start_ns > b->start_ns;
}

/* How many of them begin at or before that time of that holder, or are for a holder before it. */
static size_t up_to(const struct loading *l, uint32_t holder, uint64_t time_ns)
{
	size_t low = 0, high = l->nr_slow;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct slow *s = &l->slow[middle];

		if (s->holder < holder || (s->holder == holder && s->start_ns <= time_ns))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int hit(struct loading *l, uint32_t lock, uint32_t stack, uint64_t ns)
{
	uint32_t *at = pa_map_at(&l->hits, pa_pair(lock, stack), 0);
	struct pa_report_lock *to = l->to->locks[lock];

	if (!at || (!*at && !pa_grow((void **)&l->times, &l->time_capacity, l->nr_times, sizeof(*l->times))))
		return -ENOMEM;
	if (!*at) {
		l->times[l->nr_times++] = 0;
		*at = (uint32_t)l->nr_times;
	}
	l->times[*at - 1] += ns;
	if (l->times[*at - 1] > to->sampled_holder_ns) {
		to->sampled_holder_ns = l->times[*at - 1];
		to->sampled_holder = stack;
	}
	return 0;
}

static int on_sample(void *arg, const struct pa_store_sample *s)
{
	struct loading *l = arg;
	struct pa_report *r = l->r;
	uint32_t thread = pa_index_of(r->threads, r->nr_threads, sizeof(*r->threads), s->thread);
	uint32_t stack = stack_index(r, s->stack);
	uint64_t period_ns = r->threads[thread].period_ns ? r->threads[thread].period_ns : r->period_ns;
	/* times of samples are whole microseconds */
	size_t at = up_to(l, thread, s->time_ns + 999);
	int err = 0;

	if (!thread || r->stacks[stack].flags & PA_STACK_UNSAMPLED)
		return 0;
	for (int back = 0; at > 0 && back < BACK && !err; back++) {
		const struct slow *w = &l->slow[--at];

		if (w->holder != thread)
			break;
		if (s->time_ns <= w->end_ns)
			err = hit(l, w->lock, stack, s->weight * period_ns);
	}
	return err;
}

/* ---- all of it -------------------------------------------------------------------------------------------------- */

static int by_total(const void *left, const void *right)
{
	const struct pa_report_lock *a = *(const struct pa_report_lock *const *)left,
				    *b = *(const struct pa_report_lock *const *)right;

	if (pa_lock_is_contended(a) != pa_lock_is_contended(b))
		return pa_lock_is_contended(a) ? -1 : 1;
	if (a->total_ns != b->total_ns)
		return a->total_ns < b->total_ns ? 1 : -1;
	return a->stack < b->stack ? -1 : a->stack > b->stack;
}

/* Places without a wait in the window are none, those where one began that never ended are. */
static void put_in_order(struct pa_report_locks *to)
{
	size_t kept = 0;

	for (size_t i = 0; i < to->nr_locks; i++) {
		to->locks[i]->latency.max_ns = to->locks[i]->max_ns * 1000;
		if (to->locks[i]->waits || to->locks[i]->unfinished)
			to->locks[kept++] = to->locks[i];
		else
			free(to->locks[i]);
	}
	to->nr_locks = kept;
	if (kept)
		qsort(to->locks, kept, sizeof(struct pa_report_lock *), by_total);
}

int pa_load_locks(struct pa_report *r, struct pa_recording *rec)
{
	struct loading l = {.r = r, .span = pa_window_span(r)};
	uint64_t threshold_ns = pa_recording_meta_u64(rec, "lock_slow_ns", 0);
	int err;

	/* an older recording, or one without */
	if (!threshold_ns)
		return 0;
	r->locks = l.to = calloc(1, sizeof(*r->locks));
	if (!l.to)
		return -ENOMEM;
	l.to->threshold_ns = threshold_ns;
	(void)((err = pa_recording_locks(rec, on_lock, &l)) || (err = pa_recording_lock_chunks(rec, on_chunk, &l)) ||
	       (err = pa_recording_lock_slow(rec, on_slow, &l)));
	if (!err && l.nr_slow) {
		qsort(l.slow, l.nr_slow, sizeof(*l.slow), by_holder);
		err = pa_recording_samples(rec, on_sample, &l);
	}
	put_in_order(l.to);
	pa_map_fini(&l.sites);
	pa_map_fini(&l.ids);
	pa_map_fini(&l.hits);
	free(l.slow);
	free(l.times);
	return err;
}

void pa_locks_report_free(struct pa_report_locks *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->nr_locks; i++)
		free(l->locks[i]);
	free(l->locks);
	free(l);
}
