/* aarch64: no calls yet. The kernel hides which system call was interrupted from a tracer, see registers.c; without an
 * answer to that no thread that sleeps can be used. World: plain. */
#include "remote/call.h"

#include <errno.h>

void pa_arch_call_site(struct pa_call_site *site, const uint8_t *code, size_t len, uint64_t base)
{
}

int pa_arch_state_get(pid_t tid, struct pa_thread_state *state)
{
	return -ENOTSUP;
}

int pa_arch_state_set(pid_t tid, const struct pa_thread_state *state)
{
	return -ENOTSUP;
}

size_t pa_arch_frame(uint8_t *out, const struct pa_thread_state *state, uint64_t sp, uint64_t sigreturn, uint64_t *at,
		     uint64_t *entry)
{
	return 0;
}

void pa_arch_enter(struct pa_registers *r, uint64_t function, const uint64_t arguments[PA_CALL_ARGUMENTS], uint64_t sp)
{
}

void pa_arch_enter_kernel(struct pa_registers *r, const struct pa_call_site *site, long number,
			  const uint64_t arguments[6], uint64_t sp)
{
}

long pa_arch_call_number(const struct pa_registers *r)
{
	return -1;
}

int64_t pa_arch_call_result(const struct pa_registers *r)
{
	return -ENOSYS;
}
