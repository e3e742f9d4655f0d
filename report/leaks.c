#include "report/leaks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "report/heap_table.h"

static bool counts(const struct pa_report *r, const struct pa_leaks_options *o, uint32_t process)
{
	const struct pa_report_process *p = &r->processes[process];
	if (o->process && process != o->process)
		return false;
	if (o->growth)
		return !p->end_ns;
	return strcmp(pa_text(r, p->how), "exec") != 0;
}

static void count_processes(const struct pa_report *r, const struct pa_leaks_options *o, struct pa_leaks *l)
{
	for (size_t i = 0; i < r->heap.nr_processes; i++) {
		const struct pa_report_process *p = &r->processes[r->heap.processes[i].process];
		if (o->process && r->heap.processes[i].process != o->process)
			continue;
		l->nr_execed += !strcmp(pa_text(r, p->how), "exec");
		l->nr_killed += !strncmp(pa_text(r, p->how), "signal", 6);
	}
}

static int order(const void *left, const void *right)
{
	const struct pa_leak *a = left, *b = right;
	bool a_leaks = !a->suppressed && a->bytes > 0, b_leaks = !b->suppressed && b->bytes > 0;
	if (a_leaks != b_leaks)
		return a_leaks ? -1 : 1;
	if (a->bytes != b->bytes)
		return a->bytes < b->bytes ? 1 : -1;
	if (a->blocks != b->blocks)
		return a->blocks < b->blocks ? 1 : -1;
	return a->stack < b->stack ? -1 : a->stack > b->stack;
}

/* Stacks that read the same are one row, whichever process they are of. */
static int collect(const struct pa_report *r, const struct pa_leaks_options *o, struct pa_leaks *l)
{
	uint32_t *names = pa_stacks_by_name(r, false);
	struct pa_map map = {0};
	size_t capacity = 0;
	int err = names ? 0 : -ENOMEM;
	for (size_t i = 0; !err && i < r->heap.nr_held; i++) {
		const struct pa_report_held *h = &r->heap.held[i];
		int64_t blocks = h->sum.live_calls - (o->growth ? h->sum.before_calls : 0);
		int64_t bytes = h->sum.live - (o->growth ? h->sum.before : 0);
		if ((!blocks && !bytes) || !counts(r, o, h->process))
			continue;
		uint32_t *at = pa_map_at(&map, names[h->stack], 1);
		err = -ENOMEM;
		if (!at || (!*at && !pa_grow((void **)&l->rows, &capacity, l->nr, sizeof(*l->rows))))
			break;
		if (!*at) {
			l->rows[l->nr++] = (struct pa_leak){.stack = h->stack};
			*at = (uint32_t)l->nr;
		}
		struct pa_leak *leak = &l->rows[*at - 1];
		leak->blocks += blocks;
		leak->bytes += bytes;
		leak->variance += h->sum.var_live;
		err = 0;
	}
	pa_map_fini(&map);
	free(names);
	return err;
}

int pa_leaks_find(const struct pa_report *r, const struct pa_leaks_options *o, struct pa_suppressions *s,
		  struct pa_leaks *l)
{
	*l = (struct pa_leaks){0};
	uint32_t *hits = pa_suppressions_apply(s, r);
	int err = hits ? collect(r, o, l) : -ENOMEM;

	for (size_t i = 0; i < s->nr; i++)
		s->rows[i].blocks = s->rows[i].bytes = 0;
	for (size_t i = 0; !err && i < l->nr; i++) {
		struct pa_leak *leak = &l->rows[i];
		leak->suppressed = hits[leak->stack];
		if (leak->suppressed && leak->bytes >= 0 && leak->blocks >= 0) {
			s->rows[leak->suppressed - 1].blocks += (uint64_t)leak->blocks;
			s->rows[leak->suppressed - 1].bytes += (uint64_t)leak->bytes;
			l->suppressed_blocks += (uint64_t)leak->blocks;
			l->suppressed_bytes += (uint64_t)leak->bytes;
		}
		if (leak->suppressed)
			continue;
		l->nr_leaking += leak->bytes > 0;
		l->blocks += leak->blocks;
		l->bytes += leak->bytes;
		l->variance += leak->variance;
	}
	free(hits);
	count_processes(r, o, l);
	if (l->nr)
		qsort(l->rows, l->nr, sizeof(*l->rows), order);
	if (err)
		pa_leaks_fini(l);
	return err;
}

void pa_leaks_fini(struct pa_leaks *l)
{
	free(l->rows);
	*l = (struct pa_leaks){0};
}
