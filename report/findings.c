#include "report/findings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "report/loops.h"
#include "report/talks.h"
#include "report/text.h"

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

__attribute__((format(printf, 1, 2))) static char *say(const char *format, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	return len < 0 ? NULL : text;
}

/* One more; its texts are freed with it. Errors: -ENOMEM: one of them could not be made. */
static int put(struct pa_findings *f, struct pa_finding finding)
{
	f->list[f->nr++] = finding;
	return finding.what && finding.place && finding.figure ? 0 : -ENOMEM;
}

static size_t nr_of(const struct pa_findings *f, enum pa_finding_kind kind)
{
	size_t nr = 0;

	for (size_t i = 0; i < f->nr; i++)
		nr += f->list[i].kind == kind;
	return nr;
}

static char *name_of(const struct pa_report *r, const struct pa_report_exchange *e)
{
	return say("%s%s%s", pa_text(r, e->method), e->method ? " " : "", pa_text(r, e->text));
}

/* ---- endpoints --------------------------------------------------------------------------------------------------- */

static int slow_endpoints(const struct pa_report *r, struct pa_findings *f)
{
	const struct pa_report_exchange **list;
	size_t nr;
	int err = pa_talks_select(r, PA_TALK_ENDPOINTS, &list, &nr);

	if (err)
		return err;
	for (size_t i = 0; i < nr && !err && nr_of(f, PA_FIND_SLOW_ENDPOINT) < PA_FIND_EACH_MAX; i++) {
		const struct pa_report_exchange *e = list[i];
		uint64_t median = pa_exchange_quantile(e, 500), answered = e->count - e->lost;

		if (answered < PA_FIND_SLOW_COUNT || median < PA_FIND_SLOW_MEDIAN_NS)
			continue;
		err =
		    put(f, (struct pa_finding){
			       .kind = PA_FIND_SLOW_ENDPOINT,
			       .what = name_of(r, e),
			       .place = strdup(""),
			       .figure = say("half of %" PRIu64 " requests took %.0f ms or more, 5 %% of them %.0f ms",
					     answered, ms(median), ms(pa_exchange_quantile(e, 950))),
			       .count = answered,
			       .ms = ms(median),
			   });
	}
	free(list);
	return err;
}

/* ---- statements -------------------------------------------------------------------------------------------------- */

static int by_repeats(const void *left, const void *right)
{
	const struct pa_report_exchange *a = *(const struct pa_report_exchange *const *)left,
					*b = *(const struct pa_report_exchange *const *)right;
	uint64_t ra = (uint64_t)a->repeats * a->repeated, rb = (uint64_t)b->repeats * b->repeated;

	return ra < rb ? 1 : ra > rb ? -1 : a->text < b->text ? -1 : a->text > b->text;
}

/* Who asked, and in which endpoint as far as it is known. */
static char *repeating_place(const struct pa_report *r, const struct pa_report_exchange *e,
			     const struct pa_report_within *w, uint32_t stack)
{
	const char *own = pa_text(r, pa_stack_caller(r, e->process, stack));
	const struct pa_report_exchange *in = w && w->endpoint ? r->talks->exchanges[w->endpoint - 1] : NULL;

	if (!in)
		return strdup(own);
	return say("%s%s%s%s%s", pa_text(r, in->method), in->method ? " " : "", pa_text(r, in->text),
		   *own ? ", asked by " : "", own);
}

static int put_repeats(const struct pa_report *r, struct pa_findings *f, const struct pa_report_exchange *e, bool loops)
{
	const struct pa_report_within *w = pa_exchange_repeats(r, e, loops);
	uint64_t times = loops ? w->sums.repeats : e->repeats, nr = loops ? w->sums.repeated : e->repeated;

	return put(f, (struct pa_finding){
			  .kind = PA_FIND_N_PLUS_ONE,
			  .what = name_of(r, e),
			  .place = repeating_place(r, e, w, loops ? w->stack : e->repeater),
			  .figure = say(loops ? "asked up to %" PRIu64
						" times in one iteration of an event loop, in %" PRIu64 " iterations"
					      : "asked up to %" PRIu64 " times in one request, in %" PRIu64 " requests",
					times, nr),
			  .count = times,
		      });
}

