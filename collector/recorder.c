/* The life of sessions and processes in one recording. World: plain. */
#include "collector/recorder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "collector/exchanges.h"
#include "collector/mappers.h"
#include "collector/proc.h"
#include "collector/options.h"
#include "collector/recorder_impl.h"
#include "collector/stream.h"
#include "common/atomics.h"

#define MS       1000000u
#define BUSY_NS  (1 * MS)
#define IDLE_NS  (250u * MS)
#define POLL_NS  (250u * MS)
#define EXACT_NS (5 * MS) /* a thread that does nothing but allocate fills its ring in a few times that */
/* of a burst of 4 GB/s, samples of 64 KiB fill half a hook ring in that time: 600 records of a stack of 6 frames */
#define SAMPLED_NS (10 * MS)
#define TALKS_NS   (4 * MS) /* a burst of 200000 requests a second fills most of a ring in that time */
/* With what draining and writing take on a crowded machine, all but the last second survives a kill: at a whole second
 * three of two hundred kills cost up to 40 ms more. */
#define COMMIT_NS 750000000u
/* A session without a live process stays that long before /proc is searched for children nobody has seen yet. */
#define LINGER_NS 1000000000u
#define SILENT_NS 2000000000u

void pa_recorder_store(struct pa_recorder *r, int err)
{
	if (err && !r->store_error)
		r->store_error = err;
}

/* ---- sessions ------------------------------------------------------------------------------------------------- */

static void session_losses(struct pa_recording_session *rs)
{
	struct pa_recorder *r = rs->recorder;
	uint64_t no_slot = pa_load_relaxed(&rs->s->control->lost_no_slot);
	uint64_t busy = pa_load_relaxed(&rs->s->control->hook_busy);
	uint32_t id = rs->processes ? rs->processes->id : 0;

	if (no_slot > rs->s->lost_no_slot)
		pa_recorder_store(r, pa_store_add_loss(r->store, id, "no slot", no_slot - rs->s->lost_no_slot));
	if (busy > rs->s->hook_busy)
		pa_recorder_store(r, pa_store_add_loss(r->store, id, "hook busy", busy - rs->s->hook_busy));
	rs->s->lost_no_slot = no_slot;
	rs->s->hook_busy = busy;
	pa_heaps_losses(rs);
	pa_loops_losses(rs);
}

static void free_session(struct pa_recording_session *rs)
{
	struct pa_recorder *r = rs->recorder;

	for (struct pa_recording_session **at = &r->sessions; *at; at = &(*at)->next) {
		if (*at == rs) {
			*at = rs->next;
			r->nr_sessions--;
			break;
		}
	}
	if (r->open == rs) {
		pa_drain_drop(r->drain);
		r->open = NULL;
	}
	if (rs->answered)
		session_losses(rs);
	while (rs->processes) {
		struct pa_process *p = rs->processes;

		rs->processes = p->next;
		pa_recorder_unwatch(p);
		pa_slices_forget(r->slices, p);
		pa_process_fini(p);
		free(p);
	}
	pa_heap_drain_free(rs->heap_drain);
	pa_streamed_free(rs->stream);
	pa_session_free(rs->s);
	free(rs);
}

static struct pa_geometry usual_geometry(const struct pa_recorder *r)
{
	static const struct pa_heap_class classes[PA_HEAP_CLASSES] = PA_SESSION_HEAP_CLASSES;
	struct pa_geometry g = {.nr_slots = PA_SESSION_SLOTS,
				.signal_ring_bytes = PA_SESSION_SIGNAL_RING,
				.hook_ring_bytes = PA_SESSION_HOOK_RING,
				.period_ns = r->period_ns,
				.modes = r->options.modes};

	if (g.modes & (PA_MODE_DB | PA_MODE_HTTP | PA_MODE_LOCK))
		g.hook_ring_bytes = PA_SESSION_TALK_RING;
	if (!pa_heaps_wanted(r))
		return g;
	g.heap_mode = r->options.heap_mode;
	g.heap_flags = r->options.heap_flags | (r->heap_clock.tsc ? PA_HEAP_TSC : 0);
	g.heap_mean = r->options.heap_mean;
	if (g.heap_mode == PA_HEAP_EXACT)
		memcpy(g.heap_classes, classes, sizeof(classes));
	else if (g.hook_ring_bytes < PA_SESSION_SAMPLE_RING)
		g.hook_ring_bytes = PA_SESSION_SAMPLE_RING;
	return g;
}

