/* Locks: mutexes, read-write locks, conditions, semaphores, and joining threads. A lock that is free is taken by the
 * real try function where that means exactly the same, which tells whether anybody has it; where it does not, and for
 * calls that are cancellation points, the lock is looked at. What libc locks inside is not seen. See hooks_wait.c for
 * how the hooks are made, lock_hook.h for what they write.
 *
 * These may be called before the agent is initialised: by resolvers of indirect functions, when there is one thread and
 * no real function yet. Such a call succeeds and does nothing. World: hook. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include "agent/hooks_malloc.h"
#include "agent/lock_hook.h"

/* libc's own marks on a mutex; ABI, as static initialisers put them there. */
#define KIND_TYPE    3    /* normal, recursive, error checking, adaptive */
#define KIND_SHARED  0x80 /* between processes */
#define KIND_ELIDE   0x300
#define KIND_PROTECT 0x40
#define TID_MASK     0x3fffffff
#define PROTECT_MASK 0x7ffff /* of the word of one with a priority ceiling: beside that */
#define RECURSIVE    1

/* libc since 2.30, under the name of that version and, since everything is in libc, of 2.34: hidden versions, as of
 * free_sized */
int pa_hook_mutex_clocklock(pthread_mutex_t *m, clockid_t clock, const struct timespec *until);
int pa_hook_cond_clockwait(pthread_cond_t *c, pthread_mutex_t *m, clockid_t clock, const struct timespec *until);
int pa_hook_sem_clockwait(sem_t *sem, clockid_t clock, const struct timespec *until);
__asm__(".symver pa_hook_mutex_clocklock, pthread_mutex_clocklock@GLIBC_2.30");
__asm__(".symver pa_hook_mutex_clocklock, pthread_mutex_clocklock@GLIBC_2.34, remove");
__asm__(".symver pa_hook_cond_clockwait, pthread_cond_clockwait@GLIBC_2.30");
__asm__(".symver pa_hook_cond_clockwait, pthread_cond_clockwait@GLIBC_2.34, remove");
__asm__(".symver pa_hook_sem_clockwait, sem_clockwait@GLIBC_2.30");
__asm__(".symver pa_hook_sem_clockwait, sem_clockwait@GLIBC_2.34, remove");

typedef int clocklock_fn(pthread_mutex_t *m, clockid_t clock, const struct timespec *until);
typedef int cond_clockwait_fn(pthread_cond_t *c, pthread_mutex_t *m, clockid_t clock, const struct timespec *until);
typedef int sem_clockwait_fn(sem_t *sem, clockid_t clock, const struct timespec *until);

#define NS_SECOND 1000000000l

static inline bool is_off(void)
{
	return PA_LIKELY(pa_arch_is_zero(&pa_lock_mode));
}

static inline bool is_early(void)
{
	return pa_load_relaxed(&pa_lock_mode) == PA_LOCK_EARLY;
}

static inline enum pa_lock_outcome outcome_of(int ret)
{
	return ret == 0 || ret == EOWNERDEAD ? PA_LOCK_GOT : ret == ETIMEDOUT ? PA_LOCK_TIMED_OUT : PA_LOCK_REFUSED;
}

/* A wait that is about to begin, for a lock that is held by this thread when it is over. */
static inline struct pa_lock_call call_of(enum pa_lock_kind kind, const void *lock, uint32_t holder,
					  enum pa_real_name real)
{
	return (struct pa_lock_call){
	    .kind = kind,
	    .holder = holder,
	    .address = (uint64_t)(uintptr_t)lock,
	    .held = (uint64_t)(uintptr_t)lock,
	    .real = pa_real_get(real),
	};
}

/* ---- mutexes ---------------------------------------------------------------------------------------------------- */

