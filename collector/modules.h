/* Which file was mapped where, and when.
 *
 * pa_modules is the list of distinct files of one recording (the ids of its module table). pa_maps is one process's
 * address space over time: ranges in versions, so that a sample taken before a dlclose keeps the name of what was there
 * then (R2). World: plain. */
#ifndef PA_COLLECTOR_MODULES_H
#define PA_COLLECTOR_MODULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/wire.h"

#define PA_MODULES_MAX     65536
#define PA_MODULES_FDS_MAX 512
#define PA_MAPS_MAX        65536
#define PA_SEGMENTS_MAX    32

struct pa_segment {
	uint64_t vaddr;
	uint64_t offset;
	uint64_t file_bytes;
	uint64_t mem_bytes;
};

/* One distinct file. */
struct pa_modfile {
	uint32_t id; /* from 1 */
	char *path;  /* as in the target; "[vdso]" */
	int fd;      /* open as it was mapped, or -1 */
	int root_fd; /* O_PATH of the target's root when it is not ours, or -1; owned by the list */
	uint8_t build_id[PA_BUILD_ID_MAX];
	uint32_t build_id_len;
	uint64_t dev, inode, mtime_ns;               /* all 0: never seen as a file */
	struct pa_segment segments[PA_SEGMENTS_MAX]; /* PT_LOAD */
	uint32_t nr_segments;                        /* 0: no readable ELF file */
	struct pa_modfile *chain;                    /* same bucket */
};

struct pa_modules;

/* Errors: NULL: out of memory. */
struct pa_modules *pa_modules_new(void);
void pa_modules_free(struct pa_modules *m);
/* Visits by id: the file of an id, NULL past the last. Lent. */
struct pa_modfile *pa_modules_get(const struct pa_modules *m, uint32_t id);
uint32_t pa_modules_nr(const struct pa_modules *m);

/* One range of one process, for some time. */
struct pa_map_version {
	uint64_t start;
	uint64_t end;
	uint64_t bias; /* run-time address minus ELF virtual address */
	uint64_t from_ns;
	uint64_t until_ns; /* 0: still there */
	uint32_t module;
};

/* Zeroed before first use. */
struct pa_maps {
	struct pa_map_version *v; /* in the order they were learned */
	size_t nr;
	size_t room;
	uint32_t generation; /* bumped with every change */
	uint64_t changed_ns; /* samples older than this may mean something else at the same address */
	uint64_t dropped;    /* versions beyond PA_MAPS_MAX */
};

void pa_maps_fini(struct pa_maps *maps);
/* A forked child starts with what its parent had. Errors: 0 or -ENOMEM. */
int pa_maps_copy(struct pa_maps *to, const struct pa_maps *from);

/* Adds a version; one that says the same as the present one is ignored; ranges it overlaps end at from_ns.
 * Errors: 0, -ENOMEM, -E2BIG beyond PA_MAPS_MAX. */
int pa_maps_add(struct pa_maps *maps, const struct pa_map_version *version);
/* Everything inside [start, end) ends at time_ns. */
void pa_maps_unmap(struct pa_maps *maps, uint64_t start, uint64_t end, uint64_t time_ns);

/* What was at an address at a time: the latest version with from <= time that had not ended; else the earliest after
 * it; else the one that ended last before it within PA_MAPS_GRACE_NS (destructors run while a module is being closed).
 * NULL: nothing ever (JIT). */
#define PA_MAPS_GRACE_NS 100000000u
const struct pa_map_version *pa_maps_find(const struct pa_maps *maps, uint64_t address, uint64_t time_ns);

/* Learns the executable mappings of a live process from /proc. Errors: -errno; what was read until then stays. */
int pa_modules_scan(struct pa_modules *m, struct pa_maps *maps, uint32_t pid, uint64_t time_ns);

/* Learns from a MODULE record. pid 0: the process cannot be looked at.
 * Shapes: path_len bytes of path, not terminated; "" is looked up in /proc. */
int pa_modules_learn(struct pa_modules *m, struct pa_maps *maps, uint32_t pid, const struct pa_module *record);

/* Reads the program headers of an ELF file; for tests and the fuzzer.
 * Returns the number of PT_LOAD segments, 0 when it is no 64-bit ELF file. */
uint32_t pa_modules_segments(int fd, struct pa_segment out[PA_SEGMENTS_MAX]);

#endif
