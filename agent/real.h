/* The real functions behind the names the agent interposes: found by dlsym(RTLD_NEXT) at first use or in the
 * constructor, so that another preloaded library keeps working. A successful dlsym allocates nothing (glibc 2.36).
 *
 * To add a hook: a row here, the function in hooks_<area>.c, the name in tests/worlds/exports.list. World: hook. */
#ifndef PA_AGENT_REAL_H
#define PA_AGENT_REAL_H

#include <stddef.h>

#include "agent/hot.h"
#include "common/atomics.h"

/* One row per interposed name; the last ones are called by hooks only. */
#define PA_REAL_ROWS(X)                                                                                                \
	X(pthread_create)                                                                                              \
	X(thrd_create)                                                                                                 \
	X(dlclose)                                                                                                     \
	X(dlsym)                                                                                                       \
	X(sigaction)                                                                                                   \
	X(signal)                                                                                                      \
	X(fork)                                                                                                        \
	X(__sigaction)                                                                                                 \
	X(bsd_signal)                                                                                                  \
	X(ssignal)                                                                                                     \
	X(sysv_signal)                                                                                                 \
	X(__sysv_signal)                                                                                               \
	X(sigset)                                                                                                      \
	X(sighold)                                                                                                     \
	X(sigrelse)                                                                                                    \
	X(sigignore)                                                                                                   \
	X(sigprocmask)                                                                                                 \
	X(pthread_sigmask)                                                                                             \
	X(pthread_attr_getsigmask_np)                                                                                  \
	X(sigwait)                                                                                                     \
	X(sigwaitinfo)                                                                                                 \
	X(sigtimedwait)                                                                                                \
	X(signalfd)                                                                                                    \
	X(sigaltstack)                                                                                                 \
	X(siginterrupt)                                                                                                \
	X(__monstartup)                                                                                                \
	X(monstartup)                                                                                                  \
	X(moncontrol)                                                                                                  \
	X(profil)                                                                                                      \
	X(sprofil)                                                                                                     \
	X(setitimer)                                                                                                   \
	X(prlimit)                                                                                                     \
	X(prlimit64)                                                                                                   \
	X(setrlimit)                                                                                                   \
	X(setrlimit64)                                                                                                 \
	X(prctl)                                                                                                       \
	X(syscall)                                                                                                     \
	X(_Fork)                                                                                                       \
	X(execve)                                                                                                      \
	X(execv)                                                                                                       \
	X(execvp)                                                                                                      \
	X(execvpe)                                                                                                     \
	X(fexecve)                                                                                                     \
	X(execveat)                                                                                                    \
	X(posix_spawn)                                                                                                 \
	X(posix_spawnp)                                                                                                \
	X(_exit)                                                                                                       \
	X(_Exit)                                                                                                       \
	X(malloc)                                                                                                      \
	X(free)                                                                                                        \
	X(calloc)                                                                                                      \
	X(realloc)                                                                                                     \
	X(reallocarray)                                                                                                \
	X(posix_memalign)                                                                                              \
	X(aligned_alloc)                                                                                               \
	X(memalign)                                                                                                    \
	X(valloc)                                                                                                      \
	X(pvalloc)                                                                                                     \
	X(mmap)                                                                                                        \
	X(mmap64)                                                                                                      \
	X(munmap)                                                                                                      \
	X(mremap)                                                                                                      \
	X(brk)                                                                                                         \
	X(sbrk)                                                                                                        \
	X(epoll_create)                                                                                                \
	X(epoll_create1)                                                                                               \
	X(epoll_wait)                                                                                                  \
	X(epoll_pwait)                                                                                                 \
	X(epoll_pwait2)                                                                                                \
	X(poll)                                                                                                        \
	X(__poll_chk)                                                                                                  \
	X(ppoll)                                                                                                       \
	X(__ppoll_chk)                                                                                                 \
	X(select)                                                                                                      \
	X(pselect)                                                                                                     \
	X(nanosleep)                                                                                                   \
	X(clock_nanosleep)                                                                                             \
	X(sleep)                                                                                                       \
	X(usleep)                                                                                                      \
	X(socket)                                                                                                      \
	X(socketpair)                                                                                                  \
	X(connect)                                                                                                     \
	X(accept)                                                                                                      \
	X(accept4)                                                                                                     \
	X(getsockopt)                                                                                                  \
	X(close)                                                                                                       \
	X(dup2)                                                                                                        \
	X(dup3)                                                                                                        \
	X(close_range)                                                                                                 \
	X(closefrom)                                                                                                   \
	X(send)                                                                                                        \
	X(sendto)                                                                                                      \
	X(sendmsg)                                                                                                     \
	X(sendmmsg)                                                                                                    \
	X(write)                                                                                                       \
	X(writev)                                                                                                      \
	X(sendfile)                                                                                                    \
	X(sendfile64)                                                                                                  \
	X(recv)                                                                                                        \
	X(__recv_chk)                                                                                                  \
	X(recvfrom)                                                                                                    \
	X(__recvfrom_chk)                                                                                              \
	X(recvmsg)                                                                                                     \
	X(recvmmsg)                                                                                                    \
	X(read)                                                                                                        \
	X(__read_chk)                                                                                                  \
	X(readv)                                                                                                       \
	X(pthread_mutex_lock)                                                                                          \
	X(pthread_mutex_timedlock)                                                                                     \
	X(pthread_mutex_clocklock)                                                                                     \
	X(pthread_mutex_unlock)                                                                                        \
	X(pthread_rwlock_rdlock)                                                                                       \
	X(pthread_rwlock_wrlock)                                                                                       \
	X(pthread_rwlock_timedrdlock)                                                                                  \
	X(pthread_rwlock_timedwrlock)                                                                                  \
	X(pthread_rwlock_unlock)                                                                                       \
	X(pthread_cond_wait)                                                                                           \
	X(pthread_cond_timedwait)                                                                                      \
	X(pthread_cond_clockwait)                                                                                      \
	X(sem_wait)                                                                                                    \
	X(sem_timedwait)                                                                                               \
	X(sem_clockwait)                                                                                               \
	X(pthread_join)                                                                                                \
	X(pthread_mutex_trylock)                                                                                       \
	X(pthread_rwlock_tryrdlock)                                                                                    \
	X(pthread_rwlock_trywrlock)                                                                                    \
	X(sem_getvalue)

/* On every interposed function, and on nothing else: what has it is exported. */
#define PA_EXPORT __attribute__((visibility("default")))

enum pa_real_name {
#define X(name) PA_REAL_##name,
	PA_REAL_ROWS(X)
#undef X
	    PA_REAL_NR
};

extern _Atomic(void *) pa_real_table[PA_REAL_NR] PA_NEAR;

/* Cold half of PA_REAL: resolves and remembers. NULL when libc has no such function (newer than it). */
void *pa_real_resolve(enum pa_real_name name);

/* Any other function of libc or the loader by name; NULL when there is none. A failed look-up allocates in the host on
 * some glibc versions: only for names that exist, or once in the constructor. World: plain. */
void *pa_real_lookup(const char *name);

/* Resolves every row. World: plain (constructor). */
void pa_real_init(void);

static inline void *pa_real_get(enum pa_real_name name)
{
	void *fn = pa_load_relaxed(&pa_real_table[name]);

	return __builtin_expect(fn != NULL, 1) ? fn : pa_real_resolve(name);
}

/* PA_REAL(sigaction)(sig, act, old) calls the next sigaction in line. */
#define PA_REAL(name) ((__typeof__(&name))pa_real_get(PA_REAL_##name))

#endif
