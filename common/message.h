/* Messages as they stand in a MESSAGES record (waitwire.h): each as short as what it says allows, one after the other.
 *
 *   u8 kind, u8 what (PA_ENTRY_*), then, of these what `what` names, in this order:
 *   flags, age, total, count, value, nr_bytes as numbers of 7 bits a byte, the low ones first, bit 7: more follow;
 *   nr_bytes bytes.
 *
 * What is not named is 0, of flags PA_FRAME_FIRST. age: ns from the message's first byte to the record's time. A kind
 * of 0 is no message: the byte behind it says how many times more the message before it came, just the same.
 *
 * Who uses it: agent (hook world), collector, tests, fuzzers. World: signal. */
#ifndef PA_COMMON_MESSAGE_H
#define PA_COMMON_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/frame.h"

#define PA_ENTRY_FLAGS 0x01
#define PA_ENTRY_AGE   0x02
#define PA_ENTRY_TOTAL 0x04
#define PA_ENTRY_COUNT 0x08
#define PA_ENTRY_VALUE 0x10
#define PA_ENTRY_BYTES 0x20

#define PA_ENTRY_MAX   64  /* bytes of an entry besides those captured, what tells of its repetition included */
#define PA_ENTRIES_MAX 256 /* messages of a record */

/* Writes a message's entry. Shapes: room for PA_ENTRY_MAX + e->nr_bytes bytes at out; e->kind is 1 to 255, e->nr_bytes
 * at most PA_FRAME_TEXT_MAX. Units: now_ns is the record's time. What began after it, began then: whoever sends by
 * several threads feeds what was sent in no order. Returns the end of what was written. */
uint8_t *pa_message_put(uint8_t *out, const struct pa_frame_event *e, uint64_t now_ns);

/* The entries of a record, being put one after the other. Invariant: start <= last <= end. All zero: none. */
struct pa_message_list {
	uint8_t *start;
	uint8_t *last; /* the entry that the next one is compared with */
	uint8_t *end;
	uint32_t nr_last; /* its bytes */
	uint32_t nr;      /* messages */
};

/* Shapes: as pa_message_put, at the list's end; nr < PA_ENTRIES_MAX. */
void pa_message_add(struct pa_message_list *list, const struct pa_frame_event *e, uint64_t now_ns);

/* Reading: anybody's bytes. */
struct pa_message_cursor {
	const uint8_t *at;
	const uint8_t *end; /* of the entries */
	uint64_t now_ns;    /* the record's time */
	uint32_t left;      /* messages that the record says are to come */
	uint32_t again;     /* of them: the one before */
};

/* The next message; *e is the one before, or anything at first. False: there is none, or what stands there is none
 * (left is then not 0). Of e everything but the hash is filled in, which does not travel; last_ns is the record's. */
bool pa_message_next(struct pa_message_cursor *c, struct pa_frame_event *e);

#endif
