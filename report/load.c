/* Rows of the recording into arrays. Nothing in the file is trusted: rows out of order, parents that do not exist or
 * that point forward, and ids of any size are survived without losing a sample. */
#include "report/load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"

uint32_t pa_index_of(const void *array, size_t nr, size_t stride, uint32_t id)
{
	const char *base = array;
	uint32_t at, first;

	if (!id || nr < 2)
		return 0;
	/* the usual case: ids are dense, whatever they begin with */
	memcpy(&first, base + stride, sizeof(first));
	if (id >= first && id - first < nr - 1) {
		uint32_t guess = id - first + 1;
		memcpy(&at, base + guess * stride, sizeof(at));
		if (at == id)
			return guess;
	}
	size_t low = 1, high = nr;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		memcpy(&at, base + middle * stride, sizeof(at));
		if (at == id)
			return (uint32_t)middle;
		if (at < id)
			low = middle + 1;
		else
			high = middle;
	}
	return 0;
}

const char *pa_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash && slash[1] ? slash + 1 : path;
}

/* A growing array of the report while it is loaded. */
struct rows {
	struct pa_report *r;
	size_t capacity;
};

/* Room for one more struct of an array of the report, zeroed. */
static void *more(struct rows *c, void *array_of_anything, size_t *nr, size_t size)
{
	void **array = array_of_anything;
	if (*nr >= UINT32_MAX || !pa_grow(array, &c->capacity, *nr, size))
		return NULL;
	void *row = (char *)*array + *nr * size;
	memset(row, 0, size);
	++*nr;
	return row;
}

#define MORE(c, field)    more(c, &(c)->r->field, &(c)->r->nr_##field, sizeof(*(c)->r->field))
#define LAST_ID(r, field) ((r)->field[(r)->nr_##field - 1].id)

static uint32_t short_name(struct pa_report *r, const char *command, const char *exe)
{
	size_t len = strcspn(command, " ");
	const char *from = len ? command : exe;
	char *word = strndup(from, len ? len : strlen(exe));
	uint32_t name = word ? pa_pool_add(r->strings, *word ? pa_base_name(word) : "[unknown]") : 0;
	free(word);
	return name;
}

static int on_process(void *arg, const struct pa_store_process *from)
{
	struct rows *c = arg;
	struct pa_report *r = c->r;
	if (from->id <= LAST_ID(r, processes))
		return 0;
	struct pa_report_process *p = MORE(c, processes);
	if (!p)
		return -ENOMEM;
	p->id = from->id;
	p->pid = from->pid;
	p->inner_pid = from->inner_pid;
	p->parent = from->parent; /* an id until all are there */
	p->start_ns = from->start_ns;
	p->end_ns = from->end_ns;
	p->cpu_ns = from->cpu_ns;
	p->agent_ns = from->agent_ns;
	p->command = pa_pool_add(r->strings, from->command);
	p->exe = pa_pool_add(r->strings, from->exe);
	p->how = pa_pool_add(r->strings, from->how);
	p->comm = short_name(r, from->command ? from->command : "", from->exe ? from->exe : "");
	if (p->end_ns > r->last_ns)
		r->last_ns = p->end_ns;
	return 0;
}

static int on_thread(void *arg, const struct pa_store_thread *from)
{
	struct rows *c = arg;
	struct pa_report *r = c->r;
	if (from->id <= LAST_ID(r, threads))
		return 0;
	struct pa_report_thread *t = MORE(c, threads);
	if (!t)
		return -ENOMEM;
	t->id = from->id;
	t->tid = from->tid;
	t->process = pa_index_of(r->processes, r->nr_processes, sizeof(*r->processes), from->process);
	t->start_ns = from->start_ns;
	t->end_ns = from->end_ns;
	t->cpu_ns = from->cpu_ns;
	t->period_ns = from->period_ns;
	t->name = pa_pool_add(r->strings, from->name);
	r->processes[t->process].nr_threads++;
	if (t->end_ns > r->last_ns)
		r->last_ns = t->end_ns;
	return 0;
}

static int on_module(void *arg, const struct pa_store_module *from)
{
	struct rows *c = arg;
	struct pa_report *r = c->r;
	if (from->id <= LAST_ID(r, modules))
		return 0;
	struct pa_report_module *m = MORE(c, modules);
	if (!m)
		return -ENOMEM;
	const char *path = from->path && *from->path ? from->path : "[unknown]";
	m->id = from->id;
	m->path = pa_pool_add(r->strings, path);
	m->base = pa_pool_add(r->strings, pa_base_name(path));
	m->build_id_len =
	    (uint32_t)(from->build_id_len < sizeof(m->build_id) ? from->build_id_len : sizeof(m->build_id));
	if (m->build_id_len)
		memcpy(m->build_id, from->build_id, m->build_id_len);
	m->symbols = from->symbols;
	return 0;
}

