/* Opening a recording without changing anything beside or in it. Caller: store_read.c. World: plain. */
#ifndef PA_COLLECTOR_STORE_OPEN_H
#define PA_COLLECTOR_STORE_OPEN_H

#include <sqlite3.h>
#include <stddef.h>

/* Gives a read-only connection to the recording, or to a private copy that has no name any more.
 * Errors: -errno with a sentence in err. */
int pa_recording_connect(const char *path, sqlite3 **db, char *err, size_t err_size);

#endif
