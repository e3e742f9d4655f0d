/* The recording: one SQLite file (`NAME.pfa`), written by the collector, read by the reports.
 *
 * Ids start at 1 and are the caller's: 0 is unknown. Counts are stored raw with the period, readers scale. Schema:
 * perfagent-recording(5). Written in batches (pa_store_commit every second); killed half-way the file opens and lacks
 * `ended`. World: plain. */
#ifndef PA_COLLECTOR_STORE_H
#define PA_COLLECTOR_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PA_STORE_SCHEMA         5
#define PA_STORE_APPLICATION_ID 0x50464131 /* "PFA1" */

/* ---- writing ---------------------------------------------------------------------------------------------------- */

struct pa_store;

/* Creates the recording. Writes go to the file itself (WAL), or, where that cannot work (network file system by
 * statfs, not a regular file, "-" for stdout), to a temporary that is moved or copied at pa_store_close.
 * Errors: -errno with a sentence in err (err_size bytes): exists and is no recording, unwritable, full. */
int pa_store_create(const char *path, struct pa_store **out, char *err, size_t err_size);
/* The same for another user's file (collector/owner.h): with that user's rights, and so that nothing the user does to
 * the file while it is written harms us. Errors: -EPERM: we may not act for that user. */
struct pa_owner;
int pa_store_create_for(const struct pa_owner *owner, const char *path, struct pa_store **out, char *err,
			size_t err_size);

struct pa_store_process {
	uint32_t id;         /* ours, from 1 */
	uint32_t pid;        /* as the collector sees it */
	uint32_t inner_pid;  /* as the target sees it */
	uint32_t parent;     /* id of the process that forked or exec'ed it, 0: none known */
	uint64_t start_ns;   /* CLOCK_MONOTONIC */
	uint64_t end_ns;     /* 0: still running */
	uint64_t cpu_ns;     /* by the kernel, as far as known */
	uint64_t agent_ns;   /* time in our handlers and hooks */
	const char *command; /* argv joined by spaces */
	const char *exe;
	const char *how; /* how it ended: "exit 0", "signal 9", "exec", "running", "unknown" */
};

struct pa_store_thread {
	uint32_t id;
	uint32_t process; /* id */
	uint32_t tid;
	uint64_t start_ns;
	uint64_t end_ns;      /* 0: not seen ending */
	uint64_t cpu_ns;      /* exact when it was seen ending, else the last reading */
	uint64_t period_ns;   /* 0: not sampled */
	uint32_t start_frame; /* frame id of its start routine, 0 unknown */
	const char *name;
};

struct pa_store_module {
	uint32_t id;
	const char *path;
	const uint8_t *build_id;
	size_t build_id_len;
	uint32_t symbols; /* enum pa_symbol_status */
};

/* All put functions insert or replace by id. Errors: 0 or -errno. -ENOSPC: the disk has been full for so long that the
 * 64 MiB kept in memory are used up: this row or sample is dropped and counted; a gap of samples goes to the losses as
 * "disk full", with a note. Text: see perfagent-recording(5). */
int pa_store_put_meta(struct pa_store *s, const char *key, const char *value);
int pa_store_put_meta_u64(struct pa_store *s, const char *key, uint64_t value);
int pa_store_put_process(struct pa_store *s, const struct pa_store_process *p);
int pa_store_put_thread(struct pa_store *s, const struct pa_store_thread *t);
int pa_store_put_module(struct pa_store *s, const struct pa_store_module *m);
/* module 0: `address` is a pseudo frame (enum pa_pseudo_frame) or a run-time address in no module (JIT); name may then
 * name it, else NULL. Otherwise address is an ELF virtual address, already minus 1 for return addresses;
 * name is then "+0xSTART", the start of a function that has no name, or NULL. */
int pa_store_put_frame(struct pa_store *s, uint32_t id, uint32_t module, uint64_t address, const char *name);
/* A stack is a frame on top of a parent stack; parent 0: the frame is the root. The id stands for the leaf. */
int pa_store_put_stack(struct pa_store *s, uint32_t id, uint32_t parent, uint32_t frame);
/* Levels of one frame, innermost first (pa_symbol order). */
struct pa_symbol;
int pa_store_put_symbols(struct pa_store *s, uint32_t frame, const struct pa_symbol *levels, size_t nr);
/* One CPU sample. flags: PA_SAMPLE_BLOCKED etc. Buffered into chunk blobs of <= 6 bytes a sample on average. */
int pa_store_add_sample(struct pa_store *s, uint32_t thread, uint64_t time_ns, uint32_t stack, uint32_t weight);
/* Adds to a counter of the loss table. reason: "ring full", "no slot", "truncated", "blocked", "bad record", ... */
int pa_store_add_loss(struct pa_store *s, uint32_t process, const char *reason, uint64_t count);

