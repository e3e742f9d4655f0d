/* Callers: ring_sig.c, slots_sig.c, thread.c, session.c. World: signal. */
#include "agent/stream_sig.h"

#include <errno.h>
#include <poll.h>
#include <sys/un.h>

#include "agent/slots_sig.h"
#include "agent/sysdep.h"
#include "agent/timer_sig.h"

#define NOINLINE __attribute__((noinline))
#define NR_WORDS 4 /* messages that one call takes from the collector */

struct pa_stream pa_stream PA_HOT;

/* The session of this process has ended, that of the others that share it has not. The first one is the constructor's,
 * and only that can be streamed. */
static void lose(void)
{
	pa_stream.shared = NULL;
	pa_store_release(&pa_mapping.lost, 1);
}

/* The host may have closed the descriptor, and given the number to one of its own. */
static bool is_ours(struct stat *st)
{
	return pa_sys(SYS_fstat, pa_stream.fd, st) == 0 && st->st_dev == pa_stream.device &&
	       st->st_ino == pa_stream.inode;
}

/* Between the look and the send another thread may still put a socket of the host's in our place. A connected packet
 * socket takes no notice of an address and of MSG_FASTOPEN; with them TCP and stream sockets answer EISCONN, datagram
 * sockets refuse the address, and nothing of ours goes out. */
static const struct sockaddr_un nowhere = {.sun_family = AF_UNIX, .sun_path = "/"};

void pa_stream_end_sig(void)
{
	struct pa_stream_shared *shared = pa_stream.shared;
	struct stat st;

	if (!shared)
		return;
	pa_stream.shared = NULL;
	if (is_ours(&st))
		pa_sys(SYS_close, pa_stream.fd);
	pa_sys(SYS_munmap, shared, sizeof(*shared) + pa_mapping.nr_slots * sizeof(shared->slots[0]));
}

static bool claim(_Atomic uint64_t *word, uint64_t now_ns)
{
	uint64_t seen = pa_load_relaxed(word);

	if (seen && now_ns - seen < PA_STREAM_STEAL_NS)
		return false;
	return pa_claim_u64(word, seen, now_ns | 1);
}

static void unclaim(_Atomic uint64_t *word, uint64_t now_ns)
{
	pa_claim_u64(word, now_ns | 1, 0);
}

/* ---- out -------------------------------------------------------------------------------------------------------- */

static void fill_counters(struct pa_stream_counters *to, const struct pa_ring_producer *from)
{
	to->records = pa_load_relaxed(&from->records);
	to->lost_full = pa_load_relaxed(&from->lost_full);
	to->lost_weight = pa_load_relaxed(&from->lost_weight);
	to->truncated = pa_load_relaxed(&from->truncated);
	to->self_ns = pa_load_relaxed(&from->self_ns);
	to->ticks = pa_load_relaxed(&from->ticks);
}

static void fill_figures(struct pa_stream_figures *to, const struct pa_control *from)
{
	to->lost_no_slot = pa_load_relaxed(&from->lost_no_slot);
	to->hook_busy = pa_load_relaxed(&from->hook_busy);
	to->own_start = pa_load_relaxed(&from->own_start);
	to->own_end = pa_load_relaxed(&from->own_end);
	to->heap_own_bytes = pa_load_relaxed(&from->heap_own_bytes);
	to->heap_unrecorded = pa_load_relaxed(&from->heap_unrecorded);
	to->heap_mean_now = pa_load_relaxed(&from->heap_mean_now);
	to->memory = pa_stream.memory;
}

/* One ring of one slot, as it is at this moment. */
struct piece {
	uint32_t slot;
	uint32_t ring; /* enum pa_stream_ring */
	struct pa_ring_producer *out;
	struct pa_ring_consumer *in;
	const uint8_t *data;
	uint64_t size;
	uint64_t head;
	uint64_t tail;
};

static bool find_piece(struct piece *p, uint32_t slot, uint32_t ring)
{
	const struct pa_mapping *m = &pa_mapping;
	struct pa_slot *s = &m->slots[slot];

	p->slot = slot;
	p->ring = ring;
	p->out = ring == PA_STREAM_HOOK ? &s->hook : &s->signal;
	p->in = ring == PA_STREAM_HOOK ? &s->hook_in : &s->signal_in;
	p->size = ring == PA_STREAM_HOOK ? m->hook_ring_bytes : m->signal_ring_bytes;
	p->tail = pa_load_acquire(&p->in->tail);
	/* pairs with the release of the producer's head: the records before it are complete */
	p->head = pa_load_acquire(&p->out->head);
	p->data = pa_slots_data_sig(slot);
	if (p->data && ring == PA_STREAM_HOOK)
		p->data += m->signal_ring_bytes;
	return p->data && p->head - p->tail <= p->size;
}

