/* One way out per output language for text that a target controls: function, file, thread and command names.
 * Nothing else writes such text. Input is any bytes up to a NUL; what is no valid UTF-8 becomes U+FFFD. World: plain.
 */
#ifndef PA_REPORT_ESCAPE_H
#define PA_REPORT_ESCAPE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Reads one code point at *at and moves past it; 0xFFFD, one byte further, when the bytes are no valid UTF-8 (overlong
 * forms, surrogates and values above 0x10FFFF included). Shapes: *at is before the terminating NUL. */
uint32_t pa_utf8_next(const char **at);

enum pa_language {
	PA_PLAIN,  /* a terminal or a text file: controls and direction marks become visible \xNN and \u{NNNN} */
	PA_FOLDED, /* the same, and ';' becomes ':': it separates frames there */
	PA_XML,    /* the same as PLAIN, and & < > " ' become character references: safe in text and in attributes */
	PA_JSON,   /* inside quotes; nothing is lost: controls, direction marks and line separators become \uNNNN */
};

/* Writes text for a language. Errors: those of the stream, for the caller to find with ferror. */
void pa_escape(FILE *out, enum pa_language language, const char *text);

/* The same, with at most `columns` code points written: what is longer ends in an ellipsis. Returns how many columns it
 * took (one per code point: wide and combining characters are not measured). columns 0: no limit. Not for JSON. */
size_t pa_escape_columns(FILE *out, enum pa_language language, const char *text, size_t columns);

/* How many columns pa_escape_columns would take with no limit. */
size_t pa_escape_width(enum pa_language language, const char *text);

/* The escaped text in memory; the caller frees it. Errors: NULL: out of memory. */
char *pa_escape_dup(enum pa_language language, const char *text);

#endif
