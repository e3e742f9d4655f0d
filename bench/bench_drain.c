/* How fast a collector drains and aggregates CPU records: 32 frames, 10 000 distinct stacks, 16 threads. CPU time of
 * the drain alone (rings to store), the writing of the records left out. Usage: bench_drain [DIRECTORY]   World: plain.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "collector/recorder_impl.h"
#include "tests/unit/fake_agent.h"

#define THREADS 16
#define STACKS  10000
#define FRAMES  32
#define RECORDS 4000000

/* Fills one ring to the brim: four frames that differ, the rest shared by a hundred stacks. */
static uint64_t fill(struct fake_thread *t)
{
	static uint64_t state = 1, time_ns = 1000;
	uint64_t nr = 0;

	for (;; nr++) {
		struct pa_sample *s = fake_begin(&t->signal, PA_REC_SAMPLE, sizeof(*s) + FRAMES * 8, time_ns += 1000);
		uint64_t stack;

		if (!s)
			return nr;
		state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		stack = (state >> 33) % STACKS;
		s->tid = t->tid;
		s->weight = 1;
		s->nr_frames = FRAMES;
		for (uint64_t i = 0; i < FRAMES; i++)
			s->frames[i] = 0x400000 + (i < 4 ? (stack * 4 + i) * 64 : (i * 977 + stack % 100) * 16);
		pa_ring_commit(&t->signal);
	}
}

static void run(struct pa_recorder *r, struct fake_thread *threads)
{
	struct pa_drain_result result;
	uint64_t nr = 0, drained = 0;
	double spent = 0;

	while (nr < RECORDS) {
		double before;

		for (int i = 0; i < THREADS; i++)
			nr += fill(&threads[i]);
		before = cpu_s();
		pa_recorder_drain(r->sessions, &result);
		spent += cpu_s() - before;
		drained += result.records;
	}
	if (drained != nr || pa_recorder_samples(r) != nr)
		fail("records were lost");
	printf("drain and aggregate: %.2f M records/s, %.0f ns each (%d frames, %d stacks)\n", (double)nr / spent / 1e6,
	       spent / (double)nr * 1e9, FRAMES, STACKS);
}

int main(int argc, char **argv)
{
	char path[512], err[256];
	struct pa_recorder_options options = {
	    .path = path, .command = "bench_drain", .period_ns = 10000000, .idle = on_idle};
	struct pa_map_version map = {.start = 0x400000, .end = 0x40000000, .from_ns = 1, .module = 1};
	struct pa_hello hello = {.pid = 77, .tid = 77};
	struct pa_peer peer = {.pidfd = -1};
	struct pa_grant grant = {.memfd = -1};
	struct fake_thread threads[THREADS];
	struct pa_loop *loop = pa_loop_new();
	struct fake_agent agent;
	struct pa_recorder *r;

	snprintf(path, sizeof(path), "%s/bench_drain.%d.pfa", argc > 1 ? argv[1] : "/tmp", (int)getpid());
	if (!loop || pa_recorder_open(loop, &options, &r, err, sizeof(err)))
		fail("cannot make a recording");
	pa_recorder_hello(r, &hello, &peer, &grant);
	if (grant.status != PA_CONFIG_OK || !fake_agent_map(&agent, grant.memfd, grant.file_size))
		fail("no session");
	pa_recorder_answered(r, true);
	if (pa_maps_add(&r->sessions->processes->maps, &map))
		fail("no map");
	for (uint32_t i = 0; i < THREADS; i++)
		if (!fake_claim(&agent, &threads[i], 77, 77 + i, 0))
			fail("no slot");
	run(r, threads);
	fake_agent_unmap(&agent);
	pa_recorder_abandon(r);
	pa_loop_free(loop);
	return 0;
}
