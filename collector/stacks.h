/* Interning of frames and stacks in the collector: (module, address) -> frame id, (parent, frame) -> stack id, and a
 * memo of whole stacks as they come from a ring. Callers: the collector's session code, one thread. World: plain. */
#ifndef PA_COLLECTOR_STACKS_H
#define PA_COLLECTOR_STACKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Ids start at 1, are dense, grow in the order of first sight and fit pa_store_put_frame and pa_store_put_stack. Id 1
 * is the pseudo frame [other] (module 0, PA_FRAME_OTHER) and the stack made of it alone; both exist from the start, so
 * the caller writes these two rows once after pa_stacks_new. */
#define PA_STACKS_OTHER 1

struct pa_stacks;

/* Shapes: max_nodes bounds frames and stacks, each on its own; 24 to 48 bytes a frame and 16 to 32 a stack, allocated
 * as they come. Errors: NULL: out of memory or max_nodes is 0. */
struct pa_stacks *pa_stacks_new(size_t max_nodes);
void pa_stacks_free(struct pa_stacks *s);

/* The id of a frame. *is_new (may be NULL): true exactly once per id, the caller then writes it to the store.
 * Errors: PA_STACKS_OTHER when the limit (or memory) is reached and the frame is not known yet; counted. */
uint32_t pa_stacks_frame(struct pa_stacks *s, uint32_t module, uint64_t address, bool *is_new);

/* The id of the stack that has `frame` on top of `parent` (0: frame is the root). Call from the root to the leaf.
 * Errors: PA_STACKS_OTHER when the limit (or memory) is reached and the stack is not known yet; counted. Whatever is
 * pushed on PA_STACKS_OTHER stays PA_STACKS_OTHER: one folded sample is one row of the report. Ids that were never
 * given out fold too. */
uint32_t pa_stacks_push(struct pa_stacks *s, uint32_t parent, uint32_t frame, bool *is_new);

/* What an id stands for. Errors: false for 0 and ids never given out. */
bool pa_stacks_frame_get(const struct pa_stacks *s, uint32_t id, uint32_t *module, uint64_t *address);
bool pa_stacks_stack_get(const struct pa_stacks *s, uint32_t id, uint32_t *parent, uint32_t *frame);

size_t pa_stacks_nr_frames(const struct pa_stacks *s); /* the largest frame id */
size_t pa_stacks_nr_stacks(const struct pa_stacks *s); /* the largest stack id */
/* How often pa_stacks_frame or _push met the limit: frames, and stacks (children of [other] are not counted again). */
uint64_t pa_stacks_folded(const struct pa_stacks *s);

/* A memo of whole stacks: the same run-time addresses in the same context give the same stack id without a lookup per
 * frame. A hit compares every address, never a hash alone. It is a cache: an entry may be overwritten at any time.
 * context: whatever else the meaning of an address depends on (process id, generation of its module map): changing it
 * forgets. */
struct pa_stackmemo;

/* Shapes: at most nr_entries stacks (rounded up to a power of two) of at most max_frames addresses each are kept,
 * bounded memory: nr_entries * max_frames * 8 bytes when all are that deep. Errors: NULL: out of memory or a 0
 * argument. */
struct pa_stackmemo *pa_stackmemo_new(size_t nr_entries, size_t max_frames);
void pa_stackmemo_free(struct pa_stackmemo *m);
/* The id remembered for these nr addresses, 0: none. */
uint32_t pa_stackmemo_find(const struct pa_stackmemo *m, uint64_t context, const uint64_t *frames, size_t nr);
/* Remembers. Errors: none; deeper than max_frames or no memory: it is not remembered. */
void pa_stackmemo_put(struct pa_stackmemo *m, uint64_t context, const uint64_t *frames, size_t nr, uint32_t id);

#endif
