#include "daemon/rules.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int set_uid(struct pa_rule *rule, const char *value)
{
	char *end;
	unsigned long uid = strtoul(value, &end, 10);
	const struct passwd *user;

	if (value[0] >= '0' && value[0] <= '9') {
		if (*end || uid >= UINT32_MAX)
			return -EINVAL;
		rule->uid = (uint32_t)uid;
	} else {
		user = getpwnam(value);
		if (!user)
			return -ENOENT;
		rule->uid = user->pw_uid;
	}
	rule->has_uid = true;
	return 0;
}

static int set_pattern(char *out, const char *value)
{
	if (!value[0] || strlen(value) >= PA_RULE_PATTERN_MAX)
		return -EINVAL;
	strcpy(out, value);
	return 0;
}

static int set_word(struct pa_rule *rule, const char *name, const char *value)
{
	if (!strcmp(name, "uid") && !rule->has_uid)
		return set_uid(rule, value);
	if (!strcmp(name, "command") && !rule->command[0])
		return set_pattern(rule->command, value);
	if (!strcmp(name, "service") && !rule->service[0])
		return set_pattern(rule->service, value);
	return -EINVAL;
}

static bool begins_word(const char *at)
{
	static const char *const names[] = {"uid=", "command=", "service="};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strncmp(at, names[i], strlen(names[i])))
			return true;
	return false;
}

static char *end_of_word(char *at)
{
	for (char *comma = strchr(at, ','); comma; comma = strchr(comma + 1, ','))
		if (begins_word(comma + 1))
			return comma;
	return at + strlen(at);
}

int pa_rules_add(struct pa_rules *rules, const char *text, char *err, size_t err_size)
{
	struct pa_rule rule = {0};
	char copy[1024];

	if (rules->nr == PA_RULES_MAX || strlen(text) >= sizeof(copy)) {
		snprintf(err, err_size, "rule '%.40s': %s", text,
			 rules->nr == PA_RULES_MAX ? "more rules than fit" : "too long");
		return -ENOSPC;
	}
	strcpy(copy, text);
	for (char *word = copy, *next; word; word = next) {
		char *end = end_of_word(word), *value = strchr(word, '=');
		int ret;

		next = *end ? end + 1 : NULL;
		*end = 0;
		if (value)
			*value++ = 0;
		ret = value ? set_word(&rule, word, value) : -EINVAL;
		if (ret) {
			snprintf(err, err_size, "rule '%.80s': %s", text,
				 ret == -ENOENT ? "no such user"
						: "must be uid=USER, command=PATTERN, service=PATTERN");
			return -EINVAL;
		}
	}
	rules->rule[rules->nr++] = rule;
	return 0;
}

static bool matches(const char *pattern, const char *text)
{
	return text[0] && fnmatch(pattern, text, 0) == 0;
}

static bool command_matches(const char *pattern, const struct pa_candidate *who)
{
	const char *slash = strrchr(who->exe, '/');

	return matches(pattern, slash ? slash + 1 : who->exe) || matches(pattern, who->command);
}

bool pa_rules_match(const struct pa_rules *rules, const struct pa_candidate *who)
{
	for (size_t i = 0; i < rules->nr; i++) {
		const struct pa_rule *rule = &rules->rule[i];

		if ((!rule->has_uid || rule->uid == who->uid) &&
		    (!rule->command[0] || command_matches(rule->command, who)) &&
		    (!rule->service[0] || matches(rule->service, who->service)))
			return true;
	}
	return rules->nr == 0;
}

bool pa_rules_may_match(const struct pa_rules *rules, uint32_t uid)
{
	for (size_t i = 0; i < rules->nr; i++)
		if (!rules->rule[i].has_uid || rules->rule[i].uid == uid)
			return true;
	return rules->nr == 0;
}

bool pa_cgroup_service(const char *text, char *out)
{
	static const char suffix[] = ".service", manager[] = "user@";

	out[0] = 0;
	while (*text) {
		size_t line = strcspn(text, "\n");
		const char *end = text + line, *at = memchr(text, '/', line);

		while (at && at < end) {
			size_t len = strcspn(at + 1, "/\n");

			if (len > strlen(suffix) && len < PA_SERVICE_MAX &&
			    !strncmp(at + 1 + len - strlen(suffix), suffix, strlen(suffix)) &&
			    strncmp(at + 1, manager, strlen(manager)) != 0) {
				memcpy(out, at + 1, len);
				out[len] = 0;
			}
			at += 1 + len;
			at = at < end && *at == '/' ? at : NULL;
		}
		text = *end ? end + 1 : end;
	}
	return out[0] != 0;
}

bool pa_proc_service(uint32_t pid, char *out)
{
	char path[64], text[8192];
	ssize_t n;
	int fd;

	out[0] = 0;
	snprintf(path, sizeof(path), "/proc/%u/cgroup", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = 0;
	return pa_cgroup_service(text, out);
}
