/* The records of exact heap mode: small, many, in rings of their own. One ring per thread that allocates; position
 * arithmetic is that of common/ring.h, records never wrap.
 *
 * Every record starts with struct pa_heap_head. Times are ticks of the ring's clock (the TSC, or CLOCK_MONOTONIC in ns
 * without PA_HEAP_TSC), each as the distance from the record before it in the ring: never negative, and at most
 * 2^32 - 1, so that a TIME record stands before whatever comes later than that. A ring begins, and begins again with
 * each thread that takes it over, with OWNER, which sets the clock and empties the dictionary.
 *
 * Order. The stamp of a FREE is taken before the real call, that of an ALLOC after it, and each record is committed
 * before the call goes on. So what happens to one address is in the order of its stamps, over all rings, and whoever
 * has read the clock and then all heads has seen everything that an event up to that clock can depend on.
 *
 * The dictionary. A stack is a node: a return address on a parent node; 0 is the empty stack, the root's parent. NODE
 * defines the next id (1, 2, ...) of this ring before its first use; EPOCH forgets all of them. A node that found no
 * room was not defined. World: signal. docs/WIRE.md has the same as tables. */
#ifndef PA_COMMON_HEAPWIRE_H
#define PA_COMMON_HEAPWIRE_H

#include <stddef.h>
#include <stdint.h>

enum pa_heap_type {
	PA_HR_FILLER = 0,
	PA_HR_OWNER = 1,
	PA_HR_TIME = 2,
	PA_HR_EPOCH = 3,
	PA_HR_NODE = 4,
	PA_HR_ALLOC = 5,
	PA_HR_ALLOC_LARGE = 6, /* size >= 2^32 */
	PA_HR_FREE = 7,
	PA_HR_MAP = 8,   /* mmap, brk up: not from the allocator */
	PA_HR_UNMAP = 9, /* munmap, brk down: may cover parts of mappings */
	PA_HR_TYPES
};

struct pa_heap_head {
	uint16_t size;  /* of the record, multiple of 8, 8..64 */
	uint16_t type;  /* enum pa_heap_type */
	uint32_t delta; /* ticks since the record before it */
};

/* Who writes from here on. delta is 0. */
struct pa_heap_owner {
	struct pa_heap_head head;
	uint64_t ticks; /* of this record */
	uint64_t ns;    /* CLOCK_MONOTONIC at the same moment, to within a microsecond */
	uint32_t pid;   /* as the target counts */
	uint32_t tid;
};

/* delta is 0: the clock is set anew. At least every 2^31 ticks of an active thread. */
struct pa_heap_time {
	struct pa_heap_head head;
	uint64_t ticks;
	uint64_t ns;
};

/* Ids start again at 1. reason: 0 the dictionary was full, 1 a module went away. */
struct pa_heap_epoch {
	struct pa_heap_head head;
	uint32_t reason;
	uint32_t reserved;
};

struct pa_heap_node {
	struct pa_heap_head head;
	uint32_t id;     /* one more than the last */
	uint32_t parent; /* < id */
	uint64_t frame;  /* as in struct pa_sample */
};

struct pa_heap_alloc {
	struct pa_heap_head head;
	uint64_t address;
	uint32_t size; /* bytes asked for */
	uint32_t node; /* its stack; 0: unknown */
};

struct pa_heap_alloc_large {
	struct pa_heap_head head;
	uint64_t address;
	uint64_t size;
	uint32_t node;
	uint32_t reserved;
};

/* A realloc that succeeded is a FREE stamped before the call and an ALLOC stamped after it. */
struct pa_heap_freed {
	struct pa_heap_head head;
	uint64_t address;
};

struct pa_heap_map {
	struct pa_heap_head head;
	uint64_t address;
	uint64_t size;
	uint32_t node;
	uint32_t reserved;
};

struct pa_heap_unmap {
	struct pa_heap_head head;
	uint64_t address;
	uint64_t size;
};

#define PA_HEAP_RECORD_MAX 64
#define PA_HEAP_NODES_MAX  (UINT32_C(1) << 22) /* ids of one epoch: before there are more, EPOCH */

_Static_assert(sizeof(struct pa_heap_head) == 8, "size");
_Static_assert(sizeof(struct pa_heap_owner) == 32, "size");
_Static_assert(sizeof(struct pa_heap_time) == 24, "size");
_Static_assert(sizeof(struct pa_heap_epoch) == 16, "size");
_Static_assert(sizeof(struct pa_heap_node) == 24, "size");
_Static_assert(sizeof(struct pa_heap_alloc) == 24, "size");
_Static_assert(sizeof(struct pa_heap_alloc_large) == 32, "size");
_Static_assert(sizeof(struct pa_heap_freed) == 16, "size");
_Static_assert(sizeof(struct pa_heap_map) == 32, "size");
_Static_assert(sizeof(struct pa_heap_unmap) == 24, "size");

/* Steps over a copied byte range of records as pa_wire_next does: sizes and alignment; what ids and positions mean is
 * the reader's to judge. Shapes: buf holds len bytes, 8-aligned; *offset <= len starts at 0 and moves past the record
 * returned. Unknown types are returned; fillers are stepped over, and bring no time along. Errors: NULL at the end
 * (*offset == len), at a record that is no record or is not all there (*offset < len). World: plain. */
const struct pa_heap_head *pa_heapwire_next(const void *buf, size_t len, size_t *offset);
/* Least bytes of a record by type; 0: a filler. */
extern const uint8_t pa_heapwire_bytes[PA_HR_TYPES];

#endif
