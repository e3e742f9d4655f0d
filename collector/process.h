/* Processes and threads of a recording: what was announced, what was sampled, and how much CPU time is left to explain.
 *
 * CPU clock of a process = base (an earlier image of the same pid, or what came before it was attached to) + CPU of its
 * threads. Of a thread the time before its timer was armed is known and unsampled; what follows is worth one sample a
 * period, on average exactly, because the first expiry is random (F5). What the kernel charged beyond that is missing.
 * World: plain. */
#ifndef PA_COLLECTOR_PROCESS_H
#define PA_COLLECTOR_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/loop.h"
#include "collector/modules.h"

#define PA_THREAD_BUCKETS 256
/* Two years: more CPU time than that is a liar's and counts as none. */
#define PA_CPU_NS_MAX  (UINT64_C(1) << 56)
#define PA_THREADS_MAX 65536 /* live ones of a process */

struct pa_thread {
	uint32_t id;
	uint32_t tid; /* inner */
	uint32_t start_frame;
	uint64_t start_ns;
	uint64_t end_ns;
	uint64_t cpu_ns;         /* last reading, or exact at its end */
	uint64_t armed_cpu_ns;   /* its CPU clock when sampling began */
	uint64_t period_ns;      /* 0: not sampled */
	uint64_t weight;         /* periods that became samples, blocked and lost ones included */
	uint64_t watched_cpu_ns; /* unannounced: reading when it was first seen */
	uint64_t cpu_base_ns;    /* its CPU clock when its process was attached to, 0: it is younger */
	bool announced;
	bool asked;  /* on the arm list once */
	bool wanted; /* it ran when its process was attached to: it is to be armed */
	char name[17];
	struct pa_thread_locks *locks; /* locks.c's; NULL: waited for none */
	struct pa_thread *chain;
};

struct pa_heap;
struct pa_process_locks;
struct pa_process_loops;
struct pa_process_talks;
struct pa_process_wall;
struct pa_recorder;
struct pa_unwinder;
struct pa_recording_session;

struct pa_process {
	uint32_t id;
	uint32_t pid;       /* as we see it, 0: not visible */
	uint32_t inner_pid; /* as it sees itself */
	uint32_t parent;    /* id, 0: none */
	uint32_t uid;
	uint64_t start_ns;
	uint64_t end_ns;
	uint64_t cpu_base_ns;
	uint64_t cpu_ns;      /* largest reading of its CPU clock */
	bool cpu_exact;       /* the latest reading is up to date */
	uint64_t cpu_read_ns; /* when that was */
	uint64_t cpu_ours_ns; /* the latest reading that was followed by a record: until then it was in our session */
	bool left;            /* it has left our session and goes on */
	uint64_t agent_ns;
	uint64_t exec_ns; /* time of a PROCESS_END of kind exec, 0: none; void when it goes on after that */
	uint64_t exec_cpu_ns;
	uint64_t last_ns;    /* time of its latest record */
	uint64_t scanned_ns; /* when its maps were read last */
	uint64_t titled_ns;  /* when its command line was */
	uint32_t nr_titled;  /* how often again */
	uint64_t polled_cpu_ns;
	uint64_t measured_ns;  /* when the agent's memory was measured last */
	bool attached;         /* it ran before it was recorded: cpu_base_ns is what it had used by then */
	bool begun;            /* ... and its threads are known */
	bool all_asked;        /* none of them is left that is to be armed */
	uint64_t looked_ns;    /* when we asked last whether it is still ours ... */
	uint64_t heard_cpu_ns; /* ... and its CPU clock then */
	bool said_end;         /* a PROCESS_END came: its CPU time is the last word */
	bool ended;
	uint64_t ended_at_ns; /* when we noticed */
	uint64_t gone_ns;     /* when we were told: it ends once a pass that began later is done; 0: it lives */
	uint64_t sought_ns;   /* ended: when its number was last looked for again */
	char how[32];
	char command[1024];
	char exe[512];
	uint64_t weight;      /* periods of all its threads, see there */
	uint64_t early_ns;    /* CPU time of its threads before they were armed */
	uint32_t nr_armed;    /* threads that were */
	bool replaced;        /* /proc/PID shows another image now, or nothing */
	uint32_t main_thread; /* id, 0: none seen */
	uint32_t nr_threads;  /* live */
	uint32_t nr_seen;     /* ever */
	uint32_t nr_notes;
	struct pa_thread *threads[PA_THREAD_BUCKETS];
	struct pa_maps maps;
	struct pa_heap *heap;           /* NULL: not recorded, or written already */
	struct pa_process_loops *loops; /* loops.c's; NULL: none seen */
	struct pa_process_talks *talks; /* talks.c's; the same */
	struct pa_process_locks *locks; /* locks.c's; the same */
	struct pa_process_wall *wall;   /* wall.c's; the same */
	struct pa_unwinder *unwinder;   /* slices.c's */
	int perfmap_fd;                 /* -1: none opened */
	bool wants_perfmap;
	struct pa_watch pidfd; /* fd -1: none */
	struct pa_recorder *recorder;
	struct pa_recording_session *session;
	struct pa_process *next; /* in the session */
	struct pa_process *same; /* the next one that may have the same inner pid */
};

/* The live thread of an inner tid, NULL: none. */
struct pa_thread *pa_process_thread(const struct pa_process *p, uint32_t tid);
/* Adds one (the tid must not be there). Errors: NULL: limit or memory. */
struct pa_thread *pa_process_add_thread(struct pa_process *p, uint32_t tid);
/* Unlinks; the caller frees it. */
void pa_process_remove_thread(struct pa_process *p, struct pa_thread *t);

/* Adds to the weight of a thread and its process. */
void pa_process_weigh(struct pa_process *p, struct pa_thread *t, uint64_t periods);
/* Whole periods a thread consumed without a sample, beyond the one that is still running. */
uint64_t pa_thread_missing(const struct pa_thread *t, uint64_t period_ns);
/* How many periods the count of a process may be off by chance: each armed thread's is off by less than one, with a
 * variance of at most 1/4; three standard deviations, and the period under way. */
double pa_process_chance(const struct pa_process *p);
/* Whole periods of a process that no thread explains, when there are more than chance would leave. */
uint64_t pa_process_missing(const struct pa_process *p, uint64_t period_ns);

/* Frees what only a process that runs needs, threads included: its maps stay for children that are found later. */
void pa_process_empty(struct pa_process *p);
/* Frees all it holds, not p itself. */
void pa_process_fini(struct pa_process *p);

#endif
