// Threads that end early: cancelled, by pthread_exit, with cleanup handlers and C++ destructors on the way, and with
// destructors of thread-specific data that allocate (R9, R44).
#include <atomic>

#include "tests/targets/target.h"

static std::atomic<int> destructed, cleaned, tsd_runs;

struct Witness {
	~Witness()
	{
		destructed++;
	}
};

static void on_cleanup(void *)
{
	cleaned++;
	target_spin(1000);
}

__attribute__((noinline)) static void wait_for_cancel(int depth)
{
	Witness witness;
	if (depth > 0) {
		wait_for_cancel(depth - 1);
		target_spin(1);
		return;
	}
	for (;;) {
		target_spin(5000);
		pthread_testcancel();
	}
}

static void *cancelled_thread(void *)
{
	Witness witness;
	pthread_cleanup_push(on_cleanup, nullptr);
	wait_for_cancel(10);
	pthread_cleanup_pop(0);
	return nullptr;
}

static void *sleeping_thread(void *)
{
	Witness witness;
	pthread_cleanup_push(on_cleanup, nullptr);
	sleep(1000);
	pthread_cleanup_pop(0);
	return nullptr;
}

// Asynchronous: the cancellation may come at any instruction, the sampling handler's included.
static void *async_thread(void *)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
	for (;;)
		target_spin(100000);
	return nullptr;
}

static int cancel_all(void *(*fn)(void *), int nr, useconds_t after_us)
{
	int cancelled = 0;
	for (int i = 0; i < nr; i++) {
		pthread_t threads[4];
		for (pthread_t &t : threads)
			target_need(pthread_create(&t, nullptr, fn, nullptr) == 0, "pthread_create");
		usleep(after_us);
		for (pthread_t &t : threads)
			pthread_cancel(t);
		for (pthread_t &t : threads) {
			void *result = nullptr;
			pthread_join(t, &result);
			cancelled += result == PTHREAD_CANCELED;
		}
	}
	return cancelled;
}

static int mode_cancel(int argc, char **argv)
{
	int n = cancel_all(cancelled_thread, 20, 12000);
	printf("spinning: cancelled %d cleaned %d destructed %d\n", n, cleaned.load(), destructed.load());
	n = cancel_all(sleeping_thread, 20, 1000);
	printf("sleeping: cancelled %d cleaned %d destructed %d\n", n, cleaned.load(), destructed.load());
	return 0;
}

static int mode_async(int argc, char **argv)
{
	printf("async: cancelled %d\n", cancel_all(async_thread, 20, 12000));
	return 0;
}

__attribute__((noinline)) static void exit_from_below(int depth, void *value)
{
	Witness witness;
	if (depth == 0)
		pthread_exit(value);
	exit_from_below(depth - 1, value);
	target_spin(1);
}

static void *exiting_thread(void *arg)
{
	Witness witness;
	pthread_cleanup_push(on_cleanup, nullptr);
	target_burn_ms(15);
	exit_from_below(6, arg);
	pthread_cleanup_pop(0);
	return nullptr;
}

static pthread_key_t keys[40];

// Comes again until the library gives up, and allocates each time: the agent may be gone from this thread already.
static void tsd_destructor(void *value)
{
	long round = (long)value & 0xff;
	free(malloc(1000 + (size_t)round));
	target_burn_ms(1);
	tsd_runs++;
	if (round < 8)
		pthread_setspecific(keys[((long)value >> 8) % 40], (void *)((long)value + 1));
}

struct Local {
	char *text = nullptr;
	~Local()
	{
		free(text);
		free(malloc(333));
		target_burn_ms(1);
		destructed++;
	}
};

static thread_local Local local;

static void *tsd_thread(void *)
{
	local.text = (char *)malloc(77);
	for (long i = 0; i < 40; i++)
		pthread_setspecific(keys[i], (void *)(i << 8 | 1));
	target_burn_ms(10);
	return nullptr;
}

static int mode_exit(int argc, char **argv)
{
	long sum = 0;
	for (long i = 0; i < 40; i++) {
		pthread_t t;
		void *value = nullptr;
		target_need(pthread_create(&t, nullptr, exiting_thread, (void *)i) == 0, "pthread_create");
		pthread_join(t, &value);
		sum += (long)value;
	}
	printf("exited: sum %ld cleaned %d destructed %d\n", sum, cleaned.load(), destructed.load());
	return 0;
}

static int mode_tsd(int argc, char **argv)
{
	for (pthread_key_t &key : keys)
		target_need(pthread_key_create(&key, tsd_destructor) == 0, "pthread_key_create");
	for (int i = 0; i < 5; i++) {
		pthread_t t;
		target_need(pthread_create(&t, nullptr, tsd_thread, nullptr) == 0, "pthread_create");
		pthread_join(t, nullptr);
	}
	printf("tsd runs %d destructed %d\n", tsd_runs.load(), destructed.load());
	return 0;
}

static void *outliving_thread(void *)
{
	usleep(20000);
	target_burn_ms(100);
	printf("the last thread speaks, cleaned %d\n", cleaned.load());
	fflush(stdout);
	return nullptr;
}

// pthread_exit from main: the process goes on until its last thread ends, with status 0.
static int mode_main_exit(int argc, char **argv)
{
	pthread_t t;
	target_need(pthread_create(&t, nullptr, outliving_thread, nullptr) == 0, "pthread_create");
	pthread_cleanup_push(on_cleanup, nullptr);
	exit_from_below(3, nullptr);
	pthread_cleanup_pop(0);
	return 5;
}

static const struct target_mode modes[] = {{"cancel", mode_cancel}, {"async", mode_async},         {"exit", mode_exit},
					   {"tsd", mode_tsd},       {"main_exit", mode_main_exit}, {nullptr, nullptr}};

int main(int argc, char **argv)
{
	return target_main(modes, argc, argv);
}