/* Makes the first agent's before it comes, and sees whether sessions can be had at all: without memfd_create, or below
 * RLIMIT_FSIZE, every agent would be turned away. */
static int try_session(struct pa_recorder *r, char *err, size_t err_size)
{
	struct pa_geometry geometry = usual_geometry(r);
	int status = pa_session_create(&geometry, &r->spare);

	if (status)
		snprintf(err, err_size, "cannot make %s to share with the agent: %s",
			 status == -EFBIG ? "memory as large as is needed (RLIMIT_FSIZE)" : "memory",
			 strerror(-status));
	return status;
}

static int take_session(struct pa_recorder *r, const struct pa_geometry *geometry, bool streams,
			struct pa_session **out)
{
	if (streams || !r->spare || !r->spare->shareable)
		return pa_session_create(geometry, out);
	*out = r->spare;
	r->spare = NULL;
	return 0;
}

static struct pa_recording_session *new_session(struct pa_recorder *r, const struct pa_hello *hello,
						const struct pa_peer *peer)
{
	struct pa_geometry geometry = usual_geometry(r);
	bool streams = hello->flags & PA_HELLO_STREAM;
	struct pa_recording_session *rs;

	if (r->nr_sessions >= PA_RECORDER_SESSIONS_MAX || (streams && !pa_streams_geometry(&geometry)))
		return NULL;
	rs = calloc(1, sizeof(*rs));
	if (!rs)
		return NULL;
	rs->recorder = r;
	if (take_session(r, &geometry, streams, &rs->s) || pa_heaps_open(rs) ||
	    (streams && pa_streams_open(rs, peer->connection))) {
		pa_session_free(rs->s);
		free(rs);
		return NULL;
	}
	rs->s->agent_start = hello->agent_start;
	rs->s->agent_end = hello->agent_end;
	rs->next = r->sessions;
	r->sessions = rs;
	r->nr_sessions++;
	return rs;
}

/* Who it is, and what it has mapped. */
static void examine(struct pa_process *p)
{
	pa_recorder_look_at(p);
	p->scanned_ns = pa_now_ns();
	if (p->pid)
		pa_modules_scan(p->recorder->modules, &p->maps, p->pid, p->start_ns);
}

void pa_recorder_hello(struct pa_recorder *r, const struct pa_hello *hello, struct pa_peer *peer,
		       struct pa_grant *grant)
{
	struct pa_recording_session *rs;
	struct pa_process *p;

	if (r->spare && !r->spare->shareable && !(hello->flags & PA_HELLO_STREAM)) {
		grant->status = PA_CONFIG_STREAM;
		return;
	}
	rs = new_session(r, hello, peer);
	p = rs ? pa_recorder_new_process(rs, peer->pid, hello->pid, peer->pidfd) : NULL;

	if (!p) {
		if (rs)
			free_session(rs);
		grant->status = PA_CONFIG_REFUSED_BUSY;
		return;
	}
	peer->pidfd = -1;
	if (hello->command)
		pa_attach_begin(p);
	/* CLOCK_MONOTONIC is the same for all processes, but a time namespace or a liar may say otherwise */
	if (hello->time_ns < p->start_ns && p->start_ns - hello->time_ns < 1000u * MS)
		p->start_ns = hello->time_ns;
	/* before the answer: a program may end within a millisecond after it, and nothing would name its code. One that
	 * has been running goes on: the thread that waits is in the middle of its work */
	if (!p->attached)
		examine(p);
	if (hello->flags & PA_HELLO_COMPARE)
		r->unwinder = "compare";
	else if (hello->flags & PA_HELLO_REFERENCE)
		r->unwinder = "libunwind";
	grant->status = PA_CONFIG_OK;
	grant->memfd = rs->stream ? -1 : rs->s->fd;
	grant->file_size = rs->s->file_size;
}

