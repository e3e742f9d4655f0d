/* A program that uses SQLite and keeps books: how often each statement was executed, with how many rows and errors, and
 * how long the calls took. `perfagent record --mode db` has to report the same. Modes:
 *   books FILE      one thread, then four, prepared and direct, errors among them; the books go to books.json
 *   locked FILE     one connection holds the lock that another one wants
 *   storm SECONDS   four threads execute in databases of their own until then, or until SIGTERM
 *   odd FILE        what a program may do with statements, well or badly: prints what the library says */
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS 4
#define INSERTS 300
#define LOOKUPS 50

static void die(const char *what, sqlite3 *db)
{
	fprintf(stderr, "%s: %s\n", what, db ? sqlite3_errmsg(db) : "");
	exit(99);
}

static sqlite3 *open_db(const char *file)
{
	sqlite3 *db;

	if (sqlite3_open(file, &db) != SQLITE_OK)
		die("open", db);
	return db;
}

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

/* ---- books ------------------------------------------------------------------------------------------------------- */

static struct entry {
	const char *form; /* the statement, as a report shows it */
	unsigned long count, errors, rows;
	double total_ms, max_ms;
} entries[16];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void book(const char *form, unsigned long errors, unsigned long rows, double ms)
{
	unsigned i = 0;

	pthread_mutex_lock(&lock);
	while (entries[i].form && strcmp(entries[i].form, form) != 0)
		i++;
	entries[i].form = form;
	entries[i].count++;
	entries[i].errors += errors;
	entries[i].rows += rows;
	entries[i].total_ms += ms;
	entries[i].max_ms = ms > entries[i].max_ms ? ms : entries[i].max_ms;
	pthread_mutex_unlock(&lock);
}

static void write_books(void)
{
	FILE *out = fopen("books.json", "w");

	for (unsigned i = 0; entries[i].form; i++)
		fprintf(out,
			"%s{\"form\":\"%s\",\"count\":%lu,\"errors\":%lu,\"rows\":%lu,\"total_ms\":%f,\"max_ms\":%f}",
			i ? ",\n" : "[", entries[i].form, entries[i].count, entries[i].errors, entries[i].rows,
			entries[i].total_ms, entries[i].max_ms);
	fprintf(out, "]\n");
	fclose(out);
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
		die(sql, db);
	return stmt;
}

/* Until it is done, and reset: as one query. Time that we spend with a row is not the library's. */
static void run(sqlite3_stmt *stmt, const char *form, int pause_us)
{
	unsigned long rows = 0;
	double ms = 0, began;
	int rc;

	do {
		began = now_ms();
		rc = sqlite3_step(stmt);
		ms += now_ms() - began;
		rows += rc == SQLITE_ROW;
		if (rc == SQLITE_ROW && pause_us)
			usleep((unsigned)pause_us);
	} while (rc == SQLITE_ROW);
	book(form, rc != SQLITE_DONE, rows, ms);
	sqlite3_reset(stmt);
}

static void direct(sqlite3 *db, const char *sql, const char *form)
{
	double began = now_ms();
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

	book(form, rc != SQLITE_OK, 0, now_ms() - began);
}

/* Steps without limit: the library counts up to `most` by itself. */
static void count_up(sqlite3 *db, int most)
{
	sqlite3_stmt *stmt = prepare(db, "with recursive c(n) as (select 1 union all select n + 1 from c where n < ?) "
					 "select max(n) from c");

	sqlite3_bind_int(stmt, 1, most);
	run(stmt, "with recursive c(n) as (select ? union all select n + ? from c where n < ?) select max(n) from c",
	    0);
	sqlite3_finalize(stmt);
}

static void *work(void *arg)
{
	sqlite3 *db = open_db(":memory:");
	sqlite3_stmt *insert, *lookup;
	char sql[80];

	(void)arg;
	direct(db, "create table items(id integer primary key, name text)",
	       "create table items(id integer primary key, name text)");
	insert = prepare(db, "insert into items(id, name) values(?, ?)");
	for (int i = 0; i < INSERTS; i++) {
		/* every tenth is there already */
		sqlite3_bind_int(insert, 1, i % 10 == 9 ? i - 1 : i);
		sqlite3_bind_text(insert, 2, "thing", -1, SQLITE_STATIC);
		run(insert, "insert into items (id, name) values (?, ?)", 0);
	}
	sqlite3_finalize(insert);
	for (int i = 0; i < LOOKUPS; i++) {
		snprintf(sql, sizeof(sql), "SELECT name FROM items WHERE id = %d OR name = 'secret%d'", i, i);
		lookup = prepare(db, sql);
		run(lookup, "select name from items where id = ? or name = ?", 0);
		sqlite3_finalize(lookup);
	}
	lookup = prepare(db, "select id from items where id < 20");
	run(lookup, "select id from items where id < ?", 2000);
	sqlite3_finalize(lookup);
	count_up(db, 300000);
	direct(db, "select nothing from nowhere", "select nothing from nowhere");
	sqlite3_close(db);
	return NULL;
}

