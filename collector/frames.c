/* From the addresses of a sample to ids of frames and stacks, and, at the end, to names. World: plain. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "collector/proc.h"
#include "collector/recorder_impl.h"

/* Frames of no module: two processes may have other code at the same address, so each gets a key space of its own. */
#define JIT_KEY         0x80000000u
#define RESCAN_NS       50000000u
#define LEVELS_MAX      64
#define JIT_UNNAMED_MAX (1u << 20)

static void store_module(struct pa_recorder *r, uint32_t id, enum pa_symbol_status symbols)
{
	const struct pa_modfile *f = pa_modules_get(r->modules, id);
	struct pa_store_module row = {
	    .id = id, .path = f->path, .build_id = f->build_id, .build_id_len = f->build_id_len, .symbols = symbols};

	pa_recorder_store(r, pa_store_put_module(r->store, &row));
}

/* A recording is read while it is written, and after its collector was killed: the modules of its frames are there. */
static void store_modules(struct pa_recorder *r, uint32_t up_to)
{
	while (r->stored_modules < up_to && r->stored_modules < pa_modules_nr(r->modules))
		store_module(r, ++r->stored_modules, PA_SYMBOLS_UNKNOWN);
}

static uint32_t store_frame(struct pa_recorder *r, uint32_t key, uint64_t address, bool *is_new)
{
	uint32_t id = pa_stacks_frame(r->stacks, key, address, is_new);

	if (*is_new && !(key & JIT_KEY))
		store_modules(r, key);
	if (*is_new)
		pa_recorder_store(r, pa_store_put_frame(r->store, id, key & JIT_KEY ? 0 : key, address, NULL));
	return id;
}

/* The present memory map, read again at most every 50 ms: modules nobody announced, or code without a file. */
static const struct pa_map_version *look_again(struct pa_process *p, uint64_t pc, uint64_t time_ns)
{
	uint64_t now = pa_now_ns();

	if (!p->pid || p->ended || p->replaced || now - p->scanned_ns < RESCAN_NS)
		return NULL;
	p->scanned_ns = now;
	if (pa_modules_scan(p->recorder->modules, &p->maps, p->pid, time_ns) < 0)
		return NULL;
	return pa_maps_find(&p->maps, pc, time_ns);
}

static void remember_unnamed(struct pa_recorder *r, struct pa_process *p, uint32_t frame, uint64_t address)
{
	if (r->nr_unnamed == r->max_unnamed) {
		size_t max = r->max_unnamed ? r->max_unnamed * 2 : 256;
		struct jit_frame *list;

		if (max > JIT_UNNAMED_MAX)
			return;
		list = realloc(r->unnamed, max * sizeof(*list));
		if (!list)
			return;
		r->unnamed = list;
		r->max_unnamed = max;
	}
	r->unnamed[r->nr_unnamed++] = (struct jit_frame){frame, p->id, address};
}

uint32_t pa_frames_of(struct pa_process *p, uint64_t value, uint64_t time_ns)
{
	struct pa_recorder *r = p->recorder;
	uint64_t pc = value & ~PA_FRAME_EXACT;
	const struct pa_map_version *v;
	bool is_new;
	uint32_t id;

	if (value < PA_FRAME_PSEUDO_MAX)
		return store_frame(r, 0, value, &is_new);
	if (!(value & PA_FRAME_EXACT))
		pc--;
	v = pa_maps_find(&p->maps, pc, time_ns);
	if (!v)
		v = look_again(p, pc, time_ns);
	if (v)
		return store_frame(r, v->module, pc - v->bias, &is_new);
	id = store_frame(r, JIT_KEY | p->id, pc, &is_new);
	p->wants_perfmap = true;
	if (is_new)
		remember_unnamed(r, p, id, pc);
	return id;
}

static uint32_t push(struct pa_recorder *r, uint32_t parent, uint32_t frame)
{
	bool is_new;
	uint32_t id = pa_stacks_push(r->stacks, parent, frame, &is_new);

	if (is_new)
		pa_recorder_store(r, pa_store_put_stack(r->store, id, parent, frame));
	return id;
}

uint32_t pa_frames_pseudo_stack(struct pa_recorder *r, uint32_t root_frame, uint32_t pseudo)
{
	bool is_new;
	uint32_t frame = store_frame(r, 0, pseudo, &is_new);
	uint32_t parent = root_frame ? push(r, 0, root_frame) : 0;

	return push(r, parent, frame);
}

/* What stands at the root of a stack whose walk did not reach it. */
static uint64_t root_of_stop(const struct pa_walked *w)
{
	static const uint16_t pseudo[PA_STOP_REASONS] = {
	    [PA_STOP_NO_CFI] = PA_FRAME_NO_UNWIND_INFO, [PA_STOP_JIT] = PA_FRAME_JIT,
	    [PA_STOP_MEMORY] = PA_FRAME_TRUNCATED,      [PA_STOP_ROW] = PA_FRAME_NO_UNWIND_INFO,
	    [PA_STOP_FOREIGN] = PA_FRAME_FOREIGN,       [PA_STOP_QUIET] = PA_FRAME_TRUNCATED,
	};

	if (w->stop >= PA_STOP_REASONS)
		return PA_FRAME_TRUNCATED;
	if (w->nr && w->frames[w->nr - 1] < PA_FRAME_PSEUDO_MAX)
		return 0; /* the agent has said so itself */
	return pseudo[w->stop];
}

