/* Loading a report, and the figures its header states. */
#include "report/report.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"
#include "report/load.h"
#include "report/locks.h"
#include "report/loops.h"
#include "report/requests.h"
#include "report/talks.h"
#include "report/wall.h"

static uint32_t meta(struct pa_report *r, struct pa_recording *rec, const char *key)
{
	return pa_pool_add(r->strings, pa_recording_meta(rec, key));
}

/* The base name of the command as part of a file name: nothing that a shell, a terminal or a path would read otherwise.
 */
static uint32_t file_name(struct pa_report *r, const char *command)
{
	char name[65];
	size_t nr = 0, len = strcspn(command, " ");
	char *word = strndup(command, len);
	const char *from = word ? pa_base_name(word) : "";

	for (; *from && nr < sizeof(name) - 1; from++) {
		unsigned char c = (unsigned char)*from;
		bool fine = isalnum(c) || c == '_' || c == '+' || ((c == '.' || c == '-') && nr);
		name[nr++] = fine ? (char)c : '_';
	}
	name[nr] = 0;
	free(word);
	return pa_pool_add(r->strings, nr ? name : "perfagent");
}

static void load_cost(struct pa_cost *cost, struct pa_recording *rec)
{
	cost->handler_p50_ns = pa_recording_meta_u64(rec, "handler_p50_ns", UINT64_MAX);
	cost->handler_p99_ns = pa_recording_meta_u64(rec, "handler_p99_ns", UINT64_MAX);
	cost->armed_max_ns = pa_recording_meta_u64(rec, "armed_max_ns", UINT64_MAX);
	cost->target_rss_kib = pa_recording_meta_u64(rec, "target_rss_kib", UINT64_MAX);
	cost->compared = pa_recording_meta_u64(rec, "compared", UINT64_MAX);
	cost->identical = pa_recording_meta_u64(rec, "compared_identical", UINT64_MAX);
}

int pa_load_head(struct pa_report *r, struct pa_recording *rec)
{
	r->command = meta(r, rec, "command");
	r->host = meta(r, rec, "host");
	r->started = meta(r, rec, "started");
	r->ended = meta(r, rec, "ended");
	r->version = meta(r, rec, "version");
	r->mode = meta(r, rec, "mode");
	r->unwinder = meta(r, rec, "unwinder");
	r->name = file_name(r, pa_text(r, r->command));
	r->clean = r->ended != 0;
	r->period_ns = pa_recording_meta_u64(rec, "period_ns", 0);
	r->cpu_ns = pa_recording_meta_u64(rec, "cpu_ns", 0);
	r->collector_ns = pa_recording_meta_u64(rec, "collector_cpu_ns", 0);
	r->started_mono_ns = pa_recording_meta_u64(rec, "started_mono_ns", 0);
	r->last_ns = pa_recording_meta_u64(rec, "ended_mono_ns", 0);
	load_cost(&r->cost, rec);
	uint64_t status = pa_recording_meta_u64(rec, "exit_status", UINT64_MAX);
	r->exit_status = status <= 255 ? (int)status : -1;
	return 0;
}

static uint64_t on_clock(const struct pa_report *r, uint64_t since_start)
{
	return since_start < UINT64_MAX - r->started_mono_ns ? r->started_mono_ns + since_start : UINT64_MAX;
}

struct pa_span pa_window_span(const struct pa_report *r)
{
	const struct pa_report_window *w = &r->window;

	return (struct pa_span){.from = w->from_ns ? on_clock(r, w->from_ns) : 0, .to = on_clock(r, w->to_ns)};
}

static int load(struct pa_report *r, struct pa_recording *rec)
{
	int err;
	if ((err = pa_load_head(r, rec)) || (err = pa_load_rows(r, rec)) || (err = pa_load_names(r, rec)) ||
	    (err = pa_load_requests(r, rec)) || (err = pa_load_samples(r, rec)) || (err = pa_load_heap(r, rec)) ||
	    (err = pa_load_loops(r, rec)) || (err = pa_load_talks(r, rec)) || (err = pa_load_locks(r, rec)) ||
	    (err = pa_load_wall(r, rec)))
		return err;
	pa_requests_blocked(r);
	if (r->last_ns > r->started_mono_ns && r->started_mono_ns)
		r->duration_ns = r->last_ns - r->started_mono_ns;
	return pa_pool_failed(r->strings) ? -ENOMEM : 0;
}

