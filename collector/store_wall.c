/* Rows of waiting threads, written and read. World: plain. */
#include "collector/store_wall.h"

#include "collector/store_impl.h"
#include "collector/store_visit.h"

int pa_store_put_wall(struct pa_store *s, const struct pa_store_wall *w)
{
	const uint64_t columns[] = {w->id, w->process, w->thread, w->stack, w->looks, w->ns};

	pa_batch_begin(&s->batch, PA_ROW_WALL);
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		pa_batch_int(&s->batch, columns[i]);
	return pa_store_end_row(s);
}

struct visit {
	int (*fn)(void *arg, const struct pa_store_wall *w);
	void *arg;
};

static int each(struct pa_visited *row, void *arg)
{
	struct visit *v = arg;
	struct pa_store_wall w = {
	    .id = pa_visited_id(row, 0),
	    .process = pa_visited_id(row, 1),
	    .thread = pa_visited_u32(row, 2),
	    .stack = pa_visited_u32(row, 3),
	    .looks = pa_visited_u64(row, 4),
	    .ns = pa_visited_u64(row, 5),
	};

	return row->bad ? 0 : v->fn(v->arg, &w);
}

int pa_recording_walls(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_wall *w), void *arg)
{
	struct visit v = {.fn = fn, .arg = arg};

	return pa_recording_visit(r, "wall", "SELECT id, process, thread, stack, looks, ns FROM wall ORDER BY id", each,
				  &v);
}
