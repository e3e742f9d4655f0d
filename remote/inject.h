/* Loads a library into a running process that was not made for it: all threads are stopped and walked from outside, and
 * one that is nowhere near the locks of the loader and the allocator calls dlopen while the others run again. When
 * there is none, they run on for a moment, and it is tried again; after limit_ns it is given up, the process untouched.
 * Never unloads. An agent is then given an order (common/inject.h) in the same call. World: plain. */
#ifndef PA_REMOTE_INJECT_H
#define PA_REMOTE_INJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/inject.h"

#define PA_INJECT_LIMIT_NS 2000000000u
#define PA_INJECT_WHY      512

struct pa_injection {
	pid_t pid;
	const char *library; /* absolute, as the target sees it */
	uint64_t limit_ns;   /* for finding a safe moment; 0: PA_INJECT_LIMIT_NS */
	uint32_t order;      /* enum pa_inject_kind, the library is an agent; 0: it is loaded, nothing more */
	/* answers */
	struct pa_inject_order answer; /* of an agent; result 0: none was asked */
	bool loaded;                   /* by us; false: it was there */
	pid_t tid;                     /* the thread that called; 0: none did */
	unsigned tries;                /* how often all threads were stopped */
	uint64_t pause_max_ns;         /* the longest of these stops */
	uint64_t pause_sum_ns;         /* of all of them */
	uint64_t called_ns;            /* how long the one thread that called was away from its program */
	char why[PA_INJECT_WHY];       /* why not, in a sentence; any bytes of the target in it */
};

/* With an order the library need not be loaded by us: a process that has an agent is given the order only.
 * Errors: 0: the library is mapped, and the order worked off. -EEXIST it was there before (without an order), or (with
 * one) another agent is there, -ENOTSUP never possible in this process (static, another libc, seccomp, shadow stacks,
 * 32 bits), -ENOENT the target does not see the library, -EAGAIN no safe moment, -EBUSY -EPERM -ESRCH as
 * pa_access_check, -ENOEXEC the loader of the target would not load it, -ETIMEDOUT it is loading it still, -EFAULT the
 * library died of a signal while it was called; the thread was taken out of it. An agent's own answers: -EALREADY it
 * was preloaded: nothing to do, -ENOSYS -ENOMEM -EBUSY. why says it in words. */
int pa_inject_library(struct pa_injection *in);

#endif
