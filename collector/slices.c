#include "collector/slices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/unwind.h"

struct pa_slices {
	struct pa_unwind_files *files;
	/* one is enough: a slice and its sample are neighbours in one ring */
	uint32_t process; /* id, 0: none kept */
	union {
		struct pa_slice slice;
		uint8_t bytes[sizeof(struct pa_slice) + PA_SLICE_MAX];
	} kept;
};

/* Where the unwinder looks modules up, and memory, if there is more than the slice. */
struct place {
	int (*read)(void *arg, uint64_t address, void *out, size_t len);
	void *arg;
	const struct pa_process *p;
	const struct pa_modules *modules;
	uint64_t time_ns;
	char root[64];
};

struct pa_slices *pa_slices_new(void)
{
	struct pa_slices *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->files = pa_unwind_files_new();
	if (!s->files) {
		free(s);
		return NULL;
	}
	return s;
}

void pa_slices_free(struct pa_slices *s)
{
	if (!s)
		return;
	pa_unwind_files_free(s->files);
	free(s);
}

void pa_slices_forget(struct pa_slices *s, struct pa_process *p)
{
	if (s->process == p->id)
		s->process = 0;
	pa_unwinder_free(p->unwinder);
	p->unwinder = NULL;
}

void pa_slices_keep(struct pa_slices *s, const struct pa_process *p, const struct pa_slice *slice)
{
	memcpy(&s->kept, slice, sizeof(*slice) + slice->stack_len);
	s->process = p->id;
}

static bool find_module(void *arg, uint64_t pc, struct pa_unwind_module *out)
{
	struct place *place = arg;
	const struct pa_map_version *v = pa_maps_find(&place->p->maps, pc, place->time_ns);
	const struct pa_modfile *f = v ? pa_modules_get(place->modules, v->module) : NULL;

	if (!f)
		return false;
	*out = (struct pa_unwind_module){
	    .start = v->start,
	    .end = v->end,
	    .bias = v->bias,
	    .key = f->id,
	    .file = {.path = f->path, .fd = f->fd, .build_id = f->build_id, .build_id_len = f->build_id_len}};
	if (f->root_fd >= 0) {
		snprintf(place->root, sizeof(place->root), "/proc/self/fd/%d", f->root_fd);
		out->file.root = place->root;
	}
	return true;
}

const struct pa_sample *pa_slices_complete(struct pa_slices *s, struct pa_process *p, const struct pa_modules *modules,
					   const struct pa_sample *sample, struct pa_sample *out)
{
	const struct pa_slice *slice = &s->kept.slice;
	struct place place = {.p = p, .modules = modules, .time_ns = sample->head.time_ns};
	struct pa_unwind_source source = {.find = find_module, .arg = &place, .generation = p->maps.generation};
	enum pa_stop stop = PA_STOP_MEMORY;
	size_t nr;

	if (s->process != p->id || slice->tid != sample->tid || slice->head.time_ns != sample->head.time_ns)
		return sample;
	s->process = 0;
	if (!p->unwinder)
		p->unwinder = pa_unwinder_new(s->files);
	if (!p->unwinder)
		return sample;
	nr = pa_unwind_slice(p->unwinder, &source, slice, out->frames, PA_FRAMES_MAX, &stop);
	if (nr <= sample->nr_frames)
		return sample;
	out->head = sample->head;
	out->tid = sample->tid;
	out->weight = sample->weight;
	out->self_ns = sample->self_ns;
	out->nr_frames = (uint16_t)nr;
	out->stop = (uint16_t)stop;
	return out;
}

static int read_place(void *arg, uint64_t address, void *out, size_t len)
{
	struct place *place = arg;

	return place->read(place->arg, address, out, len);
}

size_t pa_slices_walk(struct pa_slices *s, struct pa_process *p, const struct pa_modules *modules,
		      const struct pa_unwind_registers *registers,
		      int (*read)(void *arg, uint64_t address, void *out, size_t len), void *arg, uint64_t *frames,
		      size_t max, enum pa_stop *stop)
{
	struct place place = {.read = read, .arg = arg, .p = p, .modules = modules, .time_ns = UINT64_MAX};
	struct pa_unwind_source source = {
	    .find = find_module, .read = read_place, .arg = &place, .generation = p->maps.generation};

	if (!p->unwinder)
		p->unwinder = pa_unwinder_new(s->files);
	return p->unwinder ? pa_unwind_process(p->unwinder, &source, registers, frames, max, stop) : 0;
}
