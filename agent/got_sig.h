/* The slots of other modules' tables that lead to the agent's functions, when it was loaded late: kept, so that they
 * can be put back. Written by got.c, taken out by whoever works off the request to detach, which may be a signal
 * handler. World: signal. */
#ifndef PA_AGENT_GOT_SIG_H
#define PA_AGENT_GOT_SIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pa_got_slot {
	uint64_t at;  /* address of the slot */
	uint64_t was; /* what stood there */
	uint64_t own; /* the function of ours that stands there now */
};

/* One module, and which part of it the loader has made read-only after it had filled it. */
struct pa_got_module {
	uint64_t start, end;             /* as pa_walk_module_at_sig tells */
	uint64_t relro_start, relro_end; /* whole pages; equal: none */
	uint32_t first, nr;              /* of its slots in the table */
};

/* The outcome of one order; the next one's slots are another table. */
struct pa_got_table {
	struct pa_got_table *next; /* the one before */
	size_t bytes;              /* of this mapping */
	struct pa_got_module *modules;
	struct pa_got_slot *slots;
	uint32_t nr_modules, nr_slots;
};

/* While a table is made or undone nobody else does, and no module goes. Errors: 0, -EBUSY. */
int pa_got_begin_sig(void);
void pa_got_end_sig(void);
/* Between these two: adds a table. */
void pa_got_keep_sig(struct pa_got_table *table);

/* Whether the agent was loaded into a running program, so that libc stands in front of it: said once by the
 * constructor. */
void pa_got_set_late_sig(bool late);
bool pa_got_is_late_sig(void);

/* Makes the read-only part of a module writable, and read-only again. Errors: 0, -errno. */
int pa_got_open_sig(const struct pa_got_module *module);
void pa_got_close_sig(const struct pa_got_module *module);
/* One store of one word: other threads read the slot meanwhile. */
void pa_got_write_sig(uint64_t at, uint64_t value);

/* Puts the slots of one module back that still lead to us, if it is the module it was. Returns how many. */
uint32_t pa_got_put_back_sig(const struct pa_got_module *module, const struct pa_got_slot *slots);

/* Puts everything back that still leads to us; later when a module is being unloaded right now. Nothing is done when
 * there is nothing to do. Returns how many slots were put back. */
uint32_t pa_got_unhook_sig(void);

/* Around the real dlclose. */
void pa_got_unloading_sig(void);
void pa_got_unloaded_sig(void);
/* In a forked child: threads that were inside it are not there. */
void pa_got_forked_sig(void);

#endif
