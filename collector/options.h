/* Words of PERFAGENT_OPTIONS ("rate=99,mode=cpu"): the same names and bounds as the long options of `record`. World:
 * plain. */
#ifndef PA_COLLECTOR_OPTIONS_H
#define PA_COLLECTOR_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#define PA_RATE_DEFAULT 99
#define PA_RATE_MAX     10000

struct pa_options {
	uint64_t rate_hz; /* 1..PA_RATE_MAX */
};

/* Sets one word. Errors: -ENOENT no such word, -EINVAL no such value; a sentence in err either way. */
int pa_options_set(struct pa_options *o, const char *name, const char *value, char *err, size_t err_size);
/* Sets each word of a comma-separated list; stops at the first error. Shapes: text of len bytes, not terminated. */
int pa_options_parse(struct pa_options *o, const char *text, size_t len, char *err, size_t err_size);

#endif
