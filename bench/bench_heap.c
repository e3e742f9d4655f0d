/* How fast a collector drains exact heap rings: malloc/free pairs of random blocks with 10 000 live, 32 stacks. CPU
 * time of the drain alone (rings to totals, live table, rows by stack), the writing of the records left out; then what
 * a second's worth of it takes in the recording. Usage: bench_heap [DIRECTORY]   World: plain. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/bench.h"
#include "collector/recorder_impl.h"
#include "tests/unit/fake_heap.h"

#define LIVE   10000
#define STACKS 32
#define FRAMES 16
#define PASSES 60 /* of a ring full of events each */

struct writer {
	struct fake_heap ring;
	uint64_t live[LIVE];
	uint32_t stacks[STACKS];
	uint64_t state;
	uint64_t place; /* of the next event */
	uint64_t spare; /* freed last, 0: used again */
	uint64_t next;  /* addresses nobody had yet */
};

static uint64_t draw(struct writer *w)
{
	w->state = w->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return w->state >> 33;
}

/* One event of one thread at its next stamp: a random block of the live ones is freed, another takes its place, often
 * at the address that was freed before. False: the ring is full. */
static bool event(struct writer *w, uint64_t ticks)
{
	uint64_t *block = &w->live[w->place];

	if (*block) {
		if (!fake_heap_free(&w->ring, ticks, *block))
			return false;
		w->spare = w->spare ? w->spare : *block;
		*block = 0;
		return true;
	}
	if (!w->spare || draw(w) % 4 == 0)
		w->spare = w->next += 16 + draw(w) % 32 * 16;
	if (!fake_heap_alloc(&w->ring, ticks, w->spare, 16 + draw(w) % 497, w->stacks[draw(w) % STACKS]))
		return false;
	*block = w->spare;
	w->spare = 0;
	w->place = draw(w) % LIVE;
	return true;
}

static uint64_t fill(struct writer *w, int nr_writers, uint64_t clock)
{
	uint64_t nr = 0;

	/* stamps lie in the past */
	for (uint64_t ticks = clock - 400000000;; ticks += 20)
		for (int i = 0; i < nr_writers; i++, nr++)
			if (!event(&w[i], ticks + (uint64_t)i * 9))
				return nr;
}

static void begin_writer(struct fake_agent *agent, struct writer *w, uint32_t ring, uint64_t clock)
{
	memset(w, 0, sizeof(*w));
	w->state = ring + 1;
	w->next = (ring + UINT64_C(1)) << 36;
	if (!fake_heap_claim(agent, &w->ring, ring, 77, 77 + ring, clock))
		fail("no ring");
	for (uint64_t i = 0; i < STACKS; i++) {
		uint32_t node = 0;

		for (uint64_t k = 0; k < FRAMES; k++)
			node = fake_heap_node(&w->ring, clock, node, 0x400000 + (k < 8 ? k : k * 100 + i) * 64);
		w->stacks[i] = node;
	}
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void run(struct pa_recorder *r, struct fake_agent *agent, int nr_writers)
{
	static struct writer w[8];
	struct pa_drain_result result;
	struct pa_heap *heap = r->sessions->processes->heap;
	uint64_t clock = pa_heap_clock_ticks(&r->heap_clock);
	double ns[PASSES];

	/* one's own clock: no ring may be ahead of the collector's */
	for (int i = 0; i < nr_writers; i++)
		begin_writer(agent, &w[i], (uint32_t)i, clock - 1000000000);
	pa_recorder_drain(r->sessions, &result);
	for (int i = 0; i < PASSES; i++) {
		uint64_t nr = fill(w, nr_writers, pa_heap_clock_ticks(&r->heap_clock));
		double before = cpu_s();

		pa_recorder_drain(r->sessions, &result);
		ns[i] = (cpu_s() - before) / (double)nr * 1e9;
	}
	if (heap->never_freed || heap->unknown_frees || heap->uncertain_ns)
		fail("events were lost");
	qsort(ns, PASSES, sizeof(ns[0]), by_size);
	printf("heap drain, %d ring%s: %.1f M events/s, %.1f ns each (median of %d passes, best %.1f; %d live, %d "
	       "stacks)\n",
	       nr_writers, nr_writers > 1 ? "s" : "", 1e3 / ns[PASSES / 2], ns[PASSES / 2], PASSES, ns[0],
	       LIVE * nr_writers, STACKS);
	for (int i = 0; i < nr_writers; i++)
		fake_heap_leave(&w[i].ring, 77);
	pa_recorder_drain(r->sessions, &result);
}

static void measure(const char *directory, int nr_writers)
{
	char path[512], err[256];
	struct pa_recorder_options options = {.path = path,
					      .command = "bench_heap",
					      .period_ns = 10000000,
					      .modes = PA_MODE_MEMORY,
					      .heap_mode = PA_HEAP_EXACT,
					      .heap_mean = 1,
					      .idle = on_idle};
	struct pa_map_version map = {.start = 0x400000, .end = 0x40000000, .from_ns = 1, .module = 1};
	struct pa_hello hello = {.pid = 77, .tid = 77};
	struct pa_peer peer = {.pidfd = -1};
	struct pa_grant grant = {.memfd = -1};
	struct pa_loop *loop = pa_loop_new();
	struct fake_agent agent;
	struct pa_recorder *r = NULL;

	snprintf(path, sizeof(path), "%s/bench_heap.%d.pfa", directory, (int)getpid());
	if (!loop || pa_recorder_open(loop, &options, &r, err, sizeof(err)))
		fail("cannot make a recording");
	pa_recorder_hello(r, &hello, &peer, &grant);
	if (grant.status != PA_CONFIG_OK || !fake_agent_map(&agent, grant.memfd, grant.file_size))
		fail("no session");
	pa_recorder_answered(r, true);
	if (pa_maps_add(&r->sessions->processes->maps, &map))
		fail("no map");
	run(r, &agent, nr_writers);
	fake_agent_unmap(&agent);
	pa_recorder_abandon(r);
	pa_loop_free(loop);
}

int main(int argc, char **argv)
{
	const char *directory = argc > 1 ? argv[1] : "/tmp";

	measure(directory, 1);
	measure(directory, 2);
	return 0;
}
