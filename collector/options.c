#include "collector/options.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/wire.h"

static int set_rate(struct pa_options *o, const char *value, char *err, size_t err_size)
{
	char *end;
	unsigned long hz = strtoul(value, &end, 10);

	if (value[0] < '0' || value[0] > '9' || *end || hz < 1 || hz > PA_RATE_MAX) {
		snprintf(err, err_size, "rate '%.40s': must be 1 to %d samples a second", value, PA_RATE_MAX);
		return -EINVAL;
	}
	o->rate_hz = hz;
	return 0;
}

/* Cuts the next word of a list off. Returns its length; *at moves past the comma, to NULL behind the last one. */
static size_t next_word(const char **at, const char **word)
{
	size_t len = strcspn(*at, ",");

	*word = *at;
	*at = (*at)[len] ? *at + len + 1 : NULL;
	return len;
}

static bool is_word(const char *word, size_t len, const char *want)
{
	return len == strlen(want) && memcmp(word, want, len) == 0;
}

static const struct mode {
	const char *name;
	uint32_t bit;
} mode_names[] = {{"cpu", PA_MODE_CPU},   {"memory", PA_MODE_MEMORY}, {"loop", PA_MODE_LOOP}, {"db", PA_MODE_DB},
		  {"http", PA_MODE_HTTP}, {"lock", PA_MODE_LOCK},     {"wall", PA_MODE_WALL}};

#define NR_MODES (sizeof(mode_names) / sizeof(mode_names[0]))

static uint32_t mode_of(const char *word, size_t len)
{
	for (size_t i = 0; i < NR_MODES; i++)
		if (is_word(word, len, mode_names[i].name))
			return mode_names[i].bit;
	return 0;
}

void pa_options_modes(uint32_t modes, char *out)
{
	out[0] = 0;
	for (size_t i = 0; i < NR_MODES; i++) {
		if (!(modes & mode_names[i].bit))
			continue;
		if (out[0])
			strcat(out, ",");
		strcat(out, mode_names[i].name);
	}
}

static int set_mode(struct pa_options *o, const char *value, char *err, size_t err_size)
{
	uint32_t modes = 0;
	const char *word;

	for (const char *at = value; at;) {
		size_t len = next_word(&at, &word);
		uint32_t bit = mode_of(word, len);

		if (!bit) {
			snprintf(err, err_size,
				 "mode '%.40s': this version records cpu, memory, loop, db, http, lock and wall",
				 value);
			return -EINVAL;
		}
		modes |= bit;
	}
	o->modes = modes;
	return 0;
}

/* "64k", "512KiB", "1m": units of 1024. 0: no size. */
static uint64_t size_of(const char *word, size_t len)
{
	static const char *const units[] = {"", "k", "m", "g", "t"};
	uint64_t value = 0;
	size_t i = 0;

	for (; i < len && word[i] >= '0' && word[i] <= '9' && value <= PA_HEAP_MEAN_MAX; i++)
		value = value * 10 + (uint64_t)(word[i] - '0');
	if (!i)
		return 0;
	word += i;
	len -= i;
	if (len > 1 && strncasecmp(word + len - 2, "ib", 2) == 0)
		len -= 2;
	else if (len > 0 && (word[len - 1] | 0x20) == 'b')
		len--;
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (len == strlen(units[i]) && strncasecmp(word, units[i], len) == 0)
			return value <= PA_HEAP_MEAN_MAX >> 10 * i ? value << 10 * i : PA_HEAP_MEAN_MAX + 1;
	return 0;
}

