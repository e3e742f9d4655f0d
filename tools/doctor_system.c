/* doctor: what the kernel, the limits, the C library and the installation allow. World: plain. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <gnu/libc-version.h>
#include <zlib.h>

#include "tools/doctor.h"

#define TRIAL_TICKS     2         /* enough to know that they come, and come again */
#define TRIAL_CPU_NS    500000000 /* a tick that finds another thread running passes us by: on a busy machine many do */
#define TRIAL_PERIOD_NS 1000000   /* shorter than the tick of most kernels: each tick that finds us running shows */
#define DEFAULT_HZ      99

/* ---- CPU timers -------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t trial_ticks;

static void on_trial_tick(int sig)
{
	trial_ticks = trial_ticks + 1;
}

static int64_t to_ns(const struct timespec *ts)
{
	return ts->tv_sec * INT64_C(1000000000) + ts->tv_nsec;
}

static void burn_cpu(void)
{
	struct timespec now;
	int64_t end;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	end = to_ns(&now) + TRIAL_CPU_NS;
	while (trial_ticks < TRIAL_TICKS && to_ns(&now) < end)
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
}

/* Runs a timer like the agent's for a few ticks. Returns 0 or -errno of the call that failed. */
static int trial(void)
{
	struct sigaction act = {.sa_handler = on_trial_tick, .sa_flags = SA_RESTART}, before;
	struct itimerspec when = {.it_value.tv_nsec = TRIAL_PERIOD_NS, .it_interval.tv_nsec = TRIAL_PERIOD_NS};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF};
	sigset_t prof, mask;
	timer_t timer;
	int ret = 0;

	event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	sigemptyset(&prof);
	sigaddset(&prof, SIGPROF);
	if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) < 0)
		return -errno;
	sigaction(SIGPROF, &act, &before);
	sigprocmask(SIG_UNBLOCK, &prof, &mask);
	if (timer_settime(timer, 0, &when, NULL) < 0)
		ret = -errno;
	else
		burn_cpu();
	timer_delete(timer);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	sigaction(SIGPROF, &before, NULL);
	return ret;
}

/* CPU timers are looked at in the tick, whose length is the resolution of the coarse clocks. Source: clock_getres(2).
 */
static double tick_hz(void)
{
	struct timespec tick;

	return clock_getres(CLOCK_MONOTONIC_COARSE, &tick) == 0 && to_ns(&tick) > 0 ? 1e9 / (double)to_ns(&tick) : 0;
}

static void check_timers(const struct pa_subject *s, struct pa_finding *f)
{
	int ret = trial();
	double hz = tick_hz();

	if (ret < 0)
		pa_finding_set(f, PA_BROKEN, "timers on a thread's CPU clock are refused (%s): no CPU sampling",
			       strerror(-ret));
	else if (trial_ticks < TRIAL_TICKS)
		pa_finding_set(f, PA_BROKEN,
			       "a timer on a thread's CPU clock sent %d signals in half a second of CPU time",
			       (int)trial_ticks);
	else if (hz > 0)
		pa_finding_set(f, hz < DEFAULT_HZ ? PA_LIMITED : PA_FINE,
			       "work; the kernel delivers at most %.0f ticks a second", hz);
	else
		pa_finding_set(f, PA_FINE, "work");
}

/* ---- kernel -------------------------------------------------------------------------------------------------------
 */

/* Whether the running kernel's configuration sets an option: 1 yes, 0 no, -1 not known. */
static int kernel_config(const char *option)
{
	struct utsname u;
	char path[128], line[256];
	gzFile in;
	int found = 0;

	uname(&u);
	snprintf(path, sizeof(path), "/boot/config-%s", u.release);
	in = gzopen("/proc/config.gz", "r");
	if (!in)
		in = gzopen(path, "r"); /* reads plain files as they are */
	if (!in)
		return -1;
	while (!found && gzgets(in, line, sizeof(line)))
		found = !strncmp(line, option, strlen(option)) && !strncmp(line + strlen(option), "=y", 2);
	gzclose(in);
	return found;
}

/* Since 5.9 CPU timers fire on the way back to user space, so that no sleeping system call is cut short by them. */
static void check_kernel(const struct pa_subject *s, struct pa_finding *f)
{
	struct utsname u;
	int major = 0, minor = 0, task_work = kernel_config("CONFIG_POSIX_CPU_TIMERS_TASK_WORK");

	uname(&u);
	sscanf(u.release, "%d.%d", &major, &minor);
	if (task_work < 0)
		task_work = major > 5 || (major == 5 && minor >= 9);
	if (task_work)
		pa_finding_set(f, PA_FINE, "%s %s: CPU timers never interrupt a waiting thread", u.sysname, u.release);
	else
		pa_finding_set(
		    f, PA_LIMITED,
		    "%s %s: CPU timers expire in the timer interrupt; a thread that just went to sleep may see EINTR",
		    u.sysname, u.release);
}

