/* What the agent costs a target in memory, for the test to compare: sums over /proc/self/smaps. */
#ifndef PA_TESTS_SMAPS_H
#define PA_TESTS_SMAPS_H

#include <stdio.h>
#include <string.h>

#include "tests/targets/target.h"

/* Into memory.txt: KiB of all mappings, and of them what the rings take. Returns 0, or else a status. */
static inline int target_write_memory(void)
{
	static char line[4096], name[4096];
	unsigned long start, end, kib, size = 0, rss = 0, ring_size = 0, ring_rss = 0;
	FILE *in = fopen("/proc/self/smaps", "re");
	FILE *out = fopen("memory.txt", "we");

	target_need(in && out, "smaps");
	while (fgets(line, sizeof line, in)) {
		if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %4000[^\n]", &start, &end, name) >= 2 && line[0] != 'S') {
			if (!strchr(line, '/'))
				name[0] = 0;
			size += (end - start) / 1024;
			ring_size += strstr(name, "memfd:") ? (end - start) / 1024 : 0;
		} else if (sscanf(line, "Rss: %lu kB", &kib) == 1) {
			rss += kib;
			ring_rss += strstr(name, "memfd:") ? kib : 0;
		}
	}
	fprintf(out, "size=%lu rss=%lu ring_size=%lu ring_rss=%lu\n", size, rss, ring_size, ring_rss);
	return fclose(out) || fclose(in);
}

#endif
