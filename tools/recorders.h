/* Which collectors of this user are writing which recording. World: plain. */
#ifndef PA_TOOLS_RECORDERS_H
#define PA_TOOLS_RECORDERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Whether some process has this file open for writing: the recording goes on. */
bool pa_is_being_recorded(const char *path);
/* The recording in which a collector of this user has this process, for the caller to free, and the number of the
 * process in it. A process that has just begun comes into its recording a second later: *some_collector says that it
 * may be worth while to ask again. Errors: NULL. */
char *pa_recording_of(pid_t pid, uint32_t *id, bool *some_collector);

#endif
