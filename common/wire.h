/* What the agent and the collector say to each other: the handshake messages, the layout of the shared mapping, and
 * every record that travels in a ring. docs/WIRE.md has the same as byte tables.
 *
 * Little-endian, fixed-width unsigned fields, natural alignment, structs padded by hand to 8, `reserved` written as 0.
 * A record type never changes its meaning; new fields are appended, and readers step by the stored size.
 * Who uses it: agent (signal world), collector, tests, fuzzers. World: signal. */
#ifndef PA_COMMON_WIRE_H
#define PA_COMMON_WIRE_H

#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "perfagent's wire format is little-endian; other byte orders are refused"
#endif

#define PA_WIRE_MAGIC 0x31574150u /* "PAW1" in memory */
#define PA_WIRE_MAJOR 1
#define PA_WIRE_MINOR 0

/* ---- handshake: SOCK_SEQPACKET, one message each way ---------------------------------------------------------- */

enum pa_message {
	PA_MSG_HELLO = 1,  /* agent -> collector */
	PA_MSG_CONFIG = 2, /* collector -> agent, with the memfd as SCM_RIGHTS when status is 0 */
};

struct pa_msg_head {
	uint32_t magic; /* PA_WIRE_MAGIC */
	uint16_t major; /* another major is refused, both named */
	uint16_t minor; /* informative */
	uint32_t size;  /* of the whole message, head included */
	uint16_t type;  /* enum pa_message */
	uint16_t reserved;
};

#define PA_OPTIONS_MAX 512

struct pa_hello {
	struct pa_msg_head head;
	uint32_t pid;         /* as the target sees itself; the collector learns the outer one from SO_PEERCRED */
	uint32_t tid;         /* the thread that ran the constructor */
	uint64_t time_ns;     /* CLOCK_MONOTONIC at start of the handshake */
	uint64_t agent_start; /* mapping of libperfagent.so: its own frames are cut from stacks */
	uint64_t agent_end;
	uint32_t flags; /* PA_HELLO_* */
	uint32_t page_size;
	uint16_t machine;     /* ELF e_machine: 62 x86-64, 183 aarch64 */
	uint16_t options_len; /* bytes of `options` in use */
	uint32_t command;     /* the request that this answers (common/command.h); 0: the constructor asks by itself */
	char options[PA_OPTIONS_MAX]; /* PERFAGENT_OPTIONS as found, not terminated: only the collector parses it */
};

#define PA_HELLO_REFERENCE      1u /* PERFAGENT_UNWINDER=libunwind took effect */
#define PA_HELLO_COMPARE        2u /* PERFAGENT_UNWINDER=compare took effect */
#define PA_HELLO_NO_FIND_OBJECT 4u /* glibc < 2.35: module ranges have to be published by the collector */

enum pa_config_status {
	PA_CONFIG_OK = 0,
	PA_CONFIG_REFUSED_VERSION = 1,
	PA_CONFIG_REFUSED_UID = 2,
	PA_CONFIG_REFUSED_BUSY = 3, /* too many sessions */
	PA_CONFIG_REFUSED_BAD = 4,  /* the HELLO made no sense */
	PA_CONFIG_NOT_WANTED = 5,   /* the collector does not record this process */
	PA_CONFIG_STREAM = 6,       /* there is no memory to share: ask again with PA_HELLO_STREAM */
};

struct pa_config {
	struct pa_msg_head head;
	uint32_t status; /* enum pa_config_status; not OK: no descriptor, the agent stays dormant */
	uint32_t reserved;
	uint64_t file_size; /* of the sealed memfd, bytes */
};

/* ---- the shared mapping ---------------------------------------------------------------------------------------
 *
 *   0                      struct pa_control, one page
 *   control.slots_offset   struct pa_slot[nr_slots], dense
 *   control.rings_offset   nr_slots times (signal ring, hook ring)
 *   control.heap_lines_offset   in exact heap mode: struct pa_heap_line per heap ring, then at
 *   control.heap_rings_offset   their data, class after class
 *
 * The collector makes and seals the file, writes the constants once before anyone maps it, and never trusts a word
 * of it afterwards: it works with the constants it keeps in private memory. */

