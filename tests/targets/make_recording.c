/* Makes a recording of what standard input says, for tests of the reports whose answers are worked out by hand.
 *
 *   make_recording FILE.pfa [killed] <SCRIPT
 *
 * One item a line, words separated by blanks; the last word may hold blanks, and \xNN, \n, \s (blank), \\ in any word:
 *   meta KEY VALUE                          process ID PID PARENT CPU_NS AGENT_NS HOW COMMAND
 *   thread ID PROCESS TID CPU_NS PERIOD_NS NAME      module ID STATUS BUILD_ID|- PATH
 *   frame ID MODULE ADDRESS [NAME]          symbol FRAME FUNCTION FILE|- LINE     (levels of a frame: innermost first)
 *   stack ID PARENT FRAME                   sample THREAD TIME_NS STACK WEIGHT [TIMES]
 *   loss PROCESS COUNT REASON               note PROCESS TIME_NS TEXT
 *   heap PROCESS exact|sampled KEY=NUMBER...             KEY: a field of struct pa_store_heap, or
 * lifetime_N=CALLS/BYTES heapchunk PROCESS FIRST_NS LAST_NS
 * STACK:CALLS:BYTES:FREES:FREED[:TEMPORARY[:SAMPLES:VAR_BYTES:VAR_FREED]]... heappeak PROCESS TIME_NS CALLS BYTES
 * STACK:CALLS:BYTES...       heapthread THREAD CALLS BYTES FREES FREED heappoint PROCESS TIME_NS CALLS BYTES RSS ARENA
 * MAPPED USED UNUSED      (-: not known) bulk SAMPLES STACKS DEPTH               a large recording: see bulk() With
 * `killed` the recording is left as a killed collector leaves it. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/store.h"
#include "collector/symbolize.h"
#include "common/wire.h"

static struct pa_store *store;
static unsigned line_number;

static void die(const char *what, int err)
{
	fprintf(stderr, "make_recording: line %u: %s: %s\n", line_number, what, strerror(err < 0 ? -err : err));
	exit(1);
}

static void must(const char *what, int err)
{
	if (err)
		die(what, err);
}

static char *unescape(char *word)
{
	char *to = word;
	for (char *from = word; *from; from++) {
		unsigned byte;
		if (*from != '\\')
			*to++ = *from;
		else if (from[1] == 'x' && sscanf(from + 2, "%2x", &byte) == 1)
			*to++ = (char)byte, from += 3;
		else
			*to++ = *++from == 'n' ? '\n' : *from == 's' ? ' ' : *from;
	}
	*to = 0;
	return word;
}

/* Splits into at most max words, the last one to the end of the line. */
static unsigned split(char *line, char *words[], unsigned max)
{
	unsigned nr = 0;
	while (nr < max) {
		line += strspn(line, " \t");
		if (!*line)
			break;
		words[nr++] = line;
		if (nr == max)
			break;
		line += strcspn(line, " \t");
		if (*line)
			*line++ = 0;
	}
	for (unsigned i = 0; i < nr; i++)
		unescape(words[i]);
	return nr;
}

static uint64_t number(const char *word)
{
	char *end;
	errno = 0;
	uint64_t value = word ? strtoull(word, &end, 0) : 0;
	if (!word || *end || errno)
		die(word ? word : "a number is missing", EINVAL);
	return value;
}

static uint32_t small(const char *word)
{
	return (uint32_t)number(word);
}

/* Symbol lines of one frame are collected: the store takes all levels at once. */
static struct pa_symbol levels[64];
static size_t nr_levels;
static uint32_t levels_of;

static void put_levels(void)
{
	if (nr_levels)
		must("symbol", pa_store_put_symbols(store, levels_of, levels, nr_levels));
	nr_levels = 0;
}

static void add_level(char *w[])
{
	uint32_t frame = small(w[0]);
	if (frame != levels_of || nr_levels == 64)
		put_levels();
	levels_of = frame;
	levels[nr_levels++] = (struct pa_symbol){.function = strdup(w[1]),
						 .file = w[2] && strcmp(w[2], "-") ? strdup(w[2]) : NULL,
						 .line = w[3] ? small(w[3]) : 0};
}

