#include "daemon/settings.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/wire.h"

#define CONFIG_BYTES_MAX 65536
#define ROLL_MAX_S       (UINT64_C(366) * 86400)

/* ---- one setting ------------------------------------------------------------------------------------------------- */

typedef int (*set_fn)(struct pa_daemon_settings *s, const char *name, const char *value, char *err, size_t err_size);

static int set_path(char *out, const char *name, const char *value, char *err, size_t err_size)
{
	if (!value[0] || strlen(value) >= PATH_MAX) {
		snprintf(err, err_size, "%s '%.40s': no usable path", name, value);
		return -EINVAL;
	}
	strcpy(out, value);
	return 0;
}

static int set_config(struct pa_daemon_settings *s, const char *name, const char *value, char *err, size_t err_size)
{
	return set_path(s->config, name, value, err, err_size);
}

static int set_socket(struct pa_daemon_settings *s, const char *name, const char *value, char *err, size_t err_size)
{
	return set_path(s->socket, name, value, err, err_size);
}

static int set_data(struct pa_daemon_settings *s, const char *name, const char *value, char *err, size_t err_size)
{
	return set_path(s->data, name, value, err, err_size);
}

static int set_output(struct pa_daemon_settings *s, const char *name, const char *value, char *err, size_t err_size)
{
	return set_path(s->output, name, value, err, err_size);
}

static int set_option(struct pa_daemon_settings *s, const char *name, const char *value, char *err, size_t err_size)
{
	return pa_options_set(&s->options, name, value, err, err_size);
}

static int set_keep(struct pa_daemon_settings *s, const char *name, const char *value, char *err, size_t err_size)
{
	return pa_keep_parse(&s->keep, value, err, err_size);
}

int pa_seconds_parse(const char *text, uint64_t *seconds)
{
	static const struct {
		char unit;
		uint64_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {0, 1}};
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	if (!isdigit((unsigned char)text[0]) || (*end && end[1]))
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (units[i].unit != *end || value > ROLL_MAX_S)
			continue;
		*seconds = value * units[i].seconds;
		return 0;
	}
	return -EINVAL;
}

static int set_roll(struct pa_daemon_settings *s, const char *name, const char *value, char *err, size_t err_size)
{
	if (!pa_seconds_parse(value, &s->roll_s) && s->roll_s <= ROLL_MAX_S)
		return 0;
	snprintf(err, err_size, "roll '%.40s': must be a time, as in 1h, or 0", value);
	return -EINVAL;
}

static int set_rule(struct pa_daemon_settings *s, const char *name, const char *value, char *err, size_t err_size)
{
	return pa_rules_add(&s->rules, value, err, err_size);
}

static int set_attach(struct pa_daemon_settings *s, const char *name, const char *value, char *err, size_t err_size)
{
	s->attach = !strcmp(value, "yes") || !value[0];
	if (s->attach || !strcmp(value, "no"))
		return 0;
	snprintf(err, err_size, "attach '%.40s': must be yes or no", value);
	return -EINVAL;
}

static int set_per(struct pa_daemon_settings *s, const char *name, const char *value, char *err, size_t err_size)
{
	s->per_service = !strcmp(value, "service");
	if (s->per_service || !strcmp(value, "tree"))
		return 0;
	snprintf(err, err_size, "per '%.40s': must be tree or service", value);
	return -EINVAL;
}

static const struct {
	const char *name;
	set_fn set;
} settings[] = {
    {"config", set_config}, {"socket", set_socket}, {"data", set_data},     {"output", set_output},
    {"rate", set_option},   {"mode", set_option},   {"heap", set_option},   {"keep", set_keep},
    {"roll", set_roll},     {"rule", set_rule},     {"attach", set_attach}, {"per", set_per},
};