static void books(const char *file)
{
	pthread_t threads[THREADS];
	sqlite3 *db = open_db(file);
	sqlite3_stmt *stmt;
	double began;

	direct(db, "create table once(a)", "create table once(a)");
	began = now_ms();
	if (sqlite3_prepare_v2(db, "selekt 1", -1, &stmt, NULL) == SQLITE_OK)
		die("not an error", db);
	book("selekt ?", 1, 0, now_ms() - began);
	/* given up before it is done */
	stmt = prepare(db, "select 1 union select 2 union select 3");
	began = now_ms();
	sqlite3_step(stmt);
	sqlite3_finalize(stmt);
	book("select ? union select ? union select ?", 0, 1, now_ms() - began);
	sqlite3_close(db);
	work(NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, work, NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	write_books();
}

/* ---- locked ------------------------------------------------------------------------------------------------------ */

static void locked(const char *file)
{
	sqlite3 *a = open_db(file), *b = open_db(file);
	sqlite3_stmt *stmt, *given_up;
	double began;

	direct(a, "create table t(a)", "create table t(a)");
	stmt = prepare(b, "insert into t values(1)");
	given_up = prepare(b, "delete from t");
	direct(a, "begin exclusive", "begin exclusive");
	sqlite3_busy_timeout(b, 150);
	/* tried again without a reset, and a third time when the lock is free: one query */
	began = now_ms();
	for (int i = 0; i < 2; i++)
		if (sqlite3_step(stmt) != SQLITE_BUSY)
			die("not busy", b);
	direct(a, "commit", "commit");
	if (sqlite3_step(stmt) != SQLITE_DONE)
		die("still busy", b);
	book("insert into t values (?)", 0, 0, now_ms() - began);
	sqlite3_finalize(stmt);
	/* given up: an error */
	direct(a, "begin exclusive", "begin exclusive");
	began = now_ms();
	if (sqlite3_step(given_up) != SQLITE_BUSY)
		die("not busy", b);
	book("delete from t", 1, 0, now_ms() - began);
	sqlite3_reset(given_up);
	sqlite3_finalize(given_up);
	direct(a, "commit", "commit");
	sqlite3_close(a);
	sqlite3_close(b);
	write_books();
}

/* ---- storm ------------------------------------------------------------------------------------------------------- */

static _Atomic int stop;
static _Atomic unsigned long executed, wrong;

static void *storm_thread(void *arg)
{
	sqlite3 *db = open_db(":memory:");
	sqlite3_stmt *insert, *rows;

	(void)arg;
	sqlite3_exec(db, "create table t(a integer primary key, b)", NULL, NULL, NULL);
	insert = prepare(db, "insert into t(b) values('x')");
	while (!stop) {
		rows = prepare(db, "select a, b from t order by a desc limit 7");
		for (int i = 0; i < 7; i++) {
			wrong += sqlite3_step(insert) != SQLITE_DONE;
			wrong += sqlite3_reset(insert) != SQLITE_OK;
		}
		for (int i = 0; i < 7; i++)
			wrong += sqlite3_step(rows) != SQLITE_ROW;
		wrong += sqlite3_step(rows) != SQLITE_DONE;
		wrong += sqlite3_finalize(rows) != SQLITE_OK;
		wrong += sqlite3_exec(db, "delete from t", NULL, NULL, NULL) != SQLITE_OK;
		executed += 9;
	}
	sqlite3_finalize(insert);
	sqlite3_close(db);
	return NULL;
}

static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

static void storm(double seconds)
{
	pthread_t threads[THREADS];
	double until = now_ms() + seconds * 1e3;

	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, storm_thread, NULL);
	signal(SIGTERM, on_term);
	while (!stop && now_ms() < until) {
		pid_t child = fork();
		int status;

		if (!child)
			_exit(0);
		if (child < 0 || waitpid(child, &status, 0) != child || status)
			wrong++;
		usleep(5000);
	}
	stop = 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	printf("%s, %lu wrong\n", executed ? "executed" : "nothing", wrong);
}

/* ---- odd --------------------------------------------------------------------------------------------------------- */

struct at_work {
	sqlite3_stmt *stmt;
	sqlite3 *db;
	int rc;
};

static void *finalize_there(void *arg)
{
	struct at_work *w = arg;

	w->rc = sqlite3_finalize(w->stmt);
	return NULL;
}