static void add_module(char *w[])
{
	uint8_t id[32];
	size_t len = 0;
	uint32_t status = PA_SYMBOLS_UNKNOWN;
	for (uint32_t i = 0; i <= PA_SYMBOLS_MISSING; i++)
		if (!strcmp(w[1], pa_symbol_status_name(i)))
			status = i;
	for (unsigned byte; w[2][0] != '-' && len < sizeof(id) && sscanf(w[2] + 2 * len, "%2x", &byte) == 1; len++)
		id[len] = (uint8_t)byte;
	struct pa_store_module m = {
	    .id = small(w[0]), .symbols = status, .path = w[3], .build_id = id, .build_id_len = len};
	must("module", pa_store_put_module(store, &m));
}

static void add_process(char *w[])
{
	struct pa_store_process p = {.id = small(w[0]),
				     .pid = small(w[1]),
				     .inner_pid = small(w[1]),
				     .parent = small(w[2]),
				     .cpu_ns = number(w[3]),
				     .agent_ns = number(w[4]),
				     .how = w[5],
				     .command = w[6],
				     .exe = ""};
	must("process", pa_store_put_process(store, &p));
}

static void add_thread(char *w[])
{
	struct pa_store_thread t = {.id = small(w[0]),
				    .process = small(w[1]),
				    .tid = small(w[2]),
				    .cpu_ns = number(w[3]),
				    .period_ns = number(w[4]),
				    .name = w[5] ? w[5] : ""};
	must("thread", pa_store_put_thread(store, &t));
}

static void add_sample(char *w[])
{
	uint64_t times = w[4] ? number(w[4]) : 1;
	for (uint64_t i = 0; i < times; i++)
		must("sample", pa_store_add_sample(store, small(w[0]), number(w[1]) + i, small(w[2]), small(w[3])));
}

/* Main, then a few choices a level, more towards the leaf; the last level tells every stack apart. */
static uint32_t shape(uint64_t stack, uint64_t level, uint64_t depth)
{
	if (level + 1 == depth)
		return (uint32_t)(stack % 1000 + 1000);
	if (level + 2 == depth)
		return (uint32_t)(stack / 1000 % 900 + 100);
	return (uint32_t)(level + (stack >> (17 - (level > 16 ? 16 : level)) & 1) * 50);
}

/* SAMPLES samples over STACKS distinct stacks DEPTH deep in thread 1: chains share their lower half in groups, every
 * leaf is its own, 2 000 functions with a line each. Ids continue from 1 000 000. */
static void bulk(char *w[])
{
	const uint32_t base = 1000000, functions = 2000;
	uint64_t samples = number(w[0]), stacks = number(w[1]), depth = number(w[2]);
	uint32_t next = base;
	char name[64];

	for (uint32_t i = 0; i < functions; i++) {
		struct pa_symbol s = {.function = name, .file = "/src/bulk.c", .line = i + 1};
		snprintf(name, sizeof(name), "function_%u", i);
		must("frame", pa_store_put_frame(store, base + i, 1, 0x1000 + i, NULL));
		must("symbol", pa_store_put_symbols(store, base + i, &s, 1));
	}
	uint32_t *leaves = calloc(stacks, sizeof(*leaves));
	for (uint64_t i = 0; i < stacks; i++) {
		uint32_t parent = 0;
		for (uint64_t d = 0; d < depth; d++, parent = next++)
			must("stack", pa_store_put_stack(store, next, parent, base + shape(i, d, depth)));
		leaves[i] = parent;
	}
	for (uint64_t i = 0; i < samples; i++)
		must("sample", pa_store_add_sample(store, 1, i * 1000, leaves[i * 31 % stacks], 1));
	free(leaves);
}

static void add_meta(char *w[])
{
	must("meta", pa_store_put_meta(store, w[0], w[1] ? w[1] : ""));
}

static void add_frame(char *w[])
{
	must("frame", pa_store_put_frame(store, small(w[0]), small(w[1]), number(w[2]), w[3]));
}

