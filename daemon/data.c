/* What recordings take on the disk, and what happens when there is no more of it; see daemon.h. World: plain. */
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#include "daemon/daemon.h"
#include "daemon/log.h"

#define LOOK_NS       2000000000u /* a full disk is met within that */
#define TRIM_LOOKS    5           /* in so many, memory that recordings have given back goes to the system */
#define KEEP_LOOKS    15          /* bounds are looked at once in so many */
#define ROOM_BYTES    (UINT64_C(64) << 20)
#define ROOM_FRACTION 20 /* of a small file system less */

static bool is_written(void *arg, dev_t dev, ino_t ino)
{
	const struct pa_daemon *d = arg;

	for (const struct pa_tree *t = d->trees; t; t = t->next)
		if (t->ino == ino && t->dev == dev)
			return true;
	return false;
}

static void say_dropped(void *arg, const char *name, uint64_t bytes)
{
	struct pa_daemon *d = arg;

	d->dropped++;
	pa_log(PA_LOG_INFO, "%s: dropped, %" PRIu64 " KiB, number %" PRIu64, name, bytes >> 10, d->dropped);
}

static void apply(struct pa_daemon *d, uint64_t room)
{
	struct pa_retention r = {.keep = d->settings->keep,
				 .free_bytes = room,
				 .now_s = (uint64_t)time(NULL),
				 .writing = is_written,
				 .dropped = say_dropped,
				 .arg = d};
	struct pa_retention_result result;
	int err = pa_retention_apply(d->data_fd, &r, &result);

	if (err)
		pa_log(PA_LOG_ERROR, "%s: %s", d->settings->data, strerror(-err));
	if (result.failed)
		pa_log(PA_LOG_ERROR, "%s: %" PRIu64 " recordings cannot be removed", d->settings->data, result.failed);
}

/* The room that has to be free, 0: there is enough. */
static uint64_t lacking_room(const struct pa_daemon *d)
{
	struct statvfs fs;
	uint64_t all, want;

	if (fstatvfs(d->data_fd, &fs))
		return 0;
	all = (uint64_t)fs.f_blocks * fs.f_frsize;
	want = all / ROOM_FRACTION < ROOM_BYTES ? all / ROOM_FRACTION : ROOM_BYTES;
	return (uint64_t)fs.f_bavail * fs.f_frsize < want ? want : 0;
}

static void look_for_trouble(struct pa_daemon *d)
{
	for (struct pa_tree *t = d->trees; t; t = t->next) {
		int err = pa_recorder_trouble(t->recorder);

		if (!err || t->in_trouble)
			continue;
		t->in_trouble = true;
		pa_log(PA_LOG_ERROR, "%s: %s", t->path, strerror(-err));
	}
}

static void on_look(struct pa_timer *timer)
{
	struct pa_daemon *d = timer->arg;
	uint64_t room = lacking_room(d);

	look_for_trouble(d);
	if (room && !d->disk_low)
		pa_log(PA_LOG_WARNING, "%s: the disk is nearly full", d->settings->data);
	d->disk_low = room != 0;
	if (++d->looks % TRIM_LOOKS == 0)
		malloc_trim(0);
	if (room || (d->looks % KEEP_LOOKS == 1 && (d->settings->keep.bytes || d->settings->keep.seconds)))
		apply(d, room);
	pa_loop_arm(d->loop, timer, LOOK_NS);
}

void pa_daemon_watch_data(struct pa_daemon *d)
{
	if (d->data_fd < 0)
		return;
	d->looks = 0;
	d->data_timer.fn = on_look;
	d->data_timer.arg = d;
	pa_loop_arm(d->loop, &d->data_timer, 0);
}
