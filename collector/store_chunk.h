/* Samples packed into blobs: one row of sample_chunk holds up to PA_CHUNK_SAMPLES of them. Callers: store_write.c,
 * store_read.c, tests, the fuzzer. World: plain.
 *
 * All numbers are varints: 7 bits a byte, low bits first, top bit: more follow.
 *
 *   u8 version (1)
 *   varint samples                      1..PA_CHUNK_SAMPLES
 *   varint base                         time of the earliest sample, in microseconds
 *   groups until all samples are there:
 *     varint thread, varint count (>= 1)
 *     count times: varint delta         microseconds since the sample before it in the group, the first: since base
 *                  varint stack << 1 | w
 *                  varint weight        only when w is 1; otherwise the weight is 1
 *
 * Why so: a thread's samples are one period apart, which takes two bytes in microseconds and four in nanoseconds, and
 * the delay of a signal is no better than that. A group per thread saves naming it in each sample. Stack ids are
 * written as they are, because what is hot is seen early and has a short id. */
#ifndef PA_COLLECTOR_STORE_CHUNK_H
#define PA_COLLECTOR_STORE_CHUNK_H

#include <stddef.h>
#include <stdint.h>

#include "collector/store.h"

#define PA_CHUNK_VERSION 1
#define PA_CHUNK_SAMPLES 4096
#define PA_CHUNK_ENOUGH  2048 /* so many may stand for themselves: half a page is lost with each */
#define PA_CHUNK_UNIT_NS 1000
/* Largest encoding: the head, and for each sample a group of its own. */
#define PA_CHUNK_BYTES_MAX (1 + 3 + 10 + PA_CHUNK_SAMPLES * (5 + 2 + 10 + 5 + 5))

/* Packs samples; sorts them by thread, then time, keeping the order of equal ones.
 * Shapes: 1 <= nr <= PA_CHUNK_SAMPLES; out has PA_CHUNK_BYTES_MAX bytes; scratch has room for nr samples.
 * Units: time_ns is rounded down to microseconds. Returns the number of bytes. Errors: none. */
size_t pa_chunk_encode(struct pa_store_sample *samples, size_t nr, struct pa_store_sample *scratch, uint8_t *out);

/* Unpacks.
 * Shapes: out has room for PA_CHUNK_SAMPLES; *nr is set to the complete samples found, also on errors.
 * Errors: 0; -EBADMSG: cut off, too long, or values out of range: *where is the offset of the first byte that could not
 * be used; -EPROTONOSUPPORT: another version. */
int pa_chunk_decode(const uint8_t *data, size_t len, struct pa_store_sample *out, size_t *nr, size_t *where);

#endif
