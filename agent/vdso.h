/* The kernel's clock function in the vDSO, found without libc. World: plain (constructor). */
#ifndef PA_AGENT_VDSO_H
#define PA_AGENT_VDSO_H

#include <time.h>

typedef int pa_clock_fn(clockid_t clock, struct timespec *ts);

/* NULL: no vDSO, or none with that function; the system call serves. Returns 0 or -errno when called. */
pa_clock_fn *pa_vdso_clock(void);

#endif