#define PA_CONTROL_BYTES 4096
#define PA_ARM_MAX       64

/* What is on: bits of pa_control.modes. */
#define PA_MODE_CPU    1u
#define PA_MODE_MEMORY 2u
#define PA_MODE_LOOP   4u /* event loops, and long waits */
#define PA_MODE_DB     8u
#define PA_MODE_HTTP   16u
#define PA_MODE_LOCK   32u
#define PA_MODE_IO     64u
#define PA_MODE_WALL   128u

enum pa_heap_mode {
	PA_HEAP_OFF = 0,
	PA_HEAP_SAMPLED = 1, /* HEAP_SAMPLE and HEAP_FREE records in the hook rings */
	PA_HEAP_EXACT = 2,   /* every call, in heap rings of their own: common/heapwire.h */
};

#define PA_HEAP_MMAP 1u /* pa_control.heap_flags: mmap, munmap, mremap, brk as well */
#define PA_HEAP_TSC                                                                                                    \
	2u /* the kernel itself keeps time by the TSC: heap rings are stamped with it, else CLOCK_MONOTONIC */

#define PA_HEAP_CLASSES 3

enum pa_session_state {
	PA_SESSION_QUIET = 0, /* hooks test one word, no timers */
	PA_SESSION_SAMPLING = 1,
	PA_SESSION_ENDED = 2, /* the collector is done: disarm, go dormant */
};

struct pa_control {
	/* written by the collector before the file is handed out, constant afterwards */
	uint32_t magic;
	uint16_t major;
	uint16_t minor;
	uint32_t slot_bytes; /* sizeof(struct pa_slot) */
	uint32_t nr_slots;
	uint64_t slots_offset;
	uint64_t rings_offset;
	uint32_t signal_ring_bytes; /* power of two */
	uint32_t hook_ring_bytes;   /* power of two */
	uint64_t file_size;
	uint64_t period_ns;  /* CPU time between two samples of a thread */
	uint32_t modes;      /* PA_MODE_* */
	uint32_t heap_flags; /* PA_HEAP_MMAP, PA_HEAP_TSC */
	uint64_t heap_mean;  /* bytes between two samples on average, >= 1; the agent may raise its own */

	/* written by the collector, read by any hook or tick */
	alignas(64) _Atomic uint32_t state; /* enum pa_session_state */
	_Atomic uint32_t cache_generation;  /* bumped when the maps changed behind the agent's back */
	_Atomic uint32_t arm_seq;           /* bumped after arm[] was filled */
	_Atomic uint32_t heap_mode;         /* enum pa_heap_mode */
	uint32_t reserved1[12];

	/* written by the target */
	alignas(64) _Atomic uint64_t lost_no_slot; /* records of threads that found no free slot */
	_Atomic uint32_t arm_done;                 /* the arm_seq that was worked off last */
	uint32_t reserved2;
	_Atomic uint64_t hook_busy; /* records dropped because a hook interrupted a hook */
	_Atomic uint64_t own_start; /* the agent's first region of thread blocks: for its memory figure */
	_Atomic uint64_t own_end;
	_Atomic uint64_t heap_own_bytes; /* memory the heap engine has mapped for itself */
	_Atomic uint64_t
	    heap_unrecorded;            /* heap calls of which nothing is known: no ring, no memory, a hook in a hook */
	_Atomic uint64_t heap_mean_now; /* sampled: the mean as the agent has raised it; 0: not yet begun */

	/* threads the agent did not see start: pid << 32 | tid as the target counts them; a tick that takes an entry
	 * exchanges it for 0 and arms that thread's timer */
	alignas(64) _Atomic uint64_t arm[PA_ARM_MAX];