/* Others read it while its owner writes. */
static inline int peek(const int *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static inline uint32_t owner_of(const pthread_mutex_t *m)
{
	int tid = peek(&m->__data.__owner);

	return tid > 0 ? (uint32_t)tid : 0;
}

/* Robust ones, and those with priorities, are left to the real call. */
static inline bool can_try(const pthread_mutex_t *m)
{
	return !(peek(&m->__data.__kind) & ~(KIND_TYPE | KIND_SHARED | KIND_ELIDE));
}

static inline bool looks_taken(const pthread_mutex_t *m)
{
	return peek(&m->__data.__lock) & (peek(&m->__data.__kind) & KIND_PROTECT ? PROTECT_MASK : TID_MASK);
}

enum try {
	HAD,    /* the answer is there */
	FREE,   /* nobody seems to have it: the real call does not wait */
	WAITED, /* the real call is going to wait */
};

/* may: the real call would look at nothing else before it takes a free lock. */
static inline enum try try_mutex(pthread_mutex_t *m, bool may, int *ret)
{
	if (!may || !can_try(m))
		return looks_taken(m) ? WAITED : FREE;
	*ret = PA_REAL(pthread_mutex_trylock)(m);
	return *ret == EBUSY ? WAITED : HAD;
}

static PA_ASIDE int mutex_lock_on(pthread_mutex_t *m)
{
	PA_HEAP_CALLER(caller);
	__typeof__(&pthread_mutex_lock) real = PA_REAL(pthread_mutex_lock);
	struct pa_lock_call call;
	int ret = 0;

	if (!real || is_early())
		return real ? real(m) : 0;
	switch (try_mutex(m, true, &ret)) {
	case HAD:
		return ret;
	case FREE:
		return real(m);
	case WAITED:
		break;
	}
	call = call_of(PA_LOCK_MUTEX, m, owner_of(m), PA_REAL_pthread_mutex_lock);
	pa_lock_begin_hook(&call, &caller);
	ret = real(m);
	pa_lock_end_hook(&call, &caller, outcome_of(ret));
	return ret;
}

PA_EXPORT int pthread_mutex_lock(pthread_mutex_t *m)
{
	if (is_off())
		return PA_NEXT(pthread_mutex_lock)(m);
	return mutex_lock_on(m);
}

static PA_ASIDE int mutex_timedlock_on(pthread_mutex_t *m, const struct timespec *until)
{
	PA_HEAP_CALLER(caller);
	__typeof__(&pthread_mutex_timedlock) real = PA_REAL(pthread_mutex_timedlock);
	struct pa_lock_call call;
	int ret = 0;

	if (!real || is_early())
		return real ? real(m, until) : ENOSYS;
	switch (try_mutex(m, true, &ret)) {
	case HAD:
		return ret;
	case FREE:
		return real(m, until);
	case WAITED:
		break;
	}
	call = call_of(PA_LOCK_MUTEX, m, owner_of(m), PA_REAL_pthread_mutex_timedlock);
	pa_lock_begin_hook(&call, &caller);
	ret = real(m, until);
	pa_lock_end_hook(&call, &caller, outcome_of(ret));
	return ret;
}

PA_EXPORT int pthread_mutex_timedlock(pthread_mutex_t *m, const struct timespec *until)
{
	if (is_off())
		return PA_NEXT(pthread_mutex_timedlock)(m, until);
	return mutex_timedlock_on(m, until);
}

static PA_ASIDE int mutex_clocklock_on(pthread_mutex_t *m, clockid_t clock, const struct timespec *until)
{
	PA_HEAP_CALLER(caller);
	clocklock_fn *real = (clocklock_fn *)pa_real_get(PA_REAL_pthread_mutex_clocklock);
	struct pa_lock_call call;
	int ret = 0;

	if (!real || is_early())
		return real ? real(m, clock, until) : ENOSYS;
	/* another clock is refused before the lock is looked at */
	switch (try_mutex(m, clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC, &ret)) {
	case HAD:
		return ret;
	case FREE:
		return real(m, clock, until);
	case WAITED:
		break;
	}
	call = call_of(PA_LOCK_MUTEX, m, owner_of(m), PA_REAL_pthread_mutex_clocklock);
	pa_lock_begin_hook(&call, &caller);
	ret = real(m, clock, until);
	pa_lock_end_hook(&call, &caller, outcome_of(ret));
	return ret;
}

PA_EXPORT int pa_hook_mutex_clocklock(pthread_mutex_t *m, clockid_t clock, const struct timespec *until)
{
	clocklock_fn *real = (clocklock_fn *)pa_load_relaxed(&pa_real_table[PA_REAL_pthread_mutex_clocklock]);

	if (real && is_off())
		return real(m, clock, until);
	return mutex_clocklock_on(m, clock, until);
}

/* A recursive one that is still held by its owner after this. */
static inline bool stays_held(const pthread_mutex_t *m)
{
	return (peek(&m->__data.__kind) & KIND_TYPE) == RECURSIVE &&
	       __atomic_load_n(&m->__data.__count, __ATOMIC_RELAXED) > 1;
}

static PA_ASIDE int mutex_unlock_on(pthread_mutex_t *m)
{
	PA_HEAP_CALLER(caller);
	__typeof__(&pthread_mutex_unlock) real = PA_REAL(pthread_mutex_unlock);
	struct pa_lock_noted noted[PA_LOCKS_HELD];
	uint32_t nr = 0;
	int ret;

	if (!real)
		return 0;
	if (!is_early() && pa_lock_any() && !stays_held(m))
		nr = pa_lock_take_hook((uint64_t)(uintptr_t)m, noted);
	ret = real(m);
	if (nr)
		pa_lock_write_hook(noted, nr, &caller);
	return ret;
}

PA_EXPORT int pthread_mutex_unlock(pthread_mutex_t *m)
{
	if (is_off())
		return PA_NEXT(pthread_mutex_unlock)(m);
	return mutex_unlock_on(m);
}

/* ---- read-write locks ------------------------------------------------------------------------------------------- */

static inline struct pa_lock_call rwlock_call(bool write, const pthread_rwlock_t *l, enum pa_real_name real)
{
	int writer = peek(&l->__data.__cur_writer);

	return call_of(write ? PA_LOCK_WRITE : PA_LOCK_READ, l, writer > 0 ? (uint32_t)writer : 0, real);
}

static inline int try_rwlock(bool write, pthread_rwlock_t *l)
{
	return write ? PA_REAL(pthread_rwlock_trywrlock)(l) : PA_REAL(pthread_rwlock_tryrdlock)(l);
}

static inline int rwlock_on(bool write, pthread_rwlock_t *l, enum pa_real_name name, const struct pa_caller *caller)
{
	__typeof__(&pthread_rwlock_rdlock) real = (__typeof__(real))pa_real_get(name);
	struct pa_lock_call call;
	int ret;

	if (!real || is_early())
		return real ? real(l) : ENOSYS;
	ret = try_rwlock(write, l);
	if (ret != EBUSY)
		return ret;
	call = rwlock_call(write, l, name);
	pa_lock_begin_hook(&call, caller);
	ret = real(l);
	pa_lock_end_hook(&call, caller, outcome_of(ret));
	return ret;
}

static PA_ASIDE int rdlock_on(pthread_rwlock_t *l)
{
	PA_HEAP_CALLER(caller);

	return rwlock_on(false, l, PA_REAL_pthread_rwlock_rdlock, &caller);
}

PA_EXPORT int pthread_rwlock_rdlock(pthread_rwlock_t *l)
{
	if (is_off())
		return PA_NEXT(pthread_rwlock_rdlock)(l);
	return rdlock_on(l);
}

static PA_ASIDE int wrlock_on(pthread_rwlock_t *l)
{
	PA_HEAP_CALLER(caller);

	return rwlock_on(true, l, PA_REAL_pthread_rwlock_wrlock, &caller);
}

PA_EXPORT int pthread_rwlock_wrlock(pthread_rwlock_t *l)
{
	if (is_off())
		return PA_NEXT(pthread_rwlock_wrlock)(l);
	return wrlock_on(l);
}

/* A time that makes no sense is refused, whether the lock is free or not. */
static inline int rwlock_timed_on(bool write, pthread_rwlock_t *l, const struct timespec *until, enum pa_real_name name,
				  const struct pa_caller *caller)
{
	__typeof__(&pthread_rwlock_timedrdlock) real = (__typeof__(real))pa_real_get(name);
	struct pa_lock_call call;
	int ret;

	if (!real || is_early() || !until || until->tv_nsec < 0 || until->tv_nsec >= NS_SECOND)
		return real ? real(l, until) : ENOSYS;
	ret = try_rwlock(write, l);
	if (ret != EBUSY)
		return ret;
	call = rwlock_call(write, l, name);
	pa_lock_begin_hook(&call, caller);
	ret = real(l, until);
	pa_lock_end_hook(&call, caller, outcome_of(ret));
	return ret;
}

static PA_ASIDE int timedrdlock_on(pthread_rwlock_t *l, const struct timespec *until)
{
	PA_HEAP_CALLER(caller);

	return rwlock_timed_on(false, l, until, PA_REAL_pthread_rwlock_timedrdlock, &caller);
}

PA_EXPORT int pthread_rwlock_timedrdlock(pthread_rwlock_t *l, const struct timespec *until)
{
	if (is_off())
		return PA_NEXT(pthread_rwlock_timedrdlock)(l, until);
	return timedrdlock_on(l, until);
}

static PA_ASIDE int timedwrlock_on(pthread_rwlock_t *l, const struct timespec *until)
{
	PA_HEAP_CALLER(caller);

	return rwlock_timed_on(true, l, until, PA_REAL_pthread_rwlock_timedwrlock, &caller);
}

PA_EXPORT int pthread_rwlock_timedwrlock(pthread_rwlock_t *l, const struct timespec *until)
{
	if (is_off())
		return PA_NEXT(pthread_rwlock_timedwrlock)(l, until);
	return timedwrlock_on(l, until);
}

static PA_ASIDE int rwlock_unlock_on(pthread_rwlock_t *l)
{
	PA_HEAP_CALLER(caller);
	__typeof__(&pthread_rwlock_unlock) real = PA_REAL(pthread_rwlock_unlock);
	struct pa_lock_noted noted[PA_LOCKS_HELD];
	uint32_t nr = 0;
	int ret;

	if (!real)
		return ENOSYS;
	if (!is_early() && pa_lock_any())
		nr = pa_lock_take_hook((uint64_t)(uintptr_t)l, noted);
	ret = real(l);
	if (nr)
		pa_lock_write_hook(noted, nr, &caller);
	return ret;
}

PA_EXPORT int pthread_rwlock_unlock(pthread_rwlock_t *l)
{
	if (is_off())
		return PA_NEXT(pthread_rwlock_unlock)(l);
	return rwlock_unlock_on(l);
}

/* ---- conditions: cancellation points. The mutex is given up and had again inside ----------------------------------
 */

static inline struct pa_lock_call cond_call(const pthread_cond_t *c, const pthread_mutex_t *m, enum pa_real_name real)
{
	struct pa_lock_call call = call_of(PA_LOCK_CONDITION, c, 0, real);

	call.held = (uint64_t)(uintptr_t)m;
	return call;
}

static PA_ASIDE int cond_wait_on(pthread_cond_t *c, pthread_mutex_t *m)
{
	PA_HEAP_CALLER(caller);
	struct pa_lock_call call = cond_call(c, m, PA_REAL_pthread_cond_wait);
	int ret;

	if (!call.real)
		return ENOSYS;
	pa_lock_begin_hook(&call, &caller);
	ret = PA_REAL(pthread_cond_wait)(c, m);
	pa_lock_end_hook(&call, &caller, outcome_of(ret));
	return ret;
}

PA_EXPORT int pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
	if (is_off())
		return PA_NEXT(pthread_cond_wait)(c, m);
	return cond_wait_on(c, m);
}

