/* Event loops of a recording into arrays, and what its CPU samples say of blocked iterations. */
#include "report/loops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store_loop.h"
#include "common/waitwire.h"
#include "report/load.h"

struct loading {
	struct pa_report *r;
	struct pa_report_loops *to;
	struct pa_span span;
	size_t loop_capacity, blocked_capacity, wait_capacity;
};

/* CPU samples of one stack inside one blocked iteration. */
struct hit {
	uint32_t blocked, stack; /* indices */
	uint64_t weight, ns;
	uint32_t samples;
};

const char *pa_wait_kind_name(uint32_t kind)
{
	static const char *const names[PA_WAIT_KINDS] = {
	    "unknown", "epoll", "poll", "select",    "sleep", "connect", "accept",
	    "receive", "send",  "lock", "condition", "child", "file",
	};

	return kind < PA_WAIT_KINDS ? names[kind] : names[0];
}

const char *pa_blocked_name(enum pa_blocked_by by)
{
	return by == PA_BLOCKED_CPU ? "cpu" : by == PA_BLOCKED_WAIT ? "wait" : "other";
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

static bool in_window(const struct loading *l, uint64_t end_ns)
{
	return end_ns > l->span.from && (end_ns <= l->span.to || l->span.to == UINT64_MAX);
}

static struct pa_report_loop *loop_of(const struct loading *l, uint32_t id)
{
	size_t low = 0, high = l->to->nr_loops;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (l->to->loops[middle]->id == id)
			return l->to->loops[middle];
		if (l->to->loops[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static int on_loop(void *arg, const struct pa_store_loop *from)
{
	struct loading *l = arg;
	struct pa_report *r = l->r;
	struct pa_report_loop *loop = calloc(1, sizeof(*loop));

	if (!loop || !pa_grow((void **)&l->to->loops, &l->loop_capacity, l->to->nr_loops, sizeof(*l->to->loops))) {
		free(loop);
		return -ENOMEM;
	}
	loop->id = from->id;
	loop->thread = pa_index_of(r->threads, r->nr_threads, sizeof(*r->threads), from->thread);
	loop->kind = from->kind;
	loop->key = from->key;
	loop->frame = pa_index_of(r->frames, r->nr_frames, sizeof(*r->frames), from->frame);
	loop->watched = from->watched;
	l->to->loops[l->to->nr_loops++] = loop;
	return 0;
}

static uint64_t sum_of(const uint64_t counts[PA_LAG_BUCKETS])
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < PA_LAG_BUCKETS; i++)
		sum += counts[i];
	return sum;
}

static void add_lag(struct pa_lag *to, const struct pa_lag *from)
{
	to->small += from->small;
	to->small_ns += from->small_ns;
	if (from->max_ns > to->max_ns)
		to->max_ns = from->max_ns;
	for (uint32_t i = 0; i < PA_LAG_BUCKETS; i++)
		to->counts[i] += from->counts[i];
}

/* Until all chunks are there lag.small_ns is the time of the long iterations: sums may come a chunk later than they. */
static int on_chunk(void *arg, const struct pa_store_loop_chunk *c)
{
	struct loading *l = arg;
	struct pa_report_loop *loop = loop_of(l, c->loop);

	if (c->last_ns > l->r->last_ns)
		l->r->last_ns = c->last_ns;
	if (!loop || !in_window(l, c->last_ns))
		return 0;
	loop->iterations += c->iterations;
	loop->ready += c->ready;
	loop->busy_ns += c->busy_ns;
	loop->wait_ns += c->wait_ns;
	loop->waited_ns += c->waited_ns;
	loop->lag.small_ns += c->long_ns;
	if (c->max_ns > loop->lag.max_ns)
		loop->lag.max_ns = c->max_ns;
	for (uint32_t i = 0; i < PA_LAG_BUCKETS; i++)
		loop->lag.counts[i] += c->counts[i];
	return 0;
}

/* The last sums of a process that was killed never came: what is known of the long iterations is more then. */
static void settle(struct pa_report_loop *loop)
{
	struct pa_lag *lag = &loop->lag;
	uint64_t longs = sum_of(lag->counts), long_ns = lag->small_ns, rest;

	if (loop->iterations < longs)
		loop->iterations = longs;
	if (loop->busy_ns < long_ns)
		loop->busy_ns = long_ns;
	lag->small = loop->iterations - longs;
	rest = loop->busy_ns - long_ns;
	/* records that were lost would make the short ones look long */
	lag->small_ns = lag->small && rest / lag->small >= PA_LAG_FLOOR_NS ? lag->small * (PA_LAG_FLOOR_NS - 1)
			: lag->small                                       ? rest
									   : 0;
	if (!longs && lag->small)
		lag->max_ns = lag->small_ns / lag->small;
}

static int on_blocked(void *arg, const struct pa_store_loop_blocked *from)
{
	struct loading *l = arg;
	struct pa_report *r = l->r;
	struct pa_report_loop *loop = loop_of(l, from->loop);

	if (!loop || !in_window(l, from->end_ns))
		return 0;
	if (!pa_grow((void **)&l->to->blocked, &l->blocked_capacity, l->to->nr_blocked, sizeof(*l->to->blocked)))
		return -ENOMEM;
	loop->blocked++;
	l->to->blocked[l->to->nr_blocked++] = (struct pa_report_blocked){
	    .loop = from->loop, /* its id until they are sorted */
	    .start_ns = from->start_ns,
	    .end_ns = from->end_ns,
	    .waited_ns = from->waited_ns,
	    .stack = pa_index_of(r->stacks, r->nr_stacks, sizeof(*r->stacks), from->stack),
	    .ready = from->ready,
	};
	return 0;
}

static int on_wait(void *arg, const struct pa_store_loop_wait *from)
{
	struct loading *l = arg;
	struct pa_report *r = l->r;

	if (!pa_grow((void **)&l->to->waits, &l->wait_capacity, l->to->nr_waits, sizeof(*l->to->waits)))
		return -ENOMEM;
	l->to->waits[l->to->nr_waits++] = (struct pa_report_loop_wait){
	    .thread = pa_index_of(r->threads, r->nr_threads, sizeof(*r->threads), from->thread),
	    .kind = from->kind,
	    .stack = pa_index_of(r->stacks, r->nr_stacks, sizeof(*r->stacks), from->stack),
	    .waits = from->waits,
	    .total_ns = from->total_ns,
	    .max_ns = from->max_ns,
	};
	return 0;
}

/* ---- samples of blocked iterations ------------------------------------------------------------------------------ */

struct hits {
	struct loading *l;
	uint32_t *order; /* of the first `nr` blocked iterations, by thread and start */
	size_t nr;
	struct pa_map map; /* (blocked, stack) -> index of hit + 1 */
	struct hit *hits;
	size_t nr_hits, capacity;
};

static uint32_t thread_of(const struct pa_report_loops *to, uint32_t blocked)
{
	return to->loops[to->blocked[blocked].loop]->thread;
}

static int by_thread(const void *left, const void *right, void *arg)
{
	const struct pa_report_loops *to = arg;
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
	uint32_t ta = thread_of(to, a), tb = thread_of(to, b);

	if (ta != tb)
		return ta < tb ? -1 : 1;
	if (to->blocked[a].start_ns != to->blocked[b].start_ns)
		return to->blocked[a].start_ns < to->blocked[b].start_ns ? -1 : 1;
	return a < b ? -1 : a > b;
}

/* How many of the ordered iterations begin at or before that time of that thread, or belong to a thread before it. */
static size_t up_to(const struct hits *h, uint32_t thread, uint64_t time_ns)
{
	const struct pa_report_loops *to = h->l->to;
	size_t low = 0, high = h->nr;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		uint32_t at = h->order[middle], of = thread_of(to, at);

		if (of < thread || (of == thread && to->blocked[at].start_ns <= time_ns))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int hit(struct hits *h, uint32_t blocked, uint32_t stack, const struct pa_store_sample *s)
{
	struct pa_report *r = h->l->r;
	struct pa_report_blocked *b = &h->l->to->blocked[blocked];
	const struct pa_report_thread *t = &r->threads[thread_of(h->l->to, blocked)];
	uint64_t ns = s->weight * (t->period_ns ? t->period_ns : r->period_ns);
	uint32_t *at = pa_map_at(&h->map, pa_pair(blocked, stack), 0);

	if (!at || (!*at && !pa_grow((void **)&h->hits, &h->capacity, h->nr_hits, sizeof(*h->hits))))
		return -ENOMEM;
	if (!*at) {
		h->hits[h->nr_hits++] = (struct hit){.blocked = blocked, .stack = stack};
		*at = (uint32_t)h->nr_hits;
	}
	h->hits[*at - 1].weight += s->weight;
	b->cpu_ns += ns;
	b->samples++;
	return 0;
}

/* Iterations of nested loops overlap: the sample is in each, as deep as loops nest on one thread. */
static int on_sample(void *arg, const struct pa_store_sample *s)
{
	struct hits *h = arg;
	struct pa_report *r = h->l->r;
	const struct pa_report_loops *to = h->l->to;
	uint32_t thread = pa_index_of(r->threads, r->nr_threads, sizeof(*r->threads), s->thread);
	uint32_t stack = pa_index_of(r->stacks, r->nr_stacks, sizeof(*r->stacks), s->stack);
	/* times of samples are whole microseconds */
	size_t at = up_to(h, thread, s->time_ns + 999);
	int err = 0;

	if (r->stacks[stack].flags & PA_STACK_UNSAMPLED)
		return 0;
	for (int back = 0; at > 0 && back < 4 && !err; back++) {
		uint32_t blocked = h->order[--at];

		if (thread_of(to, blocked) != thread)
			break;
		if (s->time_ns <= to->blocked[blocked].end_ns)
			err = hit(h, blocked, stack, s);
	}
	return err;
}

static int by_blocked(const void *left, const void *right)
{
	const struct hit *a = left, *b = right;

	if (a->blocked != b->blocked)
		return a->blocked < b->blocked ? -1 : 1;
	return a->stack < b->stack ? -1 : a->stack > b->stack;
}

static uint32_t ancestor(const struct pa_report *r, uint32_t stack, uint16_t depth)
{
	while (r->stacks[stack].depth > depth)
		stack = r->stacks[stack].parent;
	return stack;
}

/* From the root down the way that most samples share, to where most of them end.
 * Shapes: nr >= 1 hits, no stack twice; they are reordered. */
static uint32_t common_stack(const struct pa_report *r, struct hit *hits, size_t nr)
{
	uint32_t at = 0;

	for (uint16_t depth = 1; nr; depth++) {
		uint64_t best = 0, ended = 0;
		uint32_t next = 0;
		size_t kept = 0;

		for (size_t i = 0; i < nr; i++) {
			uint32_t here = ancestor(r, hits[i].stack, depth);
			uint64_t weight = 0;

			if (r->stacks[hits[i].stack].depth < depth) {
				ended += hits[i].weight;
				continue;
			}
			for (size_t k = 0; k < nr; k++)
				weight += r->stacks[hits[k].stack].depth >= depth &&
						  ancestor(r, hits[k].stack, depth) == here
					      ? hits[k].weight
					      : 0;
			if (weight > best) {
				best = weight;
				next = here;
			}
		}
		if (!next || ended > best)
			break;
		at = next;
		for (size_t i = 0; i < nr; i++)
			if (r->stacks[hits[i].stack].depth >= depth && ancestor(r, hits[i].stack, depth) == at)
				hits[kept++] = hits[i];
		nr = kept;
	}
	return at;
}

#define HITS_EACH 64 /* stacks of one iteration that are compared: those with the most samples */

static int by_weight(const void *left, const void *right)
{
	const struct hit *a = left, *b = right;

	if (a->weight != b->weight)
		return a->weight < b->weight ? 1 : -1;
	return a->stack < b->stack ? -1 : a->stack > b->stack;
}

static void judge(struct pa_report_blocked *b, uint64_t period_ns)
{
	uint64_t length_ns = b->end_ns - b->start_ns;

	/* a period of CPU time may be under way at either end */
	if (b->waited_ns >= length_ns - b->waited_ns)
		b->by = PA_BLOCKED_WAIT;
	else if (b->samples && b->cpu_ns + period_ns >= length_ns / 2)
		b->by = PA_BLOCKED_CPU;
}

static void choose_stacks(struct hits *h)
{
	struct pa_report_loops *to = h->l->to;
	size_t end;

	if (h->nr_hits)
		qsort(h->hits, h->nr_hits, sizeof(*h->hits), by_blocked);
	for (size_t i = 0; i < to->nr_blocked; i++)
		judge(&to->blocked[i], h->l->r->period_ns);
	for (size_t i = 0; i < h->nr_hits; i = end) {
		struct pa_report_blocked *b = &to->blocked[h->hits[i].blocked];

		for (end = i; end < h->nr_hits && h->hits[end].blocked == h->hits[i].blocked; end++)
			;
		if (b->stack && b->by != PA_BLOCKED_CPU && b->waited_ns >= b->cpu_ns)
			continue;
		qsort(h->hits + i, end - i, sizeof(*h->hits), by_weight);
		b->stack = common_stack(h->l->r, h->hits + i, end - i < HITS_EACH ? end - i : HITS_EACH);
	}
}

static int look_at_samples(struct loading *l, struct pa_recording *rec)
{
	struct pa_report_loops *to = l->to;
	struct hits h = {.l = l, .nr = to->nr_blocked < PA_BLOCKED_STACKS ? to->nr_blocked : PA_BLOCKED_STACKS};
	int err = 0;

	if (!to->nr_blocked)
		return 0;
	h.order = calloc(h.nr, sizeof(*h.order));
	if (!h.order)
		return -ENOMEM;
	for (size_t i = 0; i < h.nr; i++)
		h.order[i] = (uint32_t)i;
	qsort_r(h.order, h.nr, sizeof(*h.order), by_thread, to);
	err = pa_recording_samples(rec, on_sample, &h);
	if (!err)
		choose_stacks(&h);
	pa_map_fini(&h.map);
	free(h.hits);
	free(h.order);
	return err;
}

/* ---- order ------------------------------------------------------------------------------------------------------ */

static int by_busy(const void *left, const void *right)
{
	const struct pa_report_loop *a = *(const struct pa_report_loop *const *)left,
				    *b = *(const struct pa_report_loop *const *)right;

	if (a->busy_ns != b->busy_ns)
		return a->busy_ns < b->busy_ns ? 1 : -1;
	return a->id < b->id ? -1 : a->id > b->id;
}

static int by_length(const void *left, const void *right)
{
	const struct pa_report_blocked *a = left, *b = right;
	uint64_t la = a->end_ns - a->start_ns, lb = b->end_ns - b->start_ns;

	if (la != lb)
		return la < lb ? 1 : -1;
	return a->start_ns < b->start_ns ? -1 : a->start_ns > b->start_ns;
}

static int by_total(const void *left, const void *right)
{
	const struct pa_report_loop_wait *a = left, *b = right;

	if (a->total_ns != b->total_ns)
		return a->total_ns < b->total_ns ? 1 : -1;
	return a->stack < b->stack ? -1 : a->stack > b->stack;
}

/* Loops without an iteration in the window are none. Ids of loops become indices. */
static int put_in_order(struct loading *l)
{
	struct pa_report_loops *to = l->to;
	struct pa_map index = {0};
	size_t kept = 0;
	int err = 0;

	for (size_t i = 0; i < to->nr_loops; i++) {
		settle(to->loops[i]);
		add_lag(&to->lag, &to->loops[i]->lag);
		if (to->loops[i]->iterations)
			to->loops[kept++] = to->loops[i];
		else
			free(to->loops[i]);
	}
	to->nr_loops = kept;
	if (kept)
		qsort(to->loops, kept, sizeof(struct pa_report_loop *), by_busy);
	for (size_t i = 0; i < kept && !err; i++) {
		uint32_t *at = pa_map_at(&index, to->loops[i]->id, 0);

		if (at)
			*at = (uint32_t)i + 1;
		else
			err = -ENOMEM;
	}
	kept = 0;
	for (size_t i = 0; i < to->nr_blocked && !err; i++) {
		const uint32_t *at = pa_map_at(&index, to->blocked[i].loop, 0);

		if (!at)
			err = -ENOMEM;
		else if (*at) {
			to->blocked[kept] = to->blocked[i];
			to->blocked[kept++].loop = *at - 1;
		}
	}
	to->nr_blocked = err ? 0 : kept;
	pa_map_fini(&index);
	return err;
}

static int load_all(struct loading *l, struct pa_recording *rec)
{
	struct pa_report_loops *to = l->to;
	int err;

	if ((err = pa_recording_loops(rec, on_loop, l)) || (err = pa_recording_loop_chunks(rec, on_chunk, l)) ||
	    (err = pa_recording_loop_blocked(rec, on_blocked, l)) || (err = pa_recording_loop_waits(rec, on_wait, l)) ||
	    (err = put_in_order(l)))
		return err;
	if (to->nr_blocked)
		qsort(to->blocked, to->nr_blocked, sizeof(*to->blocked), by_length);
	if (to->nr_waits)
		qsort(to->waits, to->nr_waits, sizeof(*to->waits), by_total);
	return look_at_samples(l, rec);
}

int pa_load_loops(struct pa_report *r, struct pa_recording *rec)
{
	struct loading l = {.r = r, .span = pa_window_span(r)};
	uint64_t threshold_ns = pa_recording_meta_u64(rec, "loop_blocked_ns", 0);

	/* an older recording, or one without loops */
	if (!threshold_ns)
		return 0;
	r->loops = l.to = calloc(1, sizeof(*r->loops));
	if (!l.to)
		return -ENOMEM;
	l.to->threshold_ns = threshold_ns;
	return load_all(&l, rec);
}

void pa_loops_free(struct pa_report_loops *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->nr_loops; i++)
		free(l->loops[i]);
	free(l->loops);
	free(l->blocked);
	free(l->waits);
	free(l);
}

/* Of what a wait returned, each is handled by the end of the iteration at the latest. */
double pa_loops_pending(const struct pa_report *r)
{
	uint64_t from = r->window.from_ns, to = r->window.to_ns < r->duration_ns ? r->window.to_ns : r->duration_ns;
	double sum = 0;

	for (size_t i = 0; i < r->loops->nr_loops; i++) {
		const struct pa_report_loop *l = r->loops->loops[i];

		sum += (double)l->busy_ns * (double)l->ready / (double)l->iterations;
	}
	return to > from ? sum / (double)(to - from) : 0;
}