static void put_time(struct pa_recorder *r, const char *key, const char *mono_key)
{
	time_t now = time(NULL);
	char text[32];
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	pa_recorder_meta(r, key, text);
	pa_recorder_meta_u64(r, mono_key, pa_now_ns());
}

/* An image that was replaced: what HELLO tells before anything else does. */
static void end_old_image(struct pa_recorder *r, struct pa_process *p)
{
	struct pa_drain_result result;

	/* a child that was forked and exec'ed between two drains is met here for the first time */
	for (struct pa_recording_session *rs = r->sessions; rs; rs = rs->next)
		if (rs != p->session)
			pa_recorder_drain_last(rs, &result);
	for (struct pa_recording_session *rs = r->sessions; rs; rs = rs->next) {
		for (struct pa_process *old = rs->processes; old; old = old->next) {
			if (old == p || old->ended || !p->pid || old->pid != p->pid)
				continue;
			p->parent = old->id;
			p->cpu_base_ns = old->exec_cpu_ns ? old->exec_cpu_ns : old->cpu_ns;
			old->exec_ns = old->exec_ns ? old->exec_ns : p->start_ns;
			old->last_ns = 0;
			pa_recorder_end_process(old, NULL);
			return;
		}
	}
}

static void find_parent(struct pa_recorder *r, struct pa_process *p)
{
	struct pa_proc_status status;
	struct pa_process *parent;
	uint32_t pid = p->pid;

	/* a shell without the agent may stand between */
	for (int i = 0; i < 16 && pid > 1 && !p->parent && !pa_proc_status(pid, &status); i++) {
		pid = status.parent;
		parent = pa_recorder_by_pid(r, pid);
		if (parent)
			p->parent = parent->id;
	}
}

/* A session whose agent has its answer, once there is a file. */
static void take_up(struct pa_recording_session *rs)
{
	struct pa_recorder *r = rs->recorder;
	struct pa_process *p = rs->processes;

	rs->answered = true;
	rs->start_ticks = p->pid ? pa_proc_start_ticks(p->pid) : 0;
	if (p->attached)
		examine(p);
	end_old_image(r, p);
	if (!p->parent)
		find_parent(r, p);
	pa_recorder_put_process(p);
	/* what waited for its target to wake up begins there */
	if (p->attached && !r->met_running) {
		r->met_running = true;
		put_time(r, "started", "started_mono_ns");
		pa_recorder_meta_u64(r, "started_mono_ns", p->start_ns);
	}
	pa_loop_arm(r->loop, &r->drain_timer, BUSY_NS);
}

void pa_recorder_answered(struct pa_recorder *r, bool ok)
{
	struct pa_recording_session *rs = r->sessions;

	if (!ok || (rs->stream && pa_streams_answered(rs))) {
		free_session(rs);
		return;
	}
	rs->granted = true;
	if (r->store)
		take_up(rs);
}

/* Those that came before there was a file, in the order in which they came. */
static void take_up_waiting(struct pa_recorder *r)
{
	struct pa_recording_session *oldest;

	do {
		oldest = NULL;
		for (struct pa_recording_session *rs = r->sessions; rs; rs = rs->next)
			if (rs->granted && !rs->answered)
				oldest = rs;
		if (oldest)
			take_up(oldest);
	} while (oldest);
}

bool pa_recorder_knows(const struct pa_recorder *r, uint32_t pid)
{
	struct pa_proc_status status;

	for (int i = 0; i < 64 && pid > 1; i++) {
		if (pa_recorder_by_pid(r, pid))
			return true;
		if (pa_proc_status(pid, &status))
			return false;
		pid = status.parent;
	}
	return false;
}

bool pa_recorder_has(const struct pa_recorder *r, uint32_t pid)
{
	return pa_recorder_by_pid(r, pid) != NULL;
}

/* ---- children nobody has seen yet ------------------------------------------------------------------------------ */

static void meet_mapper(void *arg, uint64_t inode, uint32_t pid)
{
	struct pa_recorder *r = arg;
	struct pa_proc_status status;

	for (struct pa_recording_session *rs = r->sessions; rs; rs = rs->next) {
		if (rs->s->inode != inode || rs->nr_live)
			continue;
		if (!pa_proc_status(pid, &status) && status.state != 'Z')
			pa_recorder_adopt(rs, status.inner_pid, pid, status.parent);
		return;
	}
}

