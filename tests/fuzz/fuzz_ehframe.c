/* Any bytes as an .eh_frame section. The table must be sorted and point into the section. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "collector/unwind_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pa_unwind_entry *list;
	size_t nr = pa_unwind_list_fdes(data, size, 0x10000, 0x10000, &list);

	if (nr > size / 16 || (nr && !list))
		abort();
	for (size_t i = 0; i < nr; i++)
		if (list[i].fde < 0 || (size_t)list[i].fde >= size || (i && list[i].start < list[i - 1].start))
			abort();
	free(list);
	return 0;
}