	/* written by the collector before the file is handed out; all 0 but in exact heap mode */
	uint64_t heap_lines_offset; /* multiples of 4096 */
	uint64_t heap_rings_offset;
	struct pa_heap_class {
		uint32_t nr;    /* rings of that size; a ring's data follows that of the one before it */
		uint32_t bytes; /* power of two, >= 4096; classes come largest first */
	} heap_classes[PA_HEAP_CLASSES];

	/* written by the target */
	_Atomic uint64_t waits_lost; /* records of waits and loops that left their room in the ring to frees */

	uint8_t pad[PA_CONTROL_BYTES - 3 * 64 - 64 - PA_ARM_MAX * 8 - 16 - PA_HEAP_CLASSES * 8 - 8];
};

/* One producer (a thread of the target), one consumer (the collector) per ring.
 * Invariant: tail <= head <= tail + ring size; both only grow. What head has not passed does not exist. */
struct pa_ring_producer {
	_Atomic uint64_t head;        /* bytes; stored with release after the record is complete */
	_Atomic uint64_t records;     /* committed, fillers not counted */
	_Atomic uint64_t lost_full;   /* records that found no room */
	_Atomic uint64_t lost_weight; /* periods those records stood for */
	_Atomic uint64_t truncated;   /* stacks deeper than PA_STACK_MAX */
	_Atomic uint64_t self_ns;     /* wall time spent in our handler on this slot */
	_Atomic uint64_t ticks;       /* signals taken, whatever became of them */
	uint64_t reserved;
};

struct pa_ring_consumer {
	_Atomic uint64_t tail; /* bytes; stored with release after the records were copied out */
	_Atomic uint64_t
	    owner; /* in the signal ring's line only: PA_OWNER(pid, tid); 0 free; tid 0: the thread has ended,
		    * another thread of that pid may take over, the collector may free it when drained */
	uint64_t reserved[6];
};

#define PA_OWNER(pid, tid) ((uint64_t)(uint32_t)(pid) << 32 | (uint32_t)(tid))

struct pa_slot {
	struct pa_ring_producer signal;    /* written by the thread that owns the slot, in its handler */
	struct pa_ring_consumer signal_in; /* tail by the collector; owner by compare-and-swap of either */
	struct pa_ring_producer hook;      /* written by the thread that owns the slot, in its hooks */
	struct pa_ring_consumer hook_in;
};

/* The head of a heap ring; owner works as in a slot. Its data is records of common/heapwire.h. */
struct pa_heap_line {
	struct pa_ring_producer out; /* records: events (allocations and frees) committed, lost_full: events that found
				      * no room, lost_weight: frees among those, self_ns: time stalled, ticks: stalls */
	struct pa_ring_consumer in;
};

/* ---- records -------------------------------------------------------------------------------------------------- */

enum pa_record_type {
	PA_REC_FILLER = 0, /* zeroed memory, or padding up to the end of the ring */
	PA_REC_SAMPLE = 1,
	PA_REC_THREAD_START = 2,
	PA_REC_THREAD_END = 3,
	PA_REC_MODULE = 4,        /* a module the walker met for the first time */
	PA_REC_UNMAP = 5,         /* dlclose removed a module */
	PA_REC_PROCESS_END = 6,   /* about to exit or exec; exact CPU time */
	PA_REC_NOTE = 7,          /* something the report has to say */
	PA_REC_SLICE = 8,         /* registers and raw stack, for the collector's remote unwinder */
	PA_REC_HEAP_SAMPLE = 9,   /* an allocation the byte sampler hit */
	PA_REC_HEAP_FREE = 10,    /* a sampled allocation is freed */
	PA_REC_HEAP_FIGURES = 11, /* what the C library says of its heap (mallinfo2) */
	PA_REC_LOOP = 12,         /* these: common/waitwire.h */
	PA_REC_ITERATION = 13,
	PA_REC_WAIT = 14,
	PA_REC_CONNECTION = 15,
	PA_REC_MESSAGES = 16,
	PA_REC_LOCK_WAIT = 17, /* these: common/lockwire.h */
	PA_REC_LOCK_DONE = 18,
	PA_REC_STATEMENT = 19,
	PA_REC_STATEMENT_TEXT = 20,
	PA_REC_TYPES
};

