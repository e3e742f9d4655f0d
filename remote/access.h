/* Why a process cannot be looked at. World: plain. */
#ifndef PA_REMOTE_ACCESS_H
#define PA_REMOTE_ACCESS_H

#include <stddef.h>
#include <sys/types.h>

/* What is known before it is touched: no such process, a thread's number, ended, a thread of the kernel, ourselves,
 * traced by somebody else, 32-bit.
 * Shapes: why gets a sentence (any bytes of the target in it) when the result is not 0. Errors: 0 or -errno. */
int pa_access_check(pid_t pid, char *why, size_t size);

/* Of that what concerns everybody: there is such a process, of user space, and it is not us. Errors: as above. */
int pa_access_check_process(pid_t pid, char *why, size_t size);
/* And whether its program is a 64-bit one. */
int pa_access_check_program(pid_t pid, char *why, size_t size);

/* A sentence about an error of pa_stop_all, pa_snapshot_take or pa_walker_new. */
void pa_access_explain(pid_t pid, int error, char *why, size_t size);

#endif
