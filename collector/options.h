/* Words of PERFAGENT_OPTIONS ("rate=99,mode=cpu,memory,heap=sampled:64k"): the same names and bounds as the long
 * options of `record`. World: plain. */
#ifndef PA_COLLECTOR_OPTIONS_H
#define PA_COLLECTOR_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#define PA_RATE_DEFAULT      99
#define PA_RATE_MAX          10000
#define PA_HEAP_MEAN_DEFAULT (512u << 10)
#define PA_HEAP_MEAN_MAX     (UINT64_C(1) << 40)

#define PA_LOOP_BLOCKED_DEFAULT_NS UINT64_C(50000000)
#define PA_LOOP_BLOCKED_MIN_NS     UINT64_C(1000000) /* shorter iterations are not told apart */
#define PA_LOOP_BLOCKED_MAX_MS     3600000

#define PA_OPTIONS_MODES_MAX 64 /* bytes that the names of all modes need */

struct pa_options {
	uint64_t rate_hz;         /* 1..PA_RATE_MAX */
	uint32_t modes;           /* PA_MODE_* */
	uint32_t heap_mode;       /* enum pa_heap_mode: of the memory mode */
	uint32_t heap_flags;      /* PA_HEAP_MMAP */
	uint64_t heap_mean;       /* bytes between two samples on average, 1..PA_HEAP_MEAN_MAX */
	uint64_t loop_blocked_ns; /* an iteration that long blocks its loop; at least PA_LOOP_BLOCKED_MIN_NS */
	uint32_t given;           /* words that were set, one bit each */
	uint32_t fixed;           /* of them those that pa_options_parse leaves as they are */
};

/* What holds when nobody says otherwise. `modes` differs: record and attach look at memory, too; the daemon does not.
 */
#define PA_OPTIONS_DEFAULT                                                                                             \
	{                                                                                                              \
		.rate_hz = PA_RATE_DEFAULT, .modes = PA_MODE_CPU | PA_MODE_MEMORY | PA_MODE_LOOP,                      \
		.heap_mode = PA_HEAP_SAMPLED, .heap_mean = PA_HEAP_MEAN_DEFAULT,                                       \
		.loop_blocked_ns = PA_LOOP_BLOCKED_DEFAULT_NS                                                          \
	}

/* The names of modes, joined by commas. Shapes: out has PA_OPTIONS_MODES_MAX bytes. */
void pa_options_modes(uint32_t modes, char *out);

/* Sets one word. Errors: -ENOENT no such word, -EINVAL no such value; a sentence in err either way. */
int pa_options_set(struct pa_options *o, const char *name, const char *value, char *err, size_t err_size);
/* Sets each word of a comma-separated list but the fixed ones; stops at the first error. A word without "=" goes on
 * with the value before it: "mode=cpu,memory". Shapes: text of len bytes, not terminated. */
int pa_options_parse(struct pa_options *o, const char *text, size_t len, char *err, size_t err_size);

#endif
