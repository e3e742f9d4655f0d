/* One form for statements, paths and commands that differ in their values only, and a number for it. No value is left
 * in what comes out. Any bytes go in: the output is valid UTF-8 without control characters, ends with NUL and is
 * bounded; the fingerprint is that of the whole form, also of what found no room. World: plain. */
#ifndef PA_COLLECTOR_NORMALIZE_H
#define PA_COLLECTOR_NORMALIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pa_dialect { PA_SQL_POSTGRES, PA_SQL_MYSQL, PA_SQL_SQLITE };

/* A statement's form: literals and placeholders are ?, comments are gone, words are in small letters, spaces where they
 * belong; lists after IN and ARRAY, and rows after VALUES, that repeat the element before are folded into it.
 * Shapes: len bytes at sql; cut: the statement goes on behind them; out has room for size >= 1 bytes. Returns the
 * length written. Source: the identity is that of pg_stat_statements (it compares parse trees after constants are taken
 * out), but for the folded lists, which it has since PostgreSQL 18, and for utility statements, whose constants it
 * keeps. */
size_t pa_normalize_sql(enum pa_dialect dialect, const char *sql, size_t len, bool cut, char *out, size_t size,
			uint64_t *fingerprint);

/* The path of a request target: no scheme, host and query; parts that are numbers, UUIDs, hexadecimal or long tokens
 * are {id}. Shapes and result as above. */
size_t pa_normalize_path(const char *target, size_t len, char *out, size_t size, uint64_t *fingerprint);

/* A Redis command, as PA_FRAME_RESP_COMMAND (inline: _INLINE) has captured it: its name, and the pattern of its first
 * key or the subcommand. Shapes and result as above. */
size_t pa_normalize_redis(const char *captured, size_t len, bool is_inline, char *out, size_t size,
			  uint64_t *fingerprint);

#endif
