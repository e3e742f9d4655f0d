/* The directory of recordings: who may look into it, and names nobody can guess wrong. Below DATA lie the recordings of
 * the daemon's own user, and a directory DATA/UID for each other one (only a daemon of root's has those).
 * World: plain. */
#ifndef PA_DAEMON_DATADIR_H
#define PA_DAEMON_DATADIR_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "collector/owner.h"

/* Makes the directory when it is missing (its parents of ours too), and opens it. 0700; for a daemon of root's 0711:
 * users get to their own directories, and cannot list others.
 * Returns: a descriptor. Errors: -errno; -ELOOP, -ENOTDIR: a link or no directory, -EPERM: not ours, or others may
 * write to it. */
int pa_datadir_open(const char *path);

/* Makes and checks DATA/UID, 0700, the user's own; nothing to do for ourselves. Errors: -errno as above. */
int pa_datadir_user(int data_fd, const struct pa_owner *owner);

/* Makes a directory, and its parent when only that is missing. Errors: -errno. */
int pa_make_directory(const char *path, unsigned mode);

/* A free name for a recording: PATH/NAME.PID.TIME.pfa, with the user's directory in it. What a target has chosen of
 * `name` is made harmless: letters, digits, "_-+" stay. Errors: -ENAMETOOLONG, -EEXIST. */
int pa_datadir_name(const char *path, const struct pa_owner *owner, const char *name, uint32_t pid, char *out,
		    size_t size);

/* The recording of a process that was written to last: the name of the file, and when. `but`: not this path.
 * Errors: -ENOENT: there is none; -ENAMETOOLONG, -errno of reading the directory. */
int pa_datadir_latest(const char *path, const struct pa_owner *owner, const char *name, uint32_t pid, const char *but,
		      char *out, size_t size, time_t *written);

#endif
