/* The session with the collector: handshake, the shared mapping, slots. All state hangs off one MADV_WIPEONFORK page:
 * in a forked child (raw fork too) it reads as zero, and the first hook there makes it anew from the inherited mapping.
 * World: see each function. */
#ifndef PA_AGENT_SESSION_H
#define PA_AGENT_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/heap_ring_hook.h"
#include "agent/slots_sig.h"
#include "agent/thread.h"
#include "common/wire.h"

/* Makes the page that marks this process. Errors: -errno: no session then. World: plain (constructor). */
int pa_session_state_init(void);

/* Connects to the collector in a helper with its own descriptor table and maps the session. Errors: -errno; the agent
 * then stays dormant.   Shapes: path as in PERFAGENT_SOCKET ('@': abstract); options at most PA_OPTIONS_MAX bytes;
 * flags PA_HELLO_*.   Units: deadline_ms.   World: plain (constructor). handshake.c. */
struct pa_connect {
	const char *path;
	const char *options;
	uint32_t flags;
	uint32_t command; /* the request that this answers, 0: none */
	uint32_t deadline_ms;
};

/* What a collector gave: a mapping of PA_FIRST_SLOTS slots at base, whose control page has been checked. */
struct pa_offer {
	void *base;
	uint64_t inode; /* of the memfd; 0: there is none */
	struct pa_mapping mapping;
	struct pa_heap_area heap;
};

int pa_session_connect(const struct pa_connect *how, struct pa_offer *offer);

/* The same for a request (common/command.h). World: signal. */
int pa_session_answer_sig(const struct pa_connect *how, struct pa_offer *offer);

/* An offer that is not taken. World: signal. */
void pa_session_decline_sig(const struct pa_offer *offer);

/* Whether this process is the one the session state was made for: false in a vfork/CLONE_VM child (getpid differs) and
 * in a forked child that has not been adopted yet, and everywhere once the session is quiet. One getpid system call:
 * for hooks that write process-wide state. World: hook. */
bool pa_session_is_mine_hook(void);
bool pa_session_is_mine_sig(void);

/* Whether pa_session_quiet_hook was called here or in a process that this one was forked from. World: signal. */
bool pa_session_is_quiet_sig(void);

/* What most hooks begin with: a forked child that runs without its own session state yet (WIPEONFORK page zero) adopts
 * it, and a request of a collector's is worked off. World: hook. */
void pa_session_adopt_hook(void);
/* The first half of that. */
void pa_session_adopt_only_hook(void);

/* In the child, by the fork hook where the kernel does not wipe the page: makes pa_session_adopt_hook do its work. */
void pa_session_forget_hook(void);

/* True while samples are wanted. One load. World: signal. */
bool pa_session_sampling_sig(void);

/* No system call and no clock from now on (seccomp): deletes timers, walker quiet. World: hook. */
void pa_session_quiet_hook(void);

/* Gives the block a slot of the present session if it has none. Returns false when there is none free (counted).
 * World: signal. */
bool pa_session_claim_slot_sig(struct pa_block *block);
/* The thread has ended: owner becomes (pid, 0). World: hook. */
void pa_session_release_slot_hook(struct pa_block *block);

#endif
