#include "remote/walk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "collector/loop.h"
#include "collector/modules.h"
#include "collector/proc.h"
#include "collector/unwind.h"

#define PAGE_BYTES UINT64_C(4096)
#define IOVECS     64

struct pa_walker {
	pid_t pid; /* of its main thread, or of another one that lives */
	struct pa_modules *modules;
	struct pa_maps maps;
	struct pa_unwind_files *files;
	struct pa_unwinder *unwinder;
	struct pa_symbolizer *symbolizer; /* NULL: no names are wanted */
	struct pa_symmod **opened;        /* [module id], as they are needed */
	uint32_t nr_opened;
	struct pa_perfmap *perfmap;
	bool perfmap_tried;
	char root[64];

	/* of the walk in progress */
	const struct pa_stack_copy *copy;
	bool beyond;
};

int pa_stack_copy(struct pa_stack_copy *copy, pid_t pid, uint64_t sp, size_t max)
{
	uint64_t start = (sp - PA_REMOTE_RED_ZONE) & ~(PAGE_BYTES - 1);

	max = max / PAGE_BYTES * PAGE_BYTES;
	*copy = (struct pa_stack_copy){.start = start, .bytes = malloc(max)};
	if (!copy->bytes)
		return -ENOMEM;
	while (copy->len < max) {
		struct iovec there[IOVECS], here = {copy->bytes + copy->len, max - copy->len};
		size_t nr = 0, want = 0;
		ssize_t n;

		/* a page each: what can be read is then read, up to the first page that cannot */
		for (; nr < IOVECS && copy->len + want < max; nr++, want += PAGE_BYTES)
			there[nr] = (struct iovec){(void *)(uintptr_t)(start + copy->len + want), PAGE_BYTES};
		here.iov_len = want;
		n = process_vm_readv(pid, &here, 1, there, nr, 0);
		copy->len += n > 0 ? (size_t)n / PAGE_BYTES * PAGE_BYTES : 0;
		if (n != (ssize_t)want)
			break;
	}
	return 0;
}

void pa_stack_copy_free(struct pa_stack_copy *copy)
{
	free(copy->bytes);
	*copy = (struct pa_stack_copy){0};
}

static int read_memory(void *arg, uint64_t address, void *out, size_t len)
{
	struct pa_walker *w = arg;
	const struct pa_stack_copy *copy = w->copy;

	if (copy && address >= copy->start && copy->len >= len && address - copy->start <= copy->len - len) {
		memcpy(out, copy->bytes + (address - copy->start), len);
		return 0;
	}
	w->beyond = w->beyond || copy;
	return pa_unwind_read_process(w->pid, address, out, len);
}

/* The file's root where it is not ours, by the descriptor that the list of modules holds. */
static struct pa_module_ref ref_of(const struct pa_modfile *f, char *root, size_t size)
{
	struct pa_module_ref ref = {
	    .path = f->path, .fd = f->fd, .build_id = f->build_id, .build_id_len = f->build_id_len};

	if (f->root_fd >= 0) {
		snprintf(root, size, "/proc/self/fd/%d", f->root_fd);
		ref.root = root;
	}
	return ref;
}

static bool find_module(void *arg, uint64_t pc, struct pa_unwind_module *out)
{
	struct pa_walker *w = arg;
	const struct pa_map_version *v = pa_maps_find(&w->maps, pc, UINT64_MAX);
	const struct pa_modfile *f = v ? pa_modules_get(w->modules, v->module) : NULL;

	if (!f)
		return false;
	*out = (struct pa_unwind_module){.start = v->start,
					 .end = v->end,
					 .bias = v->bias,
					 .key = f->id,
					 .file = ref_of(f, w->root, sizeof(w->root))};
	return true;
}

int pa_walker_rescan(struct pa_walker *w)
{
	int error = pa_modules_scan(w->modules, &w->maps, (uint32_t)w->pid, pa_now_ns());

	return error < 0 ? error : 0;
}

int pa_walker_modules(struct pa_walker *w, int (*fn)(void *arg, const struct pa_walker_module *module), void *arg)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < w->maps.nr; i++) {
		const struct pa_map_version *v = &w->maps.v[i];
		struct pa_walker_module m = {
		    .file = pa_modules_get(w->modules, v->module), .start = v->start, .end = v->end, .bias = v->bias};

		if (!v->until_ns && m.file)
			ret = fn(arg, &m);
	}
	return ret;
}

/* A main thread that has ended has no memory and no mappings any more, the others of its process do. */
static int find_alive(void *arg, uint32_t tid)
{
	struct pa_proc_status status;
	pid_t *pid = arg;

	if (pa_proc_status(tid, &status) || status.state == 'Z' || status.state == 'X')
		return 0;
	*pid = (pid_t)tid;
	return 1;
}

struct pa_walker *pa_walker_new(pid_t pid, bool with_names)
{
	struct pa_walker *w = calloc(1, sizeof(*w));
	int error = -ENOMEM;

