/* Where a library loaded into another process is to be entered (common/inject.h). World: plain. */
#ifndef PA_REMOTE_INJECT_NOTE_H
#define PA_REMOTE_INJECT_NOTE_H

#include <stdint.h>
#include <sys/types.h>

/* base: of the library's first mapping. Errors: 0; -ENOENT no such note: it is no agent, or one from before there were
 * injections; -EPROTONOSUPPORT of another version; -EBADMSG it names no code of the library; -errno of reading. */
int pa_inject_note_find(pid_t pid, uint64_t base, uint64_t *enter);

#endif