/* Sessions without a live process: gone, unless somebody maps their memfd (a daemon's grandchild that has not run). */
static void close_empty(struct pa_recorder *r, bool now)
{
	uint64_t limit = pa_now_ns() - (now ? 0 : LINGER_NS), since = now ? limit : 0;
	bool any = false;

	for (struct pa_recording_session *rs = r->sessions; rs; rs = rs->next) {
		if (rs->nr_live || rs->empty_since_ns > limit)
			continue;
		any = true;
		since = rs->empty_since_ns > since ? rs->empty_since_ns : since;
	}
	if (!any)
		return;
	/* without /proc nobody is found: nothing more can be known of them */
	pa_mappers_each(since, meet_mapper, r);
	for (struct pa_recording_session *rs = r->sessions, *next; rs; rs = next) {
		struct pa_drain_result result;

		next = rs->next;
		if (rs->nr_live || rs->empty_since_ns > limit)
			continue;
		pa_recorder_drain(rs, &result);
		if (rs->nr_live == 0)
			free_session(rs);
	}
}

void pa_recorder_settle(struct pa_recorder *r)
{
	for (struct pa_recording_session *rs = r->sessions; rs; rs = rs->next)
		pa_recorder_end_gone(rs);
	close_empty(r, true);
	if (pa_recorder_is_idle(r) && r->options.idle)
		r->options.idle(r->options.arg);
}

bool pa_recorder_is_idle(const struct pa_recorder *r)
{
	return r->sessions == NULL;
}

/* ---- timers --------------------------------------------------------------------------------------------------- */

/* Half a signal ring must last until the next look when every tick brings a record of the largest kind. */
static uint64_t longest_wait(const struct pa_recorder *r)
{
	uint64_t record = sizeof(struct pa_sample) + PA_FRAMES_MAX * sizeof(uint64_t);
	uint64_t wait = PA_SESSION_SIGNAL_RING / 2 / record * r->period_ns;
	uint64_t heap = r->options.heap_mode == PA_HEAP_EXACT ? EXACT_NS : SAMPLED_NS;

	if (pa_heaps_wanted(r) && wait > heap)
		wait = heap;
	if (pa_loops_wanted(r) && wait > SAMPLED_NS)
		wait = SAMPLED_NS;
	if ((pa_talks_wanted(r) || pa_locks_wanted(r)) && wait > TALKS_NS)
		wait = TALKS_NS;
	return wait > IDLE_NS ? IDLE_NS : wait < BUSY_NS ? BUSY_NS : wait;
}

static void on_drain(struct pa_timer *timer)
{
	struct pa_recorder *r = timer->arg;
	uint32_t fill;

	if (!pa_recorder_turn(r, &fill)) {
		pa_loop_arm(r->loop, &r->drain_timer, 0);
		return;
	}
	if (fill > 500)
		r->drain_ns = BUSY_NS;
	else if (fill > 125)
		r->drain_ns /= 2;
	else if (fill < 50)
		r->drain_ns += r->drain_ns / 2;
	if (r->drain_ns > longest_wait(r))
		r->drain_ns = longest_wait(r);
	if (r->drain_ns < BUSY_NS)
		r->drain_ns = BUSY_NS;
	/* a heap ring that was a quarter full would be full after a few milliseconds: its thread waits then */
	if (r->sessions)
		pa_loop_arm(r->loop, &r->drain_timer,
			    fill > 250 && r->options.heap_mode == PA_HEAP_EXACT ? 0 : r->drain_ns);
}

/* A process that left by exec for a program without the agent, or one without a pidfd that is gone. */
static void check_alive(struct pa_process *p)
{
	struct pa_proc_status status;

	/* not visible from here: silent for long is all there is to go by */
	if (!p->pid) {
		if (p->how[0] || pa_now_ns() - (p->last_ns > p->start_ns ? p->last_ns : p->start_ns) > SILENT_NS)
			pa_recorder_gone(p);
		return;
	}
	if (p->exec_ns && pa_recorder_left_by_exec(p) && pa_now_ns() - p->exec_ns > LINGER_NS &&
	    pa_streams_left(p->session, p->pid))
		pa_recorder_gone(p);
	else if (p->pidfd.fd < 0 && (pa_proc_status(p->pid, &status) || status.state == 'Z'))
		pa_recorder_gone(p);
	else if (!p->exec_ns && pa_attach_was_left(p))
		pa_attach_leave(p);
}

