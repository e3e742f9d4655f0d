// Replaces operator new alone (row R49): by an arena that it takes from malloc in pieces of 1 MiB, as many programs do.
// What new hands out the allocator never sees; malloc beside it it sees as ever.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <vector>

static std::mutex lock;
static char *piece;
static std::size_t left;
static unsigned long pieces, foreign;
static char *first_of[4096];

__attribute__((noinline)) static char *arena_piece()
{
	char *p = static_cast<char *>(std::malloc(1 << 20));
	first_of[pieces++] = p;
	return p;
}

void *operator new(std::size_t size)
{
	std::lock_guard<std::mutex> guard(lock);
	size = (size + 15) & ~std::size_t(15);
	if (size > (1 << 20))
		throw std::bad_alloc();
	if (left < size) {
		piece = arena_piece();
		left = 1 << 20;
	}
	left -= size;
	return piece + left;
}

void operator delete(void *p) noexcept
{
	std::lock_guard<std::mutex> guard(lock);
	bool ours = !p;
	for (unsigned long i = pieces; i-- > 0 && !ours;)
		ours = p >= first_of[i] && p < first_of[i] + (1 << 20);
	foreign += !ours;
}

void operator delete(void *p, std::size_t) noexcept
{
	operator delete(p);
}

static void work()
{
	std::map<int, std::string> texts;
	for (int i = 0; i < 3000; i++) {
		texts[i % 100] = std::string(100 + i % 100, 'x');
		void *beside = std::malloc(333);
		auto shared = std::make_shared<std::vector<int>>(50, i);
		std::free(beside);
	}
}

int main()
{
	std::vector<std::thread> threads;
	for (int i = 0; i < 3; i++)
		threads.emplace_back(work);
	for (auto &t : threads)
		t.join();
	std::printf("pieces %d, foreign %lu\n", pieces > 1, foreign);
	return foreign != 0;
}
