/* Plain file work for recordings: what a file is by its header, private directories, copies, file systems.
 * Callers: store_target.c, store_open.c. World: plain. */
#ifndef PA_COLLECTOR_STORE_FILES_H
#define PA_COLLECTOR_STORE_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Names SQLite gives to a database's companions. */
#define PA_SUFFIX_WAL     "-wal"
#define PA_SUFFIX_SHM     "-shm"
#define PA_SUFFIX_JOURNAL "-journal"

/* The first 100 bytes of an SQLite file, as far as they matter here. */
struct pa_file_head {
	bool empty;
	bool sqlite; /* the magic is there; the rest is meaningful only then */
	bool wal;    /* journal mode in the header */
	uint32_t application_id;
	uint32_t user_version;
	uint64_t wanted; /* bytes the header says the file has, 0: it does not say */
	uint64_t size;   /* bytes there are */
};

/* Errors: -errno. */
int pa_file_head_read(const char *path, struct pa_file_head *head);

/* path + suffix, to be freed. Errors: NULL: out of memory. */
char *pa_path_with(const char *path, const char *suffix);

/* A private directory (0700) below $TMPDIR, /var/tmp or /tmp, to be freed. Errors: NULL with errno. */
char *pa_private_dir(void);

/* Whether the file system that holds path cannot do SQLite's shared memory: network and user-space file systems. */
bool pa_fs_is_network(const char *path);
/* The same by the magic number of statfs(2). */
bool pa_fs_magic_is_network(uint32_t magic);

/* Copies all bytes from one descriptor's position to another's. Errors: -errno. */
int pa_copy_fd(int from, int to);
/* Copies a file to a name that does not exist yet (0600). Errors: -errno; nothing is left at `to` then. */
int pa_copy_file(const char *from, const char *to);

#endif
