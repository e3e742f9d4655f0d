/* Looking for a thread that runs without coming by a hook, and signalling it. World: plain. */
#ifndef PA_REMOTE_NUDGE_H
#define PA_REMOTE_NUDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "remote/agent.h"

/* One look, at no more than 64 threads; nudges at most one: a thread that was running at the last look, runs now, and
 * has not slept in between. One that sleeps as little as once between two looks comes by the hooks, or is nudged
 * after `patient` looks without this evidence, when it is merely seen running.
 * Returns whether a signal was sent. */
bool pa_nudge_look(struct pa_agent *a, int signal, bool patient);

#endif
