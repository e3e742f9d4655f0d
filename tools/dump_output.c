/* The stacks of a process as text and as JSON. All text of the target leaves through report/escape.h. World: plain. */
#include "tools/dump.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "remote/syscalls.h"
#include "report/escape.h"
#include "report/json_writer.h"

void pa_dump_state(const struct pa_snapshot_thread *t, char *out, size_t size)
{
	const char *name = pa_syscall_name(t->syscall);

	if (t->state == 'T')
		snprintf(out, size, "stopped by a signal");
	else if (name)
		snprintf(out, size, "waiting in %s", name);
	else if (t->syscall >= 0)
		snprintf(out, size, "waiting in system call %ld", t->syscall);
	else if (t->state == 'S' || t->state == 'D')
		snprintf(out, size, "waiting%s%s", t->wchan[0] ? " in the kernel's " : "", t->wchan);
	else
		snprintf(out, size, "running");
}

const char *pa_dump_missing(const struct pa_snapshot_thread *t)
{
	switch (t->hold) {
	case PA_HOLD_LOST:
	case PA_HOLD_ASKED:
		return t->state == 'D' ? "it waits in the kernel for what cannot be interrupted"
				       : "it did not stop in time";
	case PA_HOLD_REFUSED:
		return t->state == 'Z' ? "it has ended" : strerror(t->error);
	case PA_HOLD_GONE:
		return NULL;
	default:
		return t->error ? strerror(t->error) : NULL;
	}
}

