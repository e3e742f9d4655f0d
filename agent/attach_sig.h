/* Sessions coming and going in a process that runs. One thread at a time does it: the constructor, or the one that
 * works a request off (command_sig.h). World: signal. */
#ifndef PA_AGENT_ATTACH_SIG_H
#define PA_AGENT_ATTACH_SIG_H

#include <stdbool.h>
#include <stdint.h>

struct pa_offer;

/* What HELLO is to say of this agent, PA_HELLO_*. World: plain (constructor). */
void pa_attach_init(uint32_t hello_flags);

/* Leaves the session there may be and asks for another at `path` (as PERFAGENT_SOCKET). Threads that have a block are
 * armed; the calling one is not, if it has none.
 * Errors: -EAGAIN a thread is at work in the old session; those of the handshake: there is no session then. */
int pa_attach_sig(const char *path, uint32_t command);

/* Opens the session of an offer that was got at `path`. Errors: -errno: the offer was given back. */
int pa_attach_open_sig(const struct pa_offer *offer, const char *path);

/* After the calling thread may have got its block: what the collector is told of us, and allocations. */
void pa_attach_tell_sig(void);

/* Leaves the session: no timers, no records, and its memory given back once nobody is at work in it. */
void pa_attach_leave_sig(void);

/* Somebody still was: PA_HEAP_TIDY asks hooks to look again, now and then, and not for ever. */
bool pa_attach_may_tidy_sig(void);
void pa_attach_tidy_sig(void);

#endif