static void on_poll(struct pa_timer *timer)
{
	struct pa_recorder *r = timer->arg;
	bool had = r->sessions != NULL;

	for (struct pa_recording_session *rs = r->sessions; rs; rs = rs->next) {
		for (struct pa_process *p = rs->processes; p; p = p->next) {
			if (p->ended || p->gone_ns)
				continue;
			pa_account_poll(p);
			pa_jit_open(p);
			pa_titles_look(p);
			check_alive(p);
		}
		if (rs->answered)
			session_losses(rs);
		pa_recorder_say_refused(rs);
		pa_streams_poll(rs);
		pa_recorder_bury(rs);
	}
	pa_loop_arm(r->loop, &r->poll_timer, POLL_NS);
	close_empty(r, false);
	if (had && !r->sessions && r->options.idle)
		r->options.idle(r->options.arg);
}

static void on_commit(struct pa_timer *timer)
{
	struct pa_recorder *r = timer->arg;

	for (struct pa_recording_session *rs = r->sessions; rs; rs = rs->next)
		for (struct pa_process *p = rs->processes; p; p = p->next)
			if (!p->ended) {
				pa_account_read_cpu(p);
				pa_recorder_put_process(p);
			}
	for (struct pa_recording_session *rs = r->sessions; rs; rs = rs->next) {
		if (rs->answered && pa_heaps_wanted(r))
			pa_recorder_flush_heaps(rs);
		pa_loops_flush(rs);
		pa_locks_flush(rs);
		pa_talks_flush(rs);
	}
	pa_wall_flush(r);
	pa_recorder_commit(r);
	pa_loop_arm(r->loop, &r->commit_timer, COMMIT_NS);
}

/* ---- beginning and end ---------------------------------------------------------------------------------------- */

void pa_recorder_meta(struct pa_recorder *r, const char *key, const char *value)
{
	pa_recorder_store(r, pa_store_put_meta(r->store, key, value));
}

void pa_recorder_meta_u64(struct pa_recorder *r, const char *key, uint64_t value)
{
	pa_recorder_store(r, pa_store_put_meta_u64(r->store, key, value));
}

void pa_recorder_note(struct pa_recorder *r, const char *text)
{
	pa_recorder_store(r, pa_store_add_note(r->store, 0, pa_now_ns(), text));
}

int pa_recorder_trouble(const struct pa_recorder *r)
{
	return r->store_error;
}

uint64_t pa_recorder_samples(const struct pa_recorder *r)
{
	return r->samples;
}

uint32_t pa_recorder_processes(const struct pa_recorder *r)
{
	return r->next_process;
}

static void put_modes(struct pa_recorder *r)
{
	bool exact = r->options.heap_mode == PA_HEAP_EXACT;
	char modes[PA_OPTIONS_MODES_MAX];

	pa_options_modes(r->options.modes, modes);
	pa_recorder_meta(r, "mode", modes);
	if (pa_loops_wanted(r))
		pa_recorder_meta_u64(r, "loop_blocked_ns", r->options.loop_blocked_ns);
	if (pa_wall_wanted(r))
		pa_recorder_meta_u64(r, "wall_period_ns", PA_WALL_PERIOD_NS);
	if (pa_locks_wanted(r))
		pa_recorder_meta_u64(r, "lock_slow_ns", PA_LOCK_SLOW_NS);
	if (pa_talks_wanted(r))
		pa_recorder_meta_u64(r, "exchange_slow_ns", PA_EXCHANGE_SLOW_NS);
	if (!pa_heaps_wanted(r))
		return;
	pa_recorder_meta(r, "heap",
			 r->options.heap_flags & PA_HEAP_MMAP ? exact ? "exact,mmap" : "sampled,mmap"
			 : exact                              ? "exact"
							      : "sampled");
	if (!exact)
		pa_recorder_meta_u64(r, "heap_mean", r->options.heap_mean);
}

