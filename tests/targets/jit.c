/* Code that was made at run time: in no module, with and without a perf map, with a map full of rubbish (R15). */
#include <sys/mman.h>

#include "tests/targets/target.h"

typedef uint64_t (*jit_fn)(uint64_t rounds);

#if defined(__x86_64__)
/* xor eax,eax; 1: add rax,rdi; ror rax,7; dec rdi; jnz 1b; ret */
static const unsigned char spin_plain[] = {0x31, 0xc0, 0x48, 0x01, 0xf8, 0x48, 0xc1, 0xc8,
					   0x07, 0x48, 0xff, 0xcf, 0x75, 0xf4, 0xc3};
/* the same behind push rbp; mov rbp,rsp ... pop rbp */
static const unsigned char spin_framed[] = {0x55, 0x48, 0x89, 0xe5, 0x31, 0xc0, 0x48, 0x01, 0xf8, 0x48,
					    0xc1, 0xc8, 0x07, 0x48, 0xff, 0xcf, 0x75, 0xf4, 0x5d, 0xc3};
#else
/* 1: subs x0,x0,#1; b.ne 1b; ret */
static const unsigned char spin_plain[] = {0x00, 0x04, 0x00, 0xf1, 0xe1, 0xff, 0xff, 0x54, 0xc0, 0x03, 0x5f, 0xd6};
#define spin_framed spin_plain
#endif

static jit_fn make_code(const unsigned char *code, size_t len)
{
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	target_need(page != MAP_FAILED, "mmap");
	memcpy(page + 256, code, len);
	target_need(mprotect(page, 8192, PROT_READ | PROT_EXEC) == 0, "mprotect");
	__builtin___clear_cache(page, page + 8192);
	return (jit_fn)(uintptr_t)(page + 256);
}

static void run_code(jit_fn fn, unsigned ms)
{
	uint64_t end = target_clock_ns(CLOCK_THREAD_CPUTIME_ID) + ms * 1000000ull;

	while (target_clock_ns(CLOCK_THREAD_CPUTIME_ID) < end)
		fn(300000);
}

static FILE *open_map(const char *mode)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof path, "/tmp/perf-%d.map", (int)getpid());
	f = fopen(path, mode);
	target_need(f != NULL, path);
	return f;
}

/* The test removes the map; its name goes into a file of the working directory. */
static void tell_map(void)
{
	FILE *f = fopen("map.txt", "w");

	target_need(f && fprintf(f, "/tmp/perf-%d.map\n", (int)getpid()) > 0 && fclose(f) == 0, "map.txt");
}

static int mode_nomap(int argc, char **argv)
{
	run_code(make_code(spin_plain, sizeof spin_plain), 200);
	run_code(make_code(spin_framed, sizeof spin_framed), 200);
	printf("done\n");
	return 0;
}

static int mode_map(int argc, char **argv)
{
	jit_fn fn = make_code(spin_framed, sizeof spin_framed);
	FILE *f = open_map("w");

	tell_map();
	fprintf(f, "%lx %zx jitted function with spaces\n", (unsigned long)(uintptr_t)fn, sizeof spin_framed);
	fclose(f);
	run_code(fn, 300);
	printf("done\n");
	return 0;
}

/* Rewritten while running, 0x prefixes, numbers that overflow, lines without an end, control characters, overlaps. */
static int mode_rubbish(int argc, char **argv)
{
	jit_fn fn = make_code(spin_framed, sizeof spin_framed);
	FILE *f = open_map("w");

	tell_map();
	fprintf(f, "not a map at all\n%s\n-1 -1 minus\nffffffffffffffffffff 10 overflow\n0 0\n\n", "zz zz zz");
	fprintf(f, "%lx ffffffffffffffff swallows everything\n", (unsigned long)(uintptr_t)fn - 16);
	for (int i = 0; i < 20000; i++)
		fprintf(f, "%x %x entry %d \033[31m;\001\377\n", i * 16, 32, i);
	fflush(f);
	run_code(fn, 150);
	rewind(f);
	fprintf(f, "0x%lx 0x%zx rewritten;jit\n", (unsigned long)(uintptr_t)fn, sizeof spin_framed);
	target_need(fflush(f) == 0 && ftruncate(fileno(f), ftell(f)) == 0, "ftruncate");
	fprintf(f, "1000 20 the last line has no end");
	fclose(f);
	run_code(fn, 150);
	printf("done\n");
	return 0;
}

/* The code goes away, other code takes its place: walks through either must end. */
static int mode_unmapped(int argc, char **argv)
{
	for (int i = 0; i < 40; i++) {
		jit_fn fn = make_code(i & 1 ? spin_plain : spin_framed, i & 1 ? sizeof spin_plain : sizeof spin_framed);

		run_code(fn, 10);
		munmap((void *)((uintptr_t)fn & ~(uintptr_t)4095), 8192);
	}
	printf("done\n");
	return 0;
}

static const struct target_mode modes[] = {
    {"nomap", mode_nomap}, {"map", mode_map}, {"rubbish", mode_rubbish}, {"unmapped", mode_unmapped}, {0}};

int main(int argc, char **argv)
{
	return target_main(modes, argc, argv);
}
