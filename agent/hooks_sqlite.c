/* SQLite through its C interface: what is executed, how long the library takes for it, how many rows it gives. Reached
 * by slots (libs_sig.h), so each copy of the library has functions of its own here. Calls inside the library, and those
 * of its shell or of modules that contain it, are its own affair. An execution begins with the first step after a
 * statement was prepared or reset, and is over when a step says so, or at its reset or end. World: hook. */
#include <stddef.h>

#include "agent/hooks_libs.h"
#include "agent/hooks_malloc.h"
#include "agent/statement_hook.h"
#include "common/wire.h"

/* Result codes that the interface promises never to change; the lower byte of an extended one. */
enum { OK = 0, BUSY = 5, LOCKED = 6, MISUSE = 21, ROW = 100, DONE = 101 };

/* The text is in bytes, or of two bytes each; the parameters behind it. */
#define HOOKED(X)                                                                                                      \
	X(step)                                                                                                        \
	X(reset)                                                                                                       \
	X(finalize)                                                                                                    \
	X(exec)                                                                                                        \
	X(prepare)                                                                                                     \
	X(prepare_v2)                                                                                                  \
	X(prepare_v3)                                                                                                  \
	X(prepare16)                                                                                                   \
	X(prepare16_v2)                                                                                                \
	X(prepare16_v3)
#define CALLED(X)                                                                                                      \
	X(sql)                                                                                                         \
	X(db_handle)                                                                                                   \
	X(db_filename)

enum name {
#define X(name) NAME_##name,
	HOOKED(X) NR_HOOKED,
	BEFORE_CALLED = NR_HOOKED - 1,
	CALLED(X) NR_NAMES
#undef X
};

static const char *const names[NR_NAMES] = {
#define X(name) [NAME_##name] = "sqlite3_" #name,
    HOOKED(X) CALLED(X)
#undef X
};

static _Atomic(void *) real[PA_LIB_COPIES * NR_NAMES];

typedef int stmt_fn(void *stmt);
typedef int exec_fn(void *db, const char *sql, int (*row)(void *, int, char **, char **), void *arg, char **message);
typedef int prepare_fn(void *db, const void *sql, int bytes, void **stmt, const void **tail);
typedef int prepare_v3_fn(void *db, const void *sql, int bytes, unsigned flags, void **stmt, const void **tail);
typedef const char *sql_fn(void *stmt);
typedef void *db_handle_fn(void *stmt);
typedef const char *db_filename_fn(void *db, const char *name);

static inline void *real_of(unsigned copy, enum name name)
{
	return pa_load_relaxed(&real[copy * NR_NAMES + name]);
}

static const char *file_of(unsigned copy, void *db)
{
	return db ? ((db_filename_fn *)real_of(copy, NAME_db_filename))(db, "main") : NULL;
}

/* ---- prepared statements ----------------------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) int step_in(unsigned copy, void *stmt, const struct pa_caller *caller)
{
	struct pa_statement_call call;
	void *db = NULL;
	int ret;

	/* one that is gone has no handle: the library says what it thinks of it */
	if (pa_statement_begin_hook(&call, PA_STATEMENT_STEPPED, stmt)) {
		db = ((db_handle_fn *)real_of(copy, NAME_db_handle))(stmt);
		if (db)
			pa_statement_text_hook(&call, ((sql_fn *)real_of(copy, NAME_sql))(stmt), -1, file_of(copy, db),
					       caller);
	}
	ret = ((stmt_fn *)real_of(copy, NAME_step))(stmt);
	if (ret == MISUSE)
		return ret;
	pa_statement_end_hook(&call,
			      ret == ROW                                       ? PA_STATEMENT_ROW
			      : (ret & 0xff) == BUSY || (ret & 0xff) == LOCKED ? PA_STATEMENT_AGAIN
									       : PA_STATEMENT_OVER,
			      ret == ROW || ret == DONE ? 0 : ret, caller);
	return ret;
}

static inline __attribute__((always_inline)) int end_in(unsigned copy, enum name name, void *stmt,
							const struct pa_caller *caller)
{
	struct pa_statement_open open;
	struct pa_statement_call call;
	bool was_open = pa_statement_take_hook(&call, stmt, &open);
	int ret = ((stmt_fn *)real_of(copy, name))(stmt);

	if (was_open)
		pa_statement_put_hook(&call, &open, caller);
	return ret;
}

/* ---- texts ------------------------------------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) int exec_in(unsigned copy, void *db, const char *sql,
							 int (*row)(void *, int, char **, char **), void *arg,
							 char **message, const struct pa_caller *caller)
{
	struct pa_statement_call call;
	int ret;

	pa_statement_begin_hook(&call, PA_STATEMENT_EXEC, NULL);
	pa_statement_text_hook(&call, sql, -1, file_of(copy, db), caller);
	ret = ((exec_fn *)real_of(copy, NAME_exec))(db, sql, row, arg, message);
	if (ret != MISUSE)
		pa_statement_end_hook(&call, PA_STATEMENT_OVER, ret, caller);
	return ret;
}

/* What could not be prepared: what could is a query only when it is executed. */
static inline __attribute__((always_inline)) void refused(unsigned copy, struct pa_statement_call *call, void *db,
							  const void *sql, int bytes, bool is_wide, int ret,
							  const struct pa_caller *caller)
{
	if (ret == OK || ret == MISUSE)
		return;
	pa_statement_text_hook(call, is_wide ? NULL : sql, bytes, file_of(copy, db), caller);
	pa_statement_end_hook(call, PA_STATEMENT_OVER, ret, caller);
}

