#include "collector/wall.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "collector/proc.h"
#include "collector/recorder_impl.h"
#include "collector/store_wall.h"
#include "collector/unwind.h"

#define BUCKETS     256
#define STACK_BYTES 16384u /* copied at once; what lies above is read when a walk needs it */
#define GUESSES     32     /* of a frame pointer that nobody saved */
#define RESCAN_NS   UINT64_C(1000000000)
#define DESCRIPTORS 256
#define WALK_FRAMES 256
#if defined(__x86_64__)
#define REG_FP 6
#define REG_SP 7
#define NR_REG 17
#else
#define REG_FP 29
#define REG_SP 31
#define NR_REG 33
#endif

struct wall_row {
	struct pa_store_wall row;
	bool changed;
	struct wall_row *chain;
};

/* What the kernel counts of a thread. */
struct run_clock {
	uint64_t cpu_ns, queued_ns, runs;
};

/* A thread as it was looked at last. */
struct wall_thread {
	uint32_t tid; /* as we see it */
	uint32_t id;  /* in the store, 0: not known */
	uint32_t round;
	int fd; /* its schedstat, -1: not kept open */
	struct run_clock clock;
	uint64_t looked_ns;
	uint64_t owed_ns;     /* it waited since it was found waiting last */
	struct wall_row *row; /* where it waits since; NULL: not known */
	struct wall_thread *chain;
};

struct pa_process_wall {
	struct wall_row *rows[BUCKETS];
	struct wall_thread *threads[BUCKETS];
	uint32_t nr_rows, nr_threads;
	uint64_t scanned_ns;
	bool refused;
};

struct pa_wall {
	struct pa_timer timer;
	uint32_t round, next_row, descriptors;
	uint64_t began_ns; /* of this round */
	uint64_t walks;    /* of this round */
	uint64_t due_ns;   /* when this round was to begin, had it the usual distance */
	uint64_t random;
	/* of all rounds */
	uint64_t rounds, missed, looks, running, walked, moved, put_off, cpu_ns, refused;
	uint8_t stack[STACK_BYTES];
};

/* The memory of a walk in progress. */
struct memory {
	struct pa_wall *w;
	uint32_t pid;
	uint64_t start;
	size_t len;
};