static PA_ASIDE int cond_timedwait_on(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *until)
{
	PA_HEAP_CALLER(caller);
	struct pa_lock_call call = cond_call(c, m, PA_REAL_pthread_cond_timedwait);
	int ret;

	if (!call.real)
		return ENOSYS;
	pa_lock_begin_hook(&call, &caller);
	ret = PA_REAL(pthread_cond_timedwait)(c, m, until);
	pa_lock_end_hook(&call, &caller, outcome_of(ret));
	return ret;
}

PA_EXPORT int pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *until)
{
	if (is_off())
		return PA_NEXT(pthread_cond_timedwait)(c, m, until);
	return cond_timedwait_on(c, m, until);
}

static PA_ASIDE int cond_clockwait_on(pthread_cond_t *c, pthread_mutex_t *m, clockid_t clock,
				      const struct timespec *until)
{
	PA_HEAP_CALLER(caller);
	struct pa_lock_call call = cond_call(c, m, PA_REAL_pthread_cond_clockwait);
	int ret;

	if (!call.real)
		return ENOSYS;
	pa_lock_begin_hook(&call, &caller);
	ret = ((cond_clockwait_fn *)pa_real_get(PA_REAL_pthread_cond_clockwait))(c, m, clock, until);
	pa_lock_end_hook(&call, &caller, outcome_of(ret));
	return ret;
}