	if (!w)
		return NULL;
	w->pid = pid;
	pa_proc_threads((uint32_t)pid, find_alive, &w->pid);
	w->modules = pa_modules_new();
	w->files = pa_unwind_files_new();
	w->unwinder = w->files ? pa_unwinder_new(w->files) : NULL;
	w->symbolizer = with_names ? pa_symbolizer_new() : NULL;
	if (w->modules && w->unwinder && (w->symbolizer || !with_names))
		error = pa_walker_rescan(w);
	if (!error)
		return w;
	pa_walker_free(w);
	errno = -error;
	return NULL;
}

void pa_walker_free(struct pa_walker *w)
{
	if (!w)
		return;
	pa_symbolizer_free(w->symbolizer);
	pa_perfmap_free(w->perfmap);
	free(w->opened);
	pa_unwinder_free(w->unwinder);
	pa_unwind_files_free(w->files);
	pa_maps_fini(&w->maps);
	pa_modules_free(w->modules);
	free(w);
}

void pa_walker_walk(struct pa_walker *w, const struct pa_registers *registers, const struct pa_stack_copy *copy,
		    struct pa_walk *out)
{
	struct pa_unwind_source source = {
	    .find = find_module, .read = read_memory, .arg = w, .generation = w->maps.generation};
	struct pa_unwind_registers regs;

	pa_registers_dwarf(registers, &regs);
	w->copy = copy;
	w->beyond = false;
	out->nr = pa_unwind_process(w->unwinder, &source, &regs, out->frames, PA_FRAMES_MAX, &out->stop);
	if (!out->nr) {
		out->frames[0] = pa_registers_pc(registers) | PA_FRAME_EXACT;
		out->nr = 1;
	}
	out->beyond = w->beyond;
	w->copy = NULL;
}

static const struct pa_map_version *map_of(struct pa_walker *w, uint64_t frame, uint64_t *pc)
{
	*pc = frame & ~PA_FRAME_EXACT;
	if (!(frame & PA_FRAME_EXACT))
		(*pc)--; /* a return address: the call is what is to be named */
	return pa_maps_find(&w->maps, *pc, UINT64_MAX);
}

void pa_walker_place(struct pa_walker *w, uint64_t frame, struct pa_place *out)
{
	const struct pa_map_version *v = map_of(w, frame, &out->address);
	const struct pa_modfile *f = v ? pa_modules_get(w->modules, v->module) : NULL;

	out->module = f ? f->path : NULL;
	out->offset = f ? out->address - v->bias : 0;
}

/* The runtime names its code by the process id that it sees itself, in its own /tmp. */
static const char *jit_name(struct pa_walker *w, uint64_t pc)
{
	struct pa_proc_status of_thread, status;
	char path[96];

	if (!w->perfmap_tried && !pa_proc_status((uint32_t)w->pid, &of_thread) &&
	    !pa_proc_status(of_thread.pid, &status)) {
		snprintf(path, sizeof(path), "/proc/%d/root/tmp/perf-%u.map", (int)w->pid, status.inner_pid);
		w->perfmap = pa_perfmap_open(path, status.uid);
	}
	w->perfmap_tried = true;
	return w->perfmap ? pa_perfmap_lookup(w->perfmap, pc) : NULL;
}

/* Errors: NULL: out of memory. */
static struct pa_symmod *symbols_of(struct pa_walker *w, uint32_t module)
{
	const struct pa_modfile *f = pa_modules_get(w->modules, module);
	char root[64];

	if (module >= w->nr_opened) {
		uint32_t nr = pa_modules_nr(w->modules) + 1;
		struct pa_symmod **opened = realloc(w->opened, nr * sizeof(*opened));

		if (!opened)
			return NULL;
		memset(opened + w->nr_opened, 0, (nr - w->nr_opened) * sizeof(*opened));
		w->opened = opened;
		w->nr_opened = nr;
	}
	if (!w->opened[module]) {
		struct pa_module_ref ref = ref_of(f, root, sizeof(root));

		w->opened[module] = pa_symbolizer_module(w->symbolizer, &ref);
	}
	return w->opened[module];
}

size_t pa_walker_name(struct pa_walker *w, uint64_t frame, struct pa_symbol *out, size_t max)
{
	uint64_t pc;
	const struct pa_map_version *v = map_of(w, frame, &pc);
	struct pa_symmod *symbols;
	size_t nr;

	if (!w->symbolizer || !max)
		return 0;
	symbols = v ? symbols_of(w, v->module) : NULL;
	nr = symbols ? pa_symbolize(symbols, pc - v->bias, out, max) : 0;
	if (nr)
		return nr;
	/* some runtimes keep what they compile in a memory file: a module without symbols */
	*out = (struct pa_symbol){.function = jit_name(w, pc)};
	return out->function ? 1 : 0;
}
