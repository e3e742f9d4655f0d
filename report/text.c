/* The report for a person: a header that says what was measured and what is missing from it, then the table. */
#include "report/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/escape.h"
#include "report/heap_text.h"
#include "report/findings.h"
#include "report/locks.h"
#include "report/loops.h"
#include "report/requests.h"
#include "report/talks.h"
#include "report/quantity.h"
#include "report/wall.h"

#define NAMED_MODULES   6
#define NAMED_NOTES     10
#define NAMED_PROCESSES 10
#define LABEL_WIDTH     11

double pa_percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

size_t pa_text_rows(const struct pa_report *r, const struct pa_report_options *o)
{
	bool both = o->width && r->heap.recorded && !o->memory_only;
	return o->limit ? o->limit : both ? PA_TEXT_ROWS_BOTH : PA_TEXT_ROWS;
}

static double seconds(uint64_t ns)
{
	return (double)ns / 1e9;
}

void pa_style_get(const struct pa_report_options *o, struct pa_style *s)
{
	static const struct pa_style none = {"", "", ""}, ansi = {"\x1b[1m", "\x1b[2m", "\x1b[0m"};
	*s = o->color ? ansi : none;
}

struct head {
	const struct pa_report *r;
	const struct pa_report_options *o;
	struct pa_figures f;
	struct pa_style style;
	FILE *out;
};

static void label(const struct head *h, const char *text)
{
	fprintf(h->out, "  %s%-*s%s", h->style.dim, LABEL_WIDTH, text, h->style.plain);
}

/* A line that holds the target's own words and ends where the terminal does. */
static void words(const struct head *h, const char *name, const char *text)
{
	size_t width = h->o->width > LABEL_WIDTH + 22 ? h->o->width - LABEL_WIDTH - 2 : h->o->width ? 20 : 0;
	label(h, name);
	pa_escape_columns(h->out, PA_PLAIN, text, width);
	fputc('\n', h->out);
}

static const char *plural(uint64_t n, const char *one, const char *many)
{
	return n == 1 ? one : many;
}

static void write_window(const struct head *h)
{
	const struct pa_report_window *w = &h->r->window;
	char from[PA_QUANTITY_MAX], to[PA_QUANTITY_MAX];
	label(h, "window");
	fprintf(h->out, "%s to %s; losses and overhead are of the whole recording\n", pa_time_text(from, w->from_ns),
		w->to_ns == UINT64_MAX ? "the end" : pa_time_text(to, w->to_ns));
}

static void write_when(const struct head *h)
{
	const struct pa_report *r = h->r;
	const char *started = pa_text(r, r->started);
	label(h, "recorded");
	if (strlen(started) >= 19 && started[10] == 'T') {
		char when[20];
		snprintf(when, sizeof(when), "%.10s %.8s", started, started + 11);
		pa_escape(h->out, PA_PLAIN, when);
		fputs(" UTC", h->out);
	} else {
		fputs("at an unknown time", h->out);
	}
	if (*pa_text(r, r->host)) {
		fputs(" on ", h->out);
		pa_escape(h->out, PA_PLAIN, pa_text(r, r->host));
	}
	fprintf(h->out, ", %.3f s", seconds(r->duration_ns));
	if (r->exit_status >= 0)
		fprintf(h->out, ", exit status %d", r->exit_status);
	fputc('\n', h->out);
	if (!h->f.whole)
		write_window(h);
	label(h, "target");
	fprintf(h->out, "%zu %s, %zu %s\n", h->f.nr_processes, plural(h->f.nr_processes, "process", "processes"),
		h->f.nr_threads, plural(h->f.nr_threads, "thread", "threads"));
	if (!r->clean) {
		label(h, "");
		fprintf(h->out,
			"%sended early%s: the collector was killed or is still recording; what follows is what it had "
			"written\n",
			h->style.bold, h->style.plain);
	}
}

struct reason {
	const char *text;
	uint64_t count;
};