static void first_rows(struct pa_recorder *r)
{
	struct utsname uts;

	put_time(r, "started", "started_mono_ns");
	pa_recorder_meta(r, "command", r->options.command);
	put_modes(r);
	pa_recorder_meta_u64(r, "period_ns", r->period_ns);
	pa_recorder_meta(r, "version", PA_VERSION);
	if (!uname(&uts))
		pa_recorder_meta(r, "host", uts.nodename);
	pa_recorder_store(r, pa_store_put_frame(r->store, PA_STACKS_OTHER, 0, PA_FRAME_OTHER, NULL));
	pa_recorder_store(r, pa_store_put_stack(r->store, PA_STACKS_OTHER, 0, PA_STACKS_OTHER));
}

static void free_recorder(struct pa_recorder *r)
{
	while (r->sessions)
		free_session(r->sessions);
	pa_session_free(r->spare);
	pa_loop_disarm(r->loop, &r->drain_timer);
	pa_loop_disarm(r->loop, &r->poll_timer);
	pa_loop_disarm(r->loop, &r->commit_timer);
	pa_slices_free(r->slices);
	pa_drain_free(r->drain);
	pa_stackmemo_free(r->memo);
	pa_stacks_free(r->stacks);
	pa_modules_free(r->modules);
	pa_heaps_fini(r);
	pa_talks_free(r->talks);
	pa_wall_free(r);
	free(r->unnamed);
	free(r->completed);
	free(r->ended);
	free(r->path);
	free(r);
}

int pa_recorder_create_file(struct pa_recorder *r, char *err, size_t err_size)
{
	int status = r->store ? 0 : pa_store_create_for(&r->options.owner, r->path, &r->store, err, err_size);

	if (status)
		return status;
	if (r->poll_timer.on)
		return 0;
	first_rows(r);
	pa_loop_arm(r->loop, &r->poll_timer, POLL_NS);
	pa_loop_arm(r->loop, &r->commit_timer, COMMIT_NS);
	pa_wall_begin(r);
	take_up_waiting(r);
	return 0;
}

int pa_recorder_open(struct pa_loop *loop, const struct pa_recorder_options *options, struct pa_recorder **out,
		     char *err, size_t err_size)
{
	struct pa_recorder *r = calloc(1, sizeof(*r));
	int status;

	snprintf(err, err_size, "out of memory");
	if (!r)
		return -ENOMEM;
	r->loop = loop;
	r->options = *options;
	if (!r->options.modes)
		r->options.modes = PA_MODE_CPU;
	if (!r->options.loop_blocked_ns)
		r->options.loop_blocked_ns = PA_LOOP_BLOCKED_NS;
	r->period_ns = options->period_ns;
	r->drain_ns = BUSY_NS;
	r->unwinder = "perfagent";
	r->path = strdup(options->path);
	r->stacks = pa_stacks_new(PA_RECORDER_NODES_MAX);
	/* at worst 128 MiB; deeper stacks are interned frame by frame each time */
	r->memo = pa_stackmemo_new(65536, 256);
	r->modules = pa_modules_new();
	r->slices = pa_slices_new();
	r->completed = malloc(sizeof(struct pa_sample) + PA_FRAMES_MAX * sizeof(uint64_t));
	r->drain = pa_drain_new();
	r->drain_timer = (struct pa_timer){.fn = on_drain, .arg = r};
	r->poll_timer = (struct pa_timer){.fn = on_poll, .arg = r};
	r->commit_timer = (struct pa_timer){.fn = on_commit, .arg = r};
	pa_records_init(&r->sink, r);
	status = -ENOMEM;
	if (r->path && r->stacks && r->memo && r->modules && r->slices && r->completed && r->drain &&
	    !pa_heaps_init(r) && !pa_wall_open(r))
		status = try_session(r, err, err_size);
	if (!status && !options->file_later)
		status = pa_recorder_create_file(r, err, err_size);
	if (status) {
		free_recorder(r);
		return status;
	}
	*out = r;
	return 0;
}