static int repeated_statements(const struct pa_report *r, struct pa_findings *f)
{
	const struct pa_report_exchange **list;
	size_t nr;
	int err = pa_talks_select(r, PA_TALK_QUERIES, &list, &nr);

	if (err)
		return err;
	if (nr)
		qsort(list, nr, sizeof(*list), by_repeats);
	for (size_t i = 0; i < nr && !err && nr_of(f, PA_FIND_N_PLUS_ONE) < PA_FIND_EACH_MAX; i++) {
		const struct pa_report_within *w = pa_exchange_repeats(r, list[i], true);

		if (list[i]->repeated >= PA_FIND_REPEATED)
			err = put_repeats(r, f, list[i], false);
		else if (w && w->sums.repeated >= PA_FIND_REPEATED)
			err = put_repeats(r, f, list[i], true);
	}
	free(list);
	return err;
}

/* ---- loops ------------------------------------------------------------------------------------------------------- */

/* Blocked iterations of one loop that end in one function. */
struct blocker {
	uint32_t loop, function;
	uint64_t count, total_ns, max_ns;
	uint32_t stack; /* of the longest */
	enum pa_blocked_by by;
};

static uint32_t leaf(const struct pa_report *r, uint32_t stack)
{
	return stack ? r->levels[r->frames[r->stacks[stack].frame].first].function : 0;
}

static int by_total(const void *left, const void *right)
{
	const struct blocker *a = left, *b = right;

	if (a->total_ns != b->total_ns)
		return a->total_ns < b->total_ns ? 1 : -1;
	return a->loop != b->loop          ? (a->loop < b->loop ? -1 : 1)
	       : a->function < b->function ? -1
					   : a->function > b->function;
}

/* The longest come first, so that a function is met by its longest. */
static size_t blockers_of(const struct pa_report *r, struct blocker *list)
{
	const struct pa_report_loops *l = r->loops;
	size_t nr = 0, at;

	for (size_t i = 0; i < l->nr_blocked && i < PA_BLOCKED_STACKS; i++) {
		const struct pa_report_blocked *b = &l->blocked[i];
		uint32_t function = leaf(r, b->stack);

		for (at = 0; at < nr && (list[at].loop != b->loop || list[at].function != function); at++)
			;
		if (at == nr)
			list[nr++] = (struct blocker){.loop = b->loop,
						      .function = function,
						      .stack = b->stack,
						      .by = b->by,
						      .max_ns = b->end_ns - b->start_ns};
		list[at].count++;
		list[at].total_ns += b->end_ns - b->start_ns;
	}
	if (nr)
		qsort(list, nr, sizeof(*list), by_total);
	return nr;
}

/* The leaf, its module, and who called it where that is the program's own. */
static char *blocking_place(const struct pa_report *r, const struct blocker *b)
{
	const struct pa_report_thread *t = &r->threads[r->loops->loops[b->loop]->thread];
	uint32_t own = pa_stack_caller(r, t->process, b->stack);
	const char *module = pa_text(r, r->modules[r->frames[r->stacks[b->stack].frame].module].base);

	if (!b->stack)
		return strdup("");
	return say("%s%s%s%s%s%s", pa_text(r, b->function), *module ? " (" : "", module, *module ? ")" : "",
		   own != b->function ? ", called by " : "", own != b->function ? pa_text(r, own) : "");
}

