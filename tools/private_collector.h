/* A collector for one recording, in the process of a command: what `perfagent record` and `perfagent attach` share.
 * Not for anybody else: its socket has a name that nobody can guess, and it goes with the command. World: plain. */
#ifndef PA_TOOLS_PRIVATE_COLLECTOR_H
#define PA_TOOLS_PRIVATE_COLLECTOR_H

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "collector/listener.h"
#include "collector/loop.h"
#include "collector/options.h"
#include "collector/recorder.h"

struct pa_private {
	struct pa_loop *loop;
	struct pa_listener *listener; /* NULL: none, or closed */
	struct pa_recorder *recorder; /* NULL once the recording has ended */
	char socket[108];             /* as agents are told it */
	char path[PATH_MAX];          /* of the recording */
	uint64_t samples;             /* of the recording, once it has ended */
	struct pa_watch signals;
	sigset_t old_mask; /* what a child gets back */
	void (*old_sigpipe)(int), (*old_sigxfsz)(int);
};

#define PA_PRIVATE_INIT                                                                                                \
	{                                                                                                              \
		.signals = {.fd = -1 }                                                                                 \
	}

/* What is to be recorded. */
struct pa_private_recording {
	const char *output;  /* as in pa_record_name */
	const char *program; /* its name */
	const char *command; /* the whole line */
	uint32_t pid;
	const struct pa_options *options;
	void (*idle)(void *arg); /* as in struct pa_recorder_options */
	void *arg;
};

/* Each says on stderr what went wrong. Errors: false; pa_private_close remains to be called.
 * In this order: begin (a loop; SIGINT, SIGQUIT, SIGTERM and SIGHUP arrive at fn), listen (where `target` can reach us,
 * which may be in a container; 0: what we start), record. */
bool pa_private_begin(struct pa_private *p, void (*fn)(struct pa_watch *watch, uint32_t events), void *arg);
bool pa_private_listen(struct pa_private *p, pid_t target, const struct pa_listener_ops *ops);
bool pa_private_record(struct pa_private *p, const struct pa_private_recording *what);

/* Ends the recording, if one is open. tree_cpu_ns as in pa_recorder_finish. Errors: -errno, said on stderr. */
int pa_private_finish(struct pa_private *p, uint64_t tree_cpu_ns);
/* Gives all back; a recording that is still open is removed: nothing was recorded. */
void pa_private_close(struct pa_private *p);

/* "perfagent: what: why" as it stands, for what comes from ourselves. */
void pa_private_complain(const char *what, const char *why);

#endif
