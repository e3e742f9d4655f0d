/* Which processes map a session's memory. Looking through all of them takes tens of milliseconds, and when a server
 * with hundreds of sessions ends each of them asks: one look answers all that were asked about by then. World: plain.
 */
#ifndef PA_COLLECTOR_MAPPERS_H
#define PA_COLLECTOR_MAPPERS_H

#include <stdint.h>

/* Visits (inode of a memfd, or of what stands for one where rings come over a socket; process) as they were at since_ns
 * (CLOCK_MONOTONIC) or later; ourselves are left out. Shapes: a process that maps several comes once for each. One
 * thread only. Errors: -ENOMEM, -errno of reading /proc: what was found until then was visited. */
int pa_mappers_each(uint64_t since_ns, void (*fn)(void *arg, uint64_t inode, uint32_t pid), void *arg);

#endif
