/* Where threads waited, loaded and written. */
#include "report/wall.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store_wall.h"
#include "report/escape.h"
#include "report/load.h"
#include "report/quantity.h"
#include "report/stack_out.h"
#include "report/talks.h"
#include "report/text.h"

#define TEXT_ROWS   10
#define TEXT_STACKS 3
#define TEXT_FRAMES 12

struct loading {
	struct pa_report *r;
	struct pa_report_wall *to;
	struct pa_map map; /* (process, stack) -> index + 1 */
	size_t capacity;
};

static int on_wait(void *arg, const struct pa_store_wall *from)
{
	struct loading *l = arg;
	struct pa_report *r = l->r;
	uint32_t process = pa_index_of(r->processes, r->nr_processes, sizeof(*r->processes), from->process);
	uint32_t stack = pa_index_of(r->stacks, r->nr_stacks, sizeof(*r->stacks), from->stack);
	uint32_t *at = pa_map_at(&l->map, pa_pair(process, stack), 0);
	struct pa_report_wait *wait;

	if (!at || (!*at && !pa_grow((void **)&l->to->waits, &l->capacity, l->to->nr_waits, sizeof(*l->to->waits))))
		return -ENOMEM;
	if (!*at) {
		l->to->waits[l->to->nr_waits++] = (struct pa_report_wait){
		    .process = process,
		    .thread = pa_index_of(r->threads, r->nr_threads, sizeof(*r->threads), from->thread),
		    .stack = stack};
		*at = (uint32_t)l->to->nr_waits;
	}
	wait = &l->to->waits[*at - 1];
	wait->looks += from->looks;
	wait->ns += from->ns;
	l->to->ns += from->ns;
	return 0;
}

static int by_time(const void *left, const void *right)
{
	const struct pa_report_wait *a = left, *b = right;

	if (a->ns != b->ns)
		return a->ns < b->ns ? 1 : -1;
	return a->stack < b->stack ? -1 : a->stack > b->stack;
}

static void load_figures(struct pa_report_wall *w, struct pa_recording *rec)
{
	const struct {
		const char *key;
		uint64_t *value;
	} figures[] = {{"wall_rounds", &w->rounds},   {"wall_missed", &w->missed}, {"wall_looks", &w->looks},
		       {"wall_running", &w->running}, {"wall_walks", &w->walks},   {"wall_moved", &w->moved},
		       {"wall_put_off", &w->put_off}, {"wall_cpu_ns", &w->cpu_ns}, {"wall_refused", &w->refused}};

	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
		*figures[i].value = pa_recording_meta_u64(rec, figures[i].key, UINT64_MAX);
}

int pa_load_wall(struct pa_report *r, struct pa_recording *rec)
{
	struct loading l = {.r = r};
	uint64_t period_ns = pa_recording_meta_u64(rec, "wall_period_ns", 0);
	int err;

	/* an older recording, or one without */
	if (!period_ns)
		return 0;
	r->wall = l.to = calloc(1, sizeof(*r->wall));
	if (!l.to)
		return -ENOMEM;
	l.to->period_ns = period_ns;
	load_figures(l.to, rec);
	err = pa_recording_walls(rec, on_wait, &l);
	if (l.to->nr_waits)
		qsort(l.to->waits, l.to->nr_waits, sizeof(*l.to->waits), by_time);
	pa_map_fini(&l.map);
	return err;
}

void pa_wall_report_free(struct pa_report_wall *w)
{
	if (!w)
		return;
	free(w->waits);
	free(w);
}

int pa_wall_entries(const struct pa_report *r, struct pa_report_entry **own, struct pa_entries *entries)
{
	const struct pa_entries cpu = pa_cpu_entries(r);
	struct pa_report_entry *all;
	size_t nr = 0;

	if (!r->wall)
		return -ENODATA;
	all = calloc(cpu.nr + r->wall->nr_waits + 1, sizeof(*all));
	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < cpu.nr; i++) {
		all[nr] = cpu.entries[i];
		all[nr].sum.weight = all[nr].sum.ns / 1000;
		nr++;
	}
	for (size_t i = 0; i < r->wall->nr_waits; i++) {
		const struct pa_report_wait *w = &r->wall->waits[i];

		all[nr++] = (struct pa_report_entry){.process = w->process,
						     .stack = w->stack,
						     .sum = {.weight = w->ns / 1000, .ns = w->ns, .signals = w->looks}};
	}
	*own = all;
	*entries = (struct pa_entries){.entries = all, .nr = nr, .unit = PA_UNIT_CPU};
	return 0;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

static void known(struct pa_json *j, const char *key, uint64_t value)
{
	if (value == UINT64_MAX)
		pa_json_text(j, key, NULL);
	else
		pa_json_u64(j, key, value);
}

static void wait_json(struct pa_json *j, const struct pa_report *r, const struct pa_report_wait *w)
{
	pa_json_object(j, NULL);
	pa_json_u64(j, "process", r->processes[w->process].id);
	pa_json_text(j, "function", pa_text(r, pa_stack_caller(r, w->process, w->stack)));
	pa_json_u64(j, "looks", w->looks);
	pa_json_seconds(j, "time_s", w->ns);
	pa_stack_json(j, "stack", r, w->stack);
	pa_json_end_object(j);
}

