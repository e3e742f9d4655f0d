#include "remote/safe.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>

#include "collector/modules.h"

#define START_FRAMES 2 /* __libc_start_call_main and __libc_start_main, or start_thread and clone3; more is exit */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool begins(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

static bool is_loader(const char *base)
{
	return begins(base, "ld-linux") || begins(base, "ld-2.") || begins(base, "ld.so") || begins(base, "ld64.so");
}

/* libpthread and libdl have been part of libc since glibc 2.34. */
static bool is_libc(const char *base)
{
	return begins(base, "libc.so.") || begins(base, "libc-2.") || begins(base, "libpthread.so.") ||
	       begins(base, "libpthread-2.") || begins(base, "libdl.so.") || begins(base, "libdl-2.");
}

static bool is_agent(const char *base)
{
	return begins(base, "libperfagent.so");
}

static void add(struct pa_span *list, size_t *nr, const struct pa_walker_module *m)
{
	if (*nr < PA_SAFE_MODULES)
		list[(*nr)++] = (struct pa_span){m->start, m->end};
}

static int classify(void *arg, const struct pa_walker_module *m)
{
	static const char *const allocator[] = {"malloc", NULL};
	const char *base = base_name(m->file->path);
	struct pa_safety *s = arg;
	struct pa_span found[1];

	if (is_loader(base)) {
		add(s->loader, &s->nr_loader, m);
	} else if (is_libc(base)) {
		add(s->libc, &s->nr_libc, m);
		if (begins(base, "libc.so.") || begins(base, "libc-2."))
			s->libc_module = *m;
	} else if (is_agent(base)) {
		add(s->agent, &s->nr_agent, m);
	} else if (pa_symbols_find(m, allocator, found) > 0) {
		add(s->allocator, &s->nr_allocator, m);
	}
	return 0;
}

/* Functions that wait and hold neither a lock of the allocator nor one of the loader. What waits for others inside
 * libc (fgets, system, getaddrinfo) is not among them. */
static const char *const sleeping[] = {
    "accept",
    "accept4",
    "clock_nanosleep",
    "connect",
    "epoll_pwait",
    "epoll_wait",
    "msgrcv",
    "nanosleep",
    "pause",
    "poll",
    "ppoll",
    "pselect",
    "pthread_barrier_wait",
    "pthread_cond_clockwait",
    "pthread_cond_timedwait",
    "pthread_cond_wait",
    "pthread_join",
    "pthread_mutex_lock",
    "pthread_rwlock_rdlock",
    "pthread_rwlock_wrlock",
    "read",
    "recv",
    "recvfrom",
    "recvmsg",
    "select",
    "sem_clockwait",
    "sem_timedwait",
    "sem_wait",
    "semop",
    "semtimedop",
    "sigsuspend",
    "sigtimedwait",
    "sigwait",
    "sigwaitinfo",
    "sleep",
    "syscall",
    "usleep",
    "wait",
    "wait4",
    "waitid",
    "waitpid",
    NULL,
};
_Static_assert(sizeof(sleeping) / sizeof(sleeping[0]) <= PA_SAFE_SLEEPS, "room for all");

int pa_safety_learn(struct pa_safety *s, struct pa_walker *w)
{
	*s = (struct pa_safety){0};
	pa_walker_modules(w, classify, s);
	if (!s->libc_module.file || !s->nr_loader)
		return -ENOENT;
	s->nr_sleeps = sizeof(sleeping) / sizeof(sleeping[0]) - 1;
	return pa_symbols_find(&s->libc_module, sleeping, s->sleeps) > 0 ? 0 : -ENOENT;
}

static bool within(const struct pa_span *list, size_t nr, uint64_t pc)
{
	for (size_t i = 0; i < nr; i++)
		if (pc >= list[i].start && pc < list[i].end)
			return true;
	return false;
}

