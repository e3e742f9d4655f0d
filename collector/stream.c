#include "collector/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/atomics.h"

#define MESSAGES_AT_ONCE 1024 /* more than a socket's buffer holds: one client does not keep us from the others */
#define GONE_MAX         64

struct pa_streamed {
	struct pa_watch watch; /* fd -1: closed */
	struct pa_loop *loop;
	struct pa_session *s;
	struct pa_stream_ops ops;
	bool watched;
	bool bad;
	/* what was sent last */
	uint32_t state;
	uint32_t cache_generation;
	uint32_t arm_seq;
	uint32_t gone[GONE_MAX]; /* not sent yet; what finds no place keeps its slots in the target */
	uint32_t nr_gone;
	alignas(8) uint8_t packet[PA_STREAM_MESSAGE_MAX];
};

/* ---- one packet ------------------------------------------------------------------------------------------------- */

/* Counters only grow; a packet that was overtaken has older ones. */
static void grow(_Atomic uint64_t *word, uint64_t value)
{
	if (value > pa_load_relaxed(word))
		pa_store_relaxed(word, value);
}

static void apply_counters(struct pa_ring_producer *out, const struct pa_stream_counters *c)
{
	grow(&out->records, c->records);
	grow(&out->lost_full, c->lost_full);
	grow(&out->lost_weight, c->lost_weight);
	grow(&out->truncated, c->truncated);
	grow(&out->self_ns, c->self_ns);
	grow(&out->ticks, c->ticks);
}

static void apply_figures(struct pa_session *s, const struct pa_stream_figures *f)
{
	struct pa_control *control = s->control;

	s->memory = f->memory;
	grow(&control->lost_no_slot, f->lost_no_slot);
	grow(&control->hook_busy, f->hook_busy);
	grow(&control->heap_unrecorded, f->heap_unrecorded);
	grow(&control->heap_mean_now, f->heap_mean_now);
	pa_store_relaxed(&control->own_start, f->own_start);
	pa_store_relaxed(&control->own_end, f->own_end);
	pa_store_relaxed(&control->heap_own_bytes, f->heap_own_bytes);
}

static int write_at(int fd, const uint8_t *data, uint64_t len, uint64_t at)
{
	ssize_t done = len ? pwrite(fd, data, len, (off_t)at) : 0;

	return done == (ssize_t)len ? 0 : done < 0 ? -errno : -EIO;
}

static int write_ring(struct pa_session *s, const struct pa_stream_batch *b, const uint8_t *data, uint64_t from)
{
	bool hook = b->ring == PA_STREAM_HOOK;
	uint64_t size = hook ? s->geometry.hook_ring_bytes : s->geometry.signal_ring_bytes;
	uint64_t base = pa_session_ring_offset(s, b->slot, hook);
	uint64_t at = from & (size - 1), len = b->position + b->bytes - from;
	uint64_t first = len < size - at ? len : size - at;
	int err;

	data += from - b->position;
	err = write_at(s->fd, data, first, base + at);
	return err ? err : write_at(s->fd, data + first, len - first, base);
}

static int apply_bytes(struct pa_session *s, const struct pa_stream_batch *b, const uint8_t *data)
{
	bool hook = b->ring == PA_STREAM_HOOK;
	struct pa_slot *slot = &s->slots[b->slot];
	struct pa_ring_producer *out = hook ? &slot->hook : &slot->signal;
	const struct pa_ring_in *in = hook ? &s->in[b->slot].hook : &s->in[b->slot].signal;
	uint64_t size = hook ? s->geometry.hook_ring_bytes : s->geometry.signal_ring_bytes;
	uint64_t head = pa_load_relaxed(&out->head), end = b->position + b->bytes;
	int err;

	if (b->position > head || b->bytes > size)
		return -EPROTO;
	/* a repetition; or the drain has given this ring up */
	if (end <= head || in->bad)
		return 0;
	if (end - in->tail > size)
		return -EAGAIN;
	err = write_ring(s, b, data, head);
	if (!err)
		pa_store_release(&out->head, end);
	return err;
}

int pa_stream_apply(struct pa_session *s, const void *packet, size_t len)
{
	const struct pa_stream_batch *b = packet;
	int err = pa_stream_check_batch(packet, len, s->geometry.nr_slots);
	struct pa_slot *slot;

	if (!err)
		err = apply_bytes(s, b, (const uint8_t *)(b + 1));
	if (err)
		return err;
	slot = &s->slots[b->slot];
	apply_counters(b->ring == PA_STREAM_HOOK ? &slot->hook : &slot->signal, &b->counters);
	apply_figures(s, &b->figures);
	pa_store_release(&slot->signal_in.owner, b->owner);
	return 0;
}

/* ---- the connection --------------------------------------------------------------------------------------------- */

bool pa_streamed_fits(const struct pa_geometry *geometry)
{
	return geometry->signal_ring_bytes <= PA_STREAM_RING_MAX && geometry->hook_ring_bytes <= PA_STREAM_RING_MAX &&
	       geometry->heap_mode != PA_HEAP_EXACT;
}