/* Who sends, and as whom the slot is shown. */
struct sender {
	struct pa_stream_scratch *scratch;
	uint32_t pid;
	bool force;   /* also when there is nothing but counters */
	bool leaving; /* the slot's thread is about to end */
	uint64_t now_ns;
};

static long send_piece(const struct sender *by, const struct piece *p)
{
	uint64_t at = p->tail & (p->size - 1), len = p->head - p->tail;
	uint64_t first = len < p->size - at ? len : p->size - at;
	uint64_t owner = pa_load_acquire(&pa_mapping.slots[p->slot].signal_in.owner);
	struct pa_stream_scratch *s = by->scratch;
	struct pa_stream_batch *batch = &s->batch;

	batch->head.magic = PA_WIRE_MAGIC;
	batch->head.major = PA_WIRE_MAJOR;
	batch->head.minor = PA_WIRE_MINOR;
	batch->head.size = (uint32_t)(sizeof(*batch) + len);
	batch->head.type = PA_MSG_BATCH;
	batch->slot = p->slot;
	batch->ring = p->ring;
	batch->position = p->tail;
	batch->bytes = (uint32_t)len;
	batch->owner = by->leaving ? owner & ~(uint64_t)UINT32_MAX : owner;
	fill_counters(&batch->counters, p->out);
	fill_figures(&batch->figures, pa_mapping.control);
	s->iov[0] = (struct iovec){batch, sizeof(*batch)};
	s->iov[1] = (struct iovec){(void *)(p->data + at), first};
	s->iov[2] = (struct iovec){(void *)p->data, len - first};
	s->msg = (struct msghdr){
	    .msg_iov = s->iov, .msg_iovlen = 3, .msg_name = (void *)&nowhere, .msg_namelen = sizeof(nowhere)};
	return pa_sys(SYS_sendmsg, pa_stream.fd, &s->msg, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_FASTOPEN);
}

/* Sends what a ring holds and moves its tail. Returns 0, -EAGAIN: the socket is full, or -EPIPE: it is lost. */
static int flush_ring(const struct sender *by, uint32_t slot, uint32_t ring)
{
	struct piece p;
	long ret;

	if (!find_piece(&p, slot, ring) || (p.head == p.tail && !by->force))
		return 0;
	if (!is_ours(&by->scratch->stat))
		return -EPIPE;
	ret = send_piece(by, &p);
	if (ret < 0)
		return ret == -EAGAIN || ret == -EINTR || ret == -ENOBUFS || ret == -ENOMEM ? -EAGAIN : -EPIPE;
	/* somebody who took an old claim of ours may have been faster: a tail only grows */
	pa_claim_u64(&p.in->tail, p.tail, p.head);
	return 0;
}

static bool is_empty(const struct pa_slot *s)
{
	return pa_load_acquire(&s->signal.head) == pa_load_relaxed(&s->signal_in.tail) &&
	       pa_load_acquire(&s->hook.head) == pa_load_relaxed(&s->hook_in.tail);
}

/* A slot that its thread has left is free once all of it has been sent. */
static void free_left(uint32_t slot)
{
	struct pa_slot *s = &pa_mapping.slots[slot];
	uint64_t owner = pa_load_acquire(&s->signal_in.owner);

	if (!owner || (uint32_t)owner || !is_empty(s))
		return;
	/* the next thread's first batch tells of it at once */
	pa_store_relaxed(&pa_stream.shared->slots[slot].due_ns, 0);
	pa_claim_u64(&s->signal_in.owner, owner, 0);
}

/* A vfork child has a block of its parent's and descriptors of its own. */
static bool is_sender(struct pa_block *block, struct sender *by, uint64_t now_ns)
{
	if (!pa_stream.shared || !block->has_slot || pa_sys(SYS_getpid) != (long)block->pid)
		return false;
	by->scratch = &pa_stream.shared->slots[block->slot].scratch[block->tick_running];
	by->pid = block->pid;
	by->force = by->leaving = false;
	by->now_ns = now_ns;
	return true;
}

