/* The memory section of the report for a person: what was measured and how far it can be trusted, then the processes,
 * then the table (heap_text_table.c). */
#include "report/heap_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"
#include "report/escape.h"
#include "report/heap_table.h"
#include "report/quantity.h"

#define LABEL_WIDTH     11
#define NAMED_PROCESSES 10

struct head {
	const struct pa_report *r;
	const struct pa_report_options *o;
	struct pa_style style;
	FILE *out;
};

static void label(const struct head *h, const char *text)
{
	fprintf(h->out, "  %s%-*s%s", h->style.dim, LABEL_WIDTH, text, h->style.plain);
}

static uint64_t positive(int64_t value)
{
	return value > 0 ? (uint64_t)value : 0;
}

static const char *blocks(uint64_t nr)
{
	return nr == 1 ? "block" : "blocks";
}

/* Since the start of the recording. */
static char *when(const struct pa_report *r, char *to, uint64_t ns)
{
	return pa_time_text(to, r->started_mono_ns && ns > r->started_mono_ns ? ns - r->started_mono_ns : 0);
}

static bool is_part(const struct pa_report *r)
{
	return r->window.from_ns || r->window.to_ns != UINT64_MAX;
}

static const struct pa_report_heap_process *highest(const struct pa_report *r)
{
	const struct pa_report_heap_process *best = NULL;
	for (size_t i = 0; i < r->heap.nr_processes; i++)
		if (!best || r->heap.processes[i].peak > best->peak)
			best = &r->heap.processes[i];
	return best;
}

static void name_process(const struct head *h, const struct pa_report_heap_process *p)
{
	const struct pa_report_process *of = &h->r->processes[p->process];
	fputs(" of ", h->out);
	pa_escape_columns(h->out, PA_PLAIN, pa_text(h->r, of->comm), 24);
	fprintf(h->out, " (%" PRIu32 ")", of->pid);
}

void pa_heap_text_line(const struct pa_report *r, const struct pa_report_options *o, FILE *out)
{
	struct head h = {.r = r, .o = o, .out = out};
	const struct pa_heap_sum *s = &r->heap.sum;
	const struct pa_report_heap_process *p = highest(r);
	char a[PA_QUANTITY_MAX], b[PA_QUANTITY_MAX], c[PA_QUANTITY_MAX];
	pa_style_get(o, &h.style);
	label(&h, "memory");
	fprintf(out, "%s%s allocated in %s calls, peak %s, %s live at the end%s\n", r->heap.estimated ? "about " : "",
		pa_size_text(a, s->bytes), pa_count_text(b, s->calls), pa_size_text(c, p ? p->peak : 0),
		pa_size_text((char[PA_QUANTITY_MAX]){0}, positive(s->live)),
		r->heap.uncertain ? " (events were lost)" : "");
}

static void write_totals(const struct head *h)
{
	const struct pa_heap_sum *s = &h->r->heap.sum;
	char size[PA_QUANTITY_MAX], calls[PA_QUANTITY_MAX];
	label(h, "allocated");
	fprintf(h->out, "%s in %s calls", pa_size_text(size, s->bytes), pa_count_text(calls, s->calls));
	fprintf(h->out, ", %s in %s freed", pa_size_text(size, s->freed), pa_count_text(calls, s->frees));
	if (s->calls && pa_heap_knows_temporary(h->r))
		fprintf(h->out, "; %.1f %% temporary (freed by the next heap call)",
			pa_percent(s->temporary, s->calls));
	fputc('\n', h->out);
}

/* A window that is shorter than this may be empty although much happened in it. */
static void write_step(const struct head *h)
{
	char time[PA_QUANTITY_MAX];
	if (!h->r->heap.step_ns)
		return;
	label(h, "window");
	fprintf(h->out, "to within %s: allocations are recorded in steps, and a step counts where it ends\n",
		pa_time_text(time, h->r->heap.step_ns));
}

static void write_peak(const struct head *h)
{
	const struct pa_report *r = h->r;
	const struct pa_report_heap_process *p = highest(r);
	char size[PA_QUANTITY_MAX], time[PA_QUANTITY_MAX];
	if (!p)
		return;
	label(h, "peak");
	fprintf(h->out, "%s%s%s%s in %" PRIu64 " %s at %s", p->peak_approximate ? "about " : "", h->style.bold,
		pa_size_text(size, p->peak), h->style.plain, p->peak_calls, blocks(p->peak_calls),
		when(r, time, p->peak_ns));
	if (r->heap.nr_processes > 1)
		name_process(h, p);
	fputc('\n', h->out);
}

static void write_live(const struct head *h)
{
	const struct pa_report *r = h->r;
	const struct pa_heap_sum *s = &r->heap.sum;
	char size[PA_QUANTITY_MAX], change[PA_QUANTITY_MAX];
	label(h, "at the end");
	fprintf(h->out, "%s in %" PRIu64 " %s", pa_size_text(size, positive(s->live)), positive(s->live_calls),
		blocks(positive(s->live_calls)));
	if (is_part(r))
		fprintf(h->out, ", %s since %s", pa_change_text(change, s->live - s->before),
			pa_time_text(size, r->window.from_ns));
	else if (s->live > 0)
		fputs("; `perfagent leaks` shows who did not free", h->out);
	fputc('\n', h->out);
}

