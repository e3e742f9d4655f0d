/* Any bytes as a name. The result must be terminated within its bounds and free of control characters. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "collector/demangle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *name = malloc(size + 1);
	char out[PA_NAME_MAX];
	size_t len;

	if (!name)
		return 0;
	memcpy(name, data, size);
	name[size] = 0;
	len = pa_demangle(name, out);
	if (len >= PA_NAME_MAX || strlen(out) != len)
		abort();
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
			abort();
	}
	free(name);
	return 0;
}
