/* What the files of the recorder share: recorder.c (life of sessions and processes), records.c (handlers by record
 * type), frames.c (addresses into frames, stacks and names), account.c (CPU time). World: plain. */
#ifndef PA_COLLECTOR_RECORDER_IMPL_H
#define PA_COLLECTOR_RECORDER_IMPL_H

#include "collector/drain.h"
#include "collector/heap_drain.h"
#include "collector/heap_sampled.h"
#include "collector/locks.h"
#include "collector/loops.h"
#include "collector/modules.h"
#include "collector/process.h"
#include "collector/recorder.h"
#include "collector/session.h"
#include "collector/slices.h"
#include "collector/stacks.h"
#include "collector/store.h"
#include "collector/symbolize.h"
#include "collector/talks.h"
#include "collector/wall.h"

#define PA_RECORDER_SESSIONS_MAX  1024
#define PA_RECORDER_PROCESSES_MAX 65536 /* of one session, live */
#define PA_RECORDER_NODES_MAX     (16u << 20)

#define PA_HANDLER_BUCKETS 128
#define PA_ENDED_THREADS   4096
#define PA_NUMBER_BUCKETS  256
/* Children that had ended before we looked, of one session: at once, and for each further one so much time. A program
 * that forks as fast as it can has fewer. */
#define PA_UNSEEN_BURST 2048
#define PA_UNSEEN_NS    500000u

struct pa_recording_session {
	struct pa_session *s;
	struct pa_recorder *recorder;
	struct pa_process *processes; /* the latest comes first */
	struct pa_process *oldest;
	struct pa_process *numbers[PA_NUMBER_BUCKETS]; /* by inner pid, the latest comes first */
	uint32_t nr_processes;
	uint32_t nr_live;
	uint32_t nr_gone;   /* of them that are told to be gone */
	uint32_t nr_nested; /* processes that count in a pid namespace of their own, or may */
	struct pa_owners {
		uint64_t tokens, filled_ns; /* looks for owners that were found nowhere */
		uint64_t looks;             /* into /proc, ever */
		uint32_t nr_impossible;
		uint64_t nr_refused, said_refused;
	} owners;
	bool over; /* what its target writes is read no more */
	uint64_t pass_began_ns;
	bool slots_done; /* of the pass under way */
	bool flush_due;  /* its heaps are to be written when that is done */
	uint32_t round;  /* of passes: its latest */
	struct pa_drain_result pass;
	uint64_t empty_since_ns;    /* 0: some process lives */
	uint64_t start_ticks;       /* pa_proc_start_ticks of its first process, 0: not known */
	bool granted;               /* its agent has got it */
	bool answered;              /* and it has been taken up: there is a file */
	struct pa_streamed *stream; /* NULL: the target maps our file */
	uint64_t stream_closed_ns;
	bool stream_closed_said;
	uint32_t memory_looks;
	struct pa_heap_drain *heap_drain; /* NULL: not in exact mode */
	uint64_t heap_unrecorded;         /* last reading of the control page */
	uint64_t heap_ns;                 /* what its heaps have played goes up to there */
	uint64_t waits_lost;              /* last reading of the control page */
	struct pa_recording_session *next;
};

struct pa_recorder {
	struct pa_loop *loop;
	struct pa_recorder_options options;
	char *path;
	struct pa_store *store;
	struct pa_stacks *stacks;
	struct pa_stackmemo *memo;
	struct pa_modules *modules;
	uint32_t stored_modules; /* the first so many have a row */
	struct pa_slices *slices;
	struct pa_drain *drain;
	struct pa_sample *completed; /* from its slice; room for PA_FRAMES_MAX frames */
	struct pa_drain_sink sink;
	struct pa_recording_session *sessions;
	uint32_t nr_sessions;
	struct pa_session *spare;          /* for the next agent, which waits for its answer; NULL: to be made then */
	struct pa_recording_session *open; /* whose pass has begun and is not done; NULL: none */
	bool commit_due;                   /* a batch waits for heaps */
	uint32_t round, round_fill;        /* of passes over all sessions: number, and fullest ring so far */
	struct pa_recording_session *draining; /* whose records the handlers see */
	struct pa_process *recent;             /* of the last record */
	uint32_t next_process;
	bool met_running; /* a process that had been running: the recording starts with the first of these */
	uint32_t next_thread;
	uint32_t next_loop, next_loop_wait;
	struct pa_talks *talks; /* NULL: nothing was said */
	uint32_t next_lock, nr_lock_slow;
	struct pa_wall *wall;     /* NULL: not wanted */
	uint32_t nr_loop_blocked; /* iterations that were long enough for a row */
	uint64_t samples;         /* weighted */
	uint64_t signals;
	uint64_t agent_rss_kib; /* of the agent's own mappings, in the process where they were largest */
	uint64_t armed_max_ns;  /* from the agent's constructor to its first timer */
	uint64_t handler_ns[PA_HANDLER_BUCKETS]; /* handler times, four buckets an octave */
	uint64_t compared, identical;            /* PERFAGENT_UNWINDER=compare */
	uint32_t last_stack;                     /* of the sample before */
	uint32_t nr_streams;                     /* sessions that came over their socket */
	uint64_t tree_cpu_ns;                    /* of ended processes */
	uint64_t search_at_ns;                   /* when /proc may be searched for an inner pid again */
	int64_t carry_ns;                        /* see account.c */
	uint64_t period_ns;
	const char *unwinder;
	struct pa_timer drain_timer, poll_timer, commit_timer;
	uint64_t drain_ns; /* present interval */
	uint32_t largest;  /* record seen, decays */
	int store_error;   /* first one */
	struct jit_frame {
		uint32_t frame;
		uint32_t process;
		uint64_t address;
	} * unnamed; /* JIT frames without a name yet */
	size_t nr_unnamed;
	size_t max_unnamed;
	struct pa_heap_clock heap_clock;
	struct pa_heap_sink heap_sink;
	struct pa_heap_sampled *sampled;
	struct pa_ended_thread {
		uint32_t process, tid, id;
		uint64_t start_ns;
	} * ended; /* the last PA_ENDED_THREADS, at nr_ended modulo that */
	uint64_t nr_ended;
};

