#include "common/stream.h"

#include <errno.h>

void pa_stream_head(struct pa_msg_head *head, enum pa_stream_message type, uint32_t bytes)
{
	*head = (struct pa_msg_head){.magic = PA_WIRE_MAGIC,
				     .major = PA_WIRE_MAJOR,
				     .minor = PA_WIRE_MINOR,
				     .size = bytes,
				     .type = (uint16_t)type};
}

static bool head_ok(const struct pa_msg_head *head, enum pa_stream_message type, size_t len)
{
	return head->magic == PA_WIRE_MAGIC && head->major == PA_WIRE_MAJOR && head->type == type && head->size == len;
}

int pa_stream_check_batch(const void *packet, size_t len, uint32_t nr_slots)
{
	const struct pa_stream_batch *b = packet;

	if (len < sizeof(*b) || !head_ok(&b->head, PA_MSG_BATCH, len))
		return -EPROTO;
	if (b->slot >= nr_slots || b->ring > PA_STREAM_HOOK || b->bytes > PA_STREAM_RING_MAX || b->bytes % 8 ||
	    b->position % 8 || b->position > PA_STREAM_POSITION_MAX || len != sizeof(*b) + b->bytes)
		return -EPROTO;
	return b->owner >> 32 ? 0 : -EPROTO;
}