static int put_blocker(const struct pa_report *r, struct pa_findings *f, const struct blocker *b)
{
	static const char *const words[] = {
	    [PA_BLOCKED_OTHER] = "", [PA_BLOCKED_CPU] = " on the processor", [PA_BLOCKED_WAIT] = " waiting"};
	const struct pa_report_loop *l = r->loops->loops[b->loop];
	const struct pa_report_thread *t = &r->threads[l->thread];
	uint64_t time_ns = l->busy_ns + l->wait_ns;

	return put(f, (struct pa_finding){
			  .kind = PA_FIND_BLOCKED_LOOP,
			  .what = say("the event loop of thread %" PRIu32 " (%s)", t->tid,
				      t->name ? pa_text(r, t->name) : pa_text(r, r->processes[t->process].comm)),
			  .place = blocking_place(r, b),
			  .figure = say("blocked %" PRIu64 " times, for up to %.0f ms%s, %.1f %% of its time", b->count,
					ms(b->max_ns), words[b->by], pa_percent(b->total_ns, time_ns)),
			  .count = b->count,
			  .ms = ms(b->max_ns),
			  .pct = pa_percent(b->total_ns, time_ns),
		      });
}

static int blocked_loops(const struct pa_report *r, struct pa_findings *f)
{
	struct blocker *list = calloc(PA_BLOCKED_STACKS, sizeof(*list));
	size_t nr = list ? blockers_of(r, list) : 0;
	int err = list ? 0 : -ENOMEM;

	for (size_t i = 0; i < nr && !err && nr_of(f, PA_FIND_BLOCKED_LOOP) < PA_FIND_EACH_MAX; i++)
		if (list[i].count >= PA_FIND_BLOCKED_COUNT)
			err = put_blocker(r, f, &list[i]);
	free(list);
	return err;
}

/* ---- pools ------------------------------------------------------------------------------------------------------- */

static bool is_small(const struct pa_report_pool *p)
{
	const struct pa_store_pool_chunk *u = &p->use;

	return p->life.known && !p->life.shared && u->short_ns >= PA_FIND_SHORT_NS &&
	       pa_percent(u->short_ns, p->span_ns) >= PA_FIND_SHORT_PCT && u->answered >= PA_FIND_SHORT_ANSWERED &&
	       u->answered >= PA_FIND_SHORT_EACH * u->short_times;
}

static int small_pools(const struct pa_report *r, struct pa_findings *f)
{
	const struct pa_report_talks *t = r->talks;
	int err = 0;

	for (size_t i = 0; i < t->nr_pools && !err && nr_of(f, PA_FIND_SMALL_POOL) < PA_FIND_EACH_MAX; i++) {
		const struct pa_report_pool *p = &t->pools[i];
		double pct = pa_percent(p->use.short_ns, p->span_ns);

		if (!is_small(p))
			continue;
		err = put(
		    f, (struct pa_finding){
			   .kind = PA_FIND_SMALL_POOL,
			   .what = say("the pool of %" PRIu64 " connections to %s %s", p->sums.open_max,
				       pa_proto_name(p->sums.proto), pa_text(r, p->peer)),
			   .place = say("%s", pa_text(r, pa_stack_caller(r, p->process, p->stack))),
			   .figure = say("%" PRIu64 " of %" PRIu64
					 " taken for %.0f %% of the time while %.1f requests more waited, each"
					 " %.0f ms (estimate)",
					 p->sums.open_max, p->sums.open_max, pct,
					 (double)p->use.waiting_ns / (double)p->use.short_ns, ms(pa_pool_wait_ns(p))),
			   .count = p->sums.open_max,
			   .ms = ms(pa_pool_wait_ns(p)),
			   .pct = pct,
		       });
	}
	return err;
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

int pa_findings_get(const struct pa_report *r, struct pa_findings *f)
{
	int err = 0;

	f->nr = 0;
	if (r->talks)
		err = slow_endpoints(r, f);
	if (!err && r->talks)
		err = repeated_statements(r, f);
	if (!err && r->loops)
		err = blocked_loops(r, f);
	if (!err && r->talks)
		err = small_pools(r, f);
	if (err)
		pa_findings_fini(f);
	return err;
}

void pa_findings_fini(struct pa_findings *f)
{
	for (size_t i = 0; i < f->nr; i++) {
		free(f->list[i].what);
		free(f->list[i].place);
		free(f->list[i].figure);
	}
	f->nr = 0;
}
