/* World: hook. */
#ifndef PA_AGENT_HOOKS_LIBS_H
#define PA_AGENT_HOOKS_LIBS_H

#include "agent/libs_sig.h"

extern const struct pa_lib pa_lib_sqlite; /* hooks_sqlite.c */
extern const struct pa_lib pa_lib_tls;    /* hooks_tls.c */

#endif