static void add_stack(char *w[])
{
	must("stack", pa_store_put_stack(store, small(w[0]), small(w[1]), small(w[2])));
}

static void add_loss(char *w[])
{
	must("loss", pa_store_add_loss(store, small(w[0]), w[2], number(w[1])));
}

static void add_note(char *w[])
{
	must("note", pa_store_add_note(store, small(w[0]), number(w[1]), w[2]));
}

/* ---- heap -------------------------------------------------------------------------------------------------------- */

#define LIST_MAX 4096

/* The next blank-separated word of a list, or NULL; strtok would be confused by the fields' own separators. */
static char *next_word(char **list)
{
	char *word = *list ? *list + strspn(*list, " \t") : NULL;
	if (!word || !*word)
		return NULL;
	*list = word + strcspn(word, " \t");
	if (**list)
		*(*list)++ = 0;
	return word;
}

/* Numbers separated by colons; those that are missing are 0. */
static unsigned fields(char *word, double to[], unsigned max)
{
	unsigned nr = 0;
	while (nr < max) {
		char *end;
		to[nr++] = strtod(word, &end);
		if (end == word || (*end && *end != ':'))
			die(word, EINVAL);
		if (!*end)
			break;
		word = end + 1;
	}
	return nr;
}

static void add_heap_chunk(char *w[])
{
	static struct pa_store_heap_delta deltas[LIST_MAX];
	char *list = w[3];
	size_t nr = 0;
	for (char *word; nr < LIST_MAX && (word = next_word(&list)); nr++) {
		double f[10] = {0};
		if (fields(word, f, 10) < 5)
			die(word, EINVAL);
		deltas[nr] = (struct pa_store_heap_delta){.stack = (uint32_t)f[0],
							  .calls = (uint64_t)f[1],
							  .bytes = (uint64_t)f[2],
							  .frees = (uint64_t)f[3],
							  .freed = (uint64_t)f[4],
							  .temporary = (uint64_t)f[5],
							  .samples = (uint64_t)f[6],
							  .var_bytes = f[7],
							  .var_freed = f[8],
							  .temporary_bytes = (uint64_t)f[9]};
	}
	must("heapchunk", pa_store_add_heap_chunk(store, small(w[0]), number(w[1]), number(w[2]), deltas, nr));
}

static void add_heap_peak(char *w[])
{
	static struct pa_store_heap_held held[LIST_MAX];
	char *list = w[4];
	size_t nr = 0;
	for (char *word; nr < LIST_MAX && (word = next_word(&list)); nr++) {
		double f[3] = {0};
		if (fields(word, f, 3) < 3)
			die(word, EINVAL);
		held[nr] = (struct pa_store_heap_held){(uint32_t)f[0], (uint64_t)f[1], (uint64_t)f[2]};
	}
	must("heappeak",
	     pa_store_put_heap_peak(store, small(w[0]), number(w[1]), number(w[2]), number(w[3]), held, nr));
}

static uint64_t known(const char *word)
{
	return !strcmp(word, "-") ? UINT64_MAX : number(word);
}

static void add_heap_point(char *w[])
{
	must("heappoint", pa_store_add_heap_point(store, &(struct pa_store_heap_point){.process = small(w[0]),
										       .time_ns = number(w[1]),
										       .live_calls = known(w[2]),
										       .live_bytes = known(w[3]),
										       .rss_bytes = known(w[4]),
										       .libc_arena = known(w[5]),
										       .libc_mapped = known(w[6]),
										       .libc_used = known(w[7]),
										       .libc_unused = known(w[8])}));
}

#define HEAP_FIELD(name)                                                                                               \
	{                                                                                                              \
#name, offsetof(struct pa_store_heap, name)                                                            \
	}

static const struct heap_field {
	const char *name;
	size_t at;
} heap_fields[] = {
    HEAP_FIELD(mean),         HEAP_FIELD(calls),        HEAP_FIELD(bytes),          HEAP_FIELD(frees),
    HEAP_FIELD(freed),        HEAP_FIELD(temporary),    HEAP_FIELD(unknown_frees),  HEAP_FIELD(own_bytes),
    HEAP_FIELD(lost),         HEAP_FIELD(lost_frees),   HEAP_FIELD(uncertain_ns),   HEAP_FIELD(stalled_ns),
    HEAP_FIELD(mapped_calls), HEAP_FIELD(mapped_bytes), HEAP_FIELD(unmapped_bytes),
};

