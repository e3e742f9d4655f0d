/* How long iterations of an event loop lasted: a histogram with buckets of equal relative width, for lengths of
 * PA_LAG_FLOOR_NS and more; what is shorter is one bucket, known by its number and sum. Users: loops.c, store_loop.c,
 * report, tests. World: plain. */
#ifndef PA_COLLECTOR_LAG_H
#define PA_COLLECTOR_LAG_H

#include <stddef.h>
#include <stdint.h>

#define PA_LAG_FLOOR_NS UINT64_C(1000000)
#define PA_LAG_OCTAVE   19 /* the power of two below the floor */
#define PA_LAG_SUB_BITS 5  /* buckets of an octave: 32, so that the middle of one is at most 1.6 % off */
#define PA_LAG_BUCKETS  ((64 - PA_LAG_OCTAVE) << PA_LAG_SUB_BITS)

/* Bytes of the largest blob. */
#define PA_LAG_BLOB_MAX (1 + PA_LAG_BUCKETS * (2 + 10))

struct pa_lag {
	uint64_t small;    /* iterations below the floor */
	uint64_t small_ns; /* their sum */
	uint64_t max_ns;
	uint64_t counts[PA_LAG_BUCKETS];
};

/* The bucket of a length of at least the floor. */
uint32_t pa_lag_bucket(uint64_t ns);
/* What stands for the lengths of a bucket: its middle. Units: ns. */
uint64_t pa_lag_value(uint32_t bucket);

/* The length that a share of the iterations does not exceed: of the number `ceil(permille * all / 1000)` by rising
 * length. Never more than max_ns. 0: there are none.
 * Source: nearest rank; within half a bucket of the sorted list's, those below the floor by their mean. */
uint64_t pa_lag_quantile(const struct pa_lag *lag, uint32_t permille);

/* Iterations of `ns` or more, by whole buckets. */
uint64_t pa_lag_from(const struct pa_lag *lag, uint64_t ns);

/* Counts as a blob: u8 version (1), then by rising bucket varint gap (buckets left out since the one before), varint
 * count. Shapes: out has PA_LAG_BLOB_MAX bytes. Returns the number of bytes. */
size_t pa_lag_encode(const uint64_t counts[PA_LAG_BUCKETS], uint8_t *out);
/* Adds the counts of a blob. Errors: -EBADMSG: cut off or out of range, -EPROTONOSUPPORT: another version; what came
 * before was added. */
int pa_lag_decode(const uint8_t *data, size_t len, uint64_t counts[PA_LAG_BUCKETS]);

#endif
