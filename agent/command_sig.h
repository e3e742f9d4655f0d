/* Requests of a collector (common/command.h): the words it finds and writes, and the one thread that works a request
 * off. World: signal. */
#ifndef PA_AGENT_COMMAND_SIG_H
#define PA_AGENT_COMMAND_SIG_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/hot.h"
#include "common/atomics.h"
#include "common/command.h"

extern struct pa_command pa_command PA_NEAR;

/* The constructor has come to an end that is `state`; requests are taken from now on. World: plain. */
void pa_command_init(uint32_t state);

/* If there is a request and nobody is at it: works it off. Returns whether it was to attach, and a session is open.
 * Shapes: all signals are blocked; this thread is nowhere inside a hook's work, and the session state is this
 * process's. */
bool pa_command_take_sig(void);

/* A nudge has come (nudge_sig.h). */
void pa_command_nudged_sig(void);

/* The collector has ended the session: gives it back, so that another may come. Shapes: as pa_command_take_sig. */
void pa_command_ended_sig(void);

/* Looks again whether what a session left behind can be given back. Shapes: as pa_command_take_sig. */
void pa_command_tidy_sig(void);

/* Under seccomp no request is taken any more; one that is there is refused. */
void pa_command_quiet_sig(void);
void pa_command_refuse_sig(void);

/* In a forked child, which is pid: the thread that was at work in the parent is not there. */
void pa_command_forked_sig(uint32_t pid);

#endif