/* ---- heap. All sums of estimates in sampled mode: bytes and calls stand for what was not sampled, rounded so that
 * their totals over time keep the fraction. */

/* What happened on one stack of one process since the last delta of it. A freed block counts on the stack that
 * allocated it. Live bytes at a time are the sum of bytes - freed up to it. */
struct pa_store_heap_delta {
	uint32_t stack;
	uint64_t calls; /* allocations */
	uint64_t bytes; /* asked for in them */
	uint64_t frees;
	uint64_t freed;     /* bytes */
	uint64_t temporary; /* of the frees: the very next heap call of the thread that allocated; exact mode only */
	uint64_t temporary_bytes;
	uint64_t samples; /* sampled mode: allocations that were hit; exact: 0 */
	/* sampled mode: what these add to the variance of bytes and (frees) of freed, bytes^2; exact: 0 */
	double var_bytes;
	double var_freed;
};
/* All stacks that changed in (first_ns, last_ns], no stack twice. At most one chunk a process and second.
 * Shapes: any nr; sorted by the call.
 * Errors: -EINVAL: a stack twice. -ENOSPC (a full disk, see above), -ENOMEM: none of it was taken, and nothing is
 * counted as lost: the caller keeps the deltas and adds them to those of the next chunk, or counts the loss itself. */
int pa_store_add_heap_chunk(struct pa_store *s, uint32_t process, uint64_t first_ns, uint64_t last_ns,
			    struct pa_store_heap_delta *deltas, size_t nr);

/* Which stacks held the memory at the moment of the process's highest heap. Replaces the one before.
 * Shapes: any nr; no stack twice; sorted by the call. Errors: as above; the peak before stays then. */
struct pa_store_heap_held {
	uint32_t stack;
	uint64_t calls;
	uint64_t bytes;
};
int pa_store_put_heap_peak(struct pa_store *s, uint32_t process, uint64_t time_ns, uint64_t calls, uint64_t bytes,
			   struct pa_store_heap_held *held, size_t nr);

/* A moment of the heap beside what the kernel and the C library say. UINT64_MAX: not known. */
struct pa_store_heap_point {
	uint32_t process;
	uint64_t time_ns;
	uint64_t live_calls, live_bytes;
	uint64_t rss_bytes;
	uint64_t libc_arena, libc_mapped, libc_used, libc_unused; /* mallinfo2, bytes */
};
int pa_store_add_heap_point(struct pa_store *s, const struct pa_store_heap_point *p);

/* Lifetimes of freed blocks: class i holds those that lived less than pa_heap_lifetimes_ns[i] and not less than the one
 * before it; the last is UINT64_MAX. */
#define PA_HEAP_LIFETIMES 8
extern const uint64_t pa_heap_lifetimes_ns[PA_HEAP_LIFETIMES]; /* store_heap.c: 10us 100us 1ms 10ms 100ms 1s 10s max */

/* Totals of a process; replaces the row before. */
struct pa_store_heap {
	uint32_t process;
	uint32_t mode;  /* enum pa_heap_mode */
	uint32_t flags; /* PA_HEAP_MMAP */
	uint64_t mean;  /* sampled: the last one in force */
	uint64_t calls, bytes, frees, freed, temporary;
	uint64_t unknown_frees; /* of blocks allocated before the recording, or in the parent before a fork */
	uint64_t own_bytes;     /* memory of the engine in the target */
	uint64_t lost;          /* events that are missing */
	uint64_t lost_frees;    /* of them frees, as far as that is known */
	uint64_t uncertain_ns;  /* CLOCK_MONOTONIC from which on the live heap may be wrong; 0: never */
	uint64_t stalled_ns;    /* time its threads waited for the collector */
	uint64_t mapped_calls, mapped_bytes, unmapped_bytes; /* mmap and brk, when asked for */
	uint64_t lifetime_calls[PA_HEAP_LIFETIMES], lifetime_bytes[PA_HEAP_LIFETIMES];
};
int pa_store_put_heap(struct pa_store *s, const struct pa_store_heap *h);

/* Totals of a thread: what it allocated and what it freed, whoever allocated that. Replaces the row before. */
struct pa_store_heap_thread {
	uint32_t thread;
	uint64_t calls, bytes, frees, freed;
};
int pa_store_put_heap_thread(struct pa_store *s, const struct pa_store_heap_thread *t);

/* A sentence for the report. */
int pa_store_add_note(struct pa_store *s, uint32_t process, uint64_t time_ns, const char *text);
/* Ends the batch and writes it. Errors: -errno: what was not written is not lost: the next commit tries again with all
 * of it (-ENOSPC: disk full; -EBUSY: somebody else holds a lock). */
