/* Programs that load and unload libraries while they are sampled. The libraries are copies of plug0..7.so beside the
 * program (argv) or lib_*.so from its own directory. */
#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <link.h>

#include "tests/targets/target.h"

#define NR_PLUGS 8

static char here[PATH_MAX];

static void find_here(void)
{
	ssize_t len = readlink("/proc/self/exe", here, sizeof here - 1);

	target_need(len > 0, "readlink");
	here[len] = 0;
	dirname(here);
}

static const char *beside(char *out, size_t size, const char *format, int nr)
{
	int len = snprintf(out, size, "%s/", here);

	snprintf(out + len, size - (size_t)len, format, nr);
	return out;
}

static void copy_file(const char *from, const char *to)
{
	char command[2 * PATH_MAX + 32];

	snprintf(command, sizeof command, "cp '%s' '%s'", from, to);
	target_need(system(command) == 0, command);
}

struct storm {
	int nr;
	uint64_t end;
	unsigned long cycles;
	unsigned long wrong;
};

/* Loads this thread's two libraries by turns, so that each load maps and each unload unmaps. */
static void *storm_thread(void *arg)
{
	struct storm *storm = arg;
	char path[PATH_MAX + 32];

	for (unsigned i = 0; target_clock_ns(CLOCK_MONOTONIC) < storm->end; i++) {
		int nr = storm->nr * 2 + (int)(i & 1);
		void *lib = dlopen(beside(path, sizeof path, "plug%d.so", nr), RTLD_NOW | RTLD_LOCAL);
		int (*run)(unsigned) = lib ? (int (*)(unsigned))dlsym(lib, "plug_run") : NULL;

		if (!run || run(2000) != nr)
			storm->wrong++;
		if (lib)
			dlclose(lib);
		storm->cycles++;
	}
	return NULL;
}

static int mode_storm(int argc, char **argv)
{
	struct storm storm[4] = {0};
	pthread_t threads[4];
	unsigned long wrong = 0;

	for (int i = 0; i < 4; i++) {
		storm[i].nr = i;
		storm[i].end = target_clock_ns(CLOCK_MONOTONIC) + target_number(argc, argv, 1, 1500) * 1000000ull;
		target_need(pthread_create(&threads[i], NULL, storm_thread, &storm[i]) == 0, "pthread_create");
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		wrong += storm[i].wrong + (storm[i].cycles < 10);
	}
	printf("storm over, wrong %lu\n", wrong);
	return 0;
}

/* Burns in library `nr` from the same path each time: the file is replaced between, the mapping is reused. */
static uintptr_t run_replaced(const char *path, int nr)
{
	char from[PATH_MAX + 32], name[32], temp[64];
	uint64_t end, (*spin)(unsigned);
	struct link_map *map = NULL;
	uintptr_t base;
	void *lib;

	snprintf(temp, sizeof temp, "%s.new", path);
	copy_file(beside(from, sizeof from, "plug%d.so", nr), temp);
	target_need(rename(temp, path) == 0, "rename");
	lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	target_need(lib != NULL, "dlopen");
	snprintf(name, sizeof name, "plug_spin_%d", nr);
	spin = (uint64_t(*)(unsigned))dlsym(lib, name);
	target_need(spin && dlinfo(lib, RTLD_DI_LINKMAP, &map) == 0, name);
	base = map->l_addr;
	end = target_clock_ns(CLOCK_THREAD_CPUTIME_ID) + 300000000u;
	while (target_clock_ns(CLOCK_THREAD_CPUTIME_ID) < end)
		spin(50000);
	dlclose(lib);
	return base;
}

static int mode_replace(int argc, char **argv)
{
	uintptr_t first = run_replaced("./changing.so", 1);
	uintptr_t second = run_replaced("./changing.so", 2);

	printf("same address %d\n", first == second);
	return 0;
}

static int load_and_run(int flags, const char *format, int nr)
{
	char path[PATH_MAX + 32];
	void *lib = dlopen(beside(path, sizeof path, format, nr), flags);
	int (*run)(unsigned) = lib ? (int (*)(unsigned))dlsym(lib, "plug_run") : NULL;
	int got = -2;

	for (int i = 0; run && i < 100; i++)
		got = run(100000);
	printf("library %d: %s %d\n", nr, lib ? "loaded" : "not loaded", got);
	return lib ? dlclose(lib) : -1;
}

static int mode_deepbind(int argc, char **argv)
{
	load_and_run(RTLD_NOW | RTLD_DEEPBIND, "plug%d.so", 3);
	load_and_run(RTLD_LAZY | RTLD_DEEPBIND, "plug%d.so", 4);
	return 0;
}

/* A second namespace with a libc and a C++ library of its own, which allocates and throws while sampled. */
static int mode_dlmopen(int argc, char **argv)
{
	char path[PATH_MAX + 32];
	void *lib = dlmopen(LM_ID_NEWLM, beside(path, sizeof path, "plug%d.so", 5), RTLD_NOW);
	int (*run)(unsigned) = lib ? (int (*)(unsigned))dlsym(lib, "plug_run") : NULL;
	int wrong = 0;

	target_need(run != NULL, "dlmopen");
	for (uint64_t end = target_clock_ns(CLOCK_THREAD_CPUTIME_ID) + 400000000u;
	     target_clock_ns(CLOCK_THREAD_CPUTIME_ID) < end;)
		wrong += run(20000) != 5;
	printf("second namespace wrong %d, closed %d\n", wrong, dlclose(lib));
	return 0;
}

/* Found through the caller's RUNPATH only (F1): ld.so takes the caller from the return address. */
static int mode_runpath(int argc, char **argv)
{
	void *lib = dlopen("lib_symbolic.so", RTLD_NOW);
	int (*f)(int) = lib ? (int (*)(int))dlsym(lib, "symbolic_sum") : NULL;

	printf("by RUNPATH: %s, %d\n", lib ? "found" : dlerror(), f ? f(20000) : -1);
	target_burn_ms(100);
	return 0;
}

/* What dlsym and dlerror say to a program that asks; RTLD_NEXT from the program itself. */
static int mode_dlsym(int argc, char **argv)
{
	void *lib = dlopen("no-such-library-anywhere.so", RTLD_NOW);

	printf("missing library: %d %s\n", lib != NULL, dlerror());
	printf("no further error: %d\n", dlerror() == NULL);
	printf("missing symbol: %d\n", dlsym(RTLD_DEFAULT, "no_such_symbol_anywhere") != NULL);
	printf("error pending: %d, then %d\n", dlerror() != NULL, dlerror() != NULL);
	printf("weak names of others: %d %d\n", dlsym(RTLD_DEFAULT, "SSL_read") != NULL,
	       dlsym(RTLD_DEFAULT, "sqlite3_step") != NULL);
	printf("next malloc %d\n", dlsym(RTLD_NEXT, "malloc") != NULL);
	return 0;
}

static const struct target_mode modes[] = {
    {"storm", mode_storm},
    {"replace", mode_replace},
    {"deepbind", mode_deepbind},
    {"dlmopen", mode_dlmopen},
    {"runpath", mode_runpath},
    {"dlsym", mode_dlsym},
    {0},
};

int main(int argc, char **argv)
{
	find_here();
	return target_main(modes, argc, argv);
}