/* System calls in which threads sleep; not those that are made under the allocator's lock, as munmap and madvise. */
static bool is_sleep(long number)
{
	static const long numbers[] = {
#ifdef SYS_pause
	    SYS_pause,
#endif
#ifdef SYS_poll
	    SYS_poll,
#endif
#ifdef SYS_select
	    SYS_select,
#endif
#ifdef SYS_epoll_wait
	    SYS_epoll_wait,
#endif
	    SYS_accept,     SYS_accept4,    SYS_clock_nanosleep, SYS_connect,       SYS_epoll_pwait,
	    SYS_futex,      SYS_msgrcv,     SYS_nanosleep,       SYS_ppoll,         SYS_pselect6,
	    SYS_read,       SYS_recvfrom,   SYS_recvmsg,         SYS_rt_sigsuspend, SYS_rt_sigtimedwait,
	    SYS_semop,      SYS_semtimedop, SYS_wait4,           SYS_waitid,        SYS_restart_syscall,
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (numbers[i] == number)
			return true;
	return false;
}

static uint64_t pc_of(const struct pa_walk *walk, size_t i)
{
	uint64_t frame = walk->frames[i], pc = frame & ~PA_FRAME_EXACT;

	return frame & PA_FRAME_EXACT ? pc : pc - 1;
}

/* Semaphores, conditions, joins and barriers wait by a bitset; libc's own short locks, malloc's among them, do not.
 * Source: futex_abstimed_wait and lll_lock of glibc; the functions above tail-call what waits, so their names do not
 * always stand in the stack. */
static bool waits_for_program(const struct pa_registers *registers)
{
	return pa_registers_syscall(registers) == SYS_futex &&
	       (pa_registers_argument(registers, 1) & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET;
}

/* How many of the innermost frames belong to one function of libc in which the thread sleeps. */
static size_t sleeping_frames(const struct pa_safety *s, const struct pa_registers *registers,
			      const struct pa_walk *walk)
{
	size_t nr = 0;

	if (!is_sleep(pa_registers_syscall(registers)))
		return 0;
	while (nr < walk->nr && within(s->libc, s->nr_libc, pc_of(walk, nr)))
		nr++;
	/* the outermost of them is what the program called */
	if (!waits_for_program(registers) && !(nr && within(s->sleeps, s->nr_sleeps, pc_of(walk, nr - 1))))
		return 0;
	while (nr < walk->nr && within(s->agent, s->nr_agent, pc_of(walk, nr)))
		nr++;
	return nr;
}

/* How many of the outermost frames started the thread; the program's own _start may stand below. */
static size_t start_frames(const struct pa_safety *s, const struct pa_walk *walk)
{
	size_t below = 0, nr = 0;

	if (walk->nr && !within(s->libc, s->nr_libc, pc_of(walk, walk->nr - 1)))
		below = 1;
	while (below + nr < walk->nr && within(s->libc, s->nr_libc, pc_of(walk, walk->nr - 1 - below - nr)))
		nr++;
	return nr <= START_FRAMES ? below + nr : 0;
}

enum pa_verdict_of_thread pa_safety_judge(const struct pa_safety *s, const struct pa_registers *registers,
					  const struct pa_walk *walk)
{
	size_t first = sleeping_frames(s, registers, walk), last = start_frames(s, walk);

	for (size_t i = 0; i < walk->nr; i++)
		if (within(s->loader, s->nr_loader, pc_of(walk, i)))
			return PA_UNSAFE_LOADER;
	if (walk->stop != PA_STOP_END)
		return PA_UNSAFE_UNKNOWN;
	if (!first && pa_registers_syscall(registers) >= 0)
		return PA_UNSAFE_KERNEL;
	for (size_t i = 0; i < walk->nr; i++) {
		uint64_t pc = pc_of(walk, i);

		if (within(s->allocator, s->nr_allocator, pc) || (i >= first && within(s->agent, s->nr_agent, pc)))
			return PA_UNSAFE_ALLOCATOR;
		if (i && walk->frames[i] & PA_FRAME_EXACT)
			return PA_UNSAFE_HANDLER;
		if (i >= first && i + last < walk->nr && within(s->libc, s->nr_libc, pc))
			return PA_UNSAFE_LIBC;
	}
	/* nothing but start frames: the thread is being made or taken apart */
	return first + last < walk->nr ? PA_SAFE : PA_UNSAFE_LIBC;
}

const char *pa_safety_name(enum pa_verdict_of_thread verdict)
{
	static const char *const names[PA_UNSAFE_VERDICTS] = {
	    [PA_SAFE] = "safe",
	    [PA_UNSAFE_LOADER] = "in the loader",
	    [PA_UNSAFE_LIBC] = "in libc",
	    [PA_UNSAFE_ALLOCATOR] = "in an allocator",
	    [PA_UNSAFE_HANDLER] = "in a signal handler",
	    [PA_UNSAFE_UNKNOWN] = "in code that cannot be walked",
	    [PA_UNSAFE_KERNEL] = "in a system call",
	};

	return (size_t)verdict < PA_UNSAFE_VERDICTS ? names[verdict] : "unknown";
}
