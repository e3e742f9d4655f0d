/* Arbitrary bytes as a heap chunk or, with a first byte of 'P', as the stacks of a peak: decoded without harm, and what
 * decodes is the same after another round. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "collector/store_heapchunk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t blob[PA_HEAPCHUNK_BYTES_MAX];

/* What holds for both decoders. */
static void check(int err, size_t nr, size_t where, size_t size)
{
	if (where > size || nr > PA_HEAPCHUNK_STACKS || (!err && (nr == 0 || where != size)))
		abort();
}

static bool differ(const struct pa_store_heap_delta *a, const struct pa_store_heap_delta *b)
{
	return a->stack != b->stack || a->calls != b->calls || a->bytes != b->bytes || a->frees != b->frees ||
	       a->freed != b->freed || a->temporary != b->temporary || a->samples != b->samples ||
	       a->var_bytes < b->var_bytes || a->var_bytes > b->var_bytes || a->var_freed < b->var_freed ||
	       a->var_freed > b->var_freed;
}

static void one_chunk(const uint8_t *data, size_t size)
{
	static struct pa_store_heap_delta first[PA_HEAPCHUNK_STACKS], again[PA_HEAPCHUNK_STACKS];
	size_t nr, nr_again, where, len;

	check(pa_heapchunk_decode(data, size, first, &nr, &where), nr, where, size);
	if (nr == 0)
		return;
	for (size_t i = 0; i < nr; i++)
		if ((i && first[i].stack <= first[i - 1].stack) || !(first[i].var_bytes >= 0) ||
		    !(first[i].var_freed >= 0))
			abort();
	len = pa_heapchunk_encode(first, nr, blob);
	if (pa_heapchunk_decode(blob, len, again, &nr_again, &where) || nr_again != nr)
		abort();
	for (size_t i = 0; i < nr; i++)
		if (differ(&first[i], &again[i]))
			abort();
}

static void one_peak(const uint8_t *data, size_t size)
{
	static struct pa_store_heap_held first[PA_HEAPCHUNK_STACKS], again[PA_HEAPCHUNK_STACKS];
	size_t nr, nr_again, where, len;

	check(pa_heapheld_decode(data, size, first, &nr, &where), nr, where, size);
	if (nr == 0)
		return;
	len = pa_heapheld_encode(first, nr, blob);
	if (pa_heapheld_decode(blob, len, again, &nr_again, &where) || nr_again != nr)
		abort();
	for (size_t i = 0; i < nr; i++)
		if (first[i].stack != again[i].stack || first[i].calls != again[i].calls ||
		    first[i].bytes != again[i].bytes)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size && data[0] == 'P')
		one_peak(data + 1, size - 1);
	else
		one_chunk(data, size);
	return 0;
}