PA_EXPORT int pa_hook_cond_clockwait(pthread_cond_t *c, pthread_mutex_t *m, clockid_t clock,
				     const struct timespec *until)
{
	cond_clockwait_fn *real = (cond_clockwait_fn *)pa_load_relaxed(&pa_real_table[PA_REAL_pthread_cond_clockwait]);

	if (real && is_off())
		return real(c, m, clock, until);
	return cond_clockwait_on(c, m, clock, until);
}

/* ---- semaphores: cancellation points, so that trying first would miss a cancellation that is due ------------------
 */

static inline bool looks_empty(sem_t *sem)
{
	int value = 1;

	return PA_REAL(sem_getvalue)(sem, &value) == 0 && value <= 0;
}

static inline struct pa_lock_call sem_call(const sem_t *sem, enum pa_real_name real)
{
	struct pa_lock_call call = call_of(PA_LOCK_SEMAPHORE, sem, 0, real);

	/* whoever posts it may be another thread */
	call.held = 0;
	return call;
}

static inline void sem_end(struct pa_lock_call *call, const struct pa_caller *caller, int ret)
{
	int error = ret ? errno : 0;

	pa_lock_end_hook(call, caller, error == EINTR ? PA_LOCK_INTERRUPTED : outcome_of(error));
}