void pa_wall_json(struct pa_json *j, const struct pa_report *r, size_t limit)
{
	const struct pa_report_wall *w = r->wall;

	pa_json_object(j, "wall");
	pa_json_real(j, "period_ms", (double)w->period_ns / 1e6, 3);
	known(j, "rounds", w->rounds);
	known(j, "rounds_missed", w->missed);
	known(j, "looks", w->looks);
	known(j, "looks_running", w->running);
	known(j, "walks", w->walks);
	known(j, "walks_moved", w->moved);
	known(j, "walks_put_off", w->put_off);
	known(j, "processes_refused", w->refused);
	if (w->cpu_ns == UINT64_MAX)
		pa_json_text(j, "collector_cpu_s", NULL);
	else
		pa_json_seconds(j, "collector_cpu_s", w->cpu_ns);
	pa_json_seconds(j, "waited_s", w->ns);
	pa_json_array(j, "waits");
	for (size_t i = 0; i < w->nr_waits && i < limit; i++)
		wait_json(j, r, &w->waits[i]);
	pa_json_end_array(j);
	pa_json_u64(j, "waits_omitted", w->nr_waits > limit ? w->nr_waits - limit : 0);
	pa_json_end_object(j);
}

/* ---- text ------------------------------------------------------------------------------------------------------- */

/* Rows of one function. */
struct place {
	uint32_t function;
	uint64_t looks, ns;
};

static int by_function(const void *left, const void *right)
{
	const struct place *a = left, *b = right;

	return a->function < b->function ? -1 : a->function > b->function;
}

static int by_longest(const void *left, const void *right)
{
	const struct place *a = left, *b = right;

	if (a->ns != b->ns)
		return a->ns < b->ns ? 1 : -1;
	return by_function(left, right);
}

static size_t add_up(const struct pa_report *r, struct place *places)
{
	size_t nr = 0;

	for (size_t i = 0; i < r->wall->nr_waits; i++) {
		const struct pa_report_wait *w = &r->wall->waits[i];

		places[i] = (struct place){pa_stack_caller(r, w->process, w->stack), w->looks, w->ns};
	}
	qsort(places, r->wall->nr_waits, sizeof(*places), by_function);
	for (size_t i = 0; i < r->wall->nr_waits; i++) {
		if (nr && places[nr - 1].function == places[i].function) {
			places[nr - 1].looks += places[i].looks;
			places[nr - 1].ns += places[i].ns;
		} else {
			places[nr++] = places[i];
		}
	}
	qsort(places, nr, sizeof(*places), by_longest);
	return nr;
}

static void delivered_text(const struct pa_report_wall *w, FILE *out)
{
	if (w->rounds == UINT64_MAX) {
		fprintf(out, "  threads were looked at every %.0f ms or less often: the recording ended early\n",
			(double)w->period_ns / 1e6);
		return;
	}
	fprintf(out, "  %" PRIu64 " rounds of looking, %.0f ms apart", w->rounds, (double)w->period_ns / 1e6);
	if (w->missed)
		fprintf(out, " but for %" PRIu64 " that were left out", w->missed);
	fprintf(out, "; %" PRIu64 " looks at a thread, %" PRIu64 " of them while it ran; %" PRIu64 " walks", w->looks,
		w->running, w->walks);
	if (w->moved + w->put_off)
		fprintf(out, ", %" PRIu64 " void or left out", w->moved + w->put_off);
	fprintf(out, "; the collector used %.2f s for it\n", (double)w->cpu_ns / 1e9);
	if (w->refused)
		fprintf(out, "  %" PRIu64 " processes may not be looked at (ptrace(2), \"Ptrace access mode\")\n",
			w->refused);
}

int pa_wall_text(const struct pa_report *r, const struct pa_report_options *o, FILE *out)
{
	const struct pa_stack_style stack = {.indent = 6, .max = TEXT_FRAMES};
	const struct pa_report_wall *w = r->wall;
	size_t max = o->limit ? o->limit : TEXT_ROWS, nr;
	struct place *places = calloc(w->nr_waits + 1, sizeof(*places));
	char count[PA_QUANTITY_MAX];
	struct pa_style style;

	if (!places)
		return -ENOMEM;
	nr = w->nr_waits ? add_up(r, places) : 0;
	pa_style_get(o, &style);
	fprintf(out, "\n%swaiting threads%s\n", style.bold, style.plain);
	delivered_text(w, out);
	if (nr)
		fprintf(out, "\n%s    seconds      %%     looks  waited in%s\n", style.bold, style.plain);
	for (size_t i = 0; i < nr && i < max; i++) {
		fprintf(out, "  %9.2f  %5.1f  %8s  ", (double)places[i].ns / 1e9, pa_percent(places[i].ns, w->ns),
			pa_count_text(count, places[i].looks));
		pa_escape_columns(out, PA_PLAIN, pa_text(r, places[i].function), 80);
		fputc('\n', out);
	}
	if (nr > max)
		fprintf(out, "  and %zu more (--format json lists stacks, flame --kind wall shows all)\n", nr - max);
	for (size_t i = 0; i < w->nr_waits && i < TEXT_STACKS; i++) {
		fprintf(out, "\n  waited %.2f s at\n", (double)w->waits[i].ns / 1e9);
		pa_stack_text(r, o, w->waits[i].stack, &stack, out);
	}
	free(places);
	return 0;
}
