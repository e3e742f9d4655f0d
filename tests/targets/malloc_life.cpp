// Allocates at every moment of a program's and a thread's life (rows R44, R50): in the resolver of an indirect
// function, in libraries' and static constructors, in atexit, in destructors of thread locals, keys, statics and
// libraries. Blocks made before the agent is there are used, grown and freed after. What main itself makes is booked.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

extern "C" {
extern void *mallocearly_constructed;
void *mallocearly_resolved(int which);
int mallocearly_one(void);
}

static void say(const char *text)
{
	if (write(1, text, strlen(text)) < 0)
		_exit(97);
}

// ---- before main

static void *from_resolver[2];

static int seven()
{
	return 7;
}

extern "C" {
static int (*resolve_seven())()
{
	from_resolver[0] = malloc(4321);
	from_resolver[1] = calloc(1, 1234);
	return seven;
}
int indirect_seven() __attribute__((ifunc("resolve_seven")));
}

struct Static {
	std::string text;
	std::vector<int> numbers;
	Static() : text(5000, 's'), numbers(1000, 5)
	{
	}
	~Static()
	{
		std::string more = text + text;
		numbers.resize(50000);
		free(malloc(numbers.size()));
		if (more.size() == 10000)
			say("a static's destructor has allocated\n");
	}
};
static Static before_main;

// ---- the end of a thread

struct Local {
	std::string *text = nullptr;
	~Local()
	{
		for (int i = 0; i < 100; i++) {
			std::string s(2000 + i, 'l');
			text->append(s);
		}
		delete text;
	}
};
static thread_local Local local;

static pthread_key_t key;

// runs again as long as it sets its value again
static void on_key(void *value)
{
	static thread_local int rounds;
	char *p = static_cast<char *>(realloc(value, 100 + 1000 * (rounds + 1)));

	if (++rounds < 4)
		pthread_setspecific(key, p);
	else
		free(p);
	free(malloc(64));
}

static void thread_work(int n)
{
	local.text = new std::string(1000, 'x');
	pthread_setspecific(key, calloc(1, 100));
	std::vector<std::string> texts;
	for (int i = 0; i < n; i++)
		texts.push_back(std::string(static_cast<size_t>(100 + i), 't'));
}

// ---- the end of the program

static void at_exit()
{
	std::vector<std::string> texts(100, std::string(300, 'e'));
	std::thread(thread_work, 10).join(); // threads at exit
	if (texts.size() == 100)
		say("atexit has allocated\n");
}

__attribute__((destructor)) static void at_fini()
{
	free(realloc(malloc(10), 5000));
	say("a destructor has allocated\n");
}

static bool holds(const void *p, int c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (static_cast<const char *>(p)[i] != c)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	std::printf("resolver of the program: %d, blocks %d %d\n", indirect_seven(), from_resolver[0] != nullptr,
		    holds(from_resolver[1], 0, 1234));
	std::printf("resolver of the library: %d, blocks %d %d %d %d\n", mallocearly_one(),
		    mallocearly_resolved(0) != nullptr, holds(mallocearly_resolved(1), 0, 3333),
		    mallocearly_resolved(2) != nullptr, mallocearly_resolved(3) != nullptr);
	memset(mallocearly_resolved(0), 'r', 1111);
	void *grown = realloc(mallocearly_resolved(0), 111111);
	std::printf("grown %d, usable %d %d\n", holds(grown, 'r', 1111), malloc_usable_size(grown) >= 111111,
		    malloc_usable_size(mallocearly_resolved(2)) >= 2222);
	free(grown);
	void *shrunk = realloc(mallocearly_resolved(1), 30);
	std::printf("shrunk %d\n", holds(shrunk, 0, 30));
	free(shrunk);
	free(mallocearly_resolved(2));
	std::printf("to zero %d\n", realloc(mallocearly_resolved(3), 0) == nullptr);
	std::printf("constructed %d\n", holds(mallocearly_constructed, 'c', 3000));
	free(reallocarray(mallocearly_constructed, 10, 3000));
	free(from_resolver[0]);
	free(from_resolver[1]);
	std::printf("static %zu %zu\n", before_main.text.size(), before_main.numbers.size());
	for (int i = 0; i < 10; i++) {
		void *lib = dlopen("libm.so.6", RTLD_NOW);
		bool found = lib && dlsym(lib, "cos"), missing = !dlsym(lib, "no_such_symbol") && dlerror();
		if (!found || !missing)
			std::printf("libm is not as it should be\n");
		dlclose(lib);
	}
	pthread_key_create(&key, on_key);
	std::atexit(at_exit);
	for (int round = 0; round < 20; round++) {
		std::vector<std::thread> threads;
		for (int i = 0; i < 4; i++)
			threads.emplace_back(thread_work, 50);
		for (auto &t : threads)
			t.join();
	}
	std::printf("threads have ended\n");
	std::fflush(stdout);
	if (argc > 1 && !strcmp(argv[1], "quick_exit"))
		std::quick_exit(3);
	if (argc > 1 && !strcmp(argv[1], "pthread_exit")) {
		local.text = new std::string("main's");
		pthread_setspecific(key, calloc(1, 100));
		pthread_exit(nullptr);
	}
	return 4;
}
