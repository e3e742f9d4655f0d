/* The output that normalisers share: bounded text with a running hash, which can be taken back to an earlier position.
 */
#ifndef PA_COLLECTOR_NORMALIZE_IMPL_H
#define PA_COLLECTOR_NORMALIZE_IMPL_H

#include "collector/normalize.h"

/* A position: everything behind it can be forgotten. */
struct pa_normal_mark {
	uint64_t len;
	uint64_t hash;
};

/* len counts what was put, also beyond size - 1 where it finds no room. */
struct pa_normal {
	char *out;
	size_t size;
	struct pa_normal_mark at;
};

void pa_normal_init(struct pa_normal *n, char *out, size_t size);
void pa_normal_put(struct pa_normal *n, const char *text, size_t len);
/* One character of foreign text, at most len bytes: itself, a blank for a control character, U+FFFD for no UTF-8.
 * Returns how many bytes it was. */
size_t pa_normal_put_char(struct pa_normal *n, const char *text, size_t len);
/* Hash of what was put since `from`, whatever stood before it: the running hash is a polynomial. */
uint64_t pa_normal_hash(const struct pa_normal *n, const struct pa_normal_mark *from);
/* Ends the text at a whole character. Returns its length. */
size_t pa_normal_end(struct pa_normal *n, uint64_t *fingerprint);

#define PA_NORMAL_PUT(n, text) pa_normal_put((n), (text), sizeof(text) - 1)

#endif
