/* Forms of paths and Redis commands, and the bounded output of all forms. World: plain. */
#include "collector/normalize.h"

#include <string.h>

#include "collector/normalize_impl.h"

#define HASH_FACTOR UINT64_C(0x9e3779b97f4a7c15)
#define PARTS_MAX   32 /* of a path; what follows is ... */

void pa_normal_init(struct pa_normal *n, char *out, size_t size)
{
	n->out = out;
	n->size = size;
	n->at.len = 0;
	n->at.hash = 0;
}

void pa_normal_put(struct pa_normal *n, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (n->at.len + 1 < n->size)
			n->out[n->at.len] = text[i];
		n->at.len++;
		n->at.hash = n->at.hash * HASH_FACTOR + (uint8_t)text[i] + 1;
	}
}

uint64_t pa_normal_hash(const struct pa_normal *n, const struct pa_normal_mark *from)
{
	uint64_t power = 1, factor = HASH_FACTOR;

	for (uint64_t len = n->at.len - from->len; len; len >>= 1, factor *= factor)
		if (len & 1)
			power *= factor;
	return n->at.hash - from->hash * power;
}

/* Bytes of the character at p: 0 when it is no UTF-8. */
static size_t utf8_len(const uint8_t *p, size_t len)
{
	size_t n = p[0] < 0x80                   ? 1
		   : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
		   : (p[0] & 0xf0) == 0xe0       ? 3
		   : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
						 : 0;

	if (!n || n > len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* overlong forms, surrogates, beyond the last one */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
	    (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

size_t pa_normal_put_char(struct pa_normal *n, const char *text, size_t len)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t bytes = utf8_len(p, len);

	if (!bytes) {
		PA_NORMAL_PUT(n, "\xef\xbf\xbd");
		return 1;
	}
	if (p[0] < 0x20 || p[0] == 0x7f || (p[0] == 0xc2 && p[1] < 0xa0))
		PA_NORMAL_PUT(n, " ");
	else
		pa_normal_put(n, text, bytes);
	return bytes;
}

size_t pa_normal_end(struct pa_normal *n, uint64_t *fingerprint)
{
	uint64_t hash = n->at.hash;
	size_t len = n->at.len < n->size ? (size_t)n->at.len : n->size - 1;

	/* a sum of powers: its low bits depend on the low bits of the text only */
	hash ^= hash >> 32;
	hash *= HASH_FACTOR;
	*fingerprint = hash ^ hash >> 29;
	/* at most three bytes of a character without its end; what was put is valid */
	if (len < n->at.len)
		for (size_t back = 1; back <= 3 && back <= len; back++) {
			uint8_t byte = (uint8_t)n->out[len - back];
			size_t wants = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;

			if (byte < 0x80 || byte >= 0xc0) {
				len -= wants > back ? back : 0;
				break;
			}
		}
	n->out[len] = 0;
	return len;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static bool is_hex(char c)
{
	return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

#define HEX_MIN   8  /* hexadecimal that is an id; shorter may be a word */
#define TOKEN_MIN 20 /* of letters and digits in any mixture */
#define RUN_MIN   4  /* digits within a part that are an id */

/* The part is a value: a number, a date, a UUID, hexadecimal with a digit in it, a long token. */
static bool is_id(const char *p, size_t len)
{
	size_t digits = 0, hex = 0, letters = 0, marks = 0;

	for (size_t i = 0; i < len; i++) {
		digits += is_digit(p[i]);
		hex += is_hex(p[i]);
		letters += is_letter(p[i]);
		marks += p[i] == '-' || p[i] == '_' || p[i] == '=' || p[i] == '~' || p[i] == '%' || p[i] == '+';
	}
	if (!digits || digits + letters + marks < len)
		return false;
	if (!letters)
		return true;
	if (hex + marks == len && hex >= HEX_MIN)
		return true;
	return len >= TOKEN_MIN && digits >= 2;
}

/* A part that is no value as a whole: runs of at least `least` digits are. */
static void put_part(struct pa_normal *n, const char *p, size_t len, size_t least)
{
	for (size_t i = 0; i < len;) {
		size_t run = 0;

		while (i + run < len && is_digit(p[i + run]))
			run++;
		if (run >= least) {
			PA_NORMAL_PUT(n, "{id}");
			i += run;
		} else if (run) {
			pa_normal_put(n, p + i, run);
			i += run;
		} else {
			i += pa_normal_put_char(n, p + i, len - i);
		}
	}
}

/* One part of a path; the ending of a file name stays. */
static void put_segment(struct pa_normal *n, const char *p, size_t len)
{
	size_t dot = len;

	while (dot > 0 && p[dot - 1] != '.')
		dot--;
	dot = dot > 1 && len - dot >= 1 && len - dot <= 5 && is_letter(p[dot]) ? dot - 1 : len;
	if (is_id(p, dot)) {
		PA_NORMAL_PUT(n, "{id}");
		put_part(n, p + dot, len - dot, RUN_MIN);
	} else {
		put_part(n, p, len, RUN_MIN);
	}
}

size_t pa_normalize_path(const char *target, size_t len, char *out, size_t size, uint64_t *fingerprint)
{
	struct pa_normal n;
	size_t at = 0, end = 0, parts = 0;

	pa_normal_init(&n, out, size);
	while (end < len && target[end] != '?' && target[end] != '#')
		end++;
	for (size_t i = 0; len && target[0] != '/' && i + 3 <= end; i++)
		if (!memcmp(target + i, "://", 3)) {
			for (at = i + 3; at < end && target[at] != '/';)
				at++;
			break;
		}
	if (at == end)
		PA_NORMAL_PUT(&n, "/");
	while (at < end) {
		size_t part = at + (target[at] == '/'), to = part;

		while (to < end && target[to] != '/')
			to++;
		if (parts++ == PARTS_MAX) {
			PA_NORMAL_PUT(&n, "/...");
			break;
		}
		pa_normal_put(&n, target + at, part - at);
		put_segment(&n, target + part, to - part);
		at = to;
	}
	return pa_normal_end(&n, fingerprint);
}

/* A key: parts between separators; every run of digits is a value. */
static void put_key(struct pa_normal *n, const char *p, size_t len)
{
	size_t at = 0;

	while (at < len) {
		size_t to = at;

		while (to < len && !strchr(":/.|,{}[]", p[to] ? p[to] : 'x'))
			to++;
		if (is_id(p + at, to - at))
			PA_NORMAL_PUT(n, "{id}");
		else
			put_part(n, p + at, to - at, 1);
		if (to < len)
			to += pa_normal_put_char(n, p + to, len - to);
		at = to;
	}
}

/* Commands whose first argument is no key: another command, or a value. */
static enum { KEY, SUBCOMMAND, VALUE } argument_of(const char *name, size_t len)
{
	static const char subcommands[] =
	    " ACL CLIENT CLUSTER COMMAND CONFIG DEBUG FUNCTION LATENCY MEMORY MODULE OBJECT PUBSUB "
	    "SCRIPT SENTINEL SLOWLOG XGROUP XINFO ";
	static const char values[] =
	    " AUTH ECHO EVAL EVAL_RO EVALSHA EVALSHA_RO FCALL FCALL_RO HELLO PING SELECT WAIT SWAPDB INFO "
	    "PSYNC REPLCONF SHUTDOWN MIGRATE MONITOR RESET QUIT ";
	char word[32] = " ";

	if (len > sizeof(word) - 3)
		return KEY;
	memcpy(word + 1, name, len);
	word[len + 1] = ' ';
	return strstr(subcommands, word) ? SUBCOMMAND : strstr(values, word) ? VALUE : KEY;
}

/* Puts a name in capital letters. */
static void put_name(struct pa_normal *n, const char *p, size_t len)
{
	for (size_t i = 0; i < len;) {
		char capital = (char)(p[i] & ~0x20);

		if (is_letter(p[i])) {
			pa_normal_put(n, &capital, 1);
			i++;
		} else {
			i += pa_normal_put_char(n, p + i, len - i);
		}
	}
}

/* Where the argument behind the name begins: after blanks, or after \r\n$LENGTH\r\n. */
static size_t argument_at(const char *p, size_t len, size_t name, bool is_inline)
{
	size_t at = name;

	if (is_inline) {
		while (at < len && p[at] == ' ')
			at++;
		return at;
	}
	for (unsigned lines = 0; at < len && lines < 2; at++)
		lines += p[at] == '\n';
	return at;
}

size_t pa_normalize_redis(const char *captured, size_t len, bool is_inline, char *out, size_t size,
			  uint64_t *fingerprint)
{
	struct pa_normal n;
	char upper[32];
	size_t name = 0, at, kept;

	pa_normal_init(&n, out, size);
	while (name < len && captured[name] != (is_inline ? ' ' : '\r'))
		name++;
	put_name(&n, captured, name);
	kept = name < sizeof(upper) ? name : 0;
	for (size_t i = 0; i < kept; i++)
		upper[i] = is_letter(captured[i]) ? (char)(captured[i] & ~0x20) : captured[i];
	at = argument_at(captured, len, name, is_inline);
	if (at < len && argument_of(upper, kept) != VALUE) {
		PA_NORMAL_PUT(&n, " ");
		if (argument_of(upper, kept) == SUBCOMMAND)
			put_name(&n, captured + at, len - at);
		else
			put_key(&n, captured + at, len - at);
	}
	return pa_normal_end(&n, fingerprint);
}