static void hang_up(struct pa_streamed *st)
{
	if (st->watch.fd < 0)
		return;
	if (st->watched)
		pa_loop_unwatch(st->loop, &st->watch);
	close(st->watch.fd);
	st->watch.fd = -1;
}

static void take(struct pa_streamed *st, size_t len)
{
	int err = pa_stream_apply(st->s, st->packet, len);

	if (err == -EAGAIN) {
		st->ops.full(st->ops.arg);
		err = pa_stream_apply(st->s, st->packet, len);
	}
	if (!err)
		return;
	/* room that a drain did not make is not to be had */
	st->bad = true;
	hang_up(st);
}

void pa_streamed_receive(struct pa_streamed *st)
{
	for (int i = 0; st && st->watched && st->watch.fd >= 0 && i < MESSAGES_AT_ONCE; i++) {
		ssize_t n = recv(st->watch.fd, st->packet, sizeof(st->packet), MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n > 0)
			take(st, (size_t)n > sizeof(st->packet) ? 0 : (size_t)n);
		else
			hang_up(st);
	}
}

static void on_readable(struct pa_watch *watch, uint32_t events)
{
	pa_streamed_receive(watch->arg);
}

int pa_streamed_new(struct pa_loop *loop, struct pa_session *s, int connection, const struct pa_stream_ops *ops,
		    struct pa_streamed **out)
{
	struct pa_streamed *st = calloc(1, sizeof(*st));

	if (!st)
		return -ENOMEM;
	st->loop = loop;
	st->s = s;
	st->ops = *ops;
	st->state = PA_SESSION_SAMPLING;
	st->watch = (struct pa_watch){.fd = fcntl(connection, F_DUPFD_CLOEXEC, 0), .fn = on_readable, .arg = st};
	if (st->watch.fd < 0) {
		int err = -errno;

		free(st);
		return err;
	}
	*out = st;
	return 0;
}

int pa_streamed_start(struct pa_streamed *st)
{
	struct pa_stream_layout layout = {.reserved = {0}};
	int err;

	pa_stream_head(&layout.head, PA_MSG_LAYOUT, sizeof(layout));
	memcpy(&layout.control, st->s->control, sizeof(layout.control));
	if (send(st->watch.fd, &layout, sizeof(layout), MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)sizeof(layout))
		return -EPIPE;
	err = pa_loop_watch(st->loop, &st->watch, EPOLLIN);
	st->watched = !err;
	return err;
}

void pa_streamed_free(struct pa_streamed *st)
{
	if (!st)
		return;
	hang_up(st);
	free(st);
}

/* ---- the way back ----------------------------------------------------------------------------------------------- */

static bool has_news(const struct pa_streamed *st)
{
	const struct pa_control *control = st->s->control;

	return pa_load_relaxed(&control->state) != st->state ||
	       pa_load_relaxed(&control->cache_generation) != st->cache_generation ||
	       pa_load_relaxed(&control->arm_seq) != st->arm_seq || st->nr_gone;
}

static void fill_words(const struct pa_streamed *st, struct pa_stream_words *w)
{
	const struct pa_control *control = st->s->control;

	pa_stream_head(&w->head, PA_MSG_WORDS, sizeof(*w));
	w->state = pa_load_relaxed(&control->state);
	w->cache_generation = pa_load_relaxed(&control->cache_generation);
	for (int i = 0; i < PA_ARM_MAX; i++) {
		uint64_t entry = pa_load_relaxed(&control->arm[i]);

		if (entry)
			w->arm[w->nr_arm++] = entry;
	}
	w->nr_gone = st->nr_gone < PA_STREAM_GONE_MAX ? st->nr_gone : PA_STREAM_GONE_MAX;
	memcpy(w->gone, st->gone, w->nr_gone * sizeof(w->gone[0]));
}

void pa_streamed_push(struct pa_streamed *st)
{
	struct pa_stream_words w = {.nr_arm = 0};
	struct pa_control *control;

	if (!st || !st->watched || st->watch.fd < 0 || !has_news(st))
		return;
	control = st->s->control;
	fill_words(st, &w);
	/* an agent that does not listen gets it later */
	if (send(st->watch.fd, &w, sizeof(w), MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)sizeof(w))
		return;
	st->state = w.state;
	st->cache_generation = w.cache_generation;
	st->arm_seq = pa_load_relaxed(&control->arm_seq);
	for (int i = 0; i < PA_ARM_MAX; i++)
		pa_store_relaxed(&control->arm[i], 0);
	st->nr_gone -= w.nr_gone;
	memmove(st->gone, st->gone + w.nr_gone, st->nr_gone * sizeof(st->gone[0]));
}

void pa_streamed_gone(struct pa_streamed *st, uint32_t inner_pid)
{
	if (st && st->nr_gone < GONE_MAX)
		st->gone[st->nr_gone++] = inner_pid;
}

bool pa_streamed_is_open(const struct pa_streamed *st)
{
	return st->watch.fd >= 0;
}

bool pa_streamed_is_bad(const struct pa_streamed *st)
{
	return st->bad;
}
