#include "collector/mappers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/loop.h"
#include "collector/proc.h"
#include "collector/session.h"
#include "common/stream.h"

static struct {
	struct mapper {
		uint64_t inode;
		uint32_t pid;
	} * found;
	size_t nr, max;
	uint64_t taken_ns; /* when the look began, 0: never */
} last;

static int add(uint64_t inode, uint32_t pid)
{
	/* one file is one mapping or several, one behind the other */
	if (last.nr && last.found[last.nr - 1].inode == inode && last.found[last.nr - 1].pid == pid)
		return 0;
	if (last.nr == last.max) {
		size_t max = last.max ? last.max * 2 : 64;
		struct mapper *found = realloc(last.found, max * sizeof(*found));

		if (!found)
			return -ENOMEM;
		last.found = found;
		last.max = max;
	}
	last.found[last.nr++] = (struct mapper){inode, pid};
	return 0;
}

static int look_at_map(void *arg, const struct pa_proc_map *map)
{
	if (!strstr(map->path, "memfd:" PA_SESSION_MEMFD_NAME) && !strstr(map->path, PA_STREAM_MAPS_AS))
		return 0;
	return add(map->inode, *(uint32_t *)arg);
}

static int look_at(void *arg, uint32_t pid)
{
	/* one that has gone or may not be looked into is no error */
	return pid != (uint32_t)getpid() && pa_proc_maps(pid, look_at_map, &pid) == -ENOMEM ? -ENOMEM : 0;
}

int pa_mappers_each(uint64_t since_ns, void (*fn)(void *arg, uint64_t inode, uint32_t pid), void *arg)
{
	int err = 0;

	if (!last.taken_ns || last.taken_ns < since_ns) {
		last.nr = 0;
		last.taken_ns = pa_now_ns();
		err = pa_proc_all(look_at, NULL);
	}
	for (size_t i = 0; i < last.nr; i++)
		fn(arg, last.found[i].inode, last.found[i].pid);
	return err;
}
