/* The note by which an agent is recognised, out of the image of an ELF file as it lies in memory. A pure function over
 * what a reader returns: the bytes are a stranger's. World: plain. */
#ifndef PA_REMOTE_AGENT_NOTE_H
#define PA_REMOTE_AGENT_NOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copies bytes of the process. Returns 0, or -errno when not all of them can be had. */
typedef int (*pa_note_read)(void *arg, uint64_t address, void *out, size_t bytes);

struct pa_note_found {
	uint64_t command; /* address of the struct pa_command: whole within the span, 8-byte aligned */
	uint32_t major;
	uint64_t data_start, data_end; /* the writable segment it lies in */
};

/* Looks at the image whose first byte lies at `base` (a mapping of file offset 0).
 * Errors: 0; -ENOENT no ELF image of our class, or without the note; -EPROTONOSUPPORT a note of another version (major
 * is set); -EBADMSG the note names what does not lie in the image's own data. */
int pa_note_find(uint64_t base, pa_note_read read, void *arg, struct pa_note_found *found);

/* Whether a word of so many bytes, aligned to its size, lies in the span. */
bool pa_note_holds(const struct pa_note_found *found, uint64_t address, size_t bytes);

#endif
