/* Names for code in no module: the perf-map file a runtime writes (/tmp/perf-PID.map). Opened while the process's root
 * can still be reached, read again when it has ended. World: plain. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/recorder_impl.h"

#define PERFMAP_BYTES_MAX (64u << 20)

static void open_perfmap(struct pa_process *p)
{
	char path[96];

	if (p->perfmap_fd >= 0 || !p->pid || p->replaced)
		return;
	snprintf(path, sizeof(path), "/proc/%u/root/tmp/perf-%u.map", p->pid, p->inner_pid);
	p->perfmap_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY);
}

/* The file's text. Anybody can make a file of that name in /tmp: only the process's own user's and root's count. */
static char *read_perfmap(const struct pa_process *p, size_t *len)
{
	struct stat st;
	char *text;
	ssize_t n;

	if (fstat(p->perfmap_fd, &st) || !S_ISREG(st.st_mode) || (st.st_uid != p->uid && st.st_uid != 0))
		return NULL;
	*len = st.st_size > PERFMAP_BYTES_MAX ? PERFMAP_BYTES_MAX : (size_t)st.st_size;
	text = malloc(*len + 1);
	if (!text)
		return NULL;
	n = pread(p->perfmap_fd, text, *len, 0);
	*len = n > 0 ? (size_t)n : 0;
	return text;
}

static void name_frames(struct pa_process *p, const struct pa_perfmap *map)
{
	struct pa_recorder *r = p->recorder;
	size_t kept = 0;

	for (size_t i = 0; i < r->nr_unnamed; i++) {
		struct jit_frame f = r->unnamed[i];
		const char *name = f.process == p->id ? pa_perfmap_lookup(map, f.address) : NULL;

		if (name)
			pa_recorder_store(r, pa_store_put_frame(r->store, f.frame, 0, f.address, name));
		else
			r->unnamed[kept++] = f;
	}
	r->nr_unnamed = kept;
}

static void note_rejected(struct pa_process *p, size_t lines)
{
	char text[128];

	snprintf(text, sizeof(text), "perf-%u.map: %zu lines make no sense", p->inner_pid, lines);
	pa_recorder_store(p->recorder, pa_store_add_note(p->recorder->store, p->id, pa_now_ns(), text));
}

void pa_jit_open(struct pa_process *p)
{
	if (p->wants_perfmap)
		open_perfmap(p);
}

void pa_jit_name(struct pa_process *p)
{
	struct pa_perfmap *map;
	size_t len = 0;
	char *text;

	pa_jit_open(p);
	text = p->perfmap_fd >= 0 ? read_perfmap(p, &len) : NULL;
	map = text ? pa_perfmap_parse(text, len) : NULL;
	if (map) {
		name_frames(p, map);
		if (pa_perfmap_rejected(map))
			note_rejected(p, pa_perfmap_rejected(map));
	}
	pa_perfmap_free(map);
	free(text);
}