bool pa_wall_wanted(const struct pa_recorder *r)
{
	return r->options.modes & PA_MODE_WALL;
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- /proc ------------------------------------------------------------------------------------------------------- */

/* Errors: -errno; else the number of bytes, terminated. */
static int read_file(uint32_t pid, uint32_t tid, const char *name, char *out, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%" PRIu32 "/task/%" PRIu32 "/%s", pid, tid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, out, size - 1);
	n = n < 0 ? -errno : n;
	close(fd);
	out[n < 0 ? 0 : n] = 0;
	return (int)n;
}

/* Source: proc(5), schedstat: nanoseconds on a processor, nanoseconds of waiting for one, how often it was given one.
 * The file is kept open as far as DESCRIPTORS goes: opening it costs more than reading. */
static bool read_clock(struct pa_process *p, struct wall_thread *t, struct run_clock *clock)
{
	struct pa_wall *w = p->recorder->wall;
	char text[96];
	ssize_t n;
	int fd = t->fd;

	if (fd < 0) {
		snprintf(text, sizeof(text), "/proc/%" PRIu32 "/task/%" PRIu32 "/schedstat", p->pid, t->tid);
		fd = open(text, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return false;
	}
	n = pread(fd, text, sizeof(text) - 1, 0);
	if (t->fd < 0 && n > 0 && w->descriptors < DESCRIPTORS) {
		t->fd = fd;
		w->descriptors++;
	} else if (t->fd < 0) {
		close(fd);
	}
	text[n > 0 ? n : 0] = 0;
	return sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64, &clock->cpu_ns, &clock->queued_ns, &clock->runs) == 3;
}

/* Errors: -EAGAIN: it runs; -errno. Source: proc(5), /proc/PID/syscall: the last two fields. */
static int read_place(uint32_t pid, uint32_t tid, uint64_t *sp, uint64_t *pc)
{
	char text[256], *at;
	int n = read_file(pid, tid, "syscall", text, sizeof(text));

	if (n <= 0)
		return n ? n : -ESRCH;
	at = strrchr(text, ' ');
	if (!at || strncmp(text, "running", 7) == 0)
		return -EAGAIN;
	*pc = strtoull(at + 1, NULL, 16);
	*at = 0;
	at = strrchr(text, ' ');
	if (!at)
		return -EAGAIN;
	*sp = strtoull(at + 1, NULL, 16);
	return *pc ? 0 : -EAGAIN;
}

/* ---- walks ------------------------------------------------------------------------------------------------------- */

static int read_memory(void *arg, uint64_t address, void *out, size_t len)
{
	struct memory *m = arg;

	if (address >= m->start && m->len >= len && address - m->start <= m->len - len) {
		memcpy(out, m->w->stack + (address - m->start), len);
		return 0;
	}
	return pa_unwind_read_process((pid_t)m->pid, address, out, len);
}

/* Page by page: a stack may be shorter than what is wanted. */
static void copy_stack(struct memory *m, uint64_t sp)
{
	m->start = sp & ~UINT64_C(7);
	m->len = 0;
	while (m->len < STACK_BYTES) {
		uint64_t at = m->start + m->len;
		size_t part = 4096 - (size_t)(at & 4095);

		if (part > STACK_BYTES - m->len)
			part = STACK_BYTES - m->len;
		if (pa_unwind_read_process((pid_t)m->pid, at, m->w->stack + m->len, part))
			return;
		m->len += part;
	}
}

/* The kernel tells two registers. A frame that has its CFA from the frame pointer, when nobody further down has saved
 * that, needs it all the same: it is where a frame pointer and a return address stand one after the other. The one
 * that leads to the outermost frame is right. Returns the number of frames of the best walk. */
static size_t walk(struct pa_recorder *r, struct pa_process *p, struct memory *m, uint64_t sp, uint64_t pc,
		   uint64_t *frames, enum pa_stop *stop)
{
	struct pa_unwind_registers regs = {.nr = NR_REG};
	uint64_t other[WALK_FRAMES];
	enum pa_stop how;
	size_t nr, more;
	unsigned tries = 0;

	regs.regs[REG_SP] = sp;
	regs.regs[NR_REG - 1] = pc;
	nr = pa_slices_walk(r->slices, p, r->modules, &regs, read_memory, m, frames, WALK_FRAMES, stop);
	for (size_t at = 0; *stop != PA_STOP_END && at + 16 <= m->len && tries < GUESSES; at += 8) {
		uint64_t fp, ra;

		memcpy(&fp, m->w->stack + at, 8);
		memcpy(&ra, m->w->stack + at + 8, 8);
		if ((fp && (fp <= m->start + at || fp - m->start > (UINT64_C(8) << 20) || fp & 7)) ||
		    !pa_maps_find(&p->maps, ra, UINT64_MAX))
			continue;
		tries++;
		regs.regs[REG_FP] = m->start + at;
		more = pa_slices_walk(r->slices, p, r->modules, &regs, read_memory, m, other, WALK_FRAMES, &how);
		if (how != PA_STOP_END || more <= nr)
			continue;
		memcpy(frames, other, more * sizeof(*frames));
		nr = more;
		*stop = how;
	}
	return nr;
}

static uint32_t stack_of(struct pa_process *p, const uint64_t *frames, size_t nr, enum pa_stop stop)
{
	return pa_frames_stack(p, &(struct pa_walked){pa_now_ns(), frames, (uint16_t)nr, (uint16_t)stop});
}

/* ---- look-ups: NULL: limit or memory ----------------------------------------------------------------------------- */

/* 0: nothing was recorded of it yet. */
static uint32_t store_id(const struct pa_process *p, uint32_t tid)
{
	const struct pa_thread *t = pa_process_thread(p, p->pid == p->inner_pid ? tid : pa_proc_inner_tid(p->pid, tid));

	return t ? t->id : 0;
}

static struct wall_thread *thread_of(struct pa_process *p, uint32_t tid)
{
	struct pa_process_wall *l = p->wall;
	struct wall_thread **at = &l->threads[tid % BUCKETS], *t;

	for (t = *at; t; t = t->chain)
		if (t->tid == tid)
			return t;
	t = l->nr_threads < PA_WALL_THREADS ? calloc(1, sizeof(*t)) : NULL;
	if (!t) {
		pa_records_loss(p, "looks at waiting threads beyond the limit", 1);
		return NULL;
	}
	l->nr_threads++;
	t->tid = tid;
	t->fd = -1;
	t->id = store_id(p, tid);
	t->chain = *at;
	*at = t;
	return t;
}

static struct wall_row *row_of(struct pa_process *p, uint32_t thread, uint32_t stack)
{
	struct pa_process_wall *l = p->wall;
	struct wall_row **at = &l->rows[(stack * 31 + thread) % BUCKETS], *row;

	for (row = *at; row; row = row->chain)
		if (row->row.stack == stack && row->row.thread == thread)
			return row;
	row = l->nr_rows < PA_WALL_ROWS_MAX ? calloc(1, sizeof(*row)) : NULL;
	if (!row) {
		pa_records_loss(p, "waits at stacks beyond the limit", 1);
		return NULL;
	}
	l->nr_rows++;
	row->row = (struct pa_store_wall){
	    .id = ++p->recorder->wall->next_row, .process = p->id, .thread = thread, .stack = stack};
	row->chain = *at;
	*at = row;
	return row;
}

/* ---- a round ----------------------------------------------------------------------------------------------------- */

/* Where a thread that does not run waits. NULL: it runs, moved meanwhile, or may not be looked at. */
static struct wall_row *find_out(struct pa_process *p, struct wall_thread *t, uint64_t runs)
{
	struct pa_recorder *r = p->recorder;
	struct pa_wall *w = r->wall;
	struct memory m = {.w = w, .pid = p->pid};
	uint64_t frames[WALK_FRAMES], sp, pc;
	struct run_clock after;
	enum pa_stop stop = PA_STOP_MEMORY;
	int err = read_place(p->pid, t->tid, &sp, &pc);
	size_t nr;

	if (err == -EACCES || err == -EPERM)
		p->wall->refused = true;
	w->running += err == -EAGAIN;
	if (err)
		return NULL;
	if (w->walks >= PA_WALL_WALKS) {
		w->put_off++;
		return NULL;
	}
	w->walks++;
	if (w->began_ns - p->wall->scanned_ns > RESCAN_NS && !pa_maps_find(&p->maps, pc, UINT64_MAX)) {
		p->wall->scanned_ns = w->began_ns;
		pa_modules_scan(r->modules, &p->maps, p->pid, w->began_ns);
	}
	copy_stack(&m, sp);
	nr = walk(r, p, &m, sp, pc, frames, &stop);
	if (!nr)
		frames[nr++] = pc | PA_FRAME_EXACT;
	if (!read_clock(p, t, &after) || after.runs != runs) {
		w->moved++;
		return NULL;
	}
	w->walked++;
	if (!t->id)
		t->id = store_id(p, t->tid);
	return row_of(p, t->id, stack_of(p, frames, nr, stop));
}

static int look_at(void *arg, uint32_t tid)
{
	struct pa_process *p = arg;
	struct pa_wall *w = p->recorder->wall;
	struct wall_thread *t = thread_of(p, tid);
	struct run_clock now;
	uint64_t now_ns;

	if (!t)
		return 0;
	t->round = w->round;
	now_ns = pa_now_ns();
	if (!read_clock(p, t, &now))
		return 0;
	w->looks++;
	/* what it neither ran nor waited for a processor */
	if (t->looked_ns) {
		uint64_t ran_ns = now.cpu_ns - t->clock.cpu_ns + now.queued_ns - t->clock.queued_ns;

		t->owed_ns += now_ns - t->looked_ns > ran_ns ? now_ns - t->looked_ns - ran_ns : 0;
	}
	t->looked_ns = now_ns;
	if (!t->row || now.runs != t->clock.runs)
		t->row = find_out(p, t, now.runs);
	t->clock = now;
	if (p->wall->refused)
		return 1;
	if (!t->row)
		return 0;
	t->row->row.looks++;
	t->row->row.ns += t->owed_ns;
	t->row->changed = true;
	t->owed_ns = 0;
	return 0;
}

static void free_thread(struct pa_process *p, struct wall_thread *t)
{
	if (t->fd >= 0) {
		close(t->fd);
		p->recorder->wall->descriptors--;
	}
	free(t);
}

/* Threads that this round did not meet have ended. */
static void forget_ended(struct pa_process *p)
{
	struct pa_process_wall *l = p->wall;

	for (unsigned i = 0; i < BUCKETS; i++) {
		for (struct wall_thread **at = &l->threads[i], *t; (t = *at);) {
			if (t->round == p->recorder->wall->round) {
				at = &t->chain;
				continue;
			}
			*at = t->chain;
			free_thread(p, t);
			l->nr_threads--;
		}
	}
}

static void look_at_process(struct pa_process *p)
{
	struct pa_recorder *r = p->recorder;
	char text[200];

	if (p->ended || p->gone_ns || !p->pid || p->exec_ns)
		return;
	if (!p->wall)
		p->wall = calloc(1, sizeof(*p->wall));
	if (!p->wall || p->wall->refused)
		return;
	pa_proc_threads(p->pid, look_at, p);
	forget_ended(p);
	if (!p->wall->refused)
		return;
	r->wall->refused++;
	snprintf(text, sizeof(text),
		 "where its threads wait is not known: the kernel does not let perfagent look at them (ptrace(2))");
	pa_recorder_store(r, pa_store_add_note(r->store, p->id, pa_now_ns(), text));
}

static void on_round(struct pa_timer *timer)
{
	struct pa_recorder *r = timer->arg;
	struct pa_wall *w = r->wall;
	uint64_t before_ns = cpu_ns(), used_ns, pause_ns;

	w->began_ns = pa_now_ns();
	w->round++;
	w->rounds++;
	w->walks = 0;
	for (struct pa_recording_session *rs = r->sessions; rs; rs = rs->next)
		for (struct pa_process *p = rs->processes; p; p = p->next)
			look_at_process(p);
	if (w->due_ns && w->began_ns > w->due_ns + PA_WALL_PERIOD_NS / 2)
		w->missed += (w->began_ns - w->due_ns + PA_WALL_PERIOD_NS / 2) / PA_WALL_PERIOD_NS;
	used_ns = cpu_ns() - before_ns;
	w->cpu_ns += used_ns;
	pause_ns = used_ns * PA_WALL_SHARE;
	if (pause_ns < PA_WALL_PERIOD_NS)
		pause_ns = PA_WALL_PERIOD_NS;
	/* what a program does every so many milliseconds must not fall in step with this */
	w->random = w->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	pause_ns = pause_ns / 4 * 3 + (w->random >> 33) % (pause_ns / 2);
	w->due_ns = w->began_ns + PA_WALL_PERIOD_NS;
	pa_loop_arm(r->loop, &w->timer, pause_ns);
}

/* ---- beginning and end ------------------------------------------------------------------------------------------- */

int pa_wall_open(struct pa_recorder *r)
{
	if (!pa_wall_wanted(r))
		return 0;
	r->wall = calloc(1, sizeof(*r->wall));
	if (!r->wall)
		return -ENOMEM;
	r->wall->timer = (struct pa_timer){.fn = on_round, .arg = r};
	r->wall->random = pa_now_ns();
	return 0;
}

void pa_wall_begin(struct pa_recorder *r)
{
	if (r->wall && !r->wall->timer.on)
		pa_loop_arm(r->loop, &r->wall->timer, PA_WALL_PERIOD_NS);
}

static void flush_process(struct pa_process *p)
{
	for (unsigned i = 0; p->wall && i < BUCKETS; i++) {
		for (struct wall_row *row = p->wall->rows[i]; row; row = row->chain) {
			if (row->changed && !pa_store_put_wall(p->recorder->store, &row->row))
				row->changed = false;
		}
	}
}

void pa_wall_flush(struct pa_recorder *r)
{
	for (struct pa_recording_session *rs = r->wall ? r->sessions : NULL; rs; rs = rs->next)
		for (struct pa_process *p = rs->processes; p; p = p->next)
			flush_process(p);
}

void pa_wall_end(struct pa_process *p)
{
	if (!p->wall)
		return;
	flush_process(p);
	for (unsigned i = 0; i < BUCKETS; i++) {
		for (struct wall_row *row = p->wall->rows[i], *next; row; row = next) {
			next = row->chain;
			free(row);
		}
		for (struct wall_thread *t = p->wall->threads[i], *next; t; t = next) {
			next = t->chain;
			free_thread(p, t);
		}
	}
	free(p->wall);
	p->wall = NULL;
}

void pa_wall_finish(struct pa_recorder *r)
{
	struct pa_wall *w = r->wall;

	if (!w)
		return;
	pa_loop_disarm(r->loop, &w->timer);
	const struct {
		const char *key;
		uint64_t value;
	} figures[] = {{"wall_rounds", w->rounds},   {"wall_missed", w->missed}, {"wall_looks", w->looks},
		       {"wall_running", w->running}, {"wall_walks", w->walked},  {"wall_moved", w->moved},
		       {"wall_put_off", w->put_off}, {"wall_cpu_ns", w->cpu_ns}, {"wall_refused", w->refused}};

	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
		pa_recorder_meta_u64(r, figures[i].key, figures[i].value);
}

void pa_wall_free(struct pa_recorder *r)
{
	if (!r->wall)
		return;
	pa_loop_disarm(r->loop, &r->wall->timer);
	free(r->wall);
	r->wall = NULL;
}
