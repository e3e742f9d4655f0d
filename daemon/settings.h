/* What a daemon has been told: defaults, then a file of settings, then the command line, which wins. World: plain. */
#ifndef PA_DAEMON_SETTINGS_H
#define PA_DAEMON_SETTINGS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/options.h"
#include "daemon/retention.h"
#include "daemon/rules.h"

#define PA_ROLL_DEFAULT_S 3600

struct pa_daemon_settings {
	/* those that a reload cannot change */
	char config[PATH_MAX];
	char socket[PATH_MAX];
	char data[PATH_MAX];
	char output[PATH_MAX]; /* "": a recording for each tree */
	/* the others */
	struct pa_options options;
	struct pa_keep keep;
	uint64_t roll_s; /* a recording is no longer than that, 0: as long as it takes */
	struct pa_rules rules;
	bool attach;      /* look for dormant agents */
	bool per_service; /* all processes of a service in one recording */
};

/* "--name value" of the command line, or a line of the file. */
struct pa_setting {
	const char *name;
	const char *value;
};

/* Settings from nothing: the file (that of the settings "config", else the default one if it is there), then the nr
 * given ones. Errors: -errno with a sentence in err; *out is then not to be used. */
int pa_daemon_settings_load(struct pa_daemon_settings *out, const struct pa_setting *given, size_t nr, char *err,
			    size_t err_size);

/* Sets one. Errors: -ENOENT no such setting, -EINVAL no such value; a sentence in err. */
int pa_daemon_setting(struct pa_daemon_settings *s, const char *name, const char *value, char *err, size_t err_size);

/* Reads lines "name value" or "name=value"; empty ones and those that begin with # are skipped. Errors: as above; the
 * sentence names the line. Shapes: text of len bytes. */
int pa_daemon_settings_parse(struct pa_daemon_settings *s, const char *text, size_t len, char *err, size_t err_size);

/* The duration of a setting: "1h", "90", seconds where there is no unit. Errors: -EINVAL. */
int pa_seconds_parse(const char *text, uint64_t *seconds);

#endif