int pa_report_load(const char *path, struct pa_report **out, char *err, size_t err_size)
{
	return pa_report_load_window(path, NULL, out, err, err_size);
}

int pa_report_load_window(const char *path, const struct pa_report_window *window, struct pa_report **out, char *err,
			  size_t err_size)
{
	struct pa_recording *rec = NULL;
	struct pa_report *r = calloc(1, sizeof(*r));
	int status = r && (r->strings = pa_pool_new()) ? 0 : -ENOMEM;

	if (r)
		r->window = window ? *window : (struct pa_report_window){.to_ns = UINT64_MAX};
	if (status)
		snprintf(err, err_size, "%s", strerror(ENOMEM));
	else if (!(status = pa_recording_open(path, &rec, err, err_size))) {
		r->path = pa_pool_add(r->strings, path);
		status = load(r, rec);
		if (status)
			snprintf(err, err_size, "the recording is damaged or cannot be read: %s", strerror(-status));
	}
	if (rec)
		pa_recording_close(rec);
	if (status)
		pa_report_free(r);
	else
		*out = r;
	return status;
}

void pa_report_free(struct pa_report *r)
{
	if (!r)
		return;
	free(r->processes);
	free(r->threads);
	free(r->modules);
	free(r->frames);
	free(r->levels);
	free(r->stacks);
	free(r->entries);
	free(r->losses);
	free(r->notes);
	free(r->heap.held);
	free(r->heap.processes);
	free(r->heap.threads);
	free(r->heap.points);
	pa_loops_free(r->loops);
	pa_locks_report_free(r->locks);
	pa_wall_report_free(r->wall);
	pa_talks_report_free(r->talks);
	pa_requests_free(r->requests);
	pa_pool_free(r->strings);
	free(r);
}

/* What the collector counts beside lost samples: samples that are there but not whole or late, and records of hooks. */
bool pa_loss_is_sample(const char *reason)
{
	static const char *const others[] = {"truncated", "blocked", "unsampled", "hook",
					     "heap",      "loop",    "exchange",  "unknown"};
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (!strncmp(reason, others[i], strlen(others[i])))
			return false;
	return true;
}

bool pa_module_is_poor(const struct pa_report_module *m)
{
	return m->frames && m->symbols != PA_SYMBOLS_FULL && m->symbols != PA_SYMBOLS_SYMTAB;
}

bool pa_report_has_cpu(const struct pa_report *r)
{
	return !r->mode || !*pa_text(r, r->mode) || strstr(pa_text(r, r->mode), "cpu");
}

/* By samples: hooks do not read a clock twice a call to say how long they took. */
static uint64_t hook_ns(const struct pa_report *r)
{
	uint64_t ns = 0;

	for (size_t i = 0; i < r->nr_entries; i++) {
		const struct pa_report_frame *f = &r->frames[r->stacks[r->entries[i].stack].frame];

		if (!f->module && f->address == PA_FRAME_AGENT)
			ns += r->entries[i].sum.ns;
	}
	return ns;
}

void pa_figures_get(const struct pa_report *r, struct pa_figures *f)
{
	memset(f, 0, sizeof(*f));
	for (size_t i = 0; i < r->nr_processes; i++) {
		f->kernel_ns += r->processes[i].cpu_ns;
		f->agent_ns += r->processes[i].agent_ns;
	}
	f->agent_ns += hook_ns(r);
	if (r->cpu_ns)
		f->kernel_ns = r->cpu_ns;
	for (size_t i = 0; i < r->nr_losses; i++)
		if (pa_loss_is_sample(pa_text(r, r->losses[i].reason)))
			f->lost += r->losses[i].count;
	for (size_t i = 1; i < r->nr_modules; i++) {
		f->modules_used += r->modules[i].frames != 0;
		f->modules_unnamed += pa_module_is_poor(&r->modules[i]);
	}
	f->whole = !r->window.from_ns && r->window.to_ns == UINT64_MAX;
	f->accounted_ns = r->sum.ns;
	f->expected = r->period_ns && pa_report_has_cpu(r) ? (f->kernel_ns + r->period_ns / 2) / r->period_ns : 0;
	f->delivered = r->sum.weight - r->unsampled.weight;
	f->signals = r->sum.signals;
	f->unsampled = r->unsampled.weight;
	f->truncated = r->truncated.signals;
	f->blocked = r->blocked.weight;
	f->nr_processes = r->nr_processes - 1;
	f->nr_threads = r->nr_threads - 1;
}
