/* Where a recording is written: the file itself, or a temporary that is moved there at the end. Caller: store_write.c.
 * World: plain. */
#ifndef PA_COLLECTOR_STORE_TARGET_H
#define PA_COLLECTOR_STORE_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct pa_target {
	char *path;  /* the final name, symbolic links followed; NULL: standard output */
	char *work;  /* the file SQLite writes: path itself, or a temporary */
	char *dir;   /* private directory of the temporary, NULL: none */
	bool stream; /* not a regular file: its bytes are copied into it, it is never replaced */
};

/* Decides where to write and makes room: an old recording of that name is removed.
 * Errors: -errno with a sentence in err; nothing was changed then. */
int pa_target_init(struct pa_target *t, const char *path, char *err, size_t err_size);
/* From the file itself to a temporary, for a file system that refused WAL. Errors: as pa_target_init. */
int pa_target_divert(struct pa_target *t, char *err, size_t err_size);
/* The writer is done: a temporary goes to its final name, complete or not at all. Errors: -errno; the temporary is then
 * kept, t->work names it. */
int pa_target_finish(struct pa_target *t);
/* Removes what was made (the writer never got going). */
void pa_target_abandon(struct pa_target *t);
void pa_target_fini(struct pa_target *t);

#endif
