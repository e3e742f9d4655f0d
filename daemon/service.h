/* What a service manager and its services say to each other: sockets that are handed over, and how the service does.
 * The protocols are systemd's, spoken by hand: neither needs a library. All of it is a no-op where nobody manages.
 * Source: sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3). World: plain. */
#ifndef PA_DAEMON_SERVICE_H
#define PA_DAEMON_SERVICE_H

#include <stdint.h>

/* The listening socket that was handed to this process, close-on-exec; -1: none was. Takes the variables out of the
 * environment. Errors: -E2BIG more than one, -ENOTSOCK none, -EPROTOTYPE not a listening SOCK_SEQPACKET of AF_UNIX. */
int pa_service_socket(void);

/* The same for a descriptor. Errors: 0, or as above. */
int pa_service_check_socket(int fd);

/* Sends lines such as "READY=1\nSTATUS=..." Errors: none: a manager that does not listen has no use for it. */
void pa_service_notify(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* How often "WATCHDOG=1" is expected; 0: not at all. */
uint64_t pa_service_watchdog_ns(void);

#endif