/* Returns 0 (also: somebody else does it), -EAGAIN, -EPIPE. */
static NOINLINE int flush_slot(const struct sender *by, uint32_t slot)
{
	struct pa_stream_slot *s;
	int err;

	if (!pa_stream.shared || !pa_load_relaxed(&pa_mapping.slots[slot].signal_in.owner))
		return 0;
	s = &pa_stream.shared->slots[slot];
	if (!claim(&s->claim, by->now_ns))
		return 0;
	err = flush_ring(by, slot, PA_STREAM_HOOK);
	if (!err)
		err = flush_ring(by, slot, PA_STREAM_SIGNAL);
	pa_store_relaxed(&s->due_ns, by->now_ns + PA_STREAM_AGE_NS);
	if (!err)
		free_left(slot);
	if (err == -EAGAIN)
		pa_store_relaxed(&s->retry_ns, by->now_ns + PA_STREAM_RETRY_NS);
	unclaim(&s->claim, by->now_ns);
	if (err == -EPIPE)
		lose();
	return err;
}

/* ---- in --------------------------------------------------------------------------------------------------------- */

static void take_arms(struct pa_control *control, const struct pa_stream_words *words)
{
	for (uint32_t i = 0; i < words->nr_arm; i++) {
		for (uint32_t k = 0; k < PA_ARM_MAX; k++)
			if (!pa_load_relaxed(&control->arm[k]) && pa_claim_u64(&control->arm[k], 0, words->arm[i]))
				break;
	}
	if (words->nr_arm)
		pa_store_release(&control->arm_seq, pa_load_relaxed(&control->arm_seq) + 1);
}

/* Slots of a process that is gone and did not say so. */
static void take_gone(const struct sender *by, uint32_t gone)
{
	uint32_t nr = pa_load_relaxed(&pa_stream.shared->nr_used);

	for (uint32_t i = 0; i < nr && pa_stream.shared; i++) {
		_Atomic uint64_t *owner = &pa_mapping.slots[i].signal_in.owner;
		uint64_t seen = pa_load_relaxed(owner);

		if (seen >> 32 == gone && gone != by->pid && pa_claim_u64(owner, seen, PA_OWNER(gone, 0)))
			flush_slot(by, i);
	}
}

static void take_words(const struct sender *by, const struct pa_stream_words *words)
{
	struct pa_control *control = pa_mapping.control;

	if (words->state <= PA_SESSION_ENDED)
		pa_store_release(&control->state, words->state);
	pa_store_release(&control->cache_generation, words->cache_generation);
	take_arms(control, words);
	for (uint32_t i = 0; i < words->nr_gone && pa_stream.shared; i++)
		take_gone(by, words->gone[i]);
}

static long receive(const struct sender *by, struct pa_stream_words *words)
{
	struct pa_stream_scratch *s = by->scratch;

	s->iov[0] = (struct iovec){words, sizeof(*words)};
	s->msg = (struct msghdr){.msg_iov = s->iov, .msg_iovlen = 1};
	return is_ours(&s->stat) ? pa_sys(SYS_recvmsg, pa_stream.fd, &s->msg, MSG_DONTWAIT) : -EPIPE;
}

static NOINLINE void look_into_inbox(const struct sender *by)
{
	struct pa_stream_shared *shared = pa_stream.shared;
	long got = 1;

	if (!shared || !claim(&shared->inbox_claim, by->now_ns))
		return;
	for (int i = 0; i < NR_WORDS && got > 0 && pa_stream.shared; i++) {
		got = receive(by, &shared->inbox);
		if (got > 0 && pa_stream_words_ok(&shared->inbox, (size_t)got))
			take_words(by, &shared->inbox);
	}
	unclaim(&shared->inbox_claim, by->now_ns);
	/* 0: the collector has closed its end */
	if ((got == 0 || (got < 0 && got != -EAGAIN && got != -EINTR)) && pa_stream.shared)
		lose();
}

/* ---- when ------------------------------------------------------------------------------------------------------- */

/* What threads have written that sleep since, and what ended threads could not send. Returns whether all slots have
 * been looked through, or whoever comes next has to go on. */
