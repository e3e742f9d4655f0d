/* The loaded recording, as the outputs see it: arrays with names resolved and samples added up by (process, stack).
 *
 * Index 0 of every array stands for "unknown" and is always there, so that an id the recording does not explain (it was
 * cut off) is named [unknown] and its samples stay. Text is a number in `strings`; it is raw, whatever the target
 * called itself: only escape.h may print it. World: plain. */
#ifndef PA_REPORT_MODEL_H
#define PA_REPORT_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/store.h"
#include "collector/symbolize.h"
#include "report/map.h"

/* Recordings hold at most 512 frames a stack (PA_FRAMES_MAX); damaged ones are cut here. */
#define PA_REPORT_DEPTH_MAX 2048

/* What samples add up to. */
struct pa_sum {
	uint64_t weight;  /* periods */
	uint64_t ns;      /* weight * period of the thread */
	uint64_t signals; /* samples that were taken; 0 for CPU time that is only accounted for */
};

struct pa_report_process {
	uint32_t id, pid, inner_pid;
	uint32_t parent; /* index */
	uint64_t start_ns, end_ns, cpu_ns, agent_ns;
	uint32_t command, exe, how;
	uint32_t comm; /* what it is called for short: the base name of the first word of command */
	uint32_t nr_threads;
	struct pa_sum sum;
};

struct pa_report_thread {
	uint32_t id, tid;
	uint32_t process; /* index */
	uint64_t start_ns, end_ns, cpu_ns, period_ns;
	uint32_t name;
	struct pa_sum sum;
};

struct pa_report_module {
	uint32_t id;
	uint32_t path;
	uint32_t base; /* base name of path */
	uint8_t build_id[32];
	uint32_t build_id_len;
	enum pa_symbol_status symbols;
	struct pa_sum self; /* samples whose leaf is in it */
	uint64_t frames;    /* distinct addresses met in it */
	uint64_t unnamed;   /* of them without a name */
};

/* One function at one place, inlined functions included. */
struct pa_report_level {
	uint32_t function, file, line;
};

struct pa_report_frame {
	uint32_t id;
	uint32_t module; /* index */
	uint64_t address;
	size_t first; /* levels[first .. first + nr - 1], innermost first */
	uint32_t nr;  /* >= 1 */
	bool unnamed; /* the level is module+0x... */
};

#define PA_STACK_TRUNCATED 1u
#define PA_STACK_BLOCKED   2u
#define PA_STACK_UNSAMPLED 4u

/* A frame on a parent. parent < own index: a recording that says otherwise is cut there. */
struct pa_report_stack {
	uint32_t id;
	uint32_t parent; /* index; 0: frame is the root */
	uint32_t frame;  /* index */
	uint16_t depth;  /* 1: root; <= PA_REPORT_DEPTH_MAX */
	uint16_t flags;  /* PA_STACK_*, of this frame and all below it */
};

/* All samples of one stack in one process. */
struct pa_report_entry {
	uint32_t process, stack; /* indices */
	struct pa_sum sum;
};

/* What the sums of a tree or a table are. */
enum pa_unit {
	PA_UNIT_CPU,   /* struct pa_sum as it says */
	PA_UNIT_BYTES, /* weight, and ns too, is a number of bytes; signals is 0 */
	PA_UNIT_CALLS, /* or of allocations */
};

/* What a tree or a table is made of. Lent. */
struct pa_entries {
	const struct pa_report_entry *entries;
	size_t nr;
	enum pa_unit unit;
};

struct pa_report_loss {
	uint32_t process; /* index */
	uint32_t reason;
	uint64_t count;
};

struct pa_report_note {
	uint32_t process; /* index */
	uint32_t text;
	uint64_t time_ns;
};

/* ---- heap. Estimates in sampled mode (pa_report_heap.estimated), exact otherwise. Of the window the report was loaded
 * for: see struct pa_report_window. */
struct pa_heap_sum {
	uint64_t calls, bytes; /* allocated in the window */
	uint64_t frees, freed; /* of blocks of this stack */
	uint64_t temporary, temporary_bytes;
	int64_t live_calls, live;     /* at the end of the window */
	int64_t before_calls, before; /* live at its start */
	uint64_t peak_calls, peak;    /* at the moment of the process's highest heap */
	uint64_t samples;             /* sampled mode: what the estimate stands on */
	double var_bytes, var_live;   /* variance of bytes and live; 0 when exact. 95 %: +- 1.96 sqrt(var) */
};

/* Adds up all of it; heap_load.c. */
void pa_heap_sum_add(struct pa_heap_sum *to, const struct pa_heap_sum *what);

/* One stack of one process. */
struct pa_report_held {
	uint32_t process, stack; /* indices */
	struct pa_heap_sum sum;
};

