// C++'s operators: plain, array, nothrow, sized, aligned, failing; containers, strings, exceptions, shared pointers.
// Prints nothing that depends on addresses.
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <new>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#define NOINLINE __attribute__((noinline))

struct alignas(128) Wide {
	char bytes[384];
};

static void *volatile keep;
static volatile std::size_t opaque_max = PTRDIFF_MAX;

template <typename F> static void show(const char *what, std::size_t align, F make)
{
	errno = 1234;
	try {
		void *p = make();
		keep = p;
		std::printf("%s: %s aligned %d errno %d\n", what, p ? "block" : "null",
			    reinterpret_cast<uintptr_t>(p) % align == 0, errno);
	} catch (const std::bad_alloc &e) {
		std::printf("%s: bad_alloc errno %d\n", what, errno);
	}
}

static void operators()
{
	show("new", 16, [] { return ::operator new(100); });
	::operator delete(keep, std::size_t(100));
	show("new 0", 16, [] { return ::operator new(0); });
	::operator delete(keep);
	show("new[]", 16, [] { return ::operator new[](1000); });
	::operator delete[](keep, std::size_t(1000));
	show("nothrow", 16, [] { return ::operator new(77, std::nothrow); });
	::operator delete(keep, std::nothrow);
	for (std::size_t align = 32; align <= 65536; align *= 2) {
		show("aligned", align, [=] { return ::operator new(3 * align, std::align_val_t(align)); });
		::operator delete(keep, 3 * align, std::align_val_t(align));
		show("aligned nothrow", align,
		     [=] { return ::operator new[](5, std::align_val_t(align), std::nothrow); });
		::operator delete[](keep, std::align_val_t(align));
	}
	show("too much", 16, [] { return ::operator new(opaque_max); });
	show("too much nothrow", 16, [] { return ::operator new(opaque_max, std::nothrow); });
	show("too much aligned", 16, [] { return ::operator new(opaque_max, std::align_val_t(64)); });
	show("Wide", 128, [] { return static_cast<void *>(new Wide); });
	delete static_cast<Wide *>(keep);
}

// a handler that frees a reserve, as programs do
static char *reserve;
static int handled;
static void on_no_memory()
{
	handled++;
	delete[] reserve;
	reserve = nullptr;
	std::set_new_handler(nullptr);
}

NOINLINE static uint64_t containers(unsigned rounds)
{
	uint64_t sum = 0;
	std::map<std::string, std::vector<uint64_t>> by_name;
	std::unordered_map<uint64_t, std::shared_ptr<std::string>> by_number;
	std::deque<std::unique_ptr<uint64_t>> queue;
	std::list<std::string> texts;

	for (unsigned i = 0; i < rounds; i++) {
		std::string name = "a name that is too long for the small buffer " + std::to_string(i % 997);
		by_name[name].push_back(i);
		by_number[i % 1511] = std::make_shared<std::string>(name);
		queue.push_back(std::make_unique<uint64_t>(i));
		if (queue.size() > 300)
			queue.pop_front();
		if (i % 3 == 0)
			texts.push_back(name + name);
		if (texts.size() > 100)
			texts.pop_front();
	}
	for (auto &e : by_name)
		sum += e.second.size() * e.first.size();
	for (auto &e : by_number)
		sum += e.second->size();
	return sum + queue.size() + texts.size();
}

NOINLINE static void throw_deep(unsigned depth, const std::string &text)
{
	std::string local = text + std::to_string(depth);
	if (depth == 0)
		throw std::runtime_error(local);
	throw_deep(depth - 1, local);
	std::printf("never\n");
}

NOINLINE static uint64_t exceptions(unsigned rounds)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < rounds; i++)
		try {
			throw_deep(i % 20, "thrown ");
		} catch (const std::runtime_error &e) {
			sum += std::string(e.what()).size();
		}
	return sum;
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? std::stoul(argv[1]) : 20000;

	operators();
	reserve = new char[1999993];
	std::set_new_handler(on_no_memory);
	show("too much, handled", 16, [] { return ::operator new(opaque_max); });
	std::printf("handler ran %d times\n", handled);
	std::printf("containers %llu\n", (unsigned long long)containers(rounds));
	std::printf("exceptions %llu\n", (unsigned long long)exceptions(rounds / 10));
	uint64_t sums[4] = {};
	std::vector<std::thread> threads;
	for (auto &sum : sums)
		threads.emplace_back([&sum, rounds] { sum = containers(rounds / 4) + exceptions(rounds / 40); });
	for (auto &t : threads)
		t.join();
	std::printf("threads %llu\n", (unsigned long long)std::accumulate(sums, sums + 4, uint64_t(0)));
	return 0;
}