static int set_heap(struct pa_options *o, const char *value, char *err, size_t err_size)
{
	static const char sampled[] = "sampled:";
	struct pa_options now = *o;
	const char *word;

	now.heap_flags = 0;
	for (const char *at = value; at;) {
		size_t len = next_word(&at, &word);

		if (is_word(word, len, "exact"))
			now.heap_mode = PA_HEAP_EXACT;
		else if (is_word(word, len, "sampled"))
			now.heap_mode = PA_HEAP_SAMPLED;
		else if (is_word(word, len, "mmap") && word != value)
			now.heap_flags |= PA_HEAP_MMAP;
		else if (len >= sizeof(sampled) && strncmp(word, sampled, sizeof(sampled) - 1) == 0) {
			now.heap_mode = PA_HEAP_SAMPLED;
			now.heap_mean = size_of(word + sizeof(sampled) - 1, len - sizeof(sampled) + 1);
			if (now.heap_mean < 1 || now.heap_mean > PA_HEAP_MEAN_MAX)
				goto bad;
		} else
			goto bad;
	}
	*o = now;
	return 0;
bad:
	snprintf(err, err_size, "heap '%.40s': must be sampled, sampled:SIZE (1 to 1t, as in 64k) or exact, then ,mmap",
		 value);
	return -EINVAL;
}

static int set_loop_blocked(struct pa_options *o, const char *value, char *err, size_t err_size)
{
	char *end;
	unsigned long ms = strtoul(value, &end, 10);

	if (value[0] < '0' || value[0] > '9' || *end || ms < 1 || ms > PA_LOOP_BLOCKED_MAX_MS) {
		snprintf(err, err_size, "loop-blocked '%.40s': must be 1 to %d milliseconds", value,
			 PA_LOOP_BLOCKED_MAX_MS);
		return -EINVAL;
	}
	o->loop_blocked_ns = ms * 1000000ull;
	return 0;
}

static const struct word {
	const char *name;
	int (*set)(struct pa_options *o, const char *value, char *err, size_t err_size);
} words[] = {
    {"rate", set_rate},                 /* samples per second of CPU time */
    {"mode", set_mode},                 /* what is recorded: cpu, memory, loop, db, http */
    {"heap", set_heap},                 /* how memory is: sampled[:SIZE]|exact[,mmap] */
    {"loop-blocked", set_loop_blocked}, /* milliseconds */
};

#define NR_WORDS (sizeof(words) / sizeof(words[0]))

int pa_options_set(struct pa_options *o, const char *name, const char *value, char *err, size_t err_size)
{
	for (size_t i = 0; i < NR_WORDS; i++) {
		int ret;

		if (strcmp(words[i].name, name) != 0)
			continue;
		ret = words[i].set(o, value, err, err_size);
		if (!ret)
			o->given |= 1u << i;
		return ret;
	}
	snprintf(err, err_size, "unknown option '%.40s'", name);
	return -ENOENT;
}

/* The same, but a fixed word is checked only. */
static int set_unless_fixed(struct pa_options *o, const char *name, const char *value, char *err, size_t err_size)
{
	struct pa_options now = *o;
	int ret = pa_options_set(&now, name, value, err, err_size);

	for (size_t i = 0; i < NR_WORDS; i++)
		if (o->fixed & 1u << i && strcmp(words[i].name, name) == 0)
			return ret;
	*o = now;
	return ret;
}

/* Where a "name=value,value" ends: before the next comma whose word has a "=". */
static char *end_of_value(char *at)
{
	for (char *comma = strchr(at, ','); comma; comma = strchr(comma + 1, ',')) {
		size_t len = strcspn(comma + 1, ",=");

		if (comma[1 + len] == '=')
			return comma;
	}
	return at + strlen(at);
}

int pa_options_parse(struct pa_options *o, const char *text, size_t len, char *err, size_t err_size)
{
	char copy[PA_OPTIONS_MAX + 1];

	if (len > PA_OPTIONS_MAX) {
		snprintf(err, err_size, "longer than %d bytes", PA_OPTIONS_MAX);
		return -EINVAL;
	}
	memcpy(copy, text, len);
	copy[len] = 0;
	for (char *word = copy, *next; *word; word = next) {
		char *end = end_of_value(word), *value;
		int ret;

		next = *end ? end + 1 : end;
		*end = 0;
		while (end > word && end[-1] == ',')
			*--end = 0;
		if (!*word)
			continue;
		value = strchr(word, '=');
		if (value)
			*value++ = 0;
		ret = set_unless_fixed(o, word, value ? value : "", err, err_size);
		if (ret)
			return ret;
	}
	return 0;
}
