/* Addresses of peers as text. World: plain. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "collector/talks_impl.h"

_Static_assert(PA_PEER_MAX > INET6_ADDRSTRLEN + 9, "an address with brackets and a port");

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

/* False: there is no whole one. */
static bool read_address(const uint8_t *bytes, size_t len, union address *a)
{
	memset(a, 0, sizeof(*a));
	if (len < sizeof(a->any.sa_family))
		return false;
	memcpy(a, bytes, len < sizeof(*a) ? len : sizeof(*a));
	return a->any.sa_family == AF_INET    ? len >= sizeof(a->in)
	       : a->any.sa_family == AF_INET6 ? len >= offsetof(struct sockaddr_in6, sin6_scope_id)
					      : a->any.sa_family == AF_UNIX;
}

uint16_t pa_talk_port(const uint8_t *address, size_t len)
{
	union address a;

	if (!read_address(address, len, &a) || a.any.sa_family == AF_UNIX)
		return 0;
	return ntohs(a.any.sa_family == AF_INET ? a.in.sin_port : a.in6.sin6_port);
}

static void unix_text(const union address *a, size_t len, char *out)
{
	const size_t head = offsetof(struct sockaddr_un, sun_path);
	size_t nr = len > head ? len - head : 0, at = 0;

	if (!nr)
		return;
	nr = nr < sizeof(a->un.sun_path) ? nr : sizeof(a->un.sun_path);
	/* an abstract name begins with a NUL and has its length */
	for (size_t i = 0; i < nr && (a->un.sun_path[i] || a->un.sun_path[0] == 0); i++)
		out[at++] = a->un.sun_path[i] ? a->un.sun_path[i] : '@';
	out[at] = 0;
}

void pa_talk_peer(const uint8_t *address, size_t len, char *out)
{
	char text[INET6_ADDRSTRLEN];
	union address a;

	out[0] = 0;
	if (!read_address(address, len, &a))
		return;
	if (a.any.sa_family == AF_UNIX)
		unix_text(&a, len, out);
	else if (a.any.sa_family == AF_INET && inet_ntop(AF_INET, &a.in.sin_addr, text, sizeof(text)))
		snprintf(out, PA_PEER_MAX, "%s:%u", text, ntohs(a.in.sin_port));
	else if (IN6_IS_ADDR_V4MAPPED(&a.in6.sin6_addr) &&
		 inet_ntop(AF_INET, &a.in6.sin6_addr.s6_addr[12], text, sizeof(text)))
		snprintf(out, PA_PEER_MAX, "%s:%u", text, ntohs(a.in6.sin6_port));
	else if (inet_ntop(AF_INET6, &a.in6.sin6_addr, text, sizeof(text)))
		snprintf(out, PA_PEER_MAX, "[%s]:%u", text, ntohs(a.in6.sin6_port));
}
