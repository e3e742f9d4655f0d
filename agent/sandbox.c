/* A process may be started under somebody's seccomp filter (containers, service managers). Most answer a forbidden call
 * with EPERM, which the agent takes as a refusal; some kill. The copy tries first. And where it is no machine that runs
 * the program. World: plain (constructor). */
#include "agent/sandbox.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/sysdep.h"

#define COPY_STACK (32u << 10)

/* Every call the agent makes in a running host, with arguments that change nothing. */
static int try_calls(void *arg)
{
	clockid_t clock = (clockid_t)(~(uint32_t)pa_sys(SYS_gettid) << 3 | 6);
	struct sigevent event;
	struct itimerspec never;
	struct timespec ts;
	int id = -1;

	(void)arg;
	memset(&event, 0, sizeof(event));
	memset(&never, 0, sizeof(never));
	event.sigev_notify = SIGEV_NONE;
	if (pa_sys(SYS_timer_create, clock, &event, &id) == 0) {
		pa_sys(SYS_timer_settime, id, 0, &never, NULL);
		pa_sys(SYS_timer_delete, id);
	}
	pa_sys(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
	pa_sys(SYS_getpid);
	pa_sys(SYS_rt_sigprocmask, -1, &ts, NULL, 8);
	pa_sys(SYS_rt_sigaction, SIGPROF, NULL, NULL, 8);
	pa_sys(SYS_tgkill, -1, -1, 0);
	pa_sys(SYS_mremap, 0, 0, 0, 0);
	pa_sys(SYS_madvise, 0, 0, 0);
	pa_sys(SYS_munmap, 0, 0);
	pa_sys(SYS_prctl, PR_GET_NAME, &(char[16]){0});
	pa_sys(SYS_sched_yield);
	pa_sys(SYS_gettid);
	pa_sys(SYS_nanosleep, &never.it_value, NULL);
	pa_sys(SYS_rt_sigpending, NULL, 8);
	pa_sys(SYS_rt_sigqueueinfo, -1, 0, NULL);
	pa_sys(SYS_rt_tgsigqueueinfo, -1, -1, 0, NULL);
	pa_sys(SYS_sigaltstack, NULL, NULL);
	pa_sys(SYS_getitimer, -1, NULL);
	pa_sys(SYS_newfstatat, -1, NULL, NULL, 0);
	pa_sys(SYS_faccessat, -1, NULL, 0);
	pa_sys(SYS_pread64, -1, NULL, 0, 0);
	pa_sys(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	pa_sys(SYS_connect, -1, NULL, 0);
	pa_sys(SYS_sendto, -1, NULL, 0, 0, NULL, 0);
	pa_sys(SYS_sendmsg, -1, NULL, 0);
	pa_sys(SYS_recvmsg, -1, NULL, 0);
	pa_sys(SYS_ppoll, NULL, 0, &never.it_value, NULL, 8);
	pa_sys(SYS_fstat, -1, NULL);
	pa_sys(SYS_fcntl, -1, 0, 0);
	pa_sys(SYS_getsockopt, -1, 0, 0, NULL, NULL);
	pa_sys(SYS_getpeername, -1, NULL, NULL);
	pa_sys(SYS_getsockname, -1, NULL, NULL);
	return 0;
}

/* Valgrind runs the program in a processor of its own, where a thread with its own descriptor table crashes it, and what
 * the walker asks of the kernel is an error of the program's. Its core library is preloaded into every program. */
static bool is_simulated(void)
{
	for (char **env = environ; env && *env; env++)
		if (strncmp(*env, "LD_PRELOAD=", 11) == 0 && strstr(*env, "/vgpreload_core"))
			return true;
	return false;
}

bool pa_sandbox_allows(void)
{
	int status = -1;
	long stack, pid;

	if (is_simulated())
		return false;
	if (pa_sys(SYS_prctl, PR_GET_SECCOMP) <= 0)
		return true;
	stack = pa_sys(SYS_mmap, 0, COPY_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stack < 0 && stack > -4096)
		return false;
	pid = pa_arch_clone_helper(0, (void *)(stack + COPY_STACK), try_calls, NULL);
	if (pid > 0)
		pa_sys(SYS_wait4, pid, &status, __WCLONE, NULL);
	pa_sys(SYS_munmap, stack, COPY_STACK);
	return pid > 0 && status == 0;
}