int pa_store_commit(struct pa_store *s);
/* Ends the batch, and a thread writes it: called every second by the loop, which rings must not wait for. While the one
 * before is still being written nothing happens: the rows wait for the next call. Errors: those of the one before. */
int pa_store_commit_begin(struct pa_store *s);
/* clean: writes `ended`, checkpoints and switches to journal_mode=DELETE so that one file stays. Frees s always. */
int pa_store_close(struct pa_store *s, bool clean);

/* ---- reading ---------------------------------------------------------------------------------------------------- */

struct pa_recording;

/* Opens for reading only: the file is never changed by a report (a killed one is recovered in a private copy when its
 * directory or WAL cannot be used as they are).
 * Errors: -errno with a sentence in err: no such file, not a recording, newer schema (both versions named), damaged. */
int pa_recording_open(const char *path, struct pa_recording **out, char *err, size_t err_size);
void pa_recording_close(struct pa_recording *r);

/* What was wrong when a visit ended with -EBADMSG, "" before: a sentence with the table and, for samples, the offset.
 * Lent until the next visit. */
const char *pa_recording_error(const struct pa_recording *r);

/* NULL when the key is absent. Lent until close. */
const char *pa_recording_meta(struct pa_recording *r, const char *key);
uint64_t pa_recording_meta_u64(struct pa_recording *r, const char *key, uint64_t otherwise);

/* Visits rows in id order; a callback returning non-zero ends the visit with that value; -errno on damage. Structs and
 * strings are lent for the call. */
int pa_recording_processes(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_process *p), void *arg);
int pa_recording_threads(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_thread *t), void *arg);
int pa_recording_modules(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_module *m), void *arg);
struct pa_store_frame {
	uint32_t id;
	uint32_t module;
	uint64_t address;
	const char *name; /* NULL: none */
};
int pa_recording_frames(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_frame *f), void *arg);
int pa_recording_stacks(struct pa_recording *r, int (*fn)(void *arg, uint32_t id, uint32_t parent, uint32_t frame),
			void *arg);
/* level 0 innermost, levels of a frame in order. */
struct pa_store_symbol {
	uint32_t frame;
	uint32_t level;
	const char *function;
	const char *file; /* NULL: unknown */
	uint32_t line;
};
int pa_recording_symbols(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_symbol *s), void *arg);
/* Times are whole microseconds. Order: as recorded to within 4096 samples; there by thread, then time. A damaged chunk
 * gives its whole samples, the others follow, and the visit ends with -EBADMSG. */
struct pa_store_sample {
	uint32_t thread;
	uint64_t time_ns;
	uint32_t stack;
	uint32_t weight;
};
int pa_recording_samples(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_sample *s), void *arg);
/* Heap. Chunks in the order they were added, of each process therefore by time; deltas are lent, nr of them, by rising
 * stack. A chunk of many stacks comes as several of the same times. Damaged ones: as with samples. */
int pa_recording_heap_chunks(struct pa_recording *r,
			     int (*fn)(void *arg, uint32_t process, uint64_t first_ns, uint64_t last_ns,
				       const struct pa_store_heap_delta *deltas, size_t nr),
			     void *arg);
int pa_recording_heap_peaks(struct pa_recording *r,
			    int (*fn)(void *arg, uint32_t process, uint64_t time_ns, uint64_t calls, uint64_t bytes,
				      const struct pa_store_heap_held *held, size_t nr),
			    void *arg);
int pa_recording_heap_points(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_heap_point *p),
			     void *arg);
int pa_recording_heaps(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_heap *h), void *arg);
int pa_recording_heap_threads(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_heap_thread *t),
			      void *arg);
int pa_recording_losses(struct pa_recording *r,
			int (*fn)(void *arg, uint32_t process, const char *reason, uint64_t count), void *arg);
int pa_recording_notes(struct pa_recording *r,
		       int (*fn)(void *arg, uint32_t process, uint64_t time_ns, const char *text), void *arg);

/* Meta keys the collector writes (values as text): "started" (RFC 3339 UTC), "started_mono_ns", "asked_mono_ns"
 * (attach), "ended" (RFC 3339 UTC; absent: the collector was killed), "ended_mono_ns", "command", "host", "mode"
 * ("cpu,memory"), "period_ns", "version", "exit_status" (of the command, as a shell shows it), "cpu_ns" (kernel's
 * figure for the whole tree), "collector_cpu_ns", "unwinder" ("perfagent", "libunwind" or "compare"),
 * "streamed_sessions" (over the socket; absent: none). */

#endif