struct pa_record {
	uint32_t size; /* whole record, multiple of 8 */
	uint16_t type; /* enum pa_record_type */
	uint16_t flags;
	uint64_t time_ns; /* CLOCK_MONOTONIC */
};

#define PA_FRAMES_MAX   512 /* per record: the leaf-most 480, PA_FRAME_TRUNCATED, the remembered root */
#define PA_FRAMES_LEAF  480
#define PA_SLICE_MAX    8192
#define PA_PATH_MAX     512
#define PA_BUILD_ID_MAX 32
#define PA_RECORD_MAX   16384 /* no record is larger */

/* Values below PA_FRAME_PSEUDO_MAX in a frame list are no addresses but these. */
enum pa_pseudo_frame {
	PA_FRAME_NONE = 0,
	PA_FRAME_TRUNCATED = 1,      /* frames are missing here */
	PA_FRAME_UNSAMPLED = 2,      /* CPU time without a sample: ended before its tick was delivered */
	PA_FRAME_SIGNAL_BLOCKED = 3, /* the tick came more than three periods late */
	PA_FRAME_FOREIGN = 4,        /* the walk left for a stack nobody told us about and could not follow */
	PA_FRAME_JIT = 5,            /* pc in no module and no frame pointer to follow */
	PA_FRAME_NO_UNWIND_INFO = 6, /* pc in a module without CFI for it */
	PA_FRAME_OTHER = 7,          /* folded away by a limit of ours */
	PA_FRAME_AGENT = 8,          /* the agent's own code: a sample that hit a hook */
	PA_FRAME_PSEUDO_MAX = 4096
};

/* Why a walk ended; in pa_sample.stop. */
enum pa_stop {
	PA_STOP_END = 0,     /* reached the outermost frame */
	PA_STOP_DEPTH = 1,   /* PA_FRAMES_LEAF frames and more to come */
	PA_STOP_NO_CFI = 2,  /* module without CFI for that pc, no frame pointer chain */
	PA_STOP_JIT = 3,     /* pc in no module, no frame pointer chain */
	PA_STOP_MEMORY = 4,  /* the next slot is not readable, or the chain does not rise */
	PA_STOP_ROW = 5,     /* CFI the compact rules cannot express */
	PA_STOP_FOREIGN = 6, /* more than the limit on an unknown stack */
	PA_STOP_QUIET = 7,   /* seccomp: the leaf pc only */
	PA_STOP_REASONS
};

#define PA_SAMPLE_BLOCKED 1u /* flags: the signal was held back for more than three periods */
#define PA_SAMPLE_REFERENCE                                                                                            \
	2u                   /* flags: walked by the reference engine; belongs to the sample before it in `compare`    \
			      */
#define PA_SAMPLE_SLICE   4u /* flags: a PA_REC_SLICE of the same time_ns and tid precedes it */
#define PA_SAMPLE_FOREIGN 8u /* flags: part of the walk was on a foreign stack */

struct pa_sample {
	struct pa_record head;
	uint32_t tid;
	uint32_t weight;    /* periods this sample stands for: 1 + si_overrun */
	uint16_t nr_frames; /* 0..PA_FRAMES_MAX */
	uint16_t stop;      /* enum pa_stop */
	uint32_t self_ns;   /* how long the handler took for the sample before this one of the same thread; 0: none */
	uint64_t frames[];  /* nr_frames: leaf first; the leaf and frames above a signal frame are exact pcs, the rest
			     * return addresses. Bit 63 set: exact pc (look up as is); clear: look up pc - 1 */
};

#define PA_FRAME_EXACT (UINT64_C(1) << 63)

