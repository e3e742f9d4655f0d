/* perf-map files: "START SIZE NAME" lines in hexadecimal, appended by a JIT compiler as it compiles. What it compiles
 * later may reuse the memory of what it threw away, so the later line counts. World: plain.
 * Source: Linux tools/perf/Documentation/jit-interface.txt. */
#include "collector/symbolize.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/demangle.h"
#include "collector/ranges.h"

#define TEXT_MAX    ((size_t)64 << 20)
#define ENTRIES_MAX (1u << 20)

struct pa_perfmap {
	char *text;         /* names are cleaned and terminated in place */
	const char **names; /* in the order of the lines */
	size_t nr;
	size_t room;
	size_t rejected;
	struct pa_ranges ranges; /* ids index names */
};

static const char *skip_blanks(const char *s)
{
	return s + strspn(s, " \t");
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A hexadecimal number with or without 0x, followed by a blank. Returns what follows it, NULL when there is none or it
 * exceeds 64 bits. */
static const char *read_number(const char *s, uint64_t *value)
{
	const char *digits;

	s = skip_blanks(s);
	if (s[0] == '0' && (s[1] | 0x20) == 'x')
		s += 2;
	*value = 0;
	for (digits = s; digit_value(*s) >= 0; s++) {
		if (*value >> 60)
			return NULL;
		*value = *value << 4 | (uint64_t)digit_value(*s);
	}
	return s > digits && (*s == ' ' || *s == '\t') ? s : NULL;
}

static bool has_room(struct pa_perfmap *map)
{
	size_t room = map->room ? map->room * 2 : 256;
	const char **grown;

	if (map->nr < map->room)
		return true;
	if (map->nr >= ENTRIES_MAX)
		return false;
	grown = reallocarray(map->names, room, sizeof(*grown));
	if (!grown)
		return false;
	map->names = grown;
	map->room = room;
	return true;
}

/* Cleaning never makes a name longer. */
static void clean_in_place(char *name)
{
	char clean[PA_NAME_MAX];
	size_t len = pa_name_clean(name, strlen(name), clean);

	memcpy(name, clean, len + 1);
}

static bool add_line(struct pa_perfmap *map, char *line)
{
	uint64_t start, size;
	const char *rest = read_number(line, &start);
	char *name;
	size_t len;

	rest = rest ? read_number(rest, &size) : NULL;
	if (!rest || !size || start + size < start)
		return false;
	name = line + (skip_blanks(rest) - line);
	len = strlen(name);
	while (len && strchr(" \t\r", name[len - 1]))
		name[--len] = 0;
	if (!len || !has_room(map))
		return false;
	clean_in_place(name);
	if (pa_ranges_add(&map->ranges, (struct pa_range){start, start + size, (uint32_t)map->nr, (uint32_t)map->nr}))
		return false;
	map->names[map->nr++] = name;
	return true;
}

/* Takes text over: len bytes and a terminator. */
static struct pa_perfmap *parse(char *text, size_t len)
{
	struct pa_perfmap *map = calloc(1, sizeof(*map));
	char *end;

	if (!map) {
		free(text);
		return NULL;
	}
	map->text = text;
	for (char *line = text; line < text + len; line = end + 1) {
		end = memchr(line, '\n', (size_t)(text + len - line));
		if (!end)
			end = text + len;
		*end = 0;
		/* a zero byte inside would hide the rest of the line */
		if (strlen(line) != (size_t)(end - line) || !add_line(map, line))
			map->rejected += line[0] != 0 || end > line;
	}
	if (pa_ranges_flatten(&map->ranges)) {
		pa_perfmap_free(map);
		return NULL;
	}
	return map;
}

struct pa_perfmap *pa_perfmap_parse(const char *text, size_t len)
{
	size_t used = len < TEXT_MAX ? len : TEXT_MAX;
	char *copy = malloc(used + 1);
	struct pa_perfmap *map;

	if (!copy)
		return NULL;
	if (used)
		memcpy(copy, text, used);
	copy[used] = 0;
	map = parse(copy, used);
	if (map)
		map->rejected += used < len; /* the part behind the limit, as one */
	return map;
}

/* Reads at most room bytes; a file may grow meanwhile. Errors: the length or -errno. */
static ssize_t read_text(int fd, char *text, size_t room)
{
	size_t used = 0;

	while (used < room) {
		ssize_t n = read(fd, text + used, room - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		used += (size_t)n;
	}
	return (ssize_t)used;
}

/* The last line counts only when it ends: its writer may be in the middle of it. */
static size_t whole_lines(const char *text, size_t len)
{
	const char *end = len ? memrchr(text, '\n', len) : NULL;

	return end ? (size_t)(end - text) + 1 : 0;
}

static struct pa_perfmap *read_map(int fd, size_t size)
{
	size_t room = size < TEXT_MAX ? size : TEXT_MAX;
	char *text = malloc(room + 1);
	ssize_t len = text ? read_text(fd, text, room) : -ENOMEM;
	struct pa_perfmap *map;

	if (len < 0) {
		free(text);
		errno = (int)-len;
		return NULL;
	}
	text[len] = 0;
	map = parse(text, whole_lines(text, (size_t)len));
	if (map)
		map->rejected += room < size;
	else
		errno = ENOMEM;
	return map;
}

struct pa_perfmap *pa_perfmap_open(const char *path, uint32_t uid)
{
	/* the directory is writable by anybody: neither a link nor a pipe nor somebody else's file is followed */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct pa_perfmap *map = NULL;
	struct stat st;

	if (fd < 0) {
		errno = errno == ELOOP ? EACCES : errno;
		return NULL;
	}
	if (fstat(fd, &st) == 0) {
		if (S_ISREG(st.st_mode) && (uid == UINT32_MAX || st.st_uid == uid || st.st_uid == 0))
			map = read_map(fd, (size_t)st.st_size);
		else
			errno = EACCES;
	}
	int saved = errno;

	close(fd);
	errno = saved;
	return map;
}

const char *pa_perfmap_lookup(const struct pa_perfmap *map, uint64_t address)
{
	uint32_t id = pa_ranges_find(&map->ranges, address);

	return id == PA_RANGE_NONE ? NULL : map->names[id];
}

size_t pa_perfmap_rejected(const struct pa_perfmap *map)
{
	return map->rejected;
}

void pa_perfmap_free(struct pa_perfmap *map)
{
	if (!map)
		return;
	pa_ranges_fini(&map->ranges);
	free(map->names);
	free(map->text);
	free(map);
}