/* recorder.c */
void pa_recorder_store(struct pa_recorder *r, int err); /* remembers the first error */

/* recorder_process.c */
struct pa_process *pa_recorder_new_process(struct pa_recording_session *rs, uint32_t pid, uint32_t inner_pid,
					   int pidfd);
/* A process nobody announced: a forked child that has claimed a slot in its parent's memfd. */
struct pa_process *pa_recorder_adopt(struct pa_recording_session *rs, uint32_t inner_pid, uint32_t pid,
				     uint32_t parent_pid);
struct pa_process *pa_recorder_by_pid(const struct pa_recorder *r, uint32_t pid); /* a live one, or NULL */
void pa_recorder_look_at(struct pa_process *p);                                   /* command, executable, user */
void pa_recorder_put_process(struct pa_process *p);
void pa_recorder_unwatch(struct pa_process *p);
bool pa_recorder_left_by_exec(const struct pa_process *p);
/* Frees processes that ended a while ago: nothing of theirs can still come. */
void pa_recorder_bury(struct pa_recording_session *rs);
void pa_recorder_end_process(struct pa_process *p, const char *how);
struct pa_thread *pa_recorder_thread(struct pa_process *p, uint32_t tid, uint64_t time_ns);
void pa_recorder_forget_thread(struct pa_process *p, struct pa_thread *t);
/* The id of the thread that had this number then: its events are often read after the record of its end, and the number
 * may have a new bearer already. Makes one where none is known. 0: none can be made. */
uint32_t pa_recorder_thread_at(struct pa_process *p, uint32_t tid, uint64_t time_ns);

/* recorder_find.c */
/* During a drain: the process of a slot's owner. NULL: none, or one too many that nobody has seen. */
struct pa_process *pa_recorder_process(struct pa_recorder *r, uint32_t inner_pid);
/* Whether a number belongs to a process that was there before the session, and so is nobody's forked child. */
bool pa_recorder_is_older(const struct pa_recording_session *rs, uint32_t pid);
void pa_recorder_number(struct pa_process *p); /* makes it known by its inner pid */
void pa_recorder_unnumber(struct pa_process *p);
void pa_recorder_say_refused(struct pa_recording_session *rs);

/* recorder_pass.c */
/* A whole pass over the rings of a session. What another one's has left undone is done first. */
void pa_recorder_drain(struct pa_recording_session *rs, struct pa_drain_result *result);
void pa_recorder_drain_once(struct pa_recording_session *rs, struct pa_drain_result *result); /* not from its stream */
/* Before a process ends: a whole pass, and what the control page says was lost. */
void pa_recorder_drain_last(struct pa_recording_session *rs, struct pa_drain_result *result);
void pa_recorder_end_pass(struct pa_recorder *r); /* does what is left of the pass under way; no-op without one */
/* A part of the passes over all sessions. Returns true: all are done; *fill_permille: of the fullest ring. */
bool pa_recorder_turn(struct pa_recorder *r, uint32_t *fill_permille);
void pa_recorder_gone(struct pa_process *p);                /* it is no more: ends soon, together with others */
void pa_recorder_end_gone(struct pa_recording_session *rs); /* now */
/* Writes the heaps of a session, after a pass. */
void pa_recorder_flush_heaps(struct pa_recording_session *rs);
/* Ends the batch and has it written; once heaps that wait for the end of their pass are in it, or a period later. */
void pa_recorder_commit(struct pa_recorder *r);