static void set_heap(struct pa_store_heap *h, const char *key, char *value)
{
	unsigned class;
	if (sscanf(key, "lifetime_%u", &class) == 1 && class < PA_HEAP_LIFETIMES && strchr(value, '/')) {
		char *bytes = strchr(value, '/');
		*bytes++ = 0;
		h->lifetime_calls[class] = number(value);
		h->lifetime_bytes[class] = number(bytes);
		return;
	}
	if (!strcmp(key, "flags")) {
		h->flags = small(value);
		return;
	}
	for (size_t i = 0; i < sizeof(heap_fields) / sizeof(heap_fields[0]); i++) {
		uint64_t to = number(value);
		if (strcmp(heap_fields[i].name, key))
			continue;
		memcpy((char *)h + heap_fields[i].at, &to, sizeof(to));
		return;
	}
	die(key, ENOENT);
}

static void add_heap(char *w[])
{
	struct pa_store_heap h = {.process = small(w[0]),
				  .mode = !strcmp(w[1], "sampled") ? PA_HEAP_SAMPLED : PA_HEAP_EXACT};
	char *list = w[2];
	for (char *word; (word = next_word(&list));) {
		char *value = strchr(word, '=');
		if (!value)
			die(word, EINVAL);
		*value++ = 0;
		set_heap(&h, word, value);
	}
	must("heap", pa_store_put_heap(store, &h));
}

static void add_heap_thread(char *w[])
{
	must("heapthread",
	     pa_store_put_heap_thread(store, &(struct pa_store_heap_thread){small(w[0]), number(w[1]), number(w[2]),
									    number(w[3]), number(w[4])}));
}

static const struct item {
	const char *name;
	unsigned min, max;
	void (*put)(char *words[]);
} items[] = {
    {"meta", 1, 2, add_meta},
    {"process", 7, 7, add_process},
    {"thread", 5, 6, add_thread},
    {"module", 4, 4, add_module},
    {"frame", 3, 4, add_frame},
    {"symbol", 2, 4, add_level},
    {"stack", 3, 3, add_stack},
    {"sample", 4, 5, add_sample},
    {"loss", 3, 3, add_loss},
    {"note", 3, 3, add_note},
    {"bulk", 3, 3, bulk},
    {"heap", 2, 3, add_heap},
    {"heapchunk", 4, 4, add_heap_chunk},
    {"heappeak", 4, 5, add_heap_peak},
    {"heappoint", 9, 9, add_heap_point},
    {"heapthread", 5, 5, add_heap_thread},
};

static void take(char *line)
{
	char *words[9] = {NULL}, *head[2] = {NULL};
	line[strcspn(line, "\n")] = 0;
	line += strspn(line, " \t");
	if (!*line || *line == '#')
		return;
	size_t len = strcspn(line, " \t");
	head[0] = line;
	head[1] = line[len] ? line + len + 1 : line + len;
	line[len] = 0;
	for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
		if (strcmp(items[i].name, head[0]))
			continue;
		if (split(head[1], words, items[i].max) < items[i].min)
			die(items[i].name, EINVAL);
		items[i].put(words);
		return;
	}
	die(head[0], ENOENT);
}

int main(int argc, char **argv)
{
	char err[256], *line = NULL;
	size_t size = 0;
	if (argc < 2)
		return 2;
	int status = pa_store_create(argv[1], &store, err, sizeof(err));
	if (status) {
		fprintf(stderr, "make_recording: %s: %s\n", argv[1], err);
		return 1;
	}
	while (getline(&line, &size, stdin) > 0) {
		line_number++;
		take(line);
	}
	free(line);
	put_levels();
	must("commit", pa_store_commit(store));
	if (argc > 2 && !strcmp(argv[2], "killed"))
		_exit(0);
	must("close", pa_store_close(store, true));
	return 0;
}
