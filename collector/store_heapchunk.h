/* What the heap did, packed into blobs: a row of heap_chunk holds up to PA_HEAPCHUNK_STACKS deltas, a row of heap_held
 * as many stacks of a peak. Callers: store_heap.c, store_heapread.c, tests, the fuzzer. World: plain.
 *
 * Numbers are varints (varint.h), f32 is an IEEE float, low byte first.
 *
 *   u8 version (1)
 *   varint stacks                       1..PA_HEAPCHUNK_STACKS
 *   so many times, by rising stack:
 *     varint gap                        the first: its id; else the ids left out since the one before
 *     deltas:
 *       u8 mask                         PA_HC_*: what follows, in this order
 *       varint calls, varint bytes      PA_HC_ALLOCATED
 *       varint frees, varint freed      PA_HC_FREED; with PA_HC_ALL_FREED they are calls and bytes
 *       varint temporary, varint bytes  PA_HC_TEMPORARY; with PA_HC_ALL_TEMPORARY they are frees and freed
 *       varint samples                  PA_HC_SAMPLES
 *       f32 var_bytes                   PA_HC_VAR_BYTES
 *       f32 var_freed                   PA_HC_VAR_FREED
 *     held: varint calls, varint bytes
 *
 * What is not there is 0. Why so: within a second most stacks free all they allocate, so that two numbers say it all;
 * a variance is an estimate itself, for which seven digits are plenty. */
#ifndef PA_COLLECTOR_STORE_HEAPCHUNK_H
#define PA_COLLECTOR_STORE_HEAPCHUNK_H

#include <stddef.h>
#include <stdint.h>

#include "collector/store.h"
#include "collector/varint.h"

#define PA_HEAPCHUNK_VERSION 1
#define PA_HEAPCHUNK_STACKS  2048

#define PA_HC_ALLOCATED     0x01u
#define PA_HC_FREED         0x02u
#define PA_HC_ALL_FREED     0x04u
#define PA_HC_TEMPORARY     0x08u
#define PA_HC_ALL_TEMPORARY 0x10u
#define PA_HC_SAMPLES       0x20u
#define PA_HC_VAR_BYTES     0x40u
#define PA_HC_VAR_FREED     0x80u

#define PA_HEAPCHUNK_HEAD      (1 + 2)
#define PA_HEAPCHUNK_DELTA_MAX (5 + 1 + 7 * PA_VARINT_MAX + 2 * 4)
#define PA_HEAPCHUNK_BYTES_MAX (PA_HEAPCHUNK_HEAD + PA_HEAPCHUNK_STACKS * PA_HEAPCHUNK_DELTA_MAX)

/* Packs deltas. A variance becomes the next smaller or larger float; one above FLT_MAX becomes that.
 * Shapes: 1 <= nr <= PA_HEAPCHUNK_STACKS, by rising stack, none twice; out has PA_HEAPCHUNK_BYTES_MAX bytes; variances
 * are not negative. Returns the number of bytes. Errors: none. */
size_t pa_heapchunk_encode(const struct pa_store_heap_delta *deltas, size_t nr, uint8_t *out);

/* Unpacks.
 * Shapes: out has room for PA_HEAPCHUNK_STACKS; *nr is set to the complete deltas found, also on errors.
 * Errors: 0; -EBADMSG: cut off, too long, or values out of range: *where is the offset of the first byte that could not
 * be used; -EPROTONOSUPPORT: another version. */
int pa_heapchunk_decode(const uint8_t *data, size_t len, struct pa_store_heap_delta *out, size_t *nr, size_t *where);

/* The same for the stacks of a peak. */
size_t pa_heapheld_encode(const struct pa_store_heap_held *held, size_t nr, uint8_t *out);
int pa_heapheld_decode(const uint8_t *data, size_t len, struct pa_store_heap_held *out, size_t *nr, size_t *where);

#endif
