/* Any bytes as the messages of a record: reading stays within them and ends; what was read, put again, reads the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool is_so)
{
	if (!is_so)
		abort();
}

static bool same(const struct pa_frame_event *a, const struct pa_frame_event *b)
{
	return a->kind == b->kind && a->flags == b->flags && a->first_ns == b->first_ns && a->last_ns == b->last_ns &&
	       a->total == b->total && a->count == b->count && a->value == b->value && a->nr_bytes == b->nr_bytes &&
	       (!a->nr_bytes || !memcmp(a->bytes, b->bytes, a->nr_bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pa_message_cursor c = {.at = data,
				      .end = data + size,
				      .now_ns = UINT64_C(1) << 40,
				      .left = PA_ENTRIES_MAX},
				 d;
	struct pa_frame_event e, f;
	struct pa_message_list list;
	uint8_t *out;

	if (size > 8192)
		return 0;
	out = malloc(PA_ENTRIES_MAX * (PA_ENTRY_MAX + size));
	must(out != NULL);
	list = (struct pa_message_list){.start = out, .end = out};
	while (pa_message_next(&c, &e)) {
		must(e.kind && e.first_ns <= e.last_ns && e.nr_bytes <= size);
		must(!e.nr_bytes || (e.bytes >= data && e.bytes + e.nr_bytes <= data + size));
		pa_message_add(&list, &e, c.now_ns);
	}
	must(list.nr + c.left == PA_ENTRIES_MAX);
	c = (struct pa_message_cursor){.at = data, .end = data + size, .now_ns = c.now_ns, .left = list.nr};
	d = (struct pa_message_cursor){.at = out, .end = list.end, .now_ns = c.now_ns, .left = list.nr};
	while (pa_message_next(&d, &f))
		must(pa_message_next(&c, &e) && same(&e, &f));
	must(!d.left && !c.left);
	free(out);
	return 0;
}
