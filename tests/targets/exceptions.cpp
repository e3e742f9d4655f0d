// C++ exceptions while sampled: nested, rethrown, through destructors, from four threads.
#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/targets/target.h"

static std::atomic<long> alive;

struct Guard {
	int depth;
	explicit Guard(int d) : depth(d)
	{
		alive++;
	}
	~Guard()
	{
		alive--;
	}
};

struct Deep : std::runtime_error {
	int depth;
	Deep(const char *what, int d) : std::runtime_error(what), depth(d)
	{
	}
};

__attribute__((noinline)) static int descend(int depth, bool nested)
{
	Guard guard(depth);
	target_spin(20);
	if (depth == 0)
		throw Deep("bottom", 0);
	try {
		return descend(depth - 1, nested) + 1;
	} catch (const Deep &e) {
		if (depth % 4)
			throw;
		if (!nested)
			throw Deep("again", e.depth + 1);
		try {
			throw std::logic_error("inner");
		} catch (const std::logic_error &) {
			throw Deep("nested", e.depth + 1);
		}
	}
}

static void storm(uint64_t ms, long *wrong)
{
	uint64_t end = target_clock_ns(CLOCK_THREAD_CPUTIME_ID) + ms * 1000000u;
	for (unsigned i = 0; target_clock_ns(CLOCK_THREAD_CPUTIME_ID) < end; i++) {
		try {
			descend(12, i & 1);
			++*wrong;
		} catch (const Deep &e) {
			*wrong += e.depth != 3;
		}
	}
}

static int mode_storm(int argc, char **argv)
{
	long wrong[4] = {0};
	std::vector<std::thread> threads;
	unsigned ms = target_number(argc, argv, 1, 300);
	for (long &w : wrong)
		threads.emplace_back(storm, ms, &w);
	for (std::thread &t : threads)
		t.join();
	printf("wrong %ld, alive %ld\n", wrong[0] + wrong[1] + wrong[2] + wrong[3], alive.load());
	return 0;
}

static int mode_once(int argc, char **argv)
{
	try {
		descend(8, true);
	} catch (const std::exception &e) {
		printf("caught %s\n", e.what());
	}
	return 0;
}

static int mode_terminate(int argc, char **argv)
{
	target_burn_ms(50);
	throw std::runtime_error("nobody catches this");
}

static const struct target_mode modes[] = {
    {"storm", mode_storm}, {"once", mode_once}, {"terminate", mode_terminate}, {nullptr, nullptr}};

int main(int argc, char **argv)
{
	return target_main(modes, argc, argv);
}