/* Every mode that processes had, its mean, and the intervals. */
static void write_precision(const struct head *h)
{
	const struct pa_report *r = h->r;
	char a[PA_QUANTITY_MAX], b[PA_QUANTITY_MAX];
	uint64_t least = UINT64_MAX, most = 0;
	uint64_t lost = 0;
	size_t exact = 0;
	for (size_t i = 0; i < r->heap.nr_processes; i++) {
		const struct pa_report_heap_process *p = &r->heap.processes[i];
		exact += p->mode == PA_HEAP_EXACT;
		lost += p->lost;
		if (p->mode != PA_HEAP_SAMPLED)
			continue;
		least = p->mean < least ? p->mean : least;
		most = p->mean > most ? p->mean : most;
	}
	label(h, "precision");
	if (!r->heap.estimated) {
		fputs(lost || r->heap.uncertain ? "every call was counted but for those that were lost\n"
						: "every call was counted\n",
		      h->out);
		return;
	}
	fprintf(h->out, "one sample in %s allocated", pa_size_text(a, least));
	if (most != least)
		fprintf(h->out, " to %s", pa_size_text(a, most));
	fprintf(h->out, " (%" PRIu64 " in all)%s; 95 %%: allocated \xC2\xB1 %s", r->heap.sum.samples,
		exact ? ", some processes counted exactly" : "", pa_size_text(a, pa_interval(r->heap.sum.var_bytes)));
	fprintf(h->out, ", at the end \xC2\xB1 %s\n", pa_size_text(b, pa_interval(r->heap.sum.var_live)));
}

/* Neighbouring classes are put together: five figures are read, eight are not. */
static void write_lifetimes(const struct head *h)
{
	static const struct {
		size_t first, last;
		const char *text;
	} groups[] = {{0, 1, "below 100 us"}, {2, 3, "10 ms"}, {4, 5, "1 s"}, {6, 6, "10 s"}, {7, 7, "longer"}};
	uint64_t calls[PA_HEAP_LIFETIMES] = {0}, all = 0;
	for (size_t i = 0; i < h->r->heap.nr_processes; i++)
		for (size_t k = 0; k < PA_HEAP_LIFETIMES; k++) {
			calls[k] += h->r->heap.processes[i].lifetime_calls[k];
			all += h->r->heap.processes[i].lifetime_calls[k];
		}
	if (!all)
		return;
	label(h, "lifetimes");
	for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++) {
		uint64_t nr = 0;
		for (size_t k = groups[g].first; k <= groups[g].last; k++)
			nr += calls[k];
		fprintf(h->out, "%s%s %.1f %%", g ? ", " : "", groups[g].text, pa_percent(nr, all));
	}
	fputs(" of freed blocks\n", h->out);
}

/* What the kernel and the C library say. Fragmentation is what glibc keeps free in its arenas, of what it took. */
static void write_resident(const struct head *h)
{
	const struct pa_report *r = h->r;
	uint64_t rss = 0;
	const struct pa_store_heap_point *libc = NULL;
	char a[PA_QUANTITY_MAX], b[PA_QUANTITY_MAX], c[PA_QUANTITY_MAX];
	for (size_t i = 0; i < r->heap.nr_points; i++) {
		const struct pa_store_heap_point *p = &r->heap.points[i];
		if (p->rss_bytes != UINT64_MAX && p->rss_bytes > rss)
			rss = p->rss_bytes;
		if (p->libc_arena != UINT64_MAX && p->libc_used != UINT64_MAX && p->libc_arena &&
		    (!libc || p->libc_arena >= libc->libc_arena))
			libc = p;
	}
	if (!rss && !libc)
		return;
	label(h, "resident");
	if (rss)
		fprintf(h->out, "RSS %s at most%s", pa_size_text(a, rss), libc ? "; " : "\n");
	if (libc) {
		uint64_t idle = libc->libc_arena > libc->libc_used ? libc->libc_arena - libc->libc_used : 0;
		fprintf(h->out, "glibc's arenas %s, %s of it free: %.1f %% fragmentation at %s\n",
			pa_size_text(a, libc->libc_arena), pa_size_text(b, idle), pa_percent(idle, libc->libc_arena),
			when(r, c, libc->time_ns));
	}
}

static void write_mapped(const struct head *h)
{
	uint64_t calls = 0, bytes = 0, gone = 0;
	char a[PA_QUANTITY_MAX], b[PA_QUANTITY_MAX];
	for (size_t i = 0; i < h->r->heap.nr_processes; i++) {
		calls += h->r->heap.processes[i].mapped_calls;
		bytes += h->r->heap.processes[i].mapped_bytes;
		gone += h->r->heap.processes[i].unmapped_bytes;
	}
	if (!calls && !gone)
		return;
	label(h, "mappings");
	fprintf(h->out, "%s in %" PRIu64 " calls of mmap and brk, %s unmapped\n", pa_size_text(a, bytes), calls,
		pa_size_text(b, gone));
}

