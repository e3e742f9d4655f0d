/* How long recordings are kept: bounds in bytes and in age, and room on the disk. The oldest goes first, never one that
 * is being written. World: plain. */
#ifndef PA_DAEMON_RETENTION_H
#define PA_DAEMON_RETENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct pa_keep {
	uint64_t bytes;   /* of all recordings together, 0: no bound */
	uint64_t seconds; /* since the last write to it, 0: no bound */
};

/* "1GiB,7d": a size (k m g t, also as KiB, MB: units of 1024), an age (s m h d w), or both in any order. A number with
 * m is an age behind a size, else a size; "min" is always an age.
 * Errors: -EINVAL with a sentence in err. */
int pa_keep_parse(struct pa_keep *keep, const char *text, char *err, size_t err_size);

struct pa_retention {
	struct pa_keep keep;
	uint64_t free_bytes; /* so much room is made, 0: none */
	uint64_t now_s;      /* as in st_mtime */
	bool (*writing)(void *arg, dev_t dev, ino_t ino);
	/* a recording that was removed: its name below the data directory. NULL allowed */
	void (*dropped)(void *arg, const char *name, uint64_t bytes);
	void *arg;
};

struct pa_retention_result {
	uint64_t nr, bytes; /* recordings that are left */
	uint64_t dropped, dropped_bytes;
	uint64_t failed; /* could not be removed */
};

/* Looks at DATA/NAME.pfa and DATA/UID/NAME.pfa and drops what is too much. Nothing is followed that is a symbolic link,
 * and other files stay. Shapes: data_fd is a descriptor of DATA. Errors: -errno of reading DATA, -ENOMEM. */
int pa_retention_apply(int data_fd, const struct pa_retention *r, struct pa_retention_result *result);

#endif
