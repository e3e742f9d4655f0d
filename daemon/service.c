#include "daemon/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_FD 3

/* The number in a variable that is meant for this process; 0: none. */
static uint64_t number_for_us(const char *variable, const char *pid_variable)
{
	const char *pid = getenv(pid_variable), *text = getenv(variable);
	char *end;
	unsigned long value;

	if (!text || (pid && strtoul(pid, NULL, 10) != (unsigned long)getpid()))
		return 0;
	value = strtoul(text, &end, 10);
	return *end ? 0 : value;
}

static int option_of(int fd, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) ? -1 : value;
}

int pa_service_check_socket(int fd)
{
	if (option_of(fd, SO_DOMAIN) < 0)
		return -ENOTSOCK;
	if (option_of(fd, SO_DOMAIN) != AF_UNIX || option_of(fd, SO_TYPE) != SOCK_SEQPACKET ||
	    option_of(fd, SO_ACCEPTCONN) != 1)
		return -EPROTOTYPE;
	return 0;
}

int pa_service_socket(void)
{
	uint64_t nr = getenv("LISTEN_PID") ? number_for_us("LISTEN_FDS", "LISTEN_PID") : 0;
	int err;

	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	if (!nr)
		return -1;
	if (nr > 1)
		return -E2BIG;
	err = pa_service_check_socket(FIRST_FD);
	if (!err && (fcntl(FIRST_FD, F_SETFD, FD_CLOEXEC) || fcntl(FIRST_FD, F_SETFL, O_RDWR | O_NONBLOCK)))
		err = -errno;
	return err ? err : FIRST_FD;
}

static void send_to(const char *path, const char *text)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len = strlen(path);
	int fd;

	if ((path[0] != '/' && path[0] != '@') || len < 2 || len >= sizeof(addr.sun_path))
		return;
	memcpy(addr.sun_path, path, len);
	if (path[0] == '@')
		addr.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	/* a manager that reads slowly must not stop the rings from being read */
	sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&addr,
	       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	close(fd);
}

void pa_service_notify(const char *format, ...)
{
	const char *path = getenv("NOTIFY_SOCKET");
	char text[512];
	va_list args;

	if (!path)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	send_to(path, text);
}

uint64_t pa_service_watchdog_ns(void)
{
	/* twice within what the manager waits */
	return number_for_us("WATCHDOG_USEC", "WATCHDOG_PID") * 1000 / 2;
}
