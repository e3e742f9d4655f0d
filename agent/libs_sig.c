/* See libs_sig.h. Whoever holds pa_got_begin_sig works on what is static here: one thread at a time, with its signals
 * blocked; who cannot leaves word. World: signal. */
#include "agent/libs_sig.h"

#include <stddef.h>
#include <string.h>

#include "agent/arch/slots.h"
#include "agent/got_sig.h"
#include "agent/loaded_sig.h"
#include "agent/probe_sig.h"
#include "agent/signals_sig.h"
#include "agent/sysdep.h"
#include "agent/walk_sig.h"

#define MODULES_MAX 65536 /* of the list: it may be cut off while we read it, but not without end */
#define NR_LIBS     4
#define NR_MODULES  128 /* modules that call one of the libraries; more are left alone */
#define NR_SLOTS    1024
#define NR_WANTED   64 /* symbols of a module that may lead to a library */

_Atomic uint32_t pa_libs_watched PA_HOT;

/* What has to be done, and could not be. */
static _Atomic uint32_t news;   /* NEWS_* */
static _Atomic uint32_t urgent; /* nobody has looked since the session began */
static _Atomic uint32_t owed;   /* everything is to be put back */

enum { NEWS_NONE, NEWS_SOME /* modules at the end of the list */, NEWS_ANY };

static uint32_t wanted_modes;

/* A module that is a copy of a library. */
struct copy {
	uint64_t start, end; /* 0: none */
};
static struct copy copies[NR_LIBS][PA_LIB_COPIES];
static bool too_many[NR_LIBS]; /* there are copies that we do not know */

static struct pa_got_module modules[NR_MODULES];
static struct pa_got_slot slots[NR_SLOTS];
static uint32_t nr_modules, nr_slots;

/* How far the list was read: a module is added at its end. */
static const struct link_map *last;
static const void *last_dynamic;

static struct pa_loaded module; /* that is being looked at */
static bool unfinished;         /* the loader is still at work on one of those read */

/* ---- copies ------------------------------------------------------------------------------------------------------ */

static bool is_there(const struct copy *c)
{
	uint64_t start, end;

	return c->end && pa_walk_module_at_sig(c->start, &start, &end) && start == c->start && end == c->end;
}

static bool find_functions(const struct pa_lib *lib, uint32_t nr)
{
	_Atomic(void *) *real = &lib->real[nr * lib->nr_names];

	for (uint32_t i = lib->nr_hooked; i < lib->nr_names; i++) {
		if (!pa_loaded_function_sig(&module, lib->names[i]))
			return false;
	}
	for (uint32_t i = 0; i < lib->nr_names; i++)
		pa_store_release(&real[i], (void *)(uintptr_t)pa_loaded_function_sig(&module, lib->names[i]));
	return true;
}

/* Returns whether the module is a copy that was not known. */
static bool note_copy(const struct pa_lib *lib, struct copy *of, bool *beyond)
{
	struct copy *room = NULL;

	if (!pa_loaded_function_sig(&module, lib->names[0])) {
		/* a wrapper, or a program with parts of it inside: what is not bound yet may be bound to those */
		for (uint32_t i = 1; i < lib->nr_names && !*beyond; i++)
			*beyond = pa_loaded_function_sig(&module, lib->names[i]) != 0;
		return false;
	}
	for (uint32_t i = 0; i < PA_LIB_COPIES; i++) {
		if (of[i].end && of[i].start == module.range.start && of[i].end == module.range.end)
			return false;
		if (!room && !is_there(&of[i]))
			room = &of[i];
	}
	if (room && find_functions(lib, (uint32_t)(room - of))) {
		*room = (struct copy){module.range.start, module.range.end};
		return true;
	}
	*beyond = true;
	return false;
}

static bool note_copies(void)
{
	bool is_new = false;

	for (uint32_t l = 0; l < NR_LIBS && pa_libs_all[l]; l++)
		is_new |= note_copy(pa_libs_all[l], copies[l], &too_many[l]);
	return is_new;
}

static bool is_copy(const struct copy *of)
{
	for (uint32_t i = 0; i < PA_LIB_COPIES; i++) {
		if (of[i].end && of[i].start == module.range.start && of[i].end == module.range.end)
			return true;
	}
	return false;
}

/* ---- slots ------------------------------------------------------------------------------------------------------- */

static bool in_module(uint64_t value)
{
	return value >= module.range.start && value < module.range.end;
}

static bool in_relro(uint64_t at)
{
	return at >= module.range.relro_start && at < module.range.relro_end;
}

/* Which copy a slot that is not bound yet will lead to, if there is only one that it can be: the loader takes the first
 * in its order, whatever the module asks for by name. -1: that is not certain. */
