/* How a collector finds the agent in a running process, and tells it to attach or to detach: no thread waits for it, no
 * descriptor is open. An ELF note of the library names the address of one struct pa_command in the agent's private
 * memory; the collector reads it with process_vm_readv, and writes a request with process_vm_writev, which takes the
 * access that ptrace takes.
 *
 * A request, in this order: seen `state` DORMANT or ATTACHED and done == seq; write kind, flags, writer, path, options;
 * then seq + 1; then PA_TRIGGER_COMMAND into the word at `trigger`. Whichever hook of the target comes by next takes
 * the request, exactly once. A thread that runs and calls nothing is nudged: the signal `nudge`, queued to that very
 * thread with PA_NUDGE_VALUE, and only when it is in state R and has the signal unblocked; a sleeping thread is left
 * alone (it would see an EINTR). `done` becomes seq when the request has been worked off, `result` says how.
 *
 * A request that is not taken can be withdrawn: seq back to done (compare what was written), trigger word as it was.
 * A forked child has a copy: its `pid` is its parent's until its first hook, and a request of its parent's that had not
 * been taken is the child's as well; the collector refuses to be told twice (writer, HELLO.command).
 *
 * Nothing here is believed by the collector: addresses are checked against the library's mapping, numbers are bounded.
 * World: signal (agent), plain (collector). */
#ifndef PA_COMMON_COMMAND_H
#define PA_COMMON_COMMAND_H

#include <stdint.h>

#include "common/wire.h"

/* The note: owner "perfagent", type 1, in section .note.perfagent, its PT_NOTE loaded. Descriptor: */
#define PA_NOTE_OWNER   "perfagent"
#define PA_NOTE_COMMAND 1u

struct pa_agent_note {
	uint32_t major;  /* PA_COMMAND_MAJOR */
	uint32_t size;   /* sizeof(struct pa_command) */
	int64_t command; /* of the struct, counted from the start of this descriptor: no relocation is needed */
};

#define PA_COMMAND_MAJOR   1u
#define PA_TRIGGER_COMMAND 4u /* enum pa_heap_mode and PA_HEAP_EARLY are 0..3 */
#define PA_NUDGE_VALUE     UINT64_C(0x31574150656e6475)

enum pa_agent_state {
	PA_AGENT_LOADING = 0,  /* the constructor has not run to its end */
	PA_AGENT_DORMANT = 1,  /* can be attached to */
	PA_AGENT_ATTACHED = 2, /* has a session */
	PA_AGENT_QUIET = 3,    /* under seccomp: makes no system call any more, for good */
	PA_AGENT_DISABLED = 4, /* PERFAGENT_DISABLE, or a sandbox that cannot be lived in */
};

enum pa_command_kind {
	PA_COMMAND_NONE = 0,
	PA_COMMAND_ATTACH = 1, /* handshake at `path`; an attached agent leaves its session for the new one (other rates
				* and modes, a collector that came back), unless PA_COMMAND_IF_DORMANT */
	PA_COMMAND_DETACH = 2, /* timers off, hooks off, the session's memory given back */
};

#define PA_COMMAND_IF_DORMANT 1u

/* Sizes: path as in sockaddr_un, '@' first: abstract. */
#define PA_COMMAND_PATH_MAX 108

struct pa_command {
	/* constant once state is not LOADING */
	uint32_t magic; /* PA_WIRE_MAGIC */
	uint32_t major;
	uint64_t trigger; /* run-time address of the word that hooks test (pa_heap_mode), 4 bytes */

	/* written by the agent */
	_Atomic uint32_t state; /* enum pa_agent_state */
	_Atomic uint32_t pid;   /* whose state that is, as it sees itself */
	_Atomic uint32_t done;  /* the seq that was worked off last */
	_Atomic int32_t
	    result; /* of it: 0 or -errno: -ECONNREFUSED refused by the collector, -ETIMEDOUT no answer, -EBUSY
		     * attached already (IF_DORMANT), -EAGAIN a thread is still in the old session: ask again */
	_Atomic uint32_t nudge;                 /* signal number, 0: none is free, hooks alone see requests */
	_Atomic uint32_t nudged;                /* nudges that arrived */
	uint64_t session_inode;                 /* of the memfd attached to, 0: none */
	char session_path[PA_COMMAND_PATH_MAX]; /* where the handshake was made */
	_Atomic uint32_t hooked; /* slots of other modules that lead to an agent loaded late (common/inject.h) */

	/* written by the collector */
	_Atomic uint32_t seq;
	uint32_t kind;   /* enum pa_command_kind */
	uint32_t flags;  /* PA_COMMAND_* */
	uint32_t writer; /* pid of the collector, for messages */
	char path[PA_COMMAND_PATH_MAX];
	uint32_t reserved1;
};

PA_ASSERT_SIZE(struct pa_agent_note, 16);
PA_ASSERT_SIZE(struct pa_command, 288);

#endif