static void *interrupt_there(void *arg)
{
	struct at_work *w = arg;

	usleep(30000);
	sqlite3_interrupt(w->db);
	return NULL;
}

static void *step_there(void *arg)
{
	struct at_work *w = arg;

	for (int i = 0; i < 2000; i++)
		w->rc |= sqlite3_step(w->stmt) != SQLITE_ROW;
	return NULL;
}

static void nested(sqlite3_context *context, int nr, sqlite3_value **args)
{
	(void)nr;
	sqlite3_result_int(context,
			   sqlite3_exec(sqlite3_user_data(context), "insert into log values(1)", NULL, NULL, NULL) +
			       sqlite3_value_int(args[0]));
}

static int one_row(void *arg, int nr, char **values, char **columns)
{
	(void)nr;
	(void)columns;
	printf("  row %s\n", values[0]);
	return --*(int *)arg == 0;
}

static void said(const char *what, int rc)
{
	printf("%s: %d\n", what, rc);
}

static void odd(const char *file)
{
	sqlite3 *db = open_db(file);
	struct at_work w = {.db = db};
	pthread_t thread, more;
	int left = 2, status;
	char *message = NULL;
	pid_t child;

	said("step nothing", sqlite3_step(NULL));
	said("reset nothing", sqlite3_reset(NULL));
	said("finalize nothing", sqlite3_finalize(NULL));
	said("execute nothing", sqlite3_exec(db, "", NULL, NULL, NULL));
	said("prepare a comment", sqlite3_prepare_v2(db, "  -- nothing", -1, &w.stmt, NULL));
	said("a statement of it", w.stmt != NULL);
	said("prepare a part", sqlite3_prepare_v3(db, "select 1 garbage garbage", 8, 0, &w.stmt, NULL));
	for (int i = 0; i < 4; i++)
		said("step", sqlite3_step(w.stmt));
	said("finalize", sqlite3_finalize(w.stmt));
	said("prepare 16 bits", sqlite3_prepare16_v2(db, u"select 1, 2", -1, &w.stmt, NULL));
	said("step", sqlite3_step(w.stmt));
	said("finalize", sqlite3_finalize(w.stmt));
	said("refused 16 bits", sqlite3_prepare16_v2(db, u"selekt 1, 2", -1, &w.stmt, NULL));
	said("exec, given up", sqlite3_exec(db, "select 1 union select 2 union select 3", one_row, &left, &message));
	printf("%s\n", message ? message : "");
	sqlite3_free(message);

	w.stmt = prepare(db, "with recursive c(n) as (select 1 union all select n + 1 from c) select n from c");
	sqlite3_step(w.stmt);
	pthread_create(&thread, NULL, step_there, &w);
	pthread_create(&more, NULL, step_there, &w);
	pthread_join(thread, NULL);
	pthread_join(more, NULL);
	said("two threads in one statement", w.rc);
	pthread_create(&thread, NULL, finalize_there, &w);
	pthread_join(thread, NULL);
	said("finalised by another thread", w.rc);

	w.stmt = prepare(db, "with recursive c(n) as (select 1 union all select n + 1 from c) select max(n) from c");
	pthread_create(&thread, NULL, interrupt_there, &w);
	said("interrupted", sqlite3_step(w.stmt));
	pthread_join(thread, NULL);
	said("reset", sqlite3_reset(w.stmt));
	said("finalize", sqlite3_finalize(w.stmt));

	sqlite3_exec(db, "create table log(a)", NULL, NULL, NULL);
	sqlite3_create_function(db, "nested", 1, SQLITE_UTF8, db, nested, NULL, NULL);
	w.stmt = prepare(db, "select nested(5)");
	said("a statement in a statement", sqlite3_step(w.stmt));
	said("its value", sqlite3_column_int(w.stmt, 0));
	fflush(stdout);
	child = fork();
	if (!child) {
		sqlite3 *own = open_db(":memory:");

		w.rc = sqlite3_exec(own, "create table t(a)", NULL, NULL, NULL);
		_exit(w.rc == SQLITE_OK ? 7 : 1);
	}
	waitpid(child, &status, 0);
	said("child", WEXITSTATUS(status));
	said("finalize", sqlite3_finalize(w.stmt));
	said("close", sqlite3_close(db));
}

int main(int argc, char **argv)
{
	const char *mode = argc > 2 ? argv[1] : "";

	if (strcmp(mode, "books") == 0)
		books(argv[2]);
	else if (strcmp(mode, "locked") == 0)
		locked(argv[2]);
	else if (strcmp(mode, "storm") == 0)
		storm(atof(argv[2]));
	else if (strcmp(mode, "odd") == 0)
		odd(argv[2]);
	else
		return 2;
	return 0;
}
