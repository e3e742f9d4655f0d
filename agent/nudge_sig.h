/* The nudge: a signal that does nothing by default, by which a collector makes a thread that calls nothing look for a
 * request (common/command.h). While the host believes in SIG_DFL our handler stands there, hidden like that of the
 * ticks (signal.h, shimmed); the host's first wish for the signal takes it away. World: signal. */
#ifndef PA_AGENT_NUDGE_SIG_H
#define PA_AGENT_NUDGE_SIG_H

#include <signal.h>

/* Takes SIGURG, or else SIGWINCH, if the host has nothing there; never not_this (0: any). Collectors read which one it
 * is, if any, in pa_command.nudge. Shapes: pa_signal_learn has run. */
void pa_nudge_choose_sig(int not_this);

/* No nudge is answered any more: the host has its own view of the signal, or no system call may be made. */
void pa_nudge_give_up_sig(void);

/* The handler. Signals of that number which are no nudges have no effect, as with SIG_DFL. */
void pa_nudge_handler_sig(int sig, siginfo_t *info, void *context);

#endif