static int bound_to(uint32_t l)
{
	int found = -1;
	uint32_t nr = 0;

	for (int i = 0; i < PA_LIB_COPIES; i++) {
		if (!is_there(&copies[l][i]))
			continue;
		nr++;
		found = i;
	}
	return nr == 1 && !too_many[l] ? found : -1;
}

/* The function of ours for a slot; NULL: none. */
static const void *own_for(uint32_t l, uint32_t name, const ElfW(Sym) * sym, uint64_t value)
{
	const struct pa_lib *lib = pa_libs_all[l];
	int c = -1;

	for (int i = 0; i < PA_LIB_COPIES && c < 0; i++) {
		if (is_there(&copies[l][i]) &&
		    value == (uint64_t)(uintptr_t)pa_load_relaxed(&lib->real[(uint32_t)i * lib->nr_names + name]))
			c = i;
	}
	if (c < 0 && in_module(value) && sym->st_shndx == SHN_UNDEF)
		c = bound_to(l);
	if (c < 0 || !pa_load_relaxed(&lib->real[(uint32_t)c * lib->nr_names + name]))
		return NULL;
	return lib->own[(uint32_t)c * lib->nr_hooked + name];
}

static void add_slot(uint32_t l, uint32_t name, const ElfW(Sym) * sym, uint64_t at)
{
	uint64_t value = *(const volatile uint64_t *)(uintptr_t)at;
	const void *own = own_for(l, name, sym, value);

	/* an offset, not an address: the loader has not been there */
	if (!own && value && value < module.range.end - module.range.start && !in_module(value))
		unfinished = true;
	/* while it can be written the loader is not done with the module, and would find it closed by us */
	if (own && in_relro(at) && pa_loaded_writable_sig(at)) {
		unfinished = true;
		own = NULL;
	}
	if (own && nr_slots < NR_SLOTS)
		slots[nr_slots++] = (struct pa_got_slot){at, value, (uint64_t)(uintptr_t)own};
}

/* Which function a symbol names. */
static bool is_ours(const ElfW(Sym) * sym, uint32_t *l, uint32_t *name)
{
	const char *text = module.strings + sym->st_name;

	for (*l = 0; *l < NR_LIBS && pa_libs_all[*l]; ++*l) {
		const struct pa_lib *lib = pa_libs_all[*l];

		if (!(lib->modes & wanted_modes) || text[0] != lib->names[0][0])
			continue;
		for (*name = 0; *name < lib->nr_hooked; ++*name) {
			if (pa_loaded_same_sig(text, lib->names[*name]))
				return true;
		}
	}
	return false;
}

static bool calls_any(void)
{
	uint32_t nr = pa_loaded_undefined_sig(&module), l, name;

	for (uint32_t i = 1; i < nr; i++) {
		if (is_ours(&module.symbols[i], &l, &name))
			return true;
	}
	return !nr; /* not known */
}

static void read_table(const ElfW(Rela) * table, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		const ElfW(Sym) *sym = &module.symbols[ELF64_R_SYM(table[i].r_info)];
		uint32_t type = ELF64_R_TYPE(table[i].r_info), l, name;
		uint64_t at = module.bias + table[i].r_offset;

		if ((type != PA_ARCH_JUMP_SLOT && type != PA_ARCH_GLOB_DAT) || at % sizeof(uint64_t) ||
		    !in_module(at) || !is_ours(sym, &l, &name) || is_copy(copies[l]))
			continue;
		add_slot(l, name, sym, at);
	}
}

/* Those just added, one by one: each is right alone. They are known before they are written: a child of fork may come
 * in between. */
static void write_slots(uint32_t first)
{
	struct pa_got_module *to = &modules[nr_modules];
	bool closed = false;

	for (uint32_t i = first; i < nr_slots; i++)
		closed |= in_relro(slots[i].at);
	*to = module.range;
	to->first = first;
	to->nr = nr_slots - first;
	if (!closed)
		to->relro_start = to->relro_end = 0;
	nr_modules++;
	if (pa_got_open_sig(to) != 0) {
		nr_modules--;
		nr_slots = first;
		return;
	}
	for (uint32_t i = first; i < nr_slots; i++)
		pa_got_write_sig(slots[i].at, slots[i].own);
	pa_got_close_sig(to);
}

static void hook_module(void)
{
	uint32_t first = nr_slots;

	if (nr_modules == NR_MODULES || !calls_any())
		return;
	for (unsigned t = 0; t < 2; t++)
		read_table(module.tables[t], module.nr[t]);
	if (nr_slots > first)
		write_slots(first);
}

/* ---- all modules ------------------------------------------------------------------------------------------------- */