/* The upper end of the bucket that holds the permille-th handler time; 0: there was none. */
static uint64_t handler_quantile(const struct pa_recorder *r, uint32_t permille)
{
	uint64_t total = 0, seen = 0;
	int i;

	for (i = 0; i < PA_HANDLER_BUCKETS; i++)
		total += r->handler_ns[i];
	if (!total)
		return 0;
	for (i = 0; i < PA_HANDLER_BUCKETS - 1; i++) {
		seen += r->handler_ns[i];
		if (seen * 1000 >= total * permille)
			break;
	}
	/* bucket 4 e + m holds 2^e (1 + m/4) up to 2^e (1 + (m+1)/4) */
	return ((uint64_t)(5 + i % 4) << (i / 4)) / 4;
}

static void put_handler_times(struct pa_recorder *r)
{
	pa_recorder_meta_u64(r, "armed_max_ns", r->armed_max_ns);
	if (r->agent_rss_kib)
		pa_recorder_meta_u64(r, "target_rss_kib", r->agent_rss_kib);
	if (!handler_quantile(r, 500))
		return;
	pa_recorder_meta_u64(r, "handler_p50_ns", handler_quantile(r, 500));
	pa_recorder_meta_u64(r, "handler_p99_ns", handler_quantile(r, 990));
}

/* What the kernel charged to the command and its children beyond the processes that are recorded. */
static void note_unrecorded(struct pa_recorder *r, uint64_t tree_cpu_ns)
{
	char text[192];

	if (tree_cpu_ns < r->tree_cpu_ns + r->tree_cpu_ns / 50 + 10 * MS)
		return;
	snprintf(
	    text, sizeof(text),
	    "%.2f s of CPU time were spent outside the recorded processes: by programs without the agent, or after "
	    "the last word of one that ended",
	    (double)(tree_cpu_ns - r->tree_cpu_ns) / 1e9);
	pa_recorder_note(r, text);
}

static void last_rows(struct pa_recorder *r, uint64_t tree_cpu_ns)
{
	uint64_t own;

	if (r->next_process)
		note_unrecorded(r, tree_cpu_ns);
	/* the tree by the kernel includes programs without the agent; ours includes children nobody waited for */
	pa_recorder_meta_u64(r, "cpu_ns", tree_cpu_ns > r->tree_cpu_ns ? tree_cpu_ns : r->tree_cpu_ns);
	pa_recorder_meta(r, "unwinder", r->unwinder);
	pa_streams_rows(r);
	pa_recorder_meta_u64(r, "signals", r->signals);
	put_handler_times(r);
	if (r->compared) {
		pa_recorder_meta_u64(r, "compared", r->compared);
		pa_recorder_meta_u64(r, "compared_identical", r->identical);
	}
	pa_frames_symbolize(r);
	if (!pa_proc_cpu_ns((uint32_t)getpid(), &own))
		pa_recorder_meta_u64(r, "collector_cpu_ns", own);
	put_time(r, "ended", "ended_mono_ns");
}

int pa_recorder_finish(struct pa_recorder *r, uint64_t tree_cpu_ns)
{
	struct pa_drain_result result;
	int status, err;

	for (struct pa_recording_session *rs = r->sessions; rs; rs = rs->next) {
		pa_recorder_drain_last(rs, &result);
		pa_recorder_say_refused(rs);
		for (struct pa_process *p = rs->processes; p; p = p->next)
			pa_recorder_end_process(p, p->gone_ns ? NULL : "running");
		session_losses(rs);
	}
	pa_wall_finish(r);
	last_rows(r, tree_cpu_ns);
	err = r->store_error;
	status = pa_store_close(r->store, true);
	free_recorder(r);
	return status ? status : err;
}

void pa_recorder_abandon(struct pa_recorder *r)
{
	struct pa_owner owner = r->options.owner;
	char *path = strdup(r->path);
	bool made = r->store != NULL;

	if (made)
		pa_store_close(r->store, false);
	free_recorder(r);
	if (made && path && strcmp(path, "-") != 0 && pa_owner_enter(&owner)) {
		unlink(path);
		pa_owner_leave(&owner);
	}
	free(path);
}