struct pa_report_heap_process {
	uint32_t process; /* index */
	uint32_t mode, flags;
	uint64_t mean, unknown_frees, own_bytes, lost, lost_frees, uncertain_ns, stalled_ns;
	uint64_t mapped_calls, mapped_bytes, unmapped_bytes;
	uint64_t peak, peak_calls, peak_ns;
	/* The exact peak is outside the window, or a recording that was cut off does not hold it: this is the highest
	 * the heap stood at the end of one of the chunks, about a second apart, and its stacks are those of that
	 * moment. */
	bool peak_approximate;
	struct pa_heap_sum sum; /* over its stacks; of the whole recording, calls and temporary as its totals say */
	uint64_t lifetime_calls[PA_HEAP_LIFETIMES], lifetime_bytes[PA_HEAP_LIFETIMES];
};

struct pa_report_heap_thread {
	uint32_t thread; /* index */
	uint64_t calls, bytes, frees, freed;
};

struct pa_report_heap {
	bool recorded;  /* some process had a heap engine */
	bool estimated; /* some process was sampled */
	bool uncertain; /* some live figure may be wrong: an event was lost */
	struct pa_report_held *held;
	struct pa_report_heap_process *processes;
	struct pa_report_heap_thread *threads;
	struct pa_store_heap_point *points; /* by time; .process is an index here */
	size_t nr_held, nr_processes, nr_threads, nr_points;
	struct pa_heap_sum sum;
	/* The longest chunk that an edge of the window lies in, 0: none. It counts by its end, so that the figures are
	 * of the window to within this. */
	uint64_t step_ns;
};

/* What of the recording counts, as time since its start. Samples outside are left out; of the heap, `before` is the
 * state at from_ns and `live` that at to_ns. */
struct pa_report_window {
	uint64_t from_ns; /* 0: the start */
	uint64_t to_ns;   /* UINT64_MAX: the end */
	/* "METHOD /path": only samples that are certainly of such requests (requests.h). NULL: all. Lent. */
	const char *endpoint;
};

struct pa_report_loops;    /* loops.h */
struct pa_report_talks;    /* talks.h */
struct pa_report_requests; /* requests.h */
struct pa_report_locks;    /* locks.h */
struct pa_report_wall;     /* wall.h */

struct pa_report {
	struct pa_pool *strings;
	struct pa_report_window window;
	struct pa_report_heap heap;
	struct pa_report_loops *loops;       /* NULL: not recorded */
	struct pa_report_talks *talks;       /* the same */
	struct pa_report_locks *locks;       /* the same */
	struct pa_report_requests *requests; /* always there */
	struct pa_report_wall *wall;         /* NULL: not recorded */
	bool clean;                          /* the collector wrote the end */
	uint32_t path, command, host, started, ended, version, mode, unwinder;
	uint32_t name; /* base name of the command, fit for a file name */
	uint64_t period_ns, duration_ns, cpu_ns, collector_ns;
	uint64_t started_mono_ns, last_ns;
	int exit_status; /* -1: unknown */
	struct pa_cost { /* UINT64_MAX: not known */
		uint64_t handler_p50_ns, handler_p99_ns, armed_max_ns, target_rss_kib;
		uint64_t compared, identical; /* samples walked by both engines */
	} cost;

	struct pa_report_process *processes;
	struct pa_report_thread *threads;
	struct pa_report_module *modules;
	struct pa_report_frame *frames;
	struct pa_report_level *levels;
	struct pa_report_stack *stacks;
	struct pa_report_entry *entries;
	struct pa_report_loss *losses;
	struct pa_report_note *notes;
	size_t nr_processes, nr_threads, nr_modules, nr_frames, nr_levels, nr_stacks, nr_entries, nr_losses, nr_notes;

	struct pa_sum sum, unsampled, truncated, blocked;
};

/* The CPU samples, as a tree or a table takes them. */
static inline struct pa_entries pa_cpu_entries(const struct pa_report *r)
{
	return (struct pa_entries){.entries = r->entries, .nr = r->nr_entries, .unit = PA_UNIT_CPU};
}

static inline const char *pa_text(const struct pa_report *r, uint32_t number)
{
	return pa_pool_get(r->strings, number);
}

/* ---- heap by stack ----------------------------------------------------------------------------------------------- */

enum pa_heap_kind {
	PA_HEAP_ALLOC,     /* allocated in the window */
	PA_HEAP_LIVE,      /* live at its end: of a program that has ended, leaked */
	PA_HEAP_PEAK,      /* live at the process's highest heap */
	PA_HEAP_TEMPORARY, /* freed by the next heap call of their thread */
	PA_HEAP_GROWTH,    /* live at its end beyond what was at its start */
	PA_HEAP_FREED,     /* freed in the window, by the stacks that allocated */
	PA_HEAP_KINDS
};
enum pa_heap_kind pa_heap_kind_find(const char *name); /* PA_HEAP_KINDS: there is none */
enum pa_heap_unit { PA_HEAP_BYTES, PA_HEAP_CALLS };