/* Reasons add up over processes. Returns how many there are. */
static size_t reasons_of(const struct pa_report *r, struct reason *reasons, size_t max)
{
	size_t nr = 0;
	for (size_t i = 0; i < r->nr_losses; i++) {
		const char *text = pa_text(r, r->losses[i].reason);
		size_t at = 0;
		while (at < nr && strcmp(reasons[at].text, text))
			at++;
		if (at == max || !r->losses[i].count)
			continue;
		if (at == nr)
			reasons[nr++] = (struct reason){.text = text};
		reasons[at].count += r->losses[i].count;
	}
	return nr;
}

/* The reasons of one kind, in brackets. Returns whether there was one. */
static bool write_reasons(const struct head *h, const char *before, bool is_sample)
{
	struct reason reasons[16];
	size_t nr = reasons_of(h->r, reasons, 16), shown = 0;
	for (size_t i = 0; i < nr; i++) {
		const char *text = reasons[i].text;
		bool described = !strcmp(text, "truncated") || !strcmp(text, "blocked") || !strcmp(text, "unsampled");
		if (pa_loss_is_sample(text) != is_sample || described)
			continue;
		fputs(shown++ ? ", " : before, h->out);
		pa_escape(h->out, PA_PLAIN, text);
		fprintf(h->out, " %" PRIu64, reasons[i].count);
	}
	return shown > 0;
}

static void write_losses(const struct head *h)
{
	label(h, "");
	fprintf(h->out, "%" PRIu64 " lost", h->f.lost);
	if (write_reasons(h, " (", true))
		fputc(')', h->out);
	fprintf(h->out, ", %" PRIu64 " truncated, %" PRIu64 " late by a blocked signal", h->f.truncated, h->f.blocked);
	write_reasons(h, "; also ", false);
	fputc('\n', h->out);
}

static void write_samples(const struct head *h)
{
	const struct pa_figures *f = &h->f;
	label(h, "samples");
	if (!f->whole)
		fprintf(h->out, "%" PRIu64 " in the window", f->delivered);
	else if (f->expected)
		fprintf(h->out, "%" PRIu64 " of %" PRIu64 " expected (%.1f %%)", f->delivered, f->expected,
			pa_percent(f->delivered, f->expected));
	else
		fprintf(h->out, "%" PRIu64 " of 0 expected", f->delivered);
	if (h->r->period_ns)
		fprintf(h->out, " at %.4g Hz", 1e9 / (double)h->r->period_ns);
	fprintf(h->out, ", by %" PRIu64 " %s\n", f->signals, plural(f->signals, "signal", "signals"));
	write_losses(h);
}

static void write_time(const struct head *h)
{
	const struct pa_figures *f = &h->f;
	const struct pa_cost *cost = &h->r->cost;
	if (!pa_report_has_cpu(h->r)) {
		label(h, "CPU time");
		fprintf(h->out, "%.3f s by the kernel; not sampled, so that the agent's part of it is not known\n",
			seconds(f->kernel_ns));
		label(h, "overhead");
		fprintf(h->out, "collector %.3f s\n", seconds(h->r->collector_ns));
		return;
	}
	label(h, "CPU time");
	fprintf(h->out, "%.3f s accounted for", seconds(f->accounted_ns));
	if (f->kernel_ns && f->whole)
		fprintf(h->out, " of %.3f s by the kernel (%.1f %%)", seconds(f->kernel_ns),
			pa_percent(f->accounted_ns, f->kernel_ns));
	if (f->unsampled)
		fprintf(h->out, ", %.3f s of it without a sample", seconds(h->r->unsampled.ns));
	fputc('\n', h->out);
	label(h, "overhead");
	fprintf(h->out, "agent %.3f s of CPU (%.2f %%)", seconds(f->agent_ns), pa_percent(f->agent_ns, f->kernel_ns));
	if (cost->handler_p50_ns != UINT64_MAX && cost->handler_p99_ns != UINT64_MAX && f->signals)
		fprintf(h->out, ", a sample %.1f us (99 %% below %.1f us)", (double)cost->handler_p50_ns / 1e3,
			(double)cost->handler_p99_ns / 1e3);
	if (h->r->collector_ns)
		fprintf(h->out, "; collector %.3f s", seconds(h->r->collector_ns));
	fputc('\n', h->out);
	if (cost->compared != UINT64_MAX && cost->compared) {
		label(h, "unwinders");
		fprintf(h->out, "%" PRIu64 " of %" PRIu64 " stacks identical (%.2f %%)\n", cost->identical,
			cost->compared, pa_percent(cost->identical, cost->compared));
	}
}

