/* Functions of libraries other than libc that the agent stands in front of. Their names are not exported: whoever asks
 * whether there is such a function must not find ours, and a library that was loaded for one module alone is not next
 * to us in any order of look-up (F8). Instead the slots are changed through which other modules call them (got_sig.h),
 * in the modules that are there when a session begins, and in later ones when the program looks for a name in them
 * (dlsym). All is undone when the session ends.
 *
 * A program may have several copies of a library: each has functions of ours for itself, so that none is handed what
 * another one made. Calls through pointers that were taken by dlsym, or that stand in tables, go past us.
 * World: signal. */
#ifndef PA_AGENT_LIBS_SIG_H
#define PA_AGENT_LIBS_SIG_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/hot.h"
#include "common/atomics.h"

#define PA_LIB_COPIES 3

/* A library by its functions. The first nr_hooked are stood in front of; the others are called by us. The first of all
 * says which module is a copy; those from nr_hooked on have to be there. */
struct pa_lib {
	const char *const *names;
	uint32_t nr_names, nr_hooked;
	uint32_t modes;         /* PA_MODE_*: any of them asks for it */
	const void *const *own; /* function i in front of copy c: own[c * nr_hooked + i] */
	_Atomic(void *) *real;  /* function i of copy c: real[c * nr_names + i]; NULL: it has none */
};

/* All there are; ends with NULL. hooks_libs.c. */
extern const struct pa_lib *const pa_libs_all[];

/* Whether modules that come are of interest: what the hook of dlsym tests. */
extern _Atomic uint32_t pa_libs_watched PA_NEAR;

/* Where the loader's list begins. World: plain (constructor). libs.c. */
void pa_libs_init(void);

/* A session begins that wants PA_MODE_*: looks at all modules. */
void pa_libs_start_sig(uint32_t modes);
/* It has ended: everything is put back; if a module is being unloaded right now, as soon as it is. Idempotent. */
void pa_libs_stop_sig(void);
/* Modules may have been loaded since. */
void pa_libs_look_sig(void);
/* One was unloaded. */
void pa_libs_unloaded_sig(void);

#endif
