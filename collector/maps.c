/* Ranges of one process over time (struct pa_maps of modules.h). World: plain. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/modules.h"

void pa_maps_fini(struct pa_maps *maps)
{
	free(maps->v);
	memset(maps, 0, sizeof(*maps));
}

int pa_maps_copy(struct pa_maps *to, const struct pa_maps *from)
{
	struct pa_map_version *v = NULL;

	if (from->nr) {
		v = malloc(from->nr * sizeof(*v));
		if (!v)
			return -ENOMEM;
		memcpy(v, from->v, from->nr * sizeof(*v));
	}
	free(to->v);
	*to = *from;
	to->v = v;
	to->room = from->nr;
	return 0;
}

static bool covers(const struct pa_map_version *v, uint64_t address)
{
	return address >= v->start && address < v->end;
}

static bool overlap(const struct pa_map_version *a, const struct pa_map_version *b)
{
	return a->start < b->end && b->start < a->end;
}

/* Ends what the new version covers. True when the present map says the same already. */
static bool supersede(struct pa_maps *maps, const struct pa_map_version *version)
{
	for (size_t i = 0; i < maps->nr; i++) {
		struct pa_map_version *old = &maps->v[i];

		if (old->until_ns || !overlap(old, version))
			continue;
		if (old->module == version->module && old->bias == version->bias && old->start <= version->start &&
		    old->end >= version->end)
			return true;
		/* another segment of the same image, or a closer look at it: both are right */
		if (old->module == version->module && old->bias == version->bias)
			continue;
		old->until_ns = version->from_ns > old->from_ns ? version->from_ns : old->from_ns;
		maps->changed_ns = version->from_ns > maps->changed_ns ? version->from_ns : maps->changed_ns;
	}
	return false;
}

int pa_maps_add(struct pa_maps *maps, const struct pa_map_version *version)
{
	if (version->start >= version->end)
		return -EINVAL;
	if (supersede(maps, version))
		return 0;
	if (maps->nr >= PA_MAPS_MAX) {
		maps->dropped++;
		return -E2BIG;
	}
	if (maps->nr == maps->room) {
		size_t room = maps->room ? maps->room * 2 : 32;
		struct pa_map_version *v = realloc(maps->v, room * sizeof(*v));

		if (!v)
			return -ENOMEM;
		maps->v = v;
		maps->room = room;
	}
	maps->v[maps->nr++] = *version;
	maps->generation++;
	return 0;
}

void pa_maps_unmap(struct pa_maps *maps, uint64_t start, uint64_t end, uint64_t time_ns)
{
	for (size_t i = 0; i < maps->nr; i++) {
		struct pa_map_version *v = &maps->v[i];

		if (v->until_ns || v->start < start || v->end > end || v->from_ns > time_ns)
			continue;
		v->until_ns = time_ns ? time_ns : 1;
		maps->generation++;
		if (time_ns > maps->changed_ns)
			maps->changed_ns = time_ns;
	}
}

const struct pa_map_version *pa_maps_find(const struct pa_maps *maps, uint64_t address, uint64_t time_ns)
{
	const struct pa_map_version *before = NULL, *after = NULL, *ended = NULL;

	for (size_t i = 0; i < maps->nr; i++) {
		const struct pa_map_version *v = &maps->v[i];

		if (!covers(v, address))
			continue;
		if (v->from_ns > time_ns) {
			if (!after || v->from_ns < after->from_ns)
				after = v;
		} else if (!v->until_ns || v->until_ns >= time_ns) {
			if (!before || v->from_ns >= before->from_ns)
				before = v;
		} else if (!ended || v->until_ns > ended->until_ns) {
			ended = v;
		}
	}
	if (before)
		return before;
	if (after)
		return after;
	return ended && time_ns - ended->until_ns <= PA_MAPS_GRACE_NS ? ended : NULL;
}