static int by_self(const void *left, const void *right)
{
	const struct pa_report_module *a = *(const struct pa_report_module *const *)left,
				      *b = *(const struct pa_report_module *const *)right;
	if (a->self.ns != b->self.ns)
		return a->self.ns < b->self.ns ? 1 : -1;
	return a->id < b->id ? -1 : a->id > b->id;
}

static const char *status_words(enum pa_symbol_status status)
{
	switch (status) {
	case PA_SYMBOLS_DYNSYM:
		return "exported names only";
	case PA_SYMBOLS_NONE:
		return "stripped";
	case PA_SYMBOLS_MISMATCH:
		return "the file is another one now";
	case PA_SYMBOLS_MISSING:
		return "the file is gone";
	default:
		return "not looked at";
	}
}

static int write_symbols(const struct head *h)
{
	const struct pa_report *r = h->r;
	const struct pa_report_module **poor = calloc(r->nr_modules, sizeof(*poor));
	size_t nr = 0;

	if (!poor)
		return -ENOMEM;
	for (size_t i = 1; i < r->nr_modules; i++)
		if (pa_module_is_poor(&r->modules[i]))
			poor[nr++] = &r->modules[i];
	qsort(poor, nr, sizeof(*poor), by_self);
	label(h, "symbols");
	if (!nr)
		fprintf(h->out, "all of %zu %s\n", h->f.modules_used, plural(h->f.modules_used, "module", "modules"));
	else
		fprintf(h->out, "incomplete for %zu of %zu %s\n", nr, h->f.modules_used,
			plural(h->f.modules_used, "module", "modules"));
	for (size_t i = 0; i < nr && i < NAMED_MODULES; i++) {
		label(h, "");
		fprintf(h->out, "%5.1f %%  ", pa_percent(poor[i]->self.ns, r->sum.ns));
		pa_escape_columns(h->out, PA_PLAIN, pa_text(r, poor[i]->path),
				  h->o->width > 80 ? h->o->width - 50
				  : h->o->width    ? 30
						   : 0);
		fprintf(h->out, ": %s\n", status_words(poor[i]->symbols));
	}
	if (nr > NAMED_MODULES) {
		label(h, "");
		fprintf(h->out, "and %zu more (--format json lists all)\n", nr - NAMED_MODULES);
	}
	free(poor);
	return 0;
}

/* The same sentence about many processes is one line. */
static int write_notes(const struct head *h)
{
	const struct pa_report *r = h->r;
	struct pa_map seen = {0};
	size_t shown = 0, more = 0;
	for (size_t i = 0; i < r->nr_notes; i++) {
		uint32_t *at = pa_map_at(&seen, r->notes[i].text, 0);
		if (!at)
			break;
		if ((*at)++)
			continue;
		if (shown >= NAMED_NOTES) {
			more++;
			continue;
		}
		words(h, shown++ ? "" : "notes", pa_text(r, r->notes[i].text));
	}
	if (more) {
		label(h, "");
		fprintf(h->out, "and %zu more (--format json lists all)\n", more);
	}
	pa_map_fini(&seen);
	return 0;
}

static int by_share(const void *left, const void *right)
{
	const struct pa_report_process *a = *(const struct pa_report_process *const *)left,
				       *b = *(const struct pa_report_process *const *)right;
	if (a->sum.ns != b->sum.ns)
		return a->sum.ns < b->sum.ns ? 1 : -1;
	return a->id < b->id ? -1 : a->id > b->id;
}

