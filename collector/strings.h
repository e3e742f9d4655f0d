/* Strings in the collector: making bytes of a target valid UTF-8, and a table that numbers distinct strings.
 * Callers: store_*.c. World: plain. */
#ifndef PA_COLLECTOR_STRINGS_H
#define PA_COLLECTOR_STRINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest string a recording holds; longer ones are cut between characters and end in U+2026. */
#define PA_TEXT_MAX 65536

/* How many bytes the first of `len` bytes starts as one valid UTF-8 character (no surrogates, nothing overlong, nothing
 * above U+10FFFF); 0: it starts none. */
size_t pa_utf8_step(const char *text, size_t len);

/* Copies text, each byte that belongs to no valid character replaced by U+FFFD, cut at PA_TEXT_MAX.
 * Shapes: out has PA_TEXT_MAX + 1 bytes (or 3 * strlen(text) + 1 if that is less). Returns the length. */
size_t pa_text_clean(const char *text, char *out);

struct pa_strings;

/* Errors: NULL: out of memory. */
struct pa_strings *pa_strings_new(void);
void pa_strings_free(struct pa_strings *s);
/* The number of a string, from 1 in the order of first sight. *is_new: true exactly once per number.
 * Errors: 0: out of memory. */
uint32_t pa_strings_add(struct pa_strings *s, const char *text, bool *is_new);

#endif
