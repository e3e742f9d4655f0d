/* Names addresses of an ELF file spread evenly over its code, and says how fast: opening, the first 10 000 from cold,
 * then 100 000 others that have not been asked before, and the same again. With -v prints the levels of the addresses
 * given, in the form of `addr2line -i -f -C`.
 * Usage: bench_symbolize FILE | bench_symbolize -v FILE ADDRESS...   World: plain. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "collector/elf.h"
#include "collector/symbolize.h"

#define COLD   10000u
#define WARM   100000u
#define LEVELS 64

static double now_s(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void print_levels(struct pa_symmod *m, uint64_t address)
{
	struct pa_symbol levels[LEVELS];
	size_t nr = pa_symbolize(m, address, levels, LEVELS);

	for (size_t i = 0; i < nr; i++)
		printf("%s\n%s:%u\n", levels[i].function, levels[i].file ? levels[i].file : "??", levels[i].line);
	if (!nr)
		printf("??\n??:0\n");
}

/* The address that lies at part/parts of all code. */
static uint64_t pick(const struct pa_ranges *code, uint64_t bytes, uint64_t part, uint64_t parts)
{
	uint64_t at = (uint64_t)((unsigned __int128)bytes * part / parts);

	for (size_t i = 0; i < code->nr; i++) {
		uint64_t size = code->ranges[i].hi - code->ranges[i].lo;

		if (at < size)
			return code->ranges[i].lo + at;
		at -= size;
	}
	return 0;
}

struct round {
	size_t named;
	size_t levels;
	double seconds; /* of the wall clock */
	double cpu_s;
};

static struct round run(struct pa_symmod *m, const struct pa_ranges *code, uint64_t bytes, uint64_t nr, uint64_t offset)
{
	struct pa_symbol levels[LEVELS];
	struct round r = {.seconds = -now_s(CLOCK_MONOTONIC), .cpu_s = -now_s(CLOCK_PROCESS_CPUTIME_ID)};

	for (uint64_t i = 0; i < nr; i++) {
		/* a stride that visits the parts out of order, as samples come */
		uint64_t part = i * 61813 % nr;
		size_t n = pa_symbolize(m, pick(code, bytes, part * 4 + offset, nr * 4), levels, LEVELS);

		r.named += n > 0;
		r.levels += n;
	}
	r.seconds += now_s(CLOCK_MONOTONIC);
	r.cpu_s += now_s(CLOCK_PROCESS_CPUTIME_ID);
	return r;
}

static void print_round(const char *what, uint64_t nr, struct round r)
{
	printf("%-28s %8.3f s  %8.3f s CPU  %9.0f addresses/s CPU  %5.1f %% named  %.2f levels\n", what, r.seconds,
	       r.cpu_s, (double)nr / r.cpu_s, 100.0 * (double)r.named / (double)nr,
	       r.named ? (double)r.levels / (double)r.named : 0);
}

static int measure(const char *path, const struct pa_module_ref *ref)
{
	struct pa_symbolizer *s = pa_symbolizer_new();
	struct pa_ranges code = {0};
	struct rusage usage;
	struct pa_symmod *m;
	struct pa_elf e;
	uint64_t bytes = 0;
	double start = now_s(CLOCK_MONOTONIC), opened;

	if (!s || pa_elf_open(&e, path, -1) || pa_elf_code_ranges(e.elf, &code) || pa_ranges_flatten(&code))
		return 2;
	m = pa_symbolizer_module(s, ref);
	opened = now_s(CLOCK_MONOTONIC) - start;
	for (size_t i = 0; i < code.nr; i++)
		bytes += code.ranges[i].hi - code.ranges[i].lo;
	if (!m || !bytes)
		return 2;
	printf("%s: %s, %" PRIu64 " bytes of code, opened in %.3f s\n", path,
	       pa_symbol_status_name(pa_symmod_status(m)), bytes, opened);
	print_round("first 10 000, cold", COLD, run(m, &code, bytes, COLD, 0));
	print_round("100 000, units still cold", WARM, run(m, &code, bytes, WARM, 1));
	print_round("100 000 others, warm", WARM, run(m, &code, bytes, WARM, 2));
	getrusage(RUSAGE_SELF, &usage);
	printf("%-28s %8ld MiB\n", "peak memory", usage.ru_maxrss / 1024);
	pa_ranges_fini(&code);
	pa_elf_close(&e);
	pa_symbolizer_free(s);
	return 0;
}

int main(int argc, char **argv)
{
	bool verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
	struct pa_module_ref ref = {.path = argv[argc > 1 ? 1 + verbose : 0], .fd = -1};
	struct pa_symbolizer *s;
	struct pa_symmod *m;

	if (argc < 2 + verbose || ref.path[0] != '/') {
		fprintf(stderr, "usage: bench_symbolize [-v] /FILE [ADDRESS...]\n");
		return 2;
	}
	if (!verbose)
		return measure(ref.path, &ref);
	s = pa_symbolizer_new();
	m = s ? pa_symbolizer_module(s, &ref) : NULL;
	for (int i = 3; m && i < argc; i++)
		print_levels(m, strtoull(argv[i], NULL, 16));
	pa_symbolizer_free(s);
	return m ? 0 : 2;
}