/* Whatever stands where frames should be means that the stack is not whole. */
static uint16_t pseudo_flags(uint64_t address)
{
	switch (address) {
	case PA_FRAME_TRUNCATED:
	case PA_FRAME_FOREIGN:
	case PA_FRAME_JIT:
	case PA_FRAME_NO_UNWIND_INFO:
		return PA_STACK_TRUNCATED;
	case PA_FRAME_SIGNAL_BLOCKED:
		return PA_STACK_BLOCKED;
	case PA_FRAME_UNSAMPLED:
		return PA_STACK_UNSAMPLED;
	default:
		return 0;
	}
}

static int on_stack(void *arg, uint32_t id, uint32_t parent, uint32_t frame)
{
	struct rows *c = arg;
	struct pa_report *r = c->r;
	if (id <= LAST_ID(r, stacks))
		return 0;
	uint32_t below = pa_index_of(r->stacks, r->nr_stacks, sizeof(*r->stacks), parent);
	struct pa_report_stack *s = MORE(c, stacks);
	if (!s)
		return -ENOMEM;
	s->id = id;
	s->parent = below;
	s->frame = pa_index_of(r->frames, r->nr_frames, sizeof(*r->frames), frame);
	const struct pa_report_stack *root = &r->stacks[below];
	if (root->depth >= PA_REPORT_DEPTH_MAX) { /* stands for the stack it is on */
		*s = *root;
		s->id = id;
	}
	s->depth = (uint16_t)(root->depth < PA_REPORT_DEPTH_MAX ? root->depth + 1 : PA_REPORT_DEPTH_MAX);
	const struct pa_report_frame *f = &r->frames[s->frame];
	s->flags = root->flags;
	if (!f->module && f->id)
		s->flags |= pseudo_flags(f->address);
	return 0;
}

static int on_loss(void *arg, uint32_t process, const char *reason, uint64_t count)
{
	struct rows *c = arg;
	struct pa_report_loss *l = MORE(c, losses);
	if (!l)
		return -ENOMEM;
	l->process = pa_index_of(c->r->processes, c->r->nr_processes, sizeof(*c->r->processes), process);
	l->reason = pa_pool_add(c->r->strings, reason);
	l->count = count;
	return 0;
}

static int on_note(void *arg, uint32_t process, uint64_t time_ns, const char *text)
{
	struct rows *c = arg;
	struct pa_report_note *n = MORE(c, notes);
	if (!n)
		return -ENOMEM;
	n->process = pa_index_of(c->r->processes, c->r->nr_processes, sizeof(*c->r->processes), process);
	n->text = pa_pool_add(c->r->strings, text);
	n->time_ns = time_ns;
	return 0;
}

static int on_frame(void *arg, const struct pa_store_frame *from)
{
	struct rows *c = arg;
	struct pa_report *r = c->r;
	if (from->id <= LAST_ID(r, frames))
		return 0;
	struct pa_report_frame *f = MORE(c, frames);
	if (!f)
		return -ENOMEM;
	f->id = from->id;
	f->module = pa_index_of(r->modules, r->nr_modules, sizeof(*r->modules), from->module);
	f->address = from->address;
	f->first = pa_pool_add(r->strings, from->name); /* kept here until pa_load_names has seen the symbol rows */
	return 0;
}

static void link_parents(struct pa_report *r)
{
	for (size_t i = 1; i < r->nr_processes; i++) {
		struct pa_report_process *p = &r->processes[i];
		p->parent = pa_index_of(r->processes, r->nr_processes, sizeof(*r->processes), p->parent);
	}
}

/* Row 0 of each table: what an unknown id stands for. */
static bool unknowns(struct rows *processes, struct rows *threads, struct rows *modules, struct rows *frames,
		     struct rows *stacks)
{
	struct pa_report_process *p = MORE(processes, processes);
	struct pa_report_module *m = MORE(modules, modules);
	if (!p || !m || !MORE(threads, threads) || !MORE(frames, frames) || !MORE(stacks, stacks))
		return false;
	p->comm = p->command = pa_pool_add(processes->r->strings, "[unknown]");
	return true;
}

int pa_load_rows(struct pa_report *r, struct pa_recording *rec)
{
	struct rows processes = {.r = r}, threads = {.r = r}, modules = {.r = r}, frames = {.r = r};
	struct rows stacks = {.r = r}, losses = {.r = r}, notes = {.r = r};
	int err;

	if (!unknowns(&processes, &threads, &modules, &frames, &stacks))
		return -ENOMEM;
	if ((err = pa_recording_processes(rec, on_process, &processes)) ||
	    (err = pa_recording_threads(rec, on_thread, &threads)) ||
	    (err = pa_recording_modules(rec, on_module, &modules)) ||
	    (err = pa_recording_frames(rec, on_frame, &frames)) ||
	    (err = pa_recording_stacks(rec, on_stack, &stacks)) || (err = pa_recording_losses(rec, on_loss, &losses)) ||
	    (err = pa_recording_notes(rec, on_note, &notes)))
		return err;
	link_parents(r);
	return 0;
}
