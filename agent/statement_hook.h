/* Executions of statements by a library in the program's own process, into records (common/waitwire.h). Most are one
 * call and need no memory; what gives rows, or waits for a lock, has a cell until it is over. What the library is asked
 * for about a statement is asked before the real call: once that is over, another thread may have finalised it.
 * World: hook. */
#ifndef PA_AGENT_STATEMENT_HOOK_H
#define PA_AGENT_STATEMENT_HOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/wait_hook.h"
#include "common/waitwire.h"

/* Whether nobody wants to know of statements now. */
static inline bool pa_statements_off(void)
{
	return __builtin_expect(!(pa_load_relaxed(&pa_wait_modes) & PA_MODE_DB), 1);
}

/* A new session, or a forked child: nothing is under way, no text is known. World: signal. */
void pa_statements_start_sig(void);

/* One call of the library. */
struct pa_statement_call {
	const void *key;   /* the statement; NULL: it has none */
	uint64_t began_ns; /* 0: not to be recorded */
	uint64_t text, database;
	uint16_t kind;
};

/* Before a call. Whether its text is asked for: it begins an execution, as far as is known. */
bool pa_statement_begin_hook(struct pa_statement_call *call, uint16_t kind, const void *key);

/* What it is, if it is asked for. text: SQL, ended by NUL or of len bytes (len < 0: ended by NUL); name: the database's
 * file. Both may be NULL. */
void pa_statement_text_hook(struct pa_statement_call *call, const char *text, int64_t len, const char *name,
			    const struct pa_caller *caller);

enum pa_statement_turn {
	PA_STATEMENT_ROW,   /* it has given a row */
	PA_STATEMENT_AGAIN, /* it waits for a lock, and may be tried again */
	PA_STATEMENT_OVER,
};

/* After it. error: the library's code, if it is one. */
void pa_statement_end_hook(const struct pa_statement_call *call, enum pa_statement_turn turn, int error,
			   const struct pa_caller *caller);

/* Before an execution is ended from outside, by a reset or by finalising: takes it out, for the statement may be gone
 * and its address another's when the real call returns. False: there is none. */
struct pa_statement_open;
bool pa_statement_take_hook(struct pa_statement_call *call, const void *key, struct pa_statement_open *open);
void pa_statement_put_hook(const struct pa_statement_call *call, struct pa_statement_open *open,
			   const struct pa_caller *caller);

#define PA_STATEMENT_FRAMES 64 /* leaf-most of who made the first call, where more calls follow */

/* An execution under way. */
struct pa_statement_open {
	uint64_t start_ns, last_ns, library_ns, busy_ns, rows;
	uint64_t text, database;
	int32_t error;
	uint16_t kind, flags, nr_frames, stop;
	uint64_t frames[PA_STATEMENT_FRAMES + 32];
};

#endif