static NOINLINE bool sweep(const struct sender *by)
{
	struct pa_stream_shared *shared = pa_stream.shared;
	uint32_t from = pa_fetch_add_relaxed(&shared->cursor, PA_STREAM_SWEEP);
	uint32_t nr = pa_load_relaxed(&shared->nr_used);
	uint32_t to = nr > from && nr - from > PA_STREAM_SWEEP ? from + PA_STREAM_SWEEP : nr;

	for (uint32_t i = from; i < to && pa_stream.shared; i++) {
		const struct pa_slot *s = &pa_mapping.slots[i];

		if (is_empty(s))
			free_left(i);
		else if (by->now_ns >= pa_load_relaxed(&shared->slots[i].retry_ns))
			flush_slot(by, i);
	}
	if (to < nr)
		return false;
	pa_store_relaxed(&shared->cursor, 0);
	pa_store_relaxed(&shared->sweep_ns, by->now_ns + PA_STREAM_AGE_NS);
	return true;
}

static void note_used(struct pa_stream_shared *shared, uint32_t slot)
{
	uint32_t nr = pa_load_relaxed(&shared->nr_used);

	while (nr <= slot && !pa_claim_u32(&shared->nr_used, nr, slot + 1))
		nr = pa_load_relaxed(&shared->nr_used);
}

static bool is_due(const struct pa_stream_slot *s, const struct pa_ring *ring, uint64_t now_ns)
{
	uint64_t used = ring->head - pa_load_relaxed(&ring->in->tail);
	uint64_t much = ring->size / 2 < PA_STREAM_FILL ? ring->size / 2 : PA_STREAM_FILL;

	return (used >= much || now_ns >= pa_load_relaxed(&s->due_ns)) && now_ns >= pa_load_relaxed(&s->retry_ns);
}

void pa_stream_visit_sig(struct pa_block *block, const struct pa_ring *ring, uint64_t now_ns)
{
	struct pa_stream_shared *shared = pa_stream.shared;
	struct pa_stream_slot *s = &shared->slots[block->slot];
	bool due = is_due(s, ring, now_ns), all = now_ns >= pa_load_relaxed(&shared->sweep_ns);

	struct sender by;

	note_used(shared, block->slot);
	if ((!due && !all) || !is_sender(block, &by, now_ns))
		return;
	by.force = !pa_load_relaxed(&s->due_ns);
	if (due)
		flush_slot(&by, block->slot);
	by.force = false;
	if (all && pa_stream.shared && sweep(&by))
		look_into_inbox(&by);
	/* a tick measures itself */
	if (!block->tick_running)
		pa_bump(&block->hook_ring.out->self_ns, pa_now_sig() - now_ns);
}

void pa_stream_leave_sig(struct pa_block *block)
{
	struct sender by;

	if (!pa_stream.shared || !is_sender(block, &by, pa_now_sig()))
		return;
	note_used(pa_stream.shared, block->slot);
	by.force = by.leaving = true;
	flush_slot(&by, block->slot);
}

static bool wait_for_room(const struct sender *by, uint64_t until_ns)
{
	struct pollfd p = {.fd = pa_stream.fd, .events = POLLOUT};
	uint64_t now = pa_now_sig();
	struct timespec ts = {.tv_nsec = now < until_ns ? (long)(until_ns - now) : 0};

	return now < until_ns && is_ours(&by->scratch->stat) && pa_sys(SYS_ppoll, &p, 1, &ts, NULL, 8) != 0;
}

void pa_stream_goodbye_sig(struct pa_block *block)
{
	uint64_t until = pa_stream.shared ? pa_now_sig() + PA_STREAM_GOODBYE_NS : 0;
	struct sender by;

	if (!until || !block || !is_sender(block, &by, until))
		return;
	note_used(pa_stream.shared, block->slot);
	for (uint32_t i = 0; pa_stream.shared && i < pa_load_relaxed(&pa_stream.shared->nr_used); i++) {
		by.force = pa_load_relaxed(&pa_mapping.slots[i].signal_in.owner) >> 32 == by.pid;
		if (!by.force && is_empty(&pa_mapping.slots[i]))
			continue;
		do {
			by.now_ns = pa_now_sig();
		} while (flush_slot(&by, i) == -EAGAIN && wait_for_room(&by, until));
	}
}

void pa_stream_close_sig(struct pa_block *block)
{
	struct pa_stream_shared *shared = pa_stream.shared;

	pa_stream_goodbye_sig(block);
	if (!shared)
		return;
	/* what the processes share stays mapped: somebody may be about to look */
	pa_stream.shared = NULL;
	if (is_ours(&shared->closing))
		pa_sys(SYS_close, pa_stream.fd);
}

void pa_stream_quiet_sig(void)
{
	pa_stream.shared = NULL;
}
