/* Agents that have not come by themselves: dormant ones that a rule selects (--attach), and those of an earlier daemon
 * on the same socket that was killed, stopped or replaced: their recording is taken up again. World: plain. */
#ifndef PA_DAEMON_ATTACH_H
#define PA_DAEMON_ATTACH_H

#include <stdbool.h>
#include <stdint.h>

struct pa_daemon;
struct pa_daemon_attach;

/* Looks through the processes, a few at a time, again and again. Errors: NULL: out of memory. */
struct pa_daemon_attach *pa_daemon_attach_new(struct pa_daemon *d);
void pa_daemon_attach_free(struct pa_daemon_attach *a);

/* Whether this process was asked to come back: it had a collector before. NULL allowed. */
bool pa_daemon_attach_is_back(const struct pa_daemon_attach *a, uint32_t pid);

/* Asks a process of a recording of ours to come again. False: it cannot be asked. */
bool pa_daemon_attach_anew(struct pa_daemon_attach *a, uint32_t pid);

#endif
