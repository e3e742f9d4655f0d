/* How whoever loaded the agent into a running process has its functions put in front of libc's: a second ELF note of
 * the library names the address of one function, which a thread of the target is made to call with the address of a
 * struct pa_inject_order in its memory. World: plain. */
#ifndef PA_COMMON_INJECT_H
#define PA_COMMON_INJECT_H

#include <stdint.h>

#include "common/command.h"

/* Owner as PA_NOTE_OWNER, in the same section. Descriptor: */
#define PA_NOTE_INJECT 2u

struct pa_inject_note {
	uint32_t major; /* PA_INJECT_MAJOR */
	uint32_t size;  /* sizeof(struct pa_inject_order) */
	int64_t enter;  /* of the function, counted from the start of this descriptor */
};

#define PA_INJECT_MAJOR 1u

enum pa_inject_kind {
	PA_INJECT_HOOK = 1,   /* put the agent's functions into every module's tables; again for modules loaded since */
	PA_INJECT_UNHOOK = 2, /* take them out again, as detaching does */
};

struct pa_inject_order {
	uint32_t magic; /* PA_WIRE_MAGIC */
	uint32_t kind;  /* enum pa_inject_kind */
	/* answers */
	int32_t result;   /* 0 or -errno: -EALREADY it was preloaded, its functions are in front anyway; -ENOSYS libc
			   * cannot say where modules lie; -ENOMEM; -EBUSY a thread is at it */
	uint32_t modules; /* that were looked at */
	uint32_t hooked;  /* slots that lead to the agent now, by this order */
	uint32_t before;  /* that did already */
	uint32_t foreign; /* that lead to another function of that name than the program's, and stay */
	uint32_t refused; /* that could not be written */
};

PA_ASSERT_SIZE(struct pa_inject_note, 16);
PA_ASSERT_SIZE(struct pa_inject_order, 32);

#endif