static inline __attribute__((always_inline)) int prepare_in(unsigned copy, enum name name, void *db, const void *sql,
							    int bytes, void **stmt, const void **tail,
							    const struct pa_caller *caller)
{
	struct pa_statement_call call;
	int ret;

	pa_statement_begin_hook(&call, PA_STATEMENT_REFUSED, NULL);
	ret = ((prepare_fn *)real_of(copy, name))(db, sql, bytes, stmt, tail);
	refused(copy, &call, db, sql, bytes, name == NAME_prepare16 || name == NAME_prepare16_v2, ret, caller);
	return ret;
}

static inline __attribute__((always_inline)) int prepare_v3_in(unsigned copy, enum name name, void *db, const void *sql,
							       int bytes, unsigned flags, void **stmt,
							       const void **tail, const struct pa_caller *caller)
{
	struct pa_statement_call call;
	int ret;

	pa_statement_begin_hook(&call, PA_STATEMENT_REFUSED, NULL);
	ret = ((prepare_v3_fn *)real_of(copy, name))(db, sql, bytes, flags, stmt, tail);
	refused(copy, &call, db, sql, bytes, name == NAME_prepare16_v3, ret, caller);
	return ret;
}

/* ---- a function for each copy ------------------------------------------------------------------------------------ */

#define PREPARE(copy, name)                                                                                            \
	static int name##_##copy(void *db, const void *sql, int bytes, void **stmt, const void **tail)                 \
	{                                                                                                              \
		PA_HEAP_CALLER(caller);                                                                                \
		if (pa_statements_off())                                                                               \
			return ((prepare_fn *)real_of(copy, NAME_##name))(db, sql, bytes, stmt, tail);                 \
		return prepare_in(copy, NAME_##name, db, sql, bytes, stmt, tail, &caller);                             \
	}
#define PREPARE_V3(copy, name)                                                                                         \
	static int name##_##copy(void *db, const void *sql, int bytes, unsigned flags, void **stmt, const void **tail) \
	{                                                                                                              \
		PA_HEAP_CALLER(caller);                                                                                \
		if (pa_statements_off())                                                                               \
			return ((prepare_v3_fn *)real_of(copy, NAME_##name))(db, sql, bytes, flags, stmt, tail);       \
		return prepare_v3_in(copy, NAME_##name, db, sql, bytes, flags, stmt, tail, &caller);                   \
	}
#define STMT(copy, name, with)                                                                                         \
	static int name##_##copy(void *stmt)                                                                           \
	{                                                                                                              \
		PA_HEAP_CALLER(caller);                                                                                \
		if (pa_statements_off() || !stmt)                                                                      \
			return ((stmt_fn *)real_of(copy, NAME_##name))(stmt);                                          \
		return with;                                                                                           \
	}
#define COPY(copy)                                                                                                     \
	STMT(copy, step, step_in(copy, stmt, &caller))                                                                 \
	STMT(copy, reset, end_in(copy, NAME_reset, stmt, &caller))                                                     \
	STMT(copy, finalize, end_in(copy, NAME_finalize, stmt, &caller))                                               \
	static int exec_##copy(void *db, const char *sql, int (*row)(void *, int, char **, char **), void *arg,        \
			       char **message)                                                                         \
	{                                                                                                              \
		PA_HEAP_CALLER(caller);                                                                                \
		if (pa_statements_off() || !db || !sql)                                                                \
			return ((exec_fn *)real_of(copy, NAME_exec))(db, sql, row, arg, message);                      \
		return exec_in(copy, db, sql, row, arg, message, &caller);                                             \
	}                                                                                                              \
	PREPARE(copy, prepare)                                                                                         \
	PREPARE(copy, prepare_v2)                                                                                      \
	PREPARE_V3(copy, prepare_v3)                                                                                   \
	PREPARE(copy, prepare16)                                                                                       \
	PREPARE(copy, prepare16_v2)                                                                                    \
	PREPARE_V3(copy, prepare16_v3)

COPY(0)
COPY(1)
COPY(2)
_Static_assert(PA_LIB_COPIES == 3, "a function for each copy");

static const void *const own[PA_LIB_COPIES * NR_HOOKED] = {
#define X0(name) [0 * NR_HOOKED + NAME_##name] = (const void *)name##_0,
#define X1(name) [1 * NR_HOOKED + NAME_##name] = (const void *)name##_1,
#define X2(name) [2 * NR_HOOKED + NAME_##name] = (const void *)name##_2,
    HOOKED(X0) HOOKED(X1) HOOKED(X2)};

const struct pa_lib pa_lib_sqlite = {
    .names = names,
    .nr_names = NR_NAMES,
    .nr_hooked = NR_HOOKED,
    .modes = PA_MODE_DB,
    .own = own,
    .real = real,
};