const char *pa_dump_unfinished(const struct pa_walk *walk)
{
	static const char *const why[PA_STOP_REASONS] = {
	    [PA_STOP_DEPTH] = "there are more frames",
	    [PA_STOP_NO_CFI] = "no unwind information for the last frame",
	    [PA_STOP_JIT] = "the last frame is code of no file, and has no frame pointer",
	    [PA_STOP_MEMORY] = "the next frame cannot be read",
	    [PA_STOP_ROW] = "unwind information that makes no sense",
	};

	return walk->stop < PA_STOP_REASONS ? why[walk->stop] : NULL;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* What a handler returns to: the frame below it was interrupted, not called. */
static bool is_trampoline(const struct pa_walk *walk, size_t i)
{
	return i + 1 < walk->nr && walk->frames[i + 1] & PA_FRAME_EXACT;
}

static size_t name_frame(const struct pa_dump *d, const struct pa_walk *walk, size_t i, struct pa_symbol *levels)
{
	if (!is_trampoline(walk, i))
		return pa_walker_name(d->walker, walk->frames[i], levels, PA_DUMP_LEVELS);
	levels[0] = (struct pa_symbol){.function = "<signal handler called>"};
	return 1;
}

/* ---- text -----------------------------------------------------------------------------------------------------------
 */

static void put_level(const struct pa_dump *d, FILE *out, const struct pa_symbol *symbol, const char *module,
		      bool inlined)
{
	pa_escape(out, PA_PLAIN, symbol->function);
	if (d->lines && symbol->file) {
		fputs(" at ", out);
		pa_escape(out, PA_PLAIN, symbol->file);
		if (symbol->line)
			fprintf(out, ":%" PRIu32, symbol->line);
	} else if (module) {
		fputs(" in ", out);
		pa_escape(out, PA_PLAIN, base_name(module));
	}
	fputs(inlined ? " (inlined)\n" : "\n", out);
}

static void put_stack(const struct pa_dump *d, FILE *out, const struct pa_walk *walk)
{
	struct pa_symbol levels[PA_DUMP_LEVELS];
	const char *unfinished = pa_dump_unfinished(walk);
	unsigned number = 0;

	for (size_t i = 0; i < walk->nr; i++) {
		size_t nr = name_frame(d, walk, i, levels);
		struct pa_place place;

		pa_walker_place(d->walker, walk->frames[i], &place);
		for (size_t k = 0; k < nr; k++) {
			fprintf(out, "  #%-3u ", number++);
			put_level(d, out, &levels[k], place.module, k + 1 < nr);
		}
		if (nr)
			continue;
		fprintf(out, "  #%-3u ", number++);
		if (place.module) {
			pa_escape(out, PA_PLAIN, base_name(place.module));
			fprintf(out, "+0x%" PRIx64 "\n", place.offset);
		} else {
			fprintf(out, "0x%" PRIx64 " in no file\n", place.address);
		}
	}
	if (unfinished)
		fprintf(out, "  (ends here: %s)\n", unfinished);
	if (walk->beyond)
		fputs("  (outer frames were read while it ran again, and may be wrong)\n", out);
}

static void put_tid(const struct pa_snapshot_thread *t, FILE *out)
{
	fprintf(out, "%d", (int)t->tid);
	if (t->inner_tid != t->tid)
		fprintf(out, " (%d inside)", (int)t->inner_tid);
}

static bool is_alike(const struct pa_snapshot_thread *a, const struct pa_snapshot_thread *b)
{
	char state_a[128], state_b[128];

	pa_dump_state(a, state_a, sizeof(state_a));
	pa_dump_state(b, state_b, sizeof(state_b));
	return !strcmp(a->name, b->name) && !strcmp(state_a, state_b);
}

/* Threads of one stack, one line for each name and state, in the order of their numbers. */
static void put_heads(const struct pa_dump_group *g, FILE *out)
{
	char state[128];

	for (size_t i = 0; i < g->nr; i++) {
		bool listed = false;
		size_t alike = 0;

		for (size_t k = 0; k < i && !listed; k++)
			listed = is_alike(g->threads[k], g->threads[i]);
		if (listed)
			continue;
		for (size_t k = i; k < g->nr; k++)
			alike += is_alike(g->threads[k], g->threads[i]);
		if (alike > 1)
			fprintf(out, "%zu threads \"", alike);
		else
			fputs("thread \"", out);
		pa_escape(out, PA_PLAIN, g->threads[i]->name);
		pa_dump_state(g->threads[i], state, sizeof(state));
		fprintf(out, "\" %s:", state);
		for (size_t k = i; k < g->nr; k++) {
			if (!is_alike(g->threads[k], g->threads[i]))
				continue;
			fputc(' ', out);
			put_tid(g->threads[k], out);
		}
		fputc('\n', out);
	}
}

void pa_dump_text(const struct pa_dump *d, FILE *out)
{
	const struct pa_snapshot *s = d->snapshot;
	size_t nr = 0;

	for (size_t i = 0; i < s->nr; i++)
		nr += s->threads[i].hold != PA_HOLD_GONE;
	fprintf(out, "process %d", (int)s->pid);
	if (d->inner_pid != s->pid)
		fprintf(out, " (%d inside its namespace)", (int)d->inner_pid);
	fputs(" \"", out);
	pa_escape(out, PA_PLAIN, d->command);
	fprintf(out, "\", %zu %s, stopped for %.2f ms\n", nr, nr == 1 ? "thread" : "threads",
		(double)s->stopped_ns / 1e6);
	for (size_t i = 0; i < d->nr_groups; i++) {
		fputc('\n', out);
		put_heads(&d->groups[i], out);
		put_stack(d, out, &d->groups[i].walk);
	}
	for (size_t i = 0; i < s->nr; i++) {
		const struct pa_snapshot_thread *t = &s->threads[i];

		if (!pa_dump_missing(t))
			continue;
		fputs("\nthread \"", out);
		pa_escape(out, PA_PLAIN, t->name);
		fputs("\" without a stack: ", out);
		put_tid(t, out);
		fprintf(out, "\n  (%s)\n", pa_dump_missing(t));
	}
}

/* ---- JSON -----------------------------------------------------------------------------------------------------------
 */

static void json_thread(struct pa_json *j, const struct pa_snapshot_thread *t)
{
	char state[2] = {t->state, 0};
	const char *call = pa_syscall_name(t->syscall);

	pa_json_row(j, NULL);
	pa_json_u64(j, "tid", (uint64_t)t->tid);
	pa_json_u64(j, "inner_tid", (uint64_t)t->inner_tid);
	pa_json_text(j, "name", t->name);
	pa_json_text(j, "state", state);
	if (call)
		pa_json_text(j, "syscall", call);
	if (t->syscall >= 0)
		pa_json_u64(j, "syscall_number", (uint64_t)t->syscall);
	if (t->wchan[0])
		pa_json_text(j, "wchan", t->wchan);
	if (pa_dump_missing(t))
		pa_json_text(j, "missing", pa_dump_missing(t));
	pa_json_end_object(j);
}

static void json_frame(const struct pa_dump *d, struct pa_json *j, const struct pa_walk *walk, size_t i)
{
	struct pa_symbol levels[PA_DUMP_LEVELS];
	size_t nr = name_frame(d, walk, i, levels);
	struct pa_place place;

	pa_walker_place(d->walker, walk->frames[i], &place);
	for (size_t k = 0; k < (nr ? nr : 1); k++) {
		pa_json_row(j, NULL);
		pa_json_text(j, "function", nr ? levels[k].function : NULL);
		if (nr && d->lines && levels[k].file)
			pa_json_text(j, "file", levels[k].file);
		if (nr && d->lines && levels[k].file && levels[k].line)
			pa_json_u64(j, "line", levels[k].line);
		pa_json_text(j, "module", place.module);
		pa_json_u64(j, "address", place.address);
		if (place.module)
			pa_json_u64(j, "offset", place.offset);
		if (nr)
			pa_json_bool(j, "inlined", k + 1 < nr);
		pa_json_end_object(j);
	}
}

static void json_group(const struct pa_dump *d, struct pa_json *j, const struct pa_dump_group *g)
{
	pa_json_object(j, NULL);
	pa_json_array(j, "threads");
	for (size_t i = 0; i < g->nr; i++)
		json_thread(j, g->threads[i]);
	pa_json_end_array(j);
	pa_json_array(j, "frames");
	for (size_t i = 0; i < g->walk.nr; i++)
		json_frame(d, j, &g->walk, i);
	pa_json_end_array(j);
	pa_json_bool(j, "complete", !pa_dump_unfinished(&g->walk) && !g->walk.beyond);
	if (pa_dump_unfinished(&g->walk))
		pa_json_text(j, "ends", pa_dump_unfinished(&g->walk));
	pa_json_end_object(j);
}

void pa_dump_json(const struct pa_dump *d, FILE *out)
{
	const struct pa_snapshot *s = d->snapshot;
	struct pa_json j = {.out = out};
	time_t now = time(NULL);
	struct tm utc;
	char when[32] = "";

	if (gmtime_r(&now, &utc))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &utc);
	pa_json_object(&j, NULL);
	pa_json_text(&j, "schema", "perfagent.dump/1");
	pa_json_text(&j, "timestamp", when);
	pa_json_u64(&j, "pid", (uint64_t)s->pid);
	pa_json_u64(&j, "inner_pid", (uint64_t)d->inner_pid);
	pa_json_text(&j, "command", d->command);
	pa_json_real(&j, "stopped_ms", (double)s->stopped_ns / 1e6, 3);
	pa_json_array(&j, "stacks");
	for (size_t i = 0; i < d->nr_groups; i++)
		json_group(d, &j, &d->groups[i]);
	pa_json_end_array(&j);
	pa_json_array(&j, "without_stack");
	for (size_t i = 0; i < s->nr; i++)
		if (pa_dump_missing(&s->threads[i]))
			json_thread(&j, &s->threads[i]);
	pa_json_end_array(&j);
	pa_json_end_object(&j);
	fputc('\n', out);
}