/* The (process, stack) pairs whose value of that kind is above 0, in the order of r->heap.held; to be freed. Stacks
 * that shrank do not count against PA_HEAP_GROWTH. Errors: -ENOMEM; -EINVAL: no such kind. */
int pa_heap_entries(const struct pa_report *r, enum pa_heap_kind kind, enum pa_heap_unit unit,
		    struct pa_report_entry **entries, size_t *nr);
/* One stack's value; 0 for the combination above. May be negative for PA_HEAP_LIVE and PA_HEAP_GROWTH. */
int64_t pa_heap_value(const struct pa_heap_sum *sum, enum pa_heap_kind kind, enum pa_heap_unit unit);

/* ---- what the header of a report says --------------------------------------------------------------------------- */

struct pa_figures {
	uint64_t kernel_ns;    /* CPU time of the tree by the kernel */
	uint64_t accounted_ns; /* CPU time the samples and the unsampled remainder add up to */
	uint64_t agent_ns;     /* of it, spent in our handlers and hooks */
	uint64_t expected;     /* kernel_ns / period: samples there should be */
	uint64_t delivered;    /* weighted samples taken */
	uint64_t signals;      /* signals they came with */
	uint64_t unsampled;    /* periods accounted for without a sample */
	uint64_t lost;         /* periods whose sample was lost for any reason */
	uint64_t truncated;    /* signals whose stack is not whole */
	uint64_t blocked;      /* periods whose signal the program held back */
	size_t nr_processes, nr_threads;
	bool whole; /* false: a window; kernel_ns, agent_ns, expected, lost and the losses are of the whole recording */
	size_t modules_used,
	    modules_unnamed; /* modules with samples in their frames, and those of them without full names */
};
void pa_figures_get(const struct pa_report *r, struct pa_figures *f);

/* Whether CPU time was asked for: of a recording of memory alone nothing is known about it but the kernel's figure. */
bool pa_report_has_cpu(const struct pa_report *r);

/* Whether a reason in the loss table means that a sample is missing: "truncated", "blocked" and the like only describe
 * samples that are there. */
bool pa_loss_is_sample(const char *reason);
/* A module whose names a reader should not trust to be complete: no symbols, another file, or exported names only. */
bool pa_module_is_poor(const struct pa_report_module *m);

/* ---- tables by function, line, module or thread ------------------------------------------------------------------ */

/* PA_BY_STACK is for memory only (heap_table.h). */
enum pa_by { PA_BY_FUNCTION, PA_BY_LINE, PA_BY_MODULE, PA_BY_THREAD, PA_BY_STACK, PA_BY_BAD };
enum pa_by pa_by_find(const char *name);

struct pa_row {
	uint32_t function, file, line; /* strings; of a function row: its hottest line */
	uint32_t module;               /* index */
	uint32_t thread;               /* index, by thread only */
	struct pa_sum self, total;     /* total counts a stack once however often the function is on it */
};

struct pa_table {
	struct pa_row *rows; /* by self time, then total time, then name */
	size_t nr;
};

/* Errors: -ENOMEM; -EINVAL: PA_BY_THREAD of anything but CPU samples, PA_BY_STACK. */
int pa_table_build(const struct pa_report *r, const struct pa_entries *e, enum pa_by by, struct pa_table *t);
void pa_table_fini(struct pa_table *t);

/* ---- the merged tree of the flame graphs --------------------------------------------------------------------------
 */

/* More nodes than these are folded into their parents: damaged recordings stay within memory. */
#define PA_TREE_NODES_MAX 4000000

struct pa_node {
	uint32_t label; /* see pa_tree.labels */
	uint32_t parent, first, next;
	uint32_t depth; /* 0: the root, which is everything */
	struct pa_sum self, total;
};

struct pa_label {
	uint32_t text;    /* in the tree's own strings: already escaped for its language */
	uint32_t module;  /* index; of a process: 0 */
	uint32_t process; /* index of the process this is the root frame of, else 0 */
};

struct pa_tree {
	struct pa_node *nodes; /* [0] is the root; children in the order of their text */
	size_t nr, capacity;
	struct pa_label *labels;
	size_t nr_labels;
	struct pa_pool *strings;
};

struct pa_tree_options {
	bool invert;  /* children are callers */
	bool modules; /* functions of the same name in two modules are two nodes */
	int language; /* enum pa_language */
};
/* Errors: -ENOMEM. */
int pa_tree_build(const struct pa_report *r, const struct pa_entries *e, const struct pa_tree_options *o,
		  struct pa_tree *t);
void pa_tree_fini(struct pa_tree *t);

#endif
