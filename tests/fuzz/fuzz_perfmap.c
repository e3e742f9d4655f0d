/* Any bytes as a perf-map file. What is found must be clean text. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "collector/symbolize.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pa_perfmap *map = pa_perfmap_parse((const char *)data, size);
	uint64_t address = 0;

	if (!map)
		return 0;
	if (pa_perfmap_rejected(map) > size)
		abort();
	for (size_t i = 0; i < size; i++) {
		const char *name;

		address = address << 8 | data[i];
		name = pa_perfmap_lookup(map, address);
		if (name && (!name[0] || strpbrk(name, "\n\r\x1b\x7f")))
			abort();
	}
	pa_perfmap_free(map);
	return 0;
}
