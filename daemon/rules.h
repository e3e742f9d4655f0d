/* Which processes a daemon records: a list of rules, each of words that must all hold. World: plain. */
#ifndef PA_DAEMON_RULES_H
#define PA_DAEMON_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PA_RULES_MAX        64
#define PA_RULE_PATTERN_MAX 256
#define PA_SERVICE_MAX      256

struct pa_rule {
	bool has_uid;
	uint32_t uid;
	char command[PA_RULE_PATTERN_MAX]; /* fnmatch(3) patterns, "": anything */
	char service[PA_RULE_PATTERN_MAX];
};

struct pa_rules {
	struct pa_rule rule[PA_RULES_MAX];
	size_t nr; /* 0: everything is wanted */
};

/* Who is judged. */
struct pa_candidate {
	uint32_t uid;
	const char *exe;     /* path of the program, "" unknown: its last part is what a pattern sees */
	const char *command; /* argv joined by spaces */
	const char *service; /* systemd unit, "": none */
};

/* Adds "uid=NAME|NUMBER,command=PATTERN,service=PATTERN", each word at most once. A comma belongs to a word unless the
 * name of another word and "=" follow. Errors: -EINVAL, -ENOSPC with a sentence in err. */
int pa_rules_add(struct pa_rules *rules, const char *text, char *err, size_t err_size);

/* Whether some rule wants it, or there is none. */
bool pa_rules_match(const struct pa_rules *rules, const struct pa_candidate *who);
/* Whether a rule may want something of this user: the rest of the question takes reads of /proc. */
bool pa_rules_may_match(const struct pa_rules *rules, uint32_t uid);

/* The service of a process out of the text of /proc/PID/cgroup: the last part of the path that ends in ".service" and
 * is not the manager of a whole user. Shapes: out of PA_SERVICE_MAX bytes. False: none, out is "". */
bool pa_cgroup_service(const char *text, char *out);
/* The same for a process. Errors: false. */
bool pa_proc_service(uint32_t pid, char *out);

#endif