static inline int no_such_call(void)
{
	errno = ENOSYS;
	return -1;
}

static PA_ASIDE int sem_wait_on(sem_t *sem)
{
	PA_HEAP_CALLER(caller);
	struct pa_lock_call call = sem_call(sem, PA_REAL_sem_wait);
	int ret;

	if (!call.real)
		return no_such_call();
	if (is_early() || !looks_empty(sem))
		return PA_REAL(sem_wait)(sem);
	pa_lock_begin_hook(&call, &caller);
	ret = PA_REAL(sem_wait)(sem);
	sem_end(&call, &caller, ret);
	return ret;
}

PA_EXPORT int sem_wait(sem_t *sem)
{
	if (is_off())
		return PA_NEXT(sem_wait)(sem);
	return sem_wait_on(sem);
}

static PA_ASIDE int sem_timedwait_on(sem_t *sem, const struct timespec *until)
{
	PA_HEAP_CALLER(caller);
	struct pa_lock_call call = sem_call(sem, PA_REAL_sem_timedwait);
	int ret;

	if (!call.real)
		return no_such_call();
	if (is_early() || !looks_empty(sem))
		return PA_REAL(sem_timedwait)(sem, until);
	pa_lock_begin_hook(&call, &caller);
	ret = PA_REAL(sem_timedwait)(sem, until);
	sem_end(&call, &caller, ret);
	return ret;
}

PA_EXPORT int sem_timedwait(sem_t *sem, const struct timespec *until)
{
	if (is_off())
		return PA_NEXT(sem_timedwait)(sem, until);
	return sem_timedwait_on(sem, until);
}

static PA_ASIDE int sem_clockwait_on(sem_t *sem, clockid_t clock, const struct timespec *until)
{
	PA_HEAP_CALLER(caller);
	sem_clockwait_fn *real = (sem_clockwait_fn *)pa_real_get(PA_REAL_sem_clockwait);
	struct pa_lock_call call = sem_call(sem, PA_REAL_sem_clockwait);
	int ret;

	if (!real)
		return no_such_call();
	if (is_early() || !looks_empty(sem))
		return real(sem, clock, until);
	pa_lock_begin_hook(&call, &caller);
	ret = real(sem, clock, until);
	sem_end(&call, &caller, ret);
	return ret;
}

PA_EXPORT int pa_hook_sem_clockwait(sem_t *sem, clockid_t clock, const struct timespec *until)
{
	sem_clockwait_fn *real = (sem_clockwait_fn *)pa_load_relaxed(&pa_real_table[PA_REAL_sem_clockwait]);

	if (real && is_off())
		return real(sem, clock, until);
	return sem_clockwait_on(sem, clock, until);
}

/* ---- threads ---------------------------------------------------------------------------------------------------- */

static PA_ASIDE int join_on(pthread_t thread, void **result)
{
	PA_HEAP_CALLER(caller);
	struct pa_lock_call call = call_of(PA_LOCK_JOIN, (const void *)(uintptr_t)thread, 0, PA_REAL_pthread_join);
	int ret;

	if (!call.real)
		return ENOSYS;
	call.held = 0;
	pa_lock_begin_hook(&call, &caller);
	ret = PA_REAL(pthread_join)(thread, result);
	pa_lock_end_hook(&call, &caller, outcome_of(ret));
	return ret;
}

PA_EXPORT int pthread_join(pthread_t thread, void **result)
{
	if (is_off())
		return PA_NEXT(pthread_join)(thread, result);
	return join_on(thread, result);
}
