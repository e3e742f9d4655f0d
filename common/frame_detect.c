/* Which protocol a connection speaks: by its first bytes; port and path break ties. World: signal. */
#include "common/frame_impl.h"

static bool starts(const uint8_t *p, size_t n, const char *with, size_t len)
{
	return n >= len && !memcmp(p, with, len);
}

#define STARTS(p, n, with) starts((p), (n), (with), sizeof(with) - 1)

/* A request line begins with a method and a target, which is a path, a URL, * or (CONNECT) a host. */
static bool is_request(const uint8_t *p, size_t n)
{
	size_t blank = pa_frame_span(p, n, ' ');

	if (blank + 1 >= n)
		return false;
	if (STARTS(p, n, "CONNECT "))
		return true;
	for (size_t i = 0; i < blank; i++)
		if (p[i] < 'A' || p[i] > 'Z')
			return false;
	return blank >= 3 && (p[blank + 1] == '/' || p[blank + 1] == '*' || p[blank + 1] == 'h');
}

/* The length and code of a packet without a type, or a message type with a small length from the server. */
static bool is_postgres(enum pa_way way, const uint8_t *p, size_t n)
{
	uint32_t length, code;

	if (way == PA_TO_CLIENT)
		return n >= 5 && p[0] == 'R' && pa_frame_be32(p + 1) >= 8 && pa_frame_be32(p + 1) < 2048;
	if (n < 8)
		return false;
	length = pa_frame_be32(p);
	code = pa_frame_be32(p + 4);
	return length >= 8 && length <= 10000 && (code >> 16 == 3 || (code >= 80877102 && code <= 80877104));
}

/* The greeting of protocol 10 or a refusal; the client speaks first only where the greeting was missed. */
static bool is_mysql(enum pa_way way, const uint8_t *p, size_t n, enum pa_proto hint)
{
	if (n < 6 || p[2] != 0)
		return false;
	if (way == PA_TO_CLIENT)
		return p[3] == 0 && p[1] < 2 &&
		       ((p[4] == 10 && p[5] >= '1' && p[5] <= '9') || (p[4] == 0xff && p[0] > 3));
	return hint == PA_PROTO_MYSQL && p[3] <= 1;
}

/* *2\r\n$: an array that begins with a string. */
static bool is_resp_command(const uint8_t *p, size_t n)
{
	size_t at = 1;

	if (n < 5 || p[0] != '*')
		return false;
	while (at < n && p[at] >= '0' && p[at] <= '9')
		at++;
	return at > 1 && STARTS(p + at, n - at, "\r\n$");
}

/* Words of an inline command, as far as they can be told from a request line; an answer. */
static bool is_resp_line(enum pa_way way, const uint8_t *p, size_t n)
{
	if (way == PA_TO_SERVER)
		return (p[0] | 0x20) >= 'a' && (p[0] | 0x20) <= 'z' &&
		       (n == PA_FRAME_FIRST_MAX || pa_frame_span(p, n, '\n') < n || pa_frame_span(p, n, ' ') + 1 < n);
	return n >= 3 &&
	       (p[0] == '+' || p[0] == '-' || p[0] == ':' || p[0] == '$' || p[0] == '*' || p[0] == '%' || p[0] == '>');
}

enum pa_proto pa_frame_detect(enum pa_way way, const uint8_t *p, size_t n, enum pa_proto hint)
{
	if (n >= 3 && (p[0] == 0x16 || p[0] == 0x15) && p[1] == 3 && p[2] <= 4)
		return PA_PROTO_OPAQUE;
	if (is_postgres(way, p, n))
		return PA_PROTO_POSTGRES;
	if (is_mysql(way, p, n, hint))
		return PA_PROTO_MYSQL;
	if (way == PA_TO_SERVER && is_resp_command(p, n))
		return PA_PROTO_RESP;
	if (way == PA_TO_SERVER ? is_request(p, n) || STARTS(p, n, "PRI * HTTP/2") : STARTS(p, n, "HTTP/1."))
		return PA_PROTO_HTTP;
	if (n && hint == PA_PROTO_RESP && p[0] != '*' && is_resp_line(way, p, n))
		return PA_PROTO_RESP;
	if (way == PA_TO_CLIENT && n && hint == PA_PROTO_POSTGRES &&
	    (p[0] == 'E' || p[0] == 'S' || p[0] == 'N' || p[0] == 'G'))
		return PA_PROTO_POSTGRES;
	return PA_PROTO_UNSURE;
}

static bool contains(const char *text, const char *what, size_t len)
{
	for (; *text; text++) {
		size_t i = 0;

		while (i < len && text[i] == what[i])
			i++;
		if (i == len)
			return true;
	}
	return false;
}

#define CONTAINS(text, what) contains((text), (what), sizeof(what) - 1)

enum pa_proto pa_frame_hint(uint16_t port, const char *path)
{
	static const struct {
		uint16_t port;
		uint16_t proto;
	} ports[] = {
	    {5432, PA_PROTO_POSTGRES}, {5433, PA_PROTO_POSTGRES}, {6432, PA_PROTO_POSTGRES}, {3306, PA_PROTO_MYSQL},
	    {3307, PA_PROTO_MYSQL},    {6379, PA_PROTO_RESP},     {80, PA_PROTO_HTTP},       {3000, PA_PROTO_HTTP},
	    {8000, PA_PROTO_HTTP},     {8080, PA_PROTO_HTTP},
	};

	if (path && CONTAINS(path, ".s.PGSQL."))
		return PA_PROTO_POSTGRES;
	if (path && (CONTAINS(path, "mysql") || CONTAINS(path, "mariadb")))
		return PA_PROTO_MYSQL;
	if (path && CONTAINS(path, "redis"))
		return PA_PROTO_RESP;
	for (unsigned i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		if (port == ports[i].port)
			return ports[i].proto;
	return PA_PROTO_UNSURE;
}
