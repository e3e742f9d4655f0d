/* ELF files, opened with care: what is read comes from paths that anybody may have filled. World: plain. */
#ifndef PA_COLLECTOR_ELF_H
#define PA_COLLECTOR_ELF_H

#include <stdbool.h>
#include <stdint.h>

#include <libelf.h>

#include "collector/ranges.h"
#include "collector/symbolize.h"

#define PA_ELF_FILE_MAX (UINT64_C(2) << 30) /* larger files are not read: they would have to fit in memory */

/* An open ELF file. Read by pread, never mapped: a file that is truncated under a mapping would kill the collector. */
struct pa_elf {
	int fd; /* -1: from memory or closed */
	Elf *elf;
	void *image; /* of the vDSO, else NULL */
	uint8_t build_id[32];
	size_t build_id_len; /* 0: none */
};

/* Opens a regular file that is ELF. A descriptor given (>= 0) is duplicated, path is then only a name.
 * Errors: 0; -errno of open; -ENOEXEC no ELF file, not regular, larger than PA_ELF_FILE_MAX. */
int pa_elf_open(struct pa_elf *e, const char *path, int fd);

/* Our own vDSO. Errors: 0, -ENOENT: the kernel gave us none, -ENOMEM. */
int pa_elf_open_vdso(struct pa_elf *e);

/* Takes an image of size bytes over (malloc'ed); freed at once on errors. Errors: 0, -ENOEXEC. */
int pa_elf_open_image(struct pa_elf *e, void *image, size_t size);

void pa_elf_close(struct pa_elf *e);

/* Whether the build-ids are known and equal. */
bool pa_elf_is(const struct pa_elf *e, const uint8_t *build_id, size_t len);

/* Adds the address ranges of the executable sections; the id is the section's index. Without section headers the
 * executable segments, id 0. Errors: 0 or -ENOMEM. */
int pa_elf_code_ranges(Elf *elf, struct pa_ranges *out);

#endif