/* titles.c */
void pa_titles_look(struct pa_process *p);    /* at every poll: its command line again, when it is time */
void pa_titles_goodbye(struct pa_process *p); /* it exits, and may still be there */

/* recorder_stream.c */
/* What of a session can be streamed. Returns false: nothing. */
bool pa_streams_geometry(struct pa_geometry *g);
int pa_streams_open(struct pa_recording_session *rs, int connection); /* Errors: -errno */
int pa_streams_answered(struct pa_recording_session *rs);             /* the CONFIG is on its way. Errors: -errno */
void pa_streams_receive(struct pa_recording_session *rs);             /* before a drain; nothing without a stream */
void pa_streams_poll(struct pa_recording_session *rs);
/* Whether a process of any session has left its memory. */
bool pa_streams_left(const struct pa_recording_session *rs, uint32_t pid);
void pa_streams_rows(struct pa_recorder *r);

/* records.c */
/* The process a record speaks of, NULL: none. */
struct pa_process *pa_records_process(struct pa_recorder *r, const struct pa_drain_origin *from,
				      const struct pa_record *record);
/* The thread that a record says it is about, and its process. Errors: NULL: that one has ended, or no memory. */
struct pa_thread *pa_records_thread(struct pa_recorder *r, const struct pa_drain_origin *from,
				    const struct pa_record *record, uint32_t tid, struct pa_process **p);
void pa_records_loss(struct pa_process *p, const char *reason, uint64_t count);
void pa_records_init(struct pa_drain_sink *sink, struct pa_recorder *r);
void pa_records_put_thread(struct pa_process *p, const struct pa_thread *t);
/* One sample row that stands for periods without a stack. */
void pa_records_charge(struct pa_process *p, struct pa_thread *t, uint64_t time_ns, uint32_t pseudo, uint64_t weight);

/* frames.c */
struct pa_walked {
	uint64_t time_ns;
	const uint64_t *frames; /* innermost first, as on the wire */
	uint16_t nr, stop;      /* enum pa_stop */
};
uint32_t pa_frames_stack(struct pa_process *p, const struct pa_walked *w);
uint32_t pa_frames_pseudo_stack(struct pa_recorder *r, uint32_t root_frame, uint32_t pseudo);
uint32_t pa_frames_of(struct pa_process *p, uint64_t value, uint64_t time_ns);
/* The stack of a frame (as in struct pa_sample) on a parent; the agent's own frames are none. */
uint32_t pa_frames_on(struct pa_process *p, uint32_t parent, uint64_t value, uint64_t time_ns);
void pa_frames_symbolize(struct pa_recorder *r);

/* jit.c */
void pa_jit_open(struct pa_process *p); /* while the process lives */
void pa_jit_name(struct pa_process *p); /* when it ends */

/* recorder_heap.c */
int pa_heaps_init(struct pa_recorder *r); /* Errors: 0 or -ENOMEM */
void pa_heaps_fini(struct pa_recorder *r);
bool pa_heaps_wanted(const struct pa_recorder *r);
int pa_heaps_open(struct pa_recording_session *rs);  /* a session; 0 or -ENOMEM */
void pa_heaps_begin(struct pa_process *p);           /* a process */
void pa_heaps_end(struct pa_process *p);             /* its end: everything is written */
void pa_heaps_look(struct pa_recording_session *rs); /* before the other rings are drained ... */
/* ... and after, in parts as pa_heap_drain_part. */
bool pa_heaps_play(struct pa_recording_session *rs, uint64_t until_ns, struct pa_drain_result *result);
void pa_heaps_flush(struct pa_recording_session *rs);            /* once a second */
void pa_heaps_losses(struct pa_recording_session *rs);           /* reads the control page */
void pa_heaps_hook_lost(struct pa_process *p, uint64_t records); /* of a hook ring */
void pa_heaps_on_sample(void *arg, const struct pa_drain_origin *from, const struct pa_record *record);
void pa_heaps_on_free(void *arg, const struct pa_drain_origin *from, const struct pa_record *record);
void pa_heaps_on_figures(void *arg, const struct pa_drain_origin *from, const struct pa_record *record);

/* recorder_attach.c */
void pa_attach_begin(struct pa_process *p); /* its clock, when it says HELLO ... */
/* ... and its threads: at the first record, when the helper that said HELLO is gone, and at every look at it. Reads
 * their clocks once, and asks for as many to be armed as there is room for. */
void pa_attach_threads(struct pa_process *p);
bool pa_attach_was_left(struct pa_process *p); /* whether its agent is in another session by now, or in none */
void pa_attach_leave(struct pa_process *p);    /* and then */

/* account.c */
void pa_account_poll(struct pa_process *p);
void pa_account_read_cpu(struct pa_process *p);
void pa_account_end(struct pa_process *p);

#endif