int pa_daemon_setting(struct pa_daemon_settings *s, const char *name, const char *value, char *err, size_t err_size)
{
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		if (!strcmp(settings[i].name, name))
			return settings[i].set(s, name, value, err, err_size);
	snprintf(err, err_size, "unknown setting '%.40s'", name);
	return -ENOENT;
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static char *trim(char *text)
{
	size_t len;

	while (isspace((unsigned char)*text))
		text++;
	for (len = strlen(text); len && isspace((unsigned char)text[len - 1]);)
		text[--len] = 0;
	return text;
}

static int parse_line(struct pa_daemon_settings *s, char *line, char *err, size_t err_size)
{
	char *name = trim(line), *value = name + strcspn(name, "= \t");

	if (!*name || *name == '#')
		return 0;
	if (*value) {
		bool equals = *value == '=';

		*value++ = 0;
		value = trim(value);
		if (!equals && *value == '=')
			value = trim(value + 1);
	}
	if (!strcmp(name, "config")) {
		snprintf(err, err_size, "a file of settings does not name another one");
		return -EINVAL;
	}
	return pa_daemon_setting(s, name, value, err, err_size);
}

int pa_daemon_settings_parse(struct pa_daemon_settings *s, const char *text, size_t len, char *err, size_t err_size)
{
	char line[2048], why[256];
	int number = 0, ret;

	for (size_t at = 0; at < len;) {
		const char *newline = memchr(text + at, '\n', len - at);
		size_t bytes = newline ? (size_t)(newline - text) - at : len - at;

		number++;
		ret = -EINVAL;
		snprintf(why, sizeof(why), "too long");
		if (bytes < sizeof(line)) {
			memcpy(line, text + at, bytes);
			line[bytes] = 0;
			ret = parse_line(s, line, why, sizeof(why));
		}
		if (ret) {
			snprintf(err, err_size, "line %d: %s", number, why);
			return ret;
		}
		at += bytes + 1;
	}
	return 0;
}

static int read_config(struct pa_daemon_settings *s, bool must_be, char *err, size_t err_size)
{
	char *text, why[400];
	ssize_t n;
	int fd = open(s->config, O_RDONLY | O_CLOEXEC | O_NOCTTY), ret;

	if (fd < 0) {
		ret = !must_be && (errno == ENOENT || errno == ENOTDIR) ? 0 : -errno;
		if (ret)
			snprintf(err, err_size, "%s: %s", s->config, strerror(-ret));
		return ret;
	}
	text = malloc(CONFIG_BYTES_MAX);
	n = text ? read(fd, text, CONFIG_BYTES_MAX) : -1;
	ret = text ? n < 0 ? -errno : n == CONFIG_BYTES_MAX ? -EFBIG : 0 : -ENOMEM;
	snprintf(why, sizeof(why), "%s", strerror(-ret));
	if (!ret)
		ret = pa_daemon_settings_parse(s, text, (size_t)n, why, sizeof(why));
	if (ret)
		snprintf(err, err_size, "%.200s: %s", s->config, why);
	free(text);
	close(fd);
	return ret;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

static void default_config(char *out)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	out[0] = 0;
	if (getuid() == 0)
		snprintf(out, PATH_MAX, "/etc/perfagent/perfagentd.conf");
	else if (config && config[0] == '/')
		snprintf(out, PATH_MAX, "%s/perfagent/perfagentd.conf", config);
	else if (home)
		snprintf(out, PATH_MAX, "%s/.config/perfagent/perfagentd.conf", home);
}

/* Whether the command line has that one; *value: the last. */
static bool is_given(const struct pa_setting *given, size_t nr, const char *name, const char **value)
{
	bool found = false;

	for (size_t i = 0; i < nr; i++) {
		if (strcmp(given[i].name, name) != 0)
			continue;
		*value = given[i].value;
		found = true;
	}
	return found;
}

int pa_daemon_settings_load(struct pa_daemon_settings *out, const struct pa_setting *given, size_t nr, char *err,
			    size_t err_size)
{
	static const struct pa_options options = PA_OPTIONS_DEFAULT;
	const char *value = "";
	bool named = is_given(given, nr, "config", &value);
	int ret = 0;

	memset(out, 0, sizeof(*out));
	out->options = options;
	out->options.modes = PA_MODE_CPU;
	out->roll_s = PA_ROLL_DEFAULT_S;
	if (named)
		ret = set_config(out, "config", value, err, err_size);
	else
		default_config(out->config);
	if (!ret && out->config[0])
		ret = read_config(out, named, err, err_size);
	/* rules are a list: those of the command line stand for those of the file */
	if (is_given(given, nr, "rule", &value))
		out->rules.nr = 0;
	for (size_t i = 0; i < nr && !ret; i++)
		if (strcmp(given[i].name, "config") != 0)
			ret = pa_daemon_setting(out, given[i].name, given[i].value, err, err_size);
	return ret;
}