static void write_engine(const struct head *h)
{
	const struct pa_report *r = h->r;
	uint64_t own = 0, stalled = 0, unknown = 0;
	char a[PA_QUANTITY_MAX], b[PA_QUANTITY_MAX];
	for (size_t i = 0; i < r->heap.nr_processes; i++) {
		own = r->heap.processes[i].own_bytes > own ? r->heap.processes[i].own_bytes : own;
		stalled += r->heap.processes[i].stalled_ns;
		unknown += r->heap.processes[i].unknown_frees;
	}
	label(h, "overhead");
	fprintf(h->out, "engine %s in the target", pa_size_text(a, own));
	if (stalled)
		fprintf(h->out, ", its threads waited %s for the collector", pa_time_text(b, stalled));
	if (unknown)
		fprintf(h->out, "; %" PRIu64 " freed %s allocated before the recording", unknown,
			unknown == 1 ? "block was" : "blocks were");
	fputc('\n', h->out);
}

static void write_lost(const struct head *h)
{
	const struct pa_report *r = h->r;
	uint64_t lost = 0, frees = 0, from = UINT64_MAX;
	char time[PA_QUANTITY_MAX];
	for (size_t i = 0; i < r->heap.nr_processes; i++) {
		const struct pa_report_heap_process *p = &r->heap.processes[i];
		lost += p->lost;
		frees += p->lost_frees;
		if (p->uncertain_ns && p->uncertain_ns < from)
			from = p->uncertain_ns;
	}
	if (!lost && from == UINT64_MAX)
		return;
	label(h, "lost");
	if (lost)
		fprintf(h->out, "%s%" PRIu64 " events%s (%" PRIu64 " known frees): the totals lack them", h->style.bold,
			lost, h->style.plain, frees);
	else
		fprintf(h->out, "%sevents that were not counted%s", h->style.bold, h->style.plain);
	if (from != UINT64_MAX)
		fprintf(h->out, "; live and peak may be too high from %s on", when(r, time, from));
	fputc('\n', h->out);
}

static int by_bytes(const void *left, const void *right)
{
	const struct pa_report_heap_process *a = *(const struct pa_report_heap_process *const *)left,
					    *b = *(const struct pa_report_heap_process *const *)right;
	if (a->sum.bytes != b->sum.bytes)
		return a->sum.bytes < b->sum.bytes ? 1 : -1;
	return a->process < b->process ? -1 : a->process > b->process;
}

static void write_process(const struct head *h, const struct pa_report_heap_process *p)
{
	const struct pa_report_process *of = &h->r->processes[p->process];
	char a[PA_QUANTITY_MAX], b[PA_QUANTITY_MAX], c[PA_QUANTITY_MAX], d[PA_QUANTITY_MAX];
	fprintf(h->out, "  %9s  %8s  %8s  %8s  %7" PRIu32 "  ", pa_size_text(a, p->sum.bytes),
		pa_count_text(b, p->sum.calls), pa_size_text(c, positive(p->sum.live)), pa_size_text(d, p->peak),
		of->pid);
	pa_escape_columns(h->out, PA_PLAIN, pa_text(h->r, of->command),
			  h->o->width > 72 ? h->o->width - 50
			  : h->o->width    ? 22
					   : 0);
	fputc('\n', h->out);
}

static int write_processes(const struct head *h)
{
	const struct pa_report *r = h->r;
	size_t nr = r->heap.nr_processes;
	if (nr < 2)
		return 0;
	const struct pa_report_heap_process **sorted = calloc(nr, sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++)
		sorted[i] = &r->heap.processes[i];
	qsort(sorted, nr, sizeof(*sorted), by_bytes);
	fprintf(h->out, "\n%s  allocated     calls      live      peak      pid  process%s\n", h->style.bold,
		h->style.plain);
	for (size_t i = 0; i < nr && i < NAMED_PROCESSES; i++)
		write_process(h, sorted[i]);
	if (nr > NAMED_PROCESSES)
		fprintf(h->out, "  and %zu more (--format json lists all)\n", nr - NAMED_PROCESSES);
	free(sorted);
	return 0;
}

int pa_heap_text(const struct pa_report *r, const struct pa_report_options *o, FILE *out)
{
	struct head h = {.r = r, .o = o, .out = out};

	pa_style_get(o, &h.style);
	fprintf(out, "%smemory%s\n", h.style.bold, h.style.plain);
	write_step(&h);
	write_totals(&h);
	write_peak(&h);
	write_live(&h);
	write_precision(&h);
	write_lifetimes(&h);
	write_resident(&h);
	write_mapped(&h);
	write_engine(&h);
	write_lost(&h);
	int err = write_processes(&h);
	fputc('\n', out);
	return err ? err : pa_heap_text_table(r, o, out);
}