static void check_memfd(const struct pa_subject *s, struct pa_finding *f)
{
	int fd = memfd_create("perfagent-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0) {
		pa_finding_set(f, PA_LIMITED,
			       "memfd_create is refused (%s): records come over a socket, exact heaps are not recorded",
			       strerror(errno));
		return;
	}
	if (ftruncate(fd, 4096) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		pa_finding_set(f, PA_BROKEN, "a memfd cannot be sized and sealed (%s)", strerror(errno));
	else
		pa_finding_set(f, PA_FINE, "sealed memory can be shared with the target");
	close(fd);
}

static bool read_number(const char *path, long *value)
{
	FILE *in = fopen(path, "re");
	bool ok = in && fscanf(in, "%ld", value) == 1;

	if (in)
		fclose(in);
	return ok;
}

static void check_perf(const struct pa_subject *s, struct pa_finding *f)
{
	long paranoid;

	if (read_number("/proc/sys/kernel/perf_event_paranoid", &paranoid))
		pa_finding_set(f, PA_FINE, "not used, so perf_event_paranoid = %ld does not matter", paranoid);
	else
		pa_finding_set(f, PA_FINE, "not used (and this kernel has none)");
}

static void check_yama(const struct pa_subject *s, struct pa_finding *f)
{
	long scope = 0;

	if (!read_number("/proc/sys/kernel/yama/ptrace_scope", &scope) || scope == 0)
		pa_finding_set(f, PA_FINE, "no limit by Yama");
	else if (scope == 1)
		pa_finding_set(f, PA_FINE, "Yama ptrace_scope = 1: programs that record starts can be looked into");
	else
		pa_finding_set(f, PA_LIMITED,
			       "Yama ptrace_scope = %ld: stacks that need unwinding from outside stay incomplete "
			       "without CAP_SYS_PTRACE",
			       scope);
}

static void check_sigpending(const struct pa_subject *s, struct pa_finding *f)
{
	unsigned long used = 0, limit = 0, threads;
	char line[128];
	FILE *in = fopen("/proc/self/status", "re");

	while (in && fgets(line, sizeof(line), in))
		if (sscanf(line, "SigQ: %lu/%lu", &used, &limit) == 2)
			break;
	if (in)
		fclose(in);
	threads = (limit > used ? limit - used : 0) / 2;
	/* each timer takes one; the agent leaves half of them to the program */
	pa_finding_set(f, threads < 64 ? PA_LIMITED : PA_FINE,
		       "room for timers of %lu threads (RLIMIT_SIGPENDING %lu, %lu in use)", threads, limit, used);
}

/* ---- C library and installation ------------------------------------------------------------------------------------
 */

static void check_libc(const struct pa_subject *s, struct pa_finding *f)
{
	const char *version = gnu_get_libc_version();

	if (dlsym(RTLD_DEFAULT, "_dl_find_object"))
		pa_finding_set(f, PA_FINE, "glibc %s: finds unwind tables without a lock", version);
	else
		pa_finding_set(f, PA_LIMITED, "glibc %s has no _dl_find_object (2.35): stacks by frame pointers only",
			       version);
}

/* A library of ours: beside the program (a build tree), else where it was installed. */
static bool find_library(const char *name, char *path, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", path, size - 1);
	char *slash;

	if (n > 0) {
		path[n] = 0;
		slash = strrchr(path, '/');
		if (slash && snprintf(slash + 1, size - (size_t)(slash + 1 - path), "%s", name) > 0 &&
		    access(path, R_OK) == 0)
			return true;
	}
	snprintf(path, size, PA_LIBDIR "/%s", name);
	return access(path, R_OK) == 0;
}

static void check_agent(const struct pa_subject *s, struct pa_finding *f)
{
	char path[400];

	if (find_library("libperfagent.so", path, sizeof(path)))
		pa_finding_set(f, PA_FINE, "%s", path);
	else
		pa_finding_set(f, PA_BROKEN, "libperfagent.so is neither beside perfagent nor in " PA_LIBDIR);
}

static void check_reference(const struct pa_subject *s, struct pa_finding *f)
{
	char path[400];

	if (find_library("libperfagent-unwind.so", path, sizeof(path)))
		pa_finding_set(f, PA_FINE, "there, for PERFAGENT_UNWINDER=libunwind");
	else
		pa_finding_set(f, PA_FINE, "not installed; only PERFAGENT_UNWINDER=libunwind needs it");
}

static void check_environment(const struct pa_subject *s, struct pa_finding *f)
{
	const char *preload = getenv("LD_PRELOAD"), *disable = getenv("PERFAGENT_DISABLE");

	if (disable && !strcmp(disable, "1"))
		pa_finding_set(f, PA_BROKEN, "PERFAGENT_DISABLE=1 is set: the agent stays out of every program");
	else if (preload && strstr(preload, "libperfagent"))
		pa_finding_set(f, PA_LIMITED,
			       "LD_PRELOAD already names the agent: this shell and all it starts carry it");
	else if (preload && *preload)
		pa_finding_set(f, PA_FINE, "LD_PRELOAD=%s is kept, behind the agent", preload);
	else
		f->verdict = PA_SILENT;
}

const struct pa_check pa_doctor_system[] = {
    {"kernel", check_kernel},
    {"thread CPU timers", check_timers},
    {"timer limit", check_sigpending},
    {"shared memory", check_memfd},
    {"perf events", check_perf},
    {"looking from outside", check_yama},
    {"C library", check_libc},
    {"agent", check_agent},
    {"libunwind engine", check_reference},
    {"environment", check_environment},
    {NULL, NULL},
};
