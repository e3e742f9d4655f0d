/* Writes JSON as it goes: nothing is kept, 64-bit integers are exact. Indented by two spaces. World: plain. */
#ifndef PA_REPORT_JSON_WRITER_H
#define PA_REPORT_JSON_WRITER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define PA_JSON_DEPTH 32

/* Zero but `out` to begin. Errors are those of the stream: ask ferror at the end. */
struct pa_json {
	FILE *out;
	unsigned depth;
	bool filled[PA_JSON_DEPTH]; /* something was written at that depth */
	bool flat[PA_JSON_DEPTH];   /* the container is written on one line */
};

/* key is NULL inside arrays and for the document itself. */
void pa_json_object(struct pa_json *j, const char *key);
void pa_json_array(struct pa_json *j, const char *key);
/* An object on one line, for rows of tables. */
void pa_json_row(struct pa_json *j, const char *key);
void pa_json_end_object(struct pa_json *j);
void pa_json_end_array(struct pa_json *j);
/* text NULL: null */
void pa_json_text(struct pa_json *j, const char *key, const char *text);
void pa_json_u64(struct pa_json *j, const char *key, uint64_t value);
void pa_json_i64(struct pa_json *j, const char *key, int64_t value);
void pa_json_bool(struct pa_json *j, const char *key, bool value);
/* With that many decimals; NaN and infinities become null. */
void pa_json_real(struct pa_json *j, const char *key, double value, unsigned decimals);
/* Nanoseconds as seconds, exact. */
void pa_json_seconds(struct pa_json *j, const char *key, uint64_t ns);

#endif