/* Those that are gone, or are no longer ours, are forgotten. */
static void sweep(void)
{
	uint32_t kept = 0, kept_slots = 0;

	for (uint32_t i = 0; i < nr_modules; i++) {
		struct pa_got_module m = modules[i];
		uint64_t start, end;
		uint32_t first = kept_slots;

		if (!pa_walk_module_at_sig(slots[m.first].at, &start, &end) || start != m.start || end != m.end)
			continue;
		for (uint32_t s = m.first; s < m.first + m.nr; s++) {
			if (*(const volatile uint64_t *)(uintptr_t)slots[s].at == slots[s].own)
				slots[kept_slots++] = slots[s];
		}
		m.first = first;
		m.nr = kept_slots - first;
		if (m.nr)
			modules[kept++] = m;
	}
	nr_modules = kept;
	nr_slots = kept_slots;
	for (uint32_t l = 0; l < NR_LIBS; l++) {
		too_many[l] = false;
		for (uint32_t i = 0; i < PA_LIB_COPIES; i++)
			if (!is_there(&copies[l][i]))
				copies[l][i] = (struct copy){0};
	}
}

/* The modules after `from`: copies first, for they stand behind those that need them. */
static void read_list(const struct link_map *from)
{
	const struct link_map *map = from, *end = from;
	bool is_new = false, any = false;

	for (uint32_t i = 0; i < MODULES_MAX && (map = pa_loaded_next_sig(map)); i++) {
		end = map;
		if (pa_loaded_read_sig(map, &module))
			is_new |= note_copies();
	}
	for (uint32_t l = 0; l < NR_LIBS; l++)
		for (uint32_t i = 0; i < PA_LIB_COPIES; i++)
			any |= copies[l][i].end != 0;
	/* what came before may have been waiting for it */
	map = is_new ? NULL : from;
	for (uint32_t i = 0; any && map != end && i < MODULES_MAX && (map = pa_loaded_next_sig(map)); i++) {
		if (pa_loaded_read_sig(map, &module))
			hook_module();
	}
	last = end;
	last_dynamic = end ? end->l_ld : NULL;
}

/* A module that libc has unloaded on its own is not the last one any more. */
static bool is_current(void)
{
	struct pa_pages pages = {0};

	return last && pa_probe_range_sig(&pages, (uint64_t)(uintptr_t)last, sizeof(*last)) &&
	       last->l_ld == last_dynamic;
}

static void look(void)
{
	bool all = pa_exchange(&news, NEWS_NONE) == NEWS_ANY || unfinished || !is_current();

	pa_store_relaxed(&urgent, 0);
	unfinished = false;
	if (all)
		sweep();
	read_list(all ? NULL : last);
}

static void put_back(void)
{
	for (uint32_t i = 0; i < nr_modules; i++)
		pa_got_put_back_sig(&modules[i], slots);
	nr_modules = nr_slots = 0;
	last = NULL;
	memset(copies, 0, sizeof(copies));
}

/* Whatever is to be done. Who cannot do it now leaves it to whoever is at it, or to the dlclose that is going on. */
static void settle(void)
{
	uint64_t mask = pa_signals_hold();

	while ((pa_load_acquire(&owed) || pa_load_relaxed(&news)) && pa_got_begin_sig() == 0) {
		if (pa_exchange(&owed, 0))
			put_back();
		else if (pa_load_relaxed(&pa_libs_watched))
			look();
		else
			pa_store_relaxed(&news, NEWS_NONE);
		pa_got_end_sig();
	}
	pa_signals_let(mask);
}

void pa_libs_start_sig(uint32_t modes)
{
	uint32_t wanted = 0;

	for (uint32_t l = 0; l < NR_LIBS && pa_libs_all[l]; l++)
		wanted |= pa_libs_all[l]->modes & modes;
	/* nothing can be told of modules without asking whether they can be read */
	if (!wanted || pa_probe_is_quiet_sig())
		return;
	wanted_modes = wanted;
	pa_store_relaxed(&news, NEWS_ANY);
	pa_store_relaxed(&urgent, 1);
	pa_store_release(&pa_libs_watched, 1);
	settle();
}

void pa_libs_stop_sig(void)
{
	if (!pa_load_relaxed(&pa_libs_watched) || pa_probe_is_quiet_sig())
		return;
	pa_store_release(&pa_libs_watched, 0);
	pa_store_relaxed(&urgent, 0);
	pa_store_release(&owed, 1);
	settle();
}

void pa_libs_look_sig(void)
{
	const struct link_map *at = last;

	if (pa_probe_is_quiet_sig())
		return;
	if (!pa_load_relaxed(&news) && !unfinished && at && is_current() && !at->l_next)
		return;
	pa_claim_u32(&news, NEWS_NONE, NEWS_SOME);
	settle();
}

void pa_libs_unloaded_sig(void)
{
	if (pa_load_relaxed(&pa_libs_watched))
		pa_store_relaxed(&news, NEWS_ANY);
	if (pa_load_relaxed(&owed) || pa_load_relaxed(&urgent))
		settle();
}
