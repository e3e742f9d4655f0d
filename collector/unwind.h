/* Unwinding from outside, by libunwind: of a registers-and-stack slice the agent sent, or of a live process whose
 * memory can be read. Unwind tables come from the ELF files, never from the target's memory. World: plain. */
#ifndef PA_COLLECTOR_UNWIND_H
#define PA_COLLECTOR_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "collector/symbolize.h"
#include "common/wire.h"

struct pa_unwind_module {
	uint64_t start;
	uint64_t end;
	uint64_t bias;             /* run-time address minus ELF virtual address */
	uint64_t key;              /* equal for the same file, whatever process it is in; never reused for another */
	struct pa_module_ref file; /* borrowed until the call of the unwinder returns */
};

/* Where a process's modules and memory are found. */
struct pa_unwind_source {
	/* The module that covers pc; false when there is none. */
	bool (*find)(void *arg, uint64_t pc, struct pa_unwind_module *out);
	/* Reads the process's memory; NULL when only the slice and the files are there. Errors: 0 or -errno. */
	int (*read)(void *arg, uint64_t address, void *out, size_t len);
	void *arg;
	uint64_t generation; /* another value: modules have come or gone since the last call */
};

struct pa_unwind_registers {
	uint32_t nr;
	uint64_t regs[PA_SLICE_REGS]; /* DWARF order, the pc last, as in a slice */
};

/* The files' unwind tables, shared by all unwinders of a collector. Bounded: 256 files, 256 MiB. */
struct pa_unwind_files;
/* Errors: NULL: out of memory. */
struct pa_unwind_files *pa_unwind_files_new(void);
/* After all unwinders that use it. */
void pa_unwind_files_free(struct pa_unwind_files *files);

/* One per process: rules are remembered by address. files is borrowed. Errors: NULL: out of memory. */
struct pa_unwinder;
struct pa_unwinder *pa_unwinder_new(struct pa_unwind_files *files);
void pa_unwinder_free(struct pa_unwinder *u);

/* The frames of a slice, in the encoding of struct pa_sample: leaf first, PA_FRAME_EXACT for the leaf and for frames a
 * signal interrupted.
 * Shapes: slice is a checked record; frames has room for max. *stop says why it ended.
 * Returns the number of frames, at least 1 when max is; 0 without memory or when the registers make no sense. */
size_t pa_unwind_slice(struct pa_unwinder *u, const struct pa_unwind_source *source, const struct pa_slice *slice,
		       uint64_t *frames, size_t max, enum pa_stop *stop);

/* The same for a thread that does not run: source->read is needed. */
size_t pa_unwind_process(struct pa_unwinder *u, const struct pa_unwind_source *source,
			 const struct pa_unwind_registers *registers, uint64_t *frames, size_t max, enum pa_stop *stop);

/* For source->read: the memory of pid, by process_vm_readv(2). Errors: 0, -errno, -EFAULT when cut. */
int pa_unwind_read_process(pid_t pid, uint64_t address, void *out, size_t len);

/* For source->find: a list in any order. */
struct pa_unwind_list {
	const struct pa_unwind_module *modules;
	size_t nr;
};
bool pa_unwind_find_in_list(const struct pa_unwind_list *list, uint64_t pc, struct pa_unwind_module *out);

#endif
