/* pthread_create and thrd_create, and the end of threads. World: hook. */
#include "agent/hooks_thread.h"

#include <pthread.h>
#include <stdbool.h>
#include <threads.h>

#include "agent/arena.h"
#include "agent/real.h"
#include "agent/session.h"
#include "agent/signal.h"
#include "agent/thread.h"

/* libc keeps the first 32 keys' values inside the thread: storing there allocates nothing. */
#define INLINE_KEYS 32
/* Rounds of destructors libc runs (PTHREAD_DESTRUCTOR_ITERATIONS is 4); we leave in the third, after the host's. */
#define LAST_ROUND 3

static pthread_key_t key;
static bool have_key;

typedef int setspecific_fn(pthread_key_t, const void *);
typedef int key_create_fn(pthread_key_t *, void (*)(void *));
typedef int attr_fn(const pthread_attr_t *, size_t *);
typedef int attr_init_fn(pthread_attr_t *);

static setspecific_fn *real_setspecific;
static attr_fn *real_getstacksize;
static attr_init_fn *real_attr_init;

static void at_thread_end(void *value)
{
	uintptr_t round = (uintptr_t)value;

	if (round < LAST_ROUND)
		real_setspecific(key, (void *)(round + 1));
	else
		pa_thread_leave_hook();
}

void pa_hooks_thread_init(void)
{
	key_create_fn *create = (key_create_fn *)pa_real_lookup("pthread_key_create");

	real_setspecific = (setspecific_fn *)pa_real_lookup("pthread_setspecific");
	real_getstacksize = (attr_fn *)pa_real_lookup("pthread_attr_getstacksize");
	real_attr_init = (attr_init_fn *)pa_real_lookup("pthread_attr_init");
	have_key = create && real_setspecific && create(&key, at_thread_end) == 0 && key < INLINE_KEYS;
}

bool pa_hooks_thread_watch_hook(void)
{
	return have_key && real_setspecific(key, (void *)1) == 0;
}

static size_t stack_size(const pthread_attr_t *attr)
{
	pthread_attr_t defaults;
	size_t bytes = 0;

	if (!real_getstacksize || !real_attr_init)
		return 0;
	/* an initialised attribute answers with the default: no call of libc's names it without allocating */
	if (!attr && real_attr_init(&defaults) == 0)
		attr = &defaults;
	if (!attr || real_getstacksize(attr, &bytes) != 0)
		return 0;
	return bytes;
}

/* A block for the thread about to be made, or NULL: then it starts without the agent. */
static struct pa_block *prepare(uint64_t start, void *arg, const pthread_attr_t *attr)
{
	struct pa_block *block;

	pa_session_adopt_hook();
	pa_thread_adopt_hook();
	if (!pa_session_sampling_sig() || !pa_session_is_mine_hook())
		return NULL;
	block = pa_arena_take_sig();
	if (!block)
		return NULL;
	block->start_routine = start;
	block->start_arg = arg;
	block->stack.lo = stack_size(attr); /* made into bounds by the thread itself */
	pa_signal_inherit_hook(attr, block->inherit_blocks);
	return block;
}

static void *begin(struct pa_block *block)
{
	uint64_t top = (uint64_t)__builtin_thread_pointer();
	uint64_t bytes = block->stack.lo;

	/* libc places the thread's control block at the top of its stack */
	if (bytes && bytes < top) {
		block->stack.lo = top - bytes;
		block->stack.hi = top;
	} else {
		block->stack.lo = 0;
	}
	if (have_key)
		real_setspecific(key, (void *)1);
	pa_thread_enter_hook(block);
	return block->start_arg;
}

static void *run_pthread(void *arg)
{
	struct pa_block *block = arg;
	void *(*start)(void *) = (void *(*)(void *))block->start_routine;
	void *ret = start(begin(block));

	if (!have_key)
		pa_thread_leave_hook();
	return ret;
}

static int run_thrd(void *arg)
{
	struct pa_block *block = arg;
	thrd_start_t start = (thrd_start_t)block->start_routine;
	int ret = start(begin(block));

	if (!have_key)
		pa_thread_leave_hook();
	return ret;
}

PA_EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
	struct pa_block *block = prepare((uint64_t)start, arg, attr);
	int err;

	if (!block)
		return PA_REAL(pthread_create)(thread, attr, start, arg);
	err = PA_REAL(pthread_create)(thread, attr, run_pthread, block);
	if (err)
		pa_arena_put_sig(block);
	return err;
}

PA_EXPORT int thrd_create(thrd_t *thread, thrd_start_t start, void *arg)
{
	struct pa_block *block = prepare((uint64_t)start, arg, NULL);
	int err;

	if (!block)
		return PA_REAL(thrd_create)(thread, start, arg);
	err = PA_REAL(thrd_create)(thread, run_thrd, block);
	if (err != thrd_success)
		pa_arena_put_sig(block);
	return err;
}
