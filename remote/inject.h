/* Loads a library into a running process that was not made for it: all threads are stopped and walked from outside, and
 * one that is nowhere near the locks of the loader and the allocator calls dlopen while the others run again. When
 * there is none, they run on for a moment, and it is tried again; after limit_ns it is given up, the process untouched.
 * Never unloads. World: plain. */
#ifndef PA_REMOTE_INJECT_H
#define PA_REMOTE_INJECT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PA_INJECT_LIMIT_NS 2000000000u
#define PA_INJECT_WHY      512

struct pa_injection {
	pid_t pid;
	const char *library; /* absolute, as the target sees it */
	uint64_t limit_ns;   /* for finding a safe moment; 0: PA_INJECT_LIMIT_NS */
	/* answers */
	pid_t tid;               /* the thread that called; 0: none did */
	unsigned tries;          /* how often all threads were stopped */
	uint64_t pause_max_ns;   /* the longest of these stops */
	uint64_t pause_sum_ns;   /* of all of them */
	uint64_t called_ns;      /* how long dlopen took: the one thread was held up as long */
	char why[PA_INJECT_WHY]; /* why not, in a sentence; any bytes of the target in it */
};

/* Errors: 0: the library is mapped. -EEXIST it was there before, -ENOTSUP never possible in this process (static,
 * another libc, seccomp, shadow stacks), -ENOENT the target does not see the library, -EAGAIN no safe moment, -EBUSY
 * -EPERM -ESRCH as pa_access_check, -ENOEXEC the loader of the target would not load it, -ETIMEDOUT it is loading it
 * still, -EFAULT the library died of a signal while it was loaded; the thread was taken out of it. why says it in
 * words. */
int pa_inject_library(struct pa_injection *in);

#endif
