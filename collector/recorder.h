/* One recording: sessions, processes, modules, stacks, store and symbolizer tied together. Used by `perfagent record`
 * (one, its private collector) and by perfagentd (one per process tree). World: plain. */
#ifndef PA_COLLECTOR_RECORDER_H
#define PA_COLLECTOR_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/listener.h"
#include "collector/loop.h"
#include "collector/owner.h"
#include "common/wire.h"

struct pa_recorder;

struct pa_recorder_options {
	const char *path;    /* of the recording; "-" is stdout */
	const char *command; /* argv joined by spaces */
	uint64_t period_ns;
	uint32_t modes;           /* PA_MODE_*; 0 counts as PA_MODE_CPU */
	uint32_t heap_mode;       /* enum pa_heap_mode, with PA_MODE_MEMORY */
	uint32_t heap_flags;      /* PA_HEAP_MMAP */
	uint64_t heap_mean;       /* bytes, >= 1 */
	uint64_t loop_blocked_ns; /* an iteration that long has a row of its own; 0 counts as PA_LOOP_BLOCKED_NS */
	struct pa_owner owner;    /* whose the file is */
	bool file_later;          /* pa_recorder_create_file follows; till then what agents write stays in rings */
	/* no session is left (it may be called again when another comes and goes); may finish and free the recorder */
	void (*idle)(void *arg);
	void *arg;
};

/* Creates the file at once, unless file_later: a target must not wait for a disk. Errors: -errno with a sentence in
 * err. */
int pa_recorder_open(struct pa_loop *loop, const struct pa_recorder_options *options, struct pa_recorder **out,
		     char *err, size_t err_size);

/* Takes up the sessions that were granted before. Errors: as above; the recorder is then good for pa_recorder_abandon
 * only. No-op when there is a file. */
int pa_recorder_create_file(struct pa_recorder *r, char *err, size_t err_size);

/* Grants a session to an agent; quick. pa_recorder_answered must follow when the grant is OK. */
void pa_recorder_hello(struct pa_recorder *r, const struct pa_hello *hello, struct pa_peer *peer,
		       struct pa_grant *grant);
void pa_recorder_answered(struct pa_recorder *r, bool ok);

/* Whether a live process of the recording has this pid, or one of its ancestors has. */
bool pa_recorder_knows(const struct pa_recorder *r, uint32_t pid);
/* Whether a live process of the recording has this pid. */
bool pa_recorder_has(const struct pa_recorder *r, uint32_t pid);

/* The process is about to be reaped by the caller: drains it and notes how it ended ("exit 0", "signal 9"). No-op for
 * pids the recording does not know. */
void pa_recorder_reaping(struct pa_recorder *r, uint32_t pid, const char *how);

/* Looks for what is left now instead of after a while; calls `idle` when there is nothing. */
void pa_recorder_settle(struct pa_recorder *r);
bool pa_recorder_is_idle(const struct pa_recorder *r);

/* The first error of writing the file, 0: none so far. */
int pa_recorder_trouble(const struct pa_recorder *r);

/* Facts for the recording. */
void pa_recorder_meta(struct pa_recorder *r, const char *key, const char *value);
void pa_recorder_meta_u64(struct pa_recorder *r, const char *key, uint64_t value);
void pa_recorder_note(struct pa_recorder *r, const char *text);

/* The live process of this pid has left our session, and goes on: its recording ends here. */
void pa_recorder_left(struct pa_recorder *r, uint32_t pid);
/* Tells all agents of the recording that it is over: they write nothing any more. Before pa_recorder_finish, when
 * processes go on. */
void pa_recorder_silence(struct pa_recorder *r);
/* Visits the live processes whose number is known. */
void pa_recorder_each(const struct pa_recorder *r, void (*fn)(void *arg, uint32_t pid), void *arg);

uint64_t pa_recorder_samples(const struct pa_recorder *r); /* weighted */
uint32_t pa_recorder_processes(const struct pa_recorder *r);

/* Ends the recording: drains, accounts, symbolizes, closes the file, frees r. tree_cpu_ns: the kernel's figure for the
 * tree where known, else 0. Errors: -errno of the store (the file is then what could be saved). */
int pa_recorder_finish(struct pa_recorder *r, uint64_t tree_cpu_ns);

/* Gives up before anything was recorded: removes the file, frees r. */
void pa_recorder_abandon(struct pa_recorder *r);

#endif