static bool is_agent(const struct pa_process *p, uint64_t value)
{
	const struct pa_session *s = p->session->s;
	uint64_t pc = value & ~PA_FRAME_EXACT;

	return pc >= s->agent_start && pc < s->agent_end;
}

uint32_t pa_frames_on(struct pa_process *p, uint32_t parent, uint64_t value, uint64_t time_ns)
{
	/* the agent's own frames (its thread trampoline, its hooks) are not the host's */
	if (value == PA_FRAME_NONE || is_agent(p, value))
		return parent;
	return push(p->recorder, parent, pa_frames_of(p, value, time_ns));
}

static uint32_t build_stack(struct pa_process *p, const struct pa_walked *w)
{
	struct pa_recorder *r = p->recorder;
	uint64_t root = root_of_stop(w);
	uint32_t stack = 0;

	if (root)
		stack = push(r, 0, pa_frames_of(p, root, w->time_ns));
	for (int i = w->nr - 1; i >= 0; i--)
		stack = pa_frames_on(p, stack, w->frames[i], w->time_ns);
	/* but time in a hook is time, and not the time of whoever called malloc */
	if (w->nr && is_agent(p, w->frames[0]))
		stack = push(r, stack, pa_frames_of(p, PA_FRAME_AGENT, w->time_ns));
	return stack ? stack : pa_frames_pseudo_stack(r, 0, PA_FRAME_TRUNCATED);
}

uint32_t pa_frames_stack(struct pa_process *p, const struct pa_walked *w)
{
	struct pa_recorder *r = p->recorder;
	/* whatever else the meaning of the addresses depends on */
	uint64_t context = (uint64_t)p->id << 32 | p->maps.generation;
	bool usable = w->time_ns >= p->maps.changed_ns && w->nr > 0;
	uint32_t id;

	context ^= (uint64_t)w->stop << 56;
	id = usable ? pa_stackmemo_find(r->memo, context, w->frames, w->nr) : 0;
	if (id)
		return id;
	id = build_stack(p, w);
	/* a frame of it may have made us read the maps again */
	if (usable && (uint32_t)context == p->maps.generation)
		pa_stackmemo_put(r->memo, context, w->frames, w->nr, id);
	return id;
}

static struct pa_symmod *open_module(struct pa_symbolizer *symbolizer, const struct pa_modfile *f)
{
	struct pa_module_ref ref = {
	    .path = f->path, .fd = f->fd, .build_id = f->build_id, .build_id_len = f->build_id_len};
	char root[64];

	if (f->root_fd >= 0) {
		snprintf(root, sizeof(root), "/proc/self/fd/%d", f->root_fd);
		ref.root = root;
	}
	return pa_symbolizer_module(symbolizer, &ref);
}

/* A frame without a name is known by its function's start, where the unwind table tells it. */
static void name_frame(struct pa_recorder *r, struct pa_symmod *symbols, uint32_t frame, uint32_t module,
		       uint64_t address)
{
	struct pa_symbol levels[LEVELS_MAX];
	size_t nr = pa_symbolize(symbols, address, levels, LEVELS_MAX);
	uint64_t start;
	char text[32];

	if (nr)
		pa_recorder_store(r, pa_store_put_symbols(r->store, frame, levels, nr));
	else if (pa_symmod_function(symbols, address, &start)) {
		snprintf(text, sizeof(text), "+0x%" PRIx64, start);
		pa_recorder_store(r, pa_store_put_frame(r->store, frame, module, address, text));
	}
}

void pa_frames_symbolize(struct pa_recorder *r)
{
	struct pa_symbolizer *symbolizer = pa_symbolizer_new();
	uint32_t nr_modules = pa_modules_nr(r->modules);
	struct pa_symmod **opened = calloc(nr_modules + 1, sizeof(struct pa_symmod *));

	if (!symbolizer || !opened) {
		pa_recorder_store(r, -ENOMEM);
		nr_modules = 0;
	}
	for (uint32_t id = 1; nr_modules && id <= pa_stacks_nr_frames(r->stacks); id++) {
		uint64_t address;
		uint32_t module;

		if (!pa_stacks_frame_get(r->stacks, id, &module, &address) || module == 0 || module > nr_modules)
			continue;
		if (!opened[module])
			opened[module] = open_module(symbolizer, pa_modules_get(r->modules, module));
		if (opened[module])
			name_frame(r, opened[module], id, module, address);
	}
	for (uint32_t id = 1; id <= nr_modules; id++)
		store_module(r, id, opened[id] ? pa_symmod_status(opened[id]) : PA_SYMBOLS_UNKNOWN);
	free(opened);
	pa_symbolizer_free(symbolizer);
}
