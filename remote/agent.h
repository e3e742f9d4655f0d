/* The collector's end of common/command.h: finding the agent of a running process, reading what it says of itself,
 * and telling it to attach or to detach.
 *
 * Nothing here waits: a request is made, then polled every few milliseconds for as long as the caller likes, and is
 * withdrawn or left behind. No descriptor is kept, no thread of the target is stopped: some hundred can be driven from
 * one loop. What the target's memory says is checked before it is used, and read anew before it is written to.
 *
 *	pa_agent_find(pid, &agent, why, sizeof(why));
 *	pa_agent_request(&agent, &(struct pa_agent_request){PA_COMMAND_ATTACH, 0, "@name"}, why, sizeof(why));
 *	every PA_AGENT_STEP_NS: pa_agent_step(&agent) until it is not -EINPROGRESS, or pa_agent_withdraw(&agent)
 *
 * Callers: attach, detach, list, doctor, perfagentd. World: plain. */
#ifndef PA_REMOTE_AGENT_H
#define PA_REMOTE_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/command.h"

#define PA_AGENT_STEP_NS    UINT64_C(2000000)
#define PA_AGENT_WHY        256
#define PA_AGENT_CANDIDATES 8

/* A thread that was seen running, and how often it had gone to sleep by then. */
struct pa_agent_runner {
	uint32_t tid;
	uint64_t sleeps;
};

/* An agent that was found, and the request that was made of it. Copyable; nothing to free. */
struct pa_agent {
	pid_t pid;            /* as we see it */
	uint64_t start_ticks; /* of the process: another one of this number is another one */
	uint64_t command;     /* address of its struct pa_command */
	uint64_t trigger;     /* of the word its hooks test; 0: not told yet, it is being loaded */
	uint64_t data_start;  /* of the library's data, in which both lie */
	uint64_t data_end;
	uint32_t seq;         /* of our request; 0: none has been made */
	uint32_t kind;        /* enum pa_command_kind, of it */
	uint32_t old_trigger; /* the word as it was before */
	uint32_t steps;       /* since then */
	uint32_t nudged;      /* the agent's counter when we nudged last */
	uint32_t nudges;      /* that we have sent for this request */
	uint64_t nudged_ns;   /* when, CLOCK_MONOTONIC */
	uint32_t looked;      /* threads that the last look at them has passed */
	struct pa_agent_runner runners[PA_AGENT_CANDIDATES];
	uint32_t nr_runners;
};

/* What an agent says of itself, checked and bounded; may be out of date when it is read. */
struct pa_agent_info {
	uint32_t state;         /* enum pa_agent_state */
	bool copied;            /* it speaks of the process that this one was forked from: no hook has run since */
	uint32_t inner_pid;     /* the process as it sees itself */
	uint32_t uid;           /* real user */
	uint32_t seq, done;     /* a request is open while they differ */
	int32_t result;         /* of `done` */
	uint32_t kind;          /* of the last request, enum pa_command_kind */
	uint32_t writer;        /* who made it; a number its writer chose */
	uint32_t nudge;         /* SIGURG or SIGWINCH, 0: hooks alone see requests */
	uint32_t nudged;        /* nudges that arrived */
	uint32_t hooked;        /* slots that lead to an agent loaded late; 0: none, or it was preloaded */
	uint64_t session_inode; /* of the memfd attached to, 0: none */
	char session_path[PA_COMMAND_PATH_MAX]; /* any bytes, terminated */
};

struct pa_agent_request {
	uint32_t kind;    /* enum pa_command_kind */
	uint32_t flags;   /* PA_COMMAND_* */
	const char *path; /* where the collector listens, as the target reaches it; at most PA_COMMAND_PATH_MAX - 1 */
};

/* Looks for the library's note in every mapped ELF file of the process; a name is not asked for.
 * Shapes: why[PA_AGENT_WHY] gets a sentence with every error, bytes of the target in it not escaped.
 * Errors: -ESRCH gone, -ENOENT no agent in it, -EACCES not permitted, -EPROTONOSUPPORT of another version, -EBADMSG
 * what it says of itself cannot be, -EINVAL a thread's number, a thread of the kernel, ourselves. */
int pa_agent_find(pid_t pid, struct pa_agent *out, char *why, size_t size);

/* Reads it anew. Errors: -ESRCH the process has gone or executed another program, -EBADMSG; and as above. */
int pa_agent_read(const struct pa_agent *a, struct pa_agent_info *out);

/* The two halves of that, without a process: whether these can be the bytes of an agent (errors: -ESRCH,
 * -EPROTONOSUPPORT), and what they say. */
int pa_agent_judge(const struct pa_command *c);
void pa_agent_inform(const struct pa_command *c, uint32_t inner_pid, struct pa_agent_info *out);

/* Whether a request would be taken, given what was read. Errors: 0; -EAGAIN still being loaded, or another request is
 * open: ask again; -ENOTSUP quiet or disabled; -EALREADY for a detach: it is not attached. A sentence in why. */
int pa_agent_ready(const struct pa_agent_info *info, uint32_t kind, char *why, size_t size);

/* Writes a request and pulls the trigger. An earlier one of ours must be over. Errors: those of pa_agent_read and
 * pa_agent_ready, -ENAMETOOLONG, -EACCES; a sentence in why. */
int pa_agent_request(struct pa_agent *a, const struct pa_agent_request *request, char *why, size_t size);

/* Looks whether the request has been worked off; if not, and a thread runs without coming by a hook, nudges that one.
 * To be called every PA_AGENT_STEP_NS; a few system calls, and one file of /proc for each of at most 64 threads.
 * Errors: 0 done; -EINPROGRESS not yet; -ECANCELED somebody else's request has taken its place; else the agent's
 * result (common/command.h) or -ESRCH, -EBADMSG. */
int pa_agent_step(struct pa_agent *a);

/* How long to wait for the next step: PA_AGENT_STEP_NS at first, more for a target that does not wake up. */
uint64_t pa_agent_pause_ns(const struct pa_agent *a);

/* Takes an open request back. Errors: 0; -EALREADY it had been taken (pa_agent_step says how it went); -ESRCH. */
int pa_agent_withdraw(struct pa_agent *a);

/* A sentence about the result of pa_agent_step. */
void pa_agent_explain(const struct pa_agent *a, int error, char *why, size_t size);

/* "dormant", "attached", ...; never NULL. */
const char *pa_agent_state_name(uint32_t state);

/* The collector that has the session of this inode open, as we see it; 0: none, or we may not look. `hint` is asked
 * first (info.writer). Walks the descriptors of every process: not for every poll. */
pid_t pa_agent_collector(uint64_t session_inode, pid_t hint);

/* Visits every process that has an agent. fn gets the agent and what was read; a non-zero result ends the visit.
 * *unreadable: processes we may not look into, NULL allowed. Errors: -errno or fn's result. */
int pa_agent_each(int (*fn)(void *arg, const struct pa_agent *a, const struct pa_agent_info *info), void *arg,
		  uint32_t *unreadable);

#endif