static void write_process(const struct head *h, const struct pa_report_process *p)
{
	fprintf(h->out, "  %7.1f  %8.3f  %8.3f  %7" PRIu32 "  %7" PRIu32 "  ", pa_percent(p->sum.ns, h->r->sum.ns),
		seconds(p->sum.ns), seconds(p->cpu_ns), p->pid, p->nr_threads);
	pa_escape_columns(h->out, PA_PLAIN, pa_text(h->r, p->command),
			  h->o->width > 72 ? h->o->width - 50
			  : h->o->width    ? 22
					   : 0);
	fputc('\n', h->out);
}

static int write_processes(const struct head *h)
{
	const struct pa_report *r = h->r;
	const struct pa_report_process **sorted = calloc(r->nr_processes, sizeof(*sorted));
	size_t nr = 0;
	struct pa_sum rest = {0};

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < r->nr_processes; i++)
		if (i || r->processes[i].sum.weight)
			sorted[nr++] = &r->processes[i];
	qsort(sorted, nr, sizeof(*sorted), by_share);
	if (nr > 1)
		fprintf(h->out, "\n%s  share %%     CPU s  kernel s      pid  threads  process%s\n", h->style.bold,
			h->style.plain);
	for (size_t i = 0; nr > 1 && i < nr; i++) {
		if (i < NAMED_PROCESSES)
			write_process(h, sorted[i]);
		else
			rest.ns += sorted[i]->sum.ns;
	}
	if (nr > NAMED_PROCESSES)
		fprintf(h->out, "  %7.1f  %8.3f  other (%zu processes)\n", pa_percent(rest.ns, r->sum.ns),
			seconds(rest.ns), nr - NAMED_PROCESSES);
	free(sorted);
	return 0;
}

/* Allocations were asked for, and nothing came. */
static void write_no_memory(const struct head *h)
{
	if (!h->r->heap.recorded && strstr(pa_text(h->r, h->r->mode), "memory")) {
		label(h, "memory");
		fputs("no allocations were recorded: see the notes\n", h->out);
	}
}

static int write_cpu(const struct head *h)
{
	int err = write_processes(h);
	if (err)
		return err;
	fputc('\n', h->out);
	return h->o->by_endpoint ? pa_requests_text(h->r, h->o, h->out) : pa_text_table(h->r, h->o, h->out);
}

/* The question comes with the command line: who asks for memory gets no table of functions before it. */
int pa_write_text(const struct pa_report *r, const struct pa_report_options *o, FILE *out)
{
	struct head h = {.r = r, .o = o, .out = out};
	int err;

	pa_figures_get(r, &h.f);
	pa_style_get(o, &h.style);
	if (!o->memory_only && (err = pa_findings_text(r, o, out)))
		return err;
	words(&h, "command", pa_text(r, r->command));
	write_when(&h);
	if (!o->memory_only) {
		if (pa_report_has_cpu(r))
			write_samples(&h);
		write_time(&h);
		if (r->heap.recorded)
			pa_heap_text_line(r, o, out);
	}
	write_no_memory(&h);
	if ((err = write_symbols(&h)) || (err = write_notes(&h)) ||
	    (!o->memory_only && pa_report_has_cpu(r) && (err = write_cpu(&h))))
		return err;
	if (r->heap.recorded) {
		fputc('\n', out);
		err = pa_heap_text(r, o, out);
	}
	if (!err && r->loops && !o->memory_only)
		pa_loops_text(r, o, out);
	if (!err && r->talks && !o->memory_only)
		err = pa_talks_text(r, o, out);
	if (!err && r->locks && !o->memory_only)
		pa_locks_text(r, o, out);
	if (!err && r->wall && !o->memory_only)
		err = pa_wall_text(r, o, out);
	return err ? err : ferror(out) ? -EIO : 0;
}