struct pa_thread_start {
	struct pa_record head;
	uint32_t tid;
	uint32_t pid;           /* as the target sees itself */
	uint64_t start_routine; /* 0: unknown (main thread, raw clone) */
	uint64_t cpu_ns;        /* the thread's CPU clock when its timer was armed */
	uint64_t first_ns;      /* first expiry after that, uniform in (0, period] */
	uint64_t period_ns;     /* 0: no timer (refused); its CPU time is unsampled */
	char name[16];          /* prctl(PR_GET_NAME), zero padded; empty: unknown */
};

struct pa_thread_end {
	struct pa_record head;
	uint32_t tid;
	uint32_t undelivered; /* periods that were due on the CPU clock and came as no sample */
	uint64_t start_routine;
	uint64_t cpu_ns; /* the thread's CPU clock at its end */
};

struct pa_module {
	struct pa_record head;
	uint64_t start; /* of the mapping, first to last segment */
	uint64_t end;
	uint64_t bias;         /* run-time address minus ELF virtual address */
	uint32_t build_id_len; /* 0: none found */
	uint32_t path_len;     /* bytes of path; the record is padded to 8 */
	uint8_t build_id[PA_BUILD_ID_MAX];
	char path[]; /* as the loader knows it, not terminated; empty: the executable or the vDSO */
};

struct pa_unmap {
	struct pa_record head;
	uint64_t start;
	uint64_t end;
};

enum pa_process_end_kind {
	PA_PROCESS_EXIT = 1,
	PA_PROCESS_EXEC = 2,
};

struct pa_process_end {
	struct pa_record head;
	uint32_t pid;
	uint32_t kind;   /* enum pa_process_end_kind */
	uint64_t cpu_ns; /* CLOCK_PROCESS_CPUTIME_ID */
};

enum pa_note_code {
	PA_NOTE_SIGNAL_MOVED = 1,     /* a: the real-time signal now used: the host wants SIGPROF for itself */
	PA_NOTE_NO_SIGNAL = 2,        /* no free real-time signal: CPU sampling declined */
	PA_NOTE_TIMER_REFUSED = 3,    /* a: errno of timer_create, b: tid */
	PA_NOTE_SECCOMP = 4,          /* the host entered seccomp: sampling stopped (quiet) */
	PA_NOTE_ALTSTACK_SMALL = 5,   /* a: bytes: the handler runs on the thread's own stack because of it */
	PA_NOTE_NO_FIND_OBJECT = 6,   /* glibc without _dl_find_object: walks use frame pointers only */
	PA_NOTE_HANDLER_REPLACED = 7, /* somebody took our signal behind the hooks */
	PA_NOTE_EXEC_DROPPED = 8,     /* exec of a program that cannot be preloaded, a: why, b: ELF class/machine */
	PA_NOTE_STARTED = 9,          /* a: ns from the constructor's entry until the main thread's timer was armed */
	PA_NOTE_HEAP_DECLINED = 10,   /* allocations are not recorded, a: enum pa_heap_declined */
	PA_NOTE_HEAP_MEAN = 11,       /* sampled: the mean was raised to a bytes: b sampled blocks were live */
	PA_NOTE_HEAP_FIGURES = 12,    /* mallinfo2 took a ns: it is not asked again */
	PA_NOTE_CODES
};

enum pa_heap_declined {
	PA_HEAP_DECLINED_SANITIZER = 1, /* its runtime checks the heap by itself */
	PA_HEAP_DECLINED_OWN = 2,       /* the program brings an allocator that is not reached through our names */
	PA_HEAP_DECLINED_MEMORY = 3,    /* no memory for the engine */
};

struct pa_note {
	struct pa_record head;
	uint32_t code; /* enum pa_note_code */
	uint32_t tid;
	uint64_t a;
	uint64_t b;
};

/* Head time_ns: after the real call. flags: 1: by mmap or brk, not by the allocator. */
struct pa_heap_sample {
	struct pa_record head;
	uint64_t address;
	uint64_t size; /* bytes asked for; 0 counts as 1 in what it stands for */
	uint64_t mean; /* bytes, as it was when this was drawn: stands for 1 / (1 - exp(-max(size,1) / mean)) calls */
	uint32_t tid;
	uint16_t nr_frames; /* 0..PA_FRAMES_MAX */
	uint16_t stop;      /* enum pa_stop */
	uint64_t frames[];  /* as in struct pa_sample; none is exact but above a signal frame */
};

