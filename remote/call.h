/* Makes one stopped thread of another process call a function, on a stack of its own, and be as it was afterwards.
 *
 * Below everything lies a signal frame with the thread's registers, as the kernel itself would write one: each code we
 * let the thread run returns into rt_sigreturn. So the thread finds back by itself, whatever happens to us. When we are
 * still there at that moment, we take its place and restore by ptrace, which also lets the kernel begin an interrupted
 * system call again as it would have. While it is called, signals wait in the kernel.
 *
 * What a called function returns into is a chain of such frames: the first rings a bell, a signal that the program does
 * not care for and that stops the thread as long as it has a tracer; then errno and the stack are given back; the last
 * is the thread's own. So a call of a thousand system calls takes one stop. World: plain. */
#ifndef PA_REMOTE_CALL_H
#define PA_REMOTE_CALL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "remote/registers.h"

#define PA_CALL_ARGUMENTS 3

/* Two pieces of the target's libc, by address. */
struct pa_call_site {
	uint64_t sigreturn;      /* mov rt_sigreturn; syscall */
	uint64_t syscall_return; /* syscall; ret */
};

struct pa_call {
	pid_t tid; /* stopped, of the calling thread's tracees */
	struct pa_registers registers;
	const struct pa_call_site *site;
	int bell;                   /* a signal that the program ignores; 0: none, each system call is a stop */
	pid_t inner_pid, inner_tid; /* of process and thread, as they see themselves: who is rung */
	uint64_t errno_location; /* of libc's __errno_location, by which errno is kept; 0: it is what the calls leave */
	const void *data;        /* copied to the new stack, aligned to 64; NULL: nothing */
	size_t data_bytes;
	size_t stack_bytes; /* of the new stack */
	uint64_t limit_ns;  /* how long each function may take */
	/* What to call next, asked while the thread stands between two calls. Returns 1: function and arguments are
	 * set, 0: nothing more, or -errno, which pa_call_run returns. */
	int (*next)(void *arg, struct pa_call *call);
	void *arg;
	/* set by next */
	uint64_t function;
	uint64_t arguments[PA_CALL_ARGUMENTS];
	/* answers */
	uint64_t data_at;   /* where the copy lies, until pa_call_run returns */
	uint64_t called_ns; /* how long the thread was not in its program */
	int signal;         /* it died of this one, and was taken out of it */
};

/* What a function returns cannot be seen: the way back overwrites it. It may leave its answer in the data.
 * Errors: 0: called, and the thread goes on as before, detached. -ENOTSUP: not on this processor or for this thread.
 * -ENOMEM: no stack, nothing was called. -ETIMEDOUT: still in the function, from which it returns by itself; detached.
 * -EFAULT: it died in the function (signal), taken out. -ESRCH: the thread has ended. Other -errno of ptrace(2). */
int pa_call_run(struct pa_call *call);

/* ---- per processor --------------------------------------------------------------------------------------------------
 */

/* Finds what is missing in site among len bytes of code that are at address base in the target. */
void pa_arch_call_site(struct pa_call_site *site, const uint8_t *code, size_t len, uint64_t base);

/* All of a thread's state that a call may change. */
struct pa_thread_state {
	struct pa_registers registers;
	uint64_t sigmask;
	size_t extended_len;
	uint8_t extended[16384] __attribute__((aligned(64))); /* vector registers */
};
/* Errors: 0 or -errno. */
int pa_arch_state_get(pid_t tid, struct pa_thread_state *state);
int pa_arch_state_set(pid_t tid, const struct pa_thread_state *state);

/* Builds the signal frame below sp.
 * Shapes: out has PA_CALL_FRAME_MAX bytes, which go to *at in the target; the stack pointer of code that returns into
 * rt_sigreturn is *entry, where the address of site->sigreturn stands. Returns the length, 0: it does not fit. */
#define PA_CALL_FRAME_MAX 20480
size_t pa_arch_frame(uint8_t *out, const struct pa_thread_state *state, uint64_t sp, uint64_t sigreturn, uint64_t *at,
		     uint64_t *entry);

/* Registers for a call of function, and of the kernel, that return through the word at sp. */
void pa_arch_enter(struct pa_registers *r, uint64_t function, const uint64_t arguments[PA_CALL_ARGUMENTS], uint64_t sp);
void pa_arch_enter_kernel(struct pa_registers *r, const struct pa_call_site *site, long number,
			  const uint64_t arguments[6], uint64_t sp);
/* At a stop for a system call: its number, and its result. */
long pa_arch_call_number(const struct pa_registers *r);
int64_t pa_arch_call_result(const struct pa_registers *r);

#endif
