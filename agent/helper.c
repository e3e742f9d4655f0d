/* See helper.h. Callers: handshake.c, exec_probe_hook.c. World: signal. */
#include "agent/helper.h"

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "agent/signals_sig.h"
#include "agent/sysdep.h"

#define STACK_BYTES (64u << 10)
#define AS_PROCESS  (CLONE_VM | CLONE_VFORK)
#define AS_THREAD   (AS_PROCESS | CLONE_THREAD | CLONE_SIGHAND | CLONE_SYSVSEM)

#define YIELDS   20
#define PAUSE_NS 50000
#define PAUSES   4000 /* 200 ms: a debugger may keep an ended thread as long as it likes */

/* CLONE_VFORK returns when the helper has left our memory. Until the kernel has put it away it is still counted among
 * our threads, and what the kernel grants to programs of one thread only would be refused: unshare(CLONE_NEWUSER). */
static void wait_until_gone(long id)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	long pid = pa_sys(SYS_getpid);

	for (int i = 0; i < YIELDS + PAUSES && pa_sys(SYS_tgkill, pid, id, 0) == 0; i++) {
		if (i < YIELDS)
			pa_sys(SYS_sched_yield);
		else
			pa_sys(SYS_nanosleep, &pause, NULL);
	}
}

int pa_helper_run_sig(int (*fn)(void *), void *arg)
{
	uint64_t before;
	long stack = pa_sys(SYS_mmap, 0, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *top = (void *)(stack + STACK_BYTES);
	long id;

	if (stack < 0 && stack > -4096)
		return (int)stack;
	before = pa_signals_hold();
	id = pa_arch_clone_helper(AS_THREAD, top, fn, arg);
	if (id > 0)
		wait_until_gone(id);
	/* a process whose children are to live in another pid namespace cannot have new threads: a process then */
	if (id == -EINVAL) {
		id = pa_arch_clone_helper(AS_PROCESS, top, fn, arg);
		if (id > 0)
			pa_sys(SYS_wait4, id, NULL, __WCLONE, NULL);
	}
	pa_signals_let(before);
	pa_sys(SYS_munmap, stack, STACK_BYTES);
	return id < 0 ? (int)id : 0;
}
