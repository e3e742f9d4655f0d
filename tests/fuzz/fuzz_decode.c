/* Any bytes as both ways of a connection, any of the framer's events lost, or any events at all: the decoder reports no
 * impossible exchange, keeps within its bounds, and lets all go in the end. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/decode_util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An event as no framer would make it. */
static void any_event(struct pa_decode *d, const uint8_t *p, size_t len, uint64_t now_ns)
{
	struct pa_frame_event e = {.bytes = p,
				   .nr_bytes = (uint32_t)len,
				   .kind = len ? p[0] % 140 : 0,
				   .first_ns = now_ns,
				   .last_ns = now_ns,
				   .total = len,
				   .count = len > 1 ? p[1] : 0,
				   .value = len > 2 ? p[2] : 0};

	e.flags = (uint16_t)(PA_FRAME_FIRST | (len > 3 && p[3] & 1 ? PA_FRAME_GAP : 0) |
			     (len > 3 && p[3] & 2 ? PA_FRAME_MORE : 0));
	pa_decode_event(d, len > 3 && p[3] & 4 ? PA_TO_CLIENT : PA_TO_SERVER, &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum pa_proto protos[] = {PA_PROTO_UNSURE, PA_PROTO_POSTGRES, PA_PROTO_MYSQL, PA_PROTO_RESP,
					       PA_PROTO_HTTP};
	struct heard heard = {0};
	struct pa_decode *d = pa_decode_new(hear, &heard);
	struct pa_frame f;
	unsigned nr = 0;
	size_t at = 2;
	uint64_t now = 1;

	if (size < 2 || !d) {
		pa_decode_free(d);
		return 0;
	}
	pa_frame_init(&f, protos[data[0] % 5], protos[data[1] % 5], data[0] & 128);
	for (; size - at >= 2; now += 1000000) {
		unsigned what = data[at] & 15;
		enum pa_way way = data[at] & 16 ? PA_TO_CLIENT : PA_TO_SERVER;
		size_t len = (size_t)data[at + 1] | (size_t)(data[at] >> 5) << 8;

		at += 2;
		len = len > size - at ? size - at : len;
		if (what == 1)
			pa_frame_lost(&f, way);
		else if (what == 2)
			pa_decode_lost(d);
		else if (what == 3)
			any_event(d, data + at, len, now);
		else
			hear_bytes(&f, d, way, data + at, len, now, &nr, what == 4 ? nr : NO_DROP);
		at += what == 1 || what == 2 ? 0 : len;
	}
	pa_decode_close(d, now);
	if (pa_decode_counts(d)->exchanges != heard.nr)
		abort();
	pa_decode_free(d);
	heard_free(&heard);
	return 0;
}
