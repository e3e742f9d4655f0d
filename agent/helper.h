/* A short-lived helper with a descriptor table of its own (F3): what it opens and closes never shows in the host, not
 * for a moment. It is a thread of the process to the kernel, so that no child appears in wait() or in the CPU time of
 * children, and the calling thread waits until it is gone. World: signal. */
#ifndef PA_AGENT_HELPER_H
#define PA_AGENT_HELPER_H

/* Runs fn(arg) in the helper. No signal is delivered meanwhile. fn runs on a stack of its own, 64 KiB, but on our
 * thread's TLS: raw system calls only.   Errors: 0, or -errno when there could be no helper. */
int pa_helper_run_sig(int (*fn)(void *), void *arg);

#endif