#define PA_HEAP_SAMPLE_MAPPED 1u

/* Head time_ns: before the real call. */
struct pa_heap_free {
	struct pa_record head;
	uint64_t address;
};

/* mallinfo2(3), bytes. Written now and then by whichever thread's hook finds it due. */
struct pa_heap_figures {
	struct pa_record head;
	uint64_t arena;   /* non-mmapped space taken from the system */
	uint64_t mapped;  /* hblkhd: in blocks with a mapping of their own */
	uint64_t used;    /* uordblks */
	uint64_t unused;  /* fordblks: free in the arenas */
	uint64_t cost_ns; /* of asking */
};

#define PA_SLICE_REGS 34 /* room for aarch64; x86-64 uses 17 in DWARF order, rip last */

struct pa_slice {
	struct pa_record head;
	uint32_t tid;
	uint32_t nr_regs;
	uint32_t stack_len; /* bytes of stack, multiple of 8 */
	uint32_t reserved;
	uint64_t stack_start; /* address of stack[0]: the stack pointer minus the red zone */
	uint64_t regs[PA_SLICE_REGS];
	uint8_t stack[];
};

/* ---- checks --------------------------------------------------------------------------------------------------- */

#define PA_ASSERT_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type " has another size")
PA_ASSERT_SIZE(struct pa_msg_head, 16);
PA_ASSERT_SIZE(struct pa_hello, 64 + PA_OPTIONS_MAX);
PA_ASSERT_SIZE(struct pa_config, 32);
PA_ASSERT_SIZE(struct pa_control, PA_CONTROL_BYTES);
PA_ASSERT_SIZE(struct pa_slot, 256);
PA_ASSERT_SIZE(struct pa_record, 16);
PA_ASSERT_SIZE(struct pa_sample, 32);
PA_ASSERT_SIZE(struct pa_thread_start, 72);
PA_ASSERT_SIZE(struct pa_thread_end, 40);
PA_ASSERT_SIZE(struct pa_module, 80);
PA_ASSERT_SIZE(struct pa_unmap, 32);
PA_ASSERT_SIZE(struct pa_process_end, 32);
PA_ASSERT_SIZE(struct pa_note, 40);
PA_ASSERT_SIZE(struct pa_slice, 40 + PA_SLICE_REGS * 8);
PA_ASSERT_SIZE(struct pa_heap_line, 128);
PA_ASSERT_SIZE(struct pa_heap_sample, 48);
PA_ASSERT_SIZE(struct pa_heap_free, 24);
PA_ASSERT_SIZE(struct pa_heap_figures, 56);
_Static_assert(offsetof(struct pa_heap_sample, frames) % 8 == 0, "frames are aligned");
_Static_assert(offsetof(struct pa_sample, frames) % 8 == 0, "frames are aligned");
_Static_assert(offsetof(struct pa_slice, stack) % 8 == 0, "the slice is aligned");

/* Steps over a copied byte range of records, checking each one completely: size, alignment, and per type that all
 * lengths inside stay within the record.
 * Shapes: buf holds len bytes, 8-aligned; *offset starts at 0 and moves past the record returned. Unknown types are
 * returned too (the caller skips them); fillers are stepped over.
 * Errors: NULL at the end (*offset == len) or at a record that is no record (*offset < len): nothing behind it can
 * be believed.   World: plain (collector, fuzzers). */
const struct pa_record *pa_wire_next(const void *buf, size_t len, size_t *offset);

/* Whether a HELLO or CONFIG of `len` bytes makes sense. Errors: 0, -EPROTO not ours or cut, -EPROTONOSUPPORT other
 * major. World: plain, and the agent's handshake. */
int pa_wire_check_hello(const struct pa_hello *hello, size_t len);
int pa_wire_check_config(const struct pa_config *config, size_t len);

#endif
