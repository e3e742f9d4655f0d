/* Samples that carry registers and a piece of stack because the agent's walker met a row it cannot express: walked
 * here, by the remote unwinder, over the modules of their process. World: plain. */
#ifndef PA_COLLECTOR_SLICES_H
#define PA_COLLECTOR_SLICES_H

#include <stddef.h>
#include <stdint.h>

#include "collector/process.h"
#include "collector/unwind.h"
#include "common/wire.h"

struct pa_slices;

/* Errors: NULL: out of memory. */
struct pa_slices *pa_slices_new(void);
void pa_slices_free(struct pa_slices *s);
/* Forgets what is remembered about a process that has ended. */
void pa_slices_forget(struct pa_slices *s, struct pa_process *p);

/* Keeps a slice until the sample it belongs to comes (the next one of its thread, at the same time). */
void pa_slices_keep(struct pa_slices *s, const struct pa_process *p, const struct pa_slice *slice);

/* Walks the slice that precedes a sample, from the leaf.
 * Shapes: out has room for a sample of PA_FRAMES_MAX frames. Returns out, or the sample itself when there is no slice
 * of it or the unwinder knows no more than the agent did. */
const struct pa_sample *pa_slices_complete(struct pa_slices *s, struct pa_process *p, const struct pa_modules *modules,
					   const struct pa_sample *sample, struct pa_sample *out);

/* Walks a thread of the process that does not run, from its registers. Shapes: as pa_unwind_process; memory is read by
 * `read`. Returns 0 without memory. */
size_t pa_slices_walk(struct pa_slices *s, struct pa_process *p, const struct pa_modules *modules,
		      const struct pa_unwind_registers *registers,
		      int (*read)(void *arg, uint64_t address, void *out, size_t len), void *arg, uint64_t *frames,
		      size_t max, enum pa_stop *stop);

#endif
