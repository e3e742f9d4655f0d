/* Arbitrary bytes as a sample chunk: decoded without harm, and what decodes is the same after another round. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store_chunk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pa_store_sample first[PA_CHUNK_SAMPLES], again[PA_CHUNK_SAMPLES], scratch[PA_CHUNK_SAMPLES];
	static uint8_t blob[PA_CHUNK_BYTES_MAX];
	size_t nr, nr_again, where, len;
	int err = pa_chunk_decode(data, size, first, &nr, &where);

	if (where > size || nr > PA_CHUNK_SAMPLES || (!err && (nr == 0 || where != size)))
		abort();
	if (nr == 0)
		return 0;
	len = pa_chunk_encode(first, nr, scratch, blob);
	if (pa_chunk_decode(blob, len, again, &nr_again, &where) || nr_again != nr)
		abort();
	if (memcmp(first, again, nr * sizeof(*first)))
		abort();
	return 0;
}
