/* Which files this process is writing as recordings. Closing any descriptor of a file drops the locks SQLite holds on
 * it for the whole process (POSIX record locks), so a reader in the same process must not open such a file by itself.
 * Callers: store_write.c, store_open.c. World: plain. */
#ifndef PA_COLLECTOR_STORE_INUSE_H
#define PA_COLLECTOR_STORE_INUSE_H

#include <stdbool.h>
#include <sys/types.h>

struct pa_inuse {
	dev_t dev;
	ino_t ino;
	struct pa_inuse *next;
};

/* Shapes: u is the caller's and stays where it is until removed. Errors: -errno of stat. */
int pa_inuse_add(struct pa_inuse *u, const char *path);
void pa_inuse_remove(struct pa_inuse *u);
/* Whether this process is writing the file of that name. */
bool pa_inuse_here(const char *path);

#endif
