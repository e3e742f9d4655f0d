/* Any bytes as both ways of a connection, in all protocols: however the ways are cut into calls, whatever is lost or
 * unseen between them, the same messages are reported, and no byte is counted twice or left out. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/frame_util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input: protocol, hint, whether the beginning was missed; then pieces of a head (what, length) and bytes. */
#define HEAD_BYTES 2

struct fed {
	uint64_t bytes[2];
};

static void play(struct pa_frame *f, struct told *t, struct fed *fed, const uint8_t *data, size_t size, size_t most)
{
	uint32_t seed = (uint32_t)size;
	size_t at = HEAD_BYTES;

	while (size - at >= 2) {
		unsigned what = data[at] & 15;
		enum pa_way way = data[at] & 16 ? PA_TO_CLIENT : PA_TO_SERVER;
		size_t len = (size_t)data[at + 1] | (size_t)(data[at] >> 5) << 8;

		at += 2;
		if (what == 1) {
			pa_frame_lost(f, way);
			continue;
		}
		len = what != 2 && len > size - at ? size - at : len;
		fed->bytes[way] += len;
		if (what == 2)
			feed(f, t, way, NULL, len, 2);
		else if (most)
			feed_cut(f, t, way, data + at, len, most, &seed);
		else
			feed(f, t, way, data + at, len, 64);
		at += what == 2 ? 0 : len;
	}
}

static void run(struct told *t, const uint8_t *data, size_t size, size_t most)
{
	static const enum pa_proto protos[] = {PA_PROTO_UNSURE, PA_PROTO_POSTGRES, PA_PROTO_MYSQL, PA_PROTO_RESP,
					       PA_PROTO_HTTP};
	struct pa_frame_event event;
	struct pa_frame_out out = {&event, 0, 1};
	struct pa_frame f;
	struct fed fed = {0};

	pa_frame_init(&f, protos[data[0] % 5], protos[data[1] % 5], data[0] & 128);
	play(&f, t, &fed, data, size, most);
	for (unsigned way = 0; way < 2; way++) {
		/* what has not been reported; bytes after the protocol was given up are not looked at */
		uint64_t waiting = f.way[way].total + (uint64_t)(f.way[way].nr_first - f.way[way].at_first);

		if (pa_load_relaxed(&f.proto) < PA_PROTO_OPAQUE && t->total[way] + waiting != fed.bytes[way])
			abort();
		out.nr = 0;
		pa_frame_close(&f, way, size, &out);
		if (out.nr)
			told_event(t, way, &event);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct told whole, cut;

	if (size < HEAD_BYTES)
		return 0;
	run(&whole, data, size, 0);
	for (size_t most = 1; most <= 64; most *= 8) {
		run(&cut, data, size, most);
		if (whole.len != cut.len || (whole.len && memcmp(whole.text, cut.text, whole.len)))
			abort();
		told_free(&cut);
	}
	told_free(&whole);
	return 0;
}
