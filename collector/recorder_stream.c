/* Sessions whose agent sends its rings over its connection: how they differ from those that share a file. World: plain.
 */
#include <stdio.h>

#include "collector/proc.h"
#include "collector/recorder_impl.h"
#include "collector/stream.h"
#include "common/atomics.h"

/* After the connection has ended, and nothing else: the process had its descriptor closed. */
#define CLOSED_NS 1000000000u
#define LOOKS_MAX 8 /* for memory that is not where it was said to be */

bool pa_streams_geometry(struct pa_geometry *g)
{
	if (g->heap_mode == PA_HEAP_EXACT) {
		g->modes &= ~PA_MODE_MEMORY;
		g->heap_mode = PA_HEAP_OFF;
		g->heap_flags = 0;
		for (int i = 0; i < PA_HEAP_CLASSES; i++)
			g->heap_classes[i].nr = 0;
	}
	return g->modes && pa_streamed_fits(g);
}

static void on_full(void *arg)
{
	struct pa_drain_result result;

	pa_recorder_drain_once(arg, &result);
}

int pa_streams_open(struct pa_recording_session *rs, int connection)
{
	struct pa_stream_ops ops = {on_full, rs};

	/* our file is nobody else's; what the processes of the target share is found when they have said where it is */
	rs->s->inode = 0;
	rs->s->maps_as = PA_STREAM_MAPS_AS;
	return pa_streamed_new(rs->recorder->loop, rs->s, connection, &ops, &rs->stream);
}

int pa_streams_answered(struct pa_recording_session *rs)
{
	struct pa_recorder *r = rs->recorder;
	int err = pa_streamed_start(rs->stream);

	if (err)
		return err;
	r->nr_streams++;
	pa_recorder_store(
	    r, pa_store_add_note(r->store, rs->processes->id, pa_now_ns(),
				 pa_heaps_wanted(r) && r->options.heap_mode == PA_HEAP_EXACT
				     ? "its records came over the socket: allocations are not recorded, for a socket "
				       "is too slow for every single one; sampled ones can be had"
				     : "its records came over the socket: what was written in the last quarter of a "
				       "second before a kill is lost"));
	return 0;
}

struct memory_search {
	uint64_t start;
	uint64_t inode; /* found */
};

static int match_memory(void *arg, const struct pa_proc_map *map)
{
	struct memory_search *search = arg;

	if (map->start != search->start)
		return map->start > search->start ? 2 : 0;
	search->inode = map->inode;
	return 1;
}

/* Which memory it is that tells who belongs to the session, from the first process that has said where it lies. */
static void find_memory(struct pa_recording_session *rs)
{
	struct memory_search search = {.start = rs->s->memory};

	for (struct pa_process *p = rs->processes; search.start && p && !rs->s->inode; p = p->next) {
		if (!p->pid || p->ended || rs->memory_looks == LOOKS_MAX)
			continue;
		rs->memory_looks++;
		pa_proc_maps(p->pid, match_memory, &search);
		rs->s->inode = search.inode;
	}
}

void pa_streams_receive(struct pa_recording_session *rs)
{
	if (!rs->stream)
		return;
	pa_streamed_receive(rs->stream);
	if (!rs->s->inode)
		find_memory(rs);
	pa_streamed_push(rs->stream);
}

bool pa_streams_left(const struct pa_recording_session *rs, uint32_t pid)
{
	return (rs->stream && !pa_streamed_is_open(rs->stream)) ||
	       !pa_proc_maps_inode(pid, rs->s->inode, rs->s->maps_as);
}

static void say(struct pa_process *p, const char *text)
{
	pa_recorder_store(p->recorder, pa_store_add_note(p->recorder->store, p->id, pa_now_ns(), text));
}

void pa_streams_poll(struct pa_recording_session *rs)
{
	uint64_t now = pa_now_ns();
	struct pa_process *live = rs->processes;

	if (!rs->stream || rs->stream_closed_said || pa_streamed_is_open(rs->stream))
		return;
	if (!rs->stream_closed_ns)
		rs->stream_closed_ns = now;
	while (live && (live->ended || live->exec_ns))
		live = live->next;
	if (pa_streamed_is_bad(rs->stream)) {
		say(rs->processes, "what came over the socket makes no sense: the rest was not read");
		pa_records_loss(rs->processes, "bad record", 1);
		rs->stream_closed_said = true;
	} else if (live && now - rs->stream_closed_ns > CLOSED_NS) {
		say(live, "the connection to it was closed by the program itself, which runs on: "
			  "what it did from then on is not recorded");
		rs->stream_closed_said = true;
	}
}

void pa_streams_rows(struct pa_recorder *r)
{
	if (r->nr_streams)
		pa_recorder_meta_u64(r, "streamed_sessions", r->nr_streams);
}
