/* Any bytes as the content of a ring: the checks of wire.c, then every handler of the recorder up to the store and the
 * symbolizer. The first byte chooses: 0 steps over records only. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/recorder_impl.h"
#include "common/atomics.h"
#include "common/ring.h"
#include "tests/unit/fake_agent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void step(const uint8_t *data, size_t size)
{
	uint64_t *copy = malloc(size + 8);
	const struct pa_record *r;
	size_t offset = 0, before = 0;

	memcpy(copy, data, size);
	while ((r = pa_wire_next(copy, size, &offset)) != NULL) {
		if (offset <= before || offset > size || (const uint8_t *)r + r->size > (uint8_t *)copy + size)
			abort();
		before = offset;
	}
	free(copy);
}

static void quiet_idle(void *arg)
{
}

#define SESSIONS_A_RECORDING 256

static struct pa_recorder *open_recorder(struct pa_loop *loop, const char *path)
{
	struct pa_recorder_options options = {.path = path,
					      .command = "fuzz",
					      .period_ns = 1000000,
					      .modes = PA_MODE_CPU | PA_MODE_LOOP | PA_MODE_DB | PA_MODE_HTTP | PA_MODE_LOCK,
					      .idle = quiet_idle};
	struct pa_recorder *r;
	char err[256];

	unlink(path);
	if (pa_recorder_open(loop, &options, &r, err, sizeof(err)))
		abort();
	return r;
}

/* One session per input; a recording is ended, with all that belongs to it, every so many. */
static void record(const uint8_t *data, size_t size)
{
	static struct pa_loop *loop;
	static struct pa_recorder *r;
	static uint32_t nr;
	struct pa_hello hello = {.pid = 77, .tid = 77};
	struct pa_peer peer = {.pidfd = -1};
	struct pa_grant grant = {.memfd = -1};
	struct pa_drain_result result;
	struct fake_agent agent;
	struct fake_thread t;
	char path[64];

	snprintf(path, sizeof(path), "/tmp/perfagent-fuzz-%d.pfa", (int)getpid());
	if (!loop)
		loop = pa_loop_new();
	if (!r)
		r = open_recorder(loop, path);
	pa_recorder_hello(r, &hello, &peer, &grant);
	if (grant.status != PA_CONFIG_OK || !fake_agent_map(&agent, grant.memfd, grant.file_size) ||
	    !fake_claim(&agent, &t, 77, 77, 0))
		abort();
	pa_recorder_answered(r, true);
	size = size > t.signal.size ? t.signal.size : size & ~(size_t)7;
	memcpy(t.signal.data, data, size);
	pa_store_release(&t.slot->signal.head, size);
	fake_agent_unmap(&agent);
	pa_recorder_drain(r->sessions, &result);
	for (struct pa_process *p = r->sessions->processes; p; p = p->next)
		pa_recorder_end_process(p, NULL);
	if (++nr % SESSIONS_A_RECORDING)
		return;
	pa_recorder_finish(r, 0);
	r = NULL;
	unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 8)
		return 0;
	if (data[0] == 0)
		step(data + 8, size - 8);
	else
		record(data + 8, size - 8);
	return 0;
}
