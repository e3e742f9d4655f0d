#include "collector/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static int set_mode(struct pa_options *o, const char *value, char *err, size_t err_size)
{
	if (strcmp(value, "cpu") == 0)
		return 0;
	snprintf(err, err_size, "mode '%.40s': this version records cpu", value);
	return -EINVAL;
}

static const struct word {
	const char *name;
	int (*set)(struct pa_options *o, const char *value, char *err, size_t err_size);
} words[] = {
    {"rate", set_rate}, /* samples per second of CPU time */
    {"mode", set_mode}, /* what is recorded */
};

int pa_options_set(struct pa_options *o, const char *name, const char *value, char *err, size_t err_size)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i].name, name) == 0)
			return words[i].set(o, value, err, err_size);
	snprintf(err, err_size, "unknown option '%.40s'", name);
	return -ENOENT;
}

int pa_options_parse(struct pa_options *o, const char *text, size_t len, char *err, size_t err_size)
{
	char copy[PA_OPTIONS_MAX + 1];
	char *save = NULL;

	if (len > PA_OPTIONS_MAX) {
		snprintf(err, err_size, "longer than %d bytes", PA_OPTIONS_MAX);
		return -EINVAL;
	}
	memcpy(copy, text, len);
	copy[len] = 0;
	for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		char *value = strchr(word, '=');
		int ret;

		if (value)
			*value++ = 0;
		ret = pa_options_set(o, word, value ? value : "", err, err_size);
		if (ret)
			return ret;
	}
	return 0;
}
