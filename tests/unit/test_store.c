/* Recordings: what is written is read, and what is no recording is refused with a sentence. */
#include "tests/unit/store_util.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>

#include "collector/store_schema.h"
#include "collector/strings.h"

/* ---- every table ------------------------------------------------------------------------------------------------- */

static int check_process(void *arg, const struct pa_store_process *p)
{
	(*(int *)arg)++;
	assert_int_equal(p->id, 1);
	assert_int_equal(p->pid, 100);
	assert_int_equal(p->inner_pid, 7);
	assert_int_equal(p->parent, 0);
	assert_int_equal(p->start_ns, 5);
	assert_int_equal(p->end_ns, 6);
	assert_true(p->cpu_ns == UINT64_MAX);
	assert_int_equal(p->agent_ns, 8);
	assert_string_equal(p->command, "make -j2");
	assert_string_equal(p->exe, "/usr/bin/make");
	assert_string_equal(p->how, "exit 0");
	return 0;
}

static int check_thread(void *arg, const struct pa_store_thread *t)
{
	(*(int *)arg)++;
	assert_int_equal(t->id, 1);
	assert_int_equal(t->process, 1);
	assert_int_equal(t->tid, 100);
	assert_int_equal(t->start_ns, 5);
	assert_int_equal(t->end_ns, 6);
	assert_int_equal(t->cpu_ns, 7);
	assert_int_equal(t->period_ns, 10101010);
	assert_int_equal(t->start_frame, 2);
	assert_string_equal(t->name, "make");
	return 0;
}

static int check_module(void *arg, const struct pa_store_module *m)
{
	(*(int *)arg)++;
	assert_int_equal(m->id, 1);
	assert_string_equal(m->path, "/usr/bin/make");
	assert_int_equal(m->build_id_len, 5);
	assert_memory_equal(m->build_id, "\xde\xad\0\xbe\xef", 5);
	assert_int_equal(m->symbols, 3);
	return 0;
}

static int check_frame(void *arg, const struct pa_store_frame *f)
{
	int nr = ++*(int *)arg;

	assert_int_equal(f->id, nr);
	assert_int_equal(f->module, nr - 1);
	assert_true(f->address == (nr == 1 ? 7 : UINT64_C(0xffffffffff600000)));
	if (nr == 1)
		assert_null(f->name);
	else
		assert_string_equal(f->name, "name");
	return 0;
}

static int check_stack(void *arg, uint32_t id, uint32_t parent, uint32_t frame)
{
	uint32_t nr = (uint32_t)++ * (int *)arg;

	assert_int_equal(id, nr);
	assert_int_equal(parent, nr - 1);
	assert_int_equal(frame, nr);
	return 0;
}

static int check_symbol(void *arg, const struct pa_store_symbol *s)
{
	int nr = ++*(int *)arg;

	assert_int_equal(s->frame, 2);
	assert_int_equal(s->level, nr - 1);
	assert_string_equal(s->function, nr == 1 ? "inner" : "outer");
	assert_int_equal(s->line, nr == 1 ? 12 : 0);
	if (nr == 1)
		assert_string_equal(s->file, "a.c");
	else
		assert_null(s->file);
	return 0;
}

static int check_loss(void *arg, uint32_t process, const char *reason, uint64_t count)
{
	(*(int *)arg)++;
	assert_int_equal(process, 1);
	assert_string_equal(reason, "ring full");
	assert_int_equal(count, 3);
	return 0;
}

static int check_note(void *arg, uint32_t process, uint64_t time_ns, const char *text)
{
	(*(int *)arg)++;
	assert_int_equal(process, 1);
	assert_int_equal(time_ns, 9);
	assert_string_equal(text, "a sentence");
	return 0;
}

static int check_sample(void *arg, const struct pa_store_sample *s)
{
	uint32_t nr = (uint32_t)(*(int *)arg)++;

	assert_int_equal(s->thread, 1);
	assert_int_equal(s->time_ns, nr * UINT64_C(1000000));
	assert_int_equal(s->stack, 1 + nr % 100);
	assert_int_equal(s->weight, 1);
	return 0;
}

static void check_all(struct pa_recording *r, int nr_samples)
{
	int nr[9] = {0};

	assert_int_equal(pa_recording_processes(r, check_process, &nr[0]), 0);
	assert_int_equal(pa_recording_threads(r, check_thread, &nr[1]), 0);
	assert_int_equal(pa_recording_modules(r, check_module, &nr[2]), 0);
	assert_int_equal(pa_recording_frames(r, check_frame, &nr[3]), 0);
	assert_int_equal(pa_recording_stacks(r, check_stack, &nr[4]), 0);
	assert_int_equal(pa_recording_symbols(r, check_symbol, &nr[5]), 0);
	assert_int_equal(pa_recording_losses(r, check_loss, &nr[6]), 0);
	assert_int_equal(pa_recording_notes(r, check_note, &nr[7]), 0);
	assert_int_equal(pa_recording_samples(r, check_sample, &nr[8]), 0);
	assert_memory_equal(nr, ((int[]){1, 1, 1, 2, 2, 2, 1, 1, nr_samples}), sizeof(nr));
	assert_string_equal(pa_recording_meta(r, "command"), "make -j2");
	assert_true(pa_recording_meta_u64(r, "period_ns", 1) == UINT64_MAX);
	assert_int_equal(pa_recording_meta_u64(r, "command", 1), 1);
	assert_int_equal(pa_recording_meta_u64(r, "absent", 2), 2);
	assert_null(pa_recording_meta(r, "absent"));
	assert_string_equal(pa_recording_error(r), "");
}

static void every_table_is_read_back(void **state)
{
	struct place *p = *state;
	struct pa_store *s = store_begin(p);
	struct pa_recording *r;

	store_fill(s, 10000);
	assert_int_equal(pa_store_close(s, true), 0);
	assert_int_equal(files_in(p->dir), 1);
	r = recording_begin(p);
	check_all(r, 10000);
	assert_non_null(pa_recording_meta(r, "ended"));
	assert_int_equal(strlen(pa_recording_meta(r, "ended")), strlen("2000-01-01T00:00:00Z"));
	assert_true(pa_recording_meta_u64(r, "ended_mono_ns", 0) > 0);
	pa_recording_close(r);
	assert_int_equal(files_in(p->dir), 1);
}

static void unclean_end_lacks_ended(void **state)
{
	struct place *p = *state;
	struct pa_store *s = store_begin(p);
	struct pa_recording *r;

	store_fill(s, 10);
	assert_int_equal(pa_store_close(s, false), 0);
	r = recording_begin(p);
	check_all(r, 10);
	assert_null(pa_recording_meta(r, "ended"));
	pa_recording_close(r);
}

static void callers_ended_is_kept(void **state)
{
	struct place *p = *state;
	struct pa_store *s = store_begin(p);
	struct pa_recording *r;

	assert_int_equal(pa_store_put_meta(s, "ended", "2001-02-03T04:05:06Z"), 0);
	assert_int_equal(pa_store_close(s, true), 0);
	r = recording_begin(p);
	assert_string_equal(pa_recording_meta(r, "ended"), "2001-02-03T04:05:06Z");
	pa_recording_close(r);
}

/* In the writer's own process: the reader must neither see less than was committed nor break the writer's locks. */
static void readable_after_each_commit(void **state)
{
	struct place *p = *state;
	struct pa_store *s = store_begin(p);

	for (int second = 1; second <= 5; second++) {
		for (int i = 0; i < 3000; i++)
			assert_int_equal(pa_store_add_sample(s, 1, (uint64_t)second * 1000000 + i, 1, 1), 0);
		assert_int_equal(pa_store_commit(s), 0);
		assert_int_equal(samples_in(p->file), second * 3000);
	}
	assert_int_equal(pa_store_add_sample(s, 1, 1, 1, 1), 0);
	assert_int_equal(samples_in(p->file), 15000);
	assert_int_equal(pa_store_close(s, true), 0);
	assert_int_equal(samples_in(p->file), 15001);
	assert_int_equal(files_in(p->dir), 1);
}

static int sum_loss(void *arg, uint32_t process, const char *reason, uint64_t count)
{
	*(uint64_t *)arg += count;
	return 0;
}

static void losses_add_up_and_rows_replace_each_other(void **state)
{
	struct place *p = *state;
	struct pa_store *s = store_begin(p);
	struct pa_recording *r;
	uint64_t sum = 0;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(pa_store_add_loss(s, 1, "ring full", 5), 0);
		assert_int_equal(pa_store_commit(s), 0);
		assert_int_equal(pa_store_put_meta_u64(s, "cpu_ns", (uint64_t)i), 0);
	}
	assert_int_equal(pa_store_close(s, true), 0);
	r = recording_begin(p);
	assert_int_equal(pa_recording_losses(r, sum_loss, &sum), 0);
	assert_int_equal(sum, 15);
	assert_int_equal(pa_recording_meta_u64(r, "cpu_ns", 9), 2);
	pa_recording_close(r);
}

static int stop_at_third(void *arg, const struct pa_store_sample *s)
{
	return ++*(int *)arg == 3 ? 42 : 0;
}

static void callback_ends_the_visit(void **state)
{
	struct place *p = *state;
	struct pa_store *s = store_begin(p);
	struct pa_recording *r;
	int nr = 0;

	store_fill(s, 10);
	assert_int_equal(pa_store_close(s, true), 0);
	r = recording_begin(p);
	assert_int_equal(pa_recording_samples(r, stop_at_third, &nr), 42);
	assert_int_equal(nr, 3);
	pa_recording_close(r);
}

static int check_bytes(void *arg, const struct pa_store_process *p)
{
	(*(int *)arg)++;
	assert_string_equal(p->command, "a\xef\xbf\xbd"
					"b\n\x01 \xc3\xa9");
	assert_int_equal(strlen(p->exe), PA_TEXT_MAX);
	assert_string_equal(p->exe + PA_TEXT_MAX - 3, "\xe2\x80\xa6");
	assert_string_equal(p->how, "");
	return 0;
}

static void strings_of_the_target_are_data(void **state)
{
	struct place *p = *state;
	struct pa_store *s = store_begin(p);
	struct pa_recording *r;
	char *endless = malloc(PA_TEXT_MAX * 2);
	int nr = 0;

	memset(endless, 'x', PA_TEXT_MAX * 2 - 1);
	endless[PA_TEXT_MAX * 2 - 1] = '\0';
	assert_int_equal(pa_store_put_process(s, &(struct pa_store_process){.id = 1,
									    .command = "a\xff"
										       "b\n\x01 \xc3\xa9",
									    .exe = endless}),
			 0);
	assert_int_equal(pa_store_put_meta(s, "command", "'); DROP TABLE process; --"), 0);
	assert_int_equal(pa_store_close(s, true), 0);
	r = recording_begin(p);
	assert_int_equal(pa_recording_processes(r, check_bytes, &nr), 0);
	assert_int_equal(nr, 1);
	assert_string_equal(pa_recording_meta(r, "command"), "'); DROP TABLE process; --");
	pa_recording_close(r);
	free(endless);
}

/* The worst there is but weights: one thread at 99 Hz (long gaps between samples), each with a stack never seen before,
 * and a commit each second. Compared with an empty recording, so that all that samples cost is counted. */
static void sample_takes_at_most_six_bytes_of_file(void **state)
{
	struct place *p = *state;
	struct pa_store *s = store_begin(p);
	struct stat empty, full;

	assert_int_equal(pa_store_close(s, true), 0);
	assert_int_equal(stat(p->file, &empty), 0);
	s = store_begin(p);
	for (uint32_t i = 0; i < 60000; i++) {
		assert_int_equal(pa_store_add_sample(s, 1, i * UINT64_C(10101010), i + 1, 1), 0);
		if (i % 99 == 98)
			assert_int_equal(pa_store_commit(s), 0);
	}
	assert_int_equal(pa_store_close(s, true), 0);
	assert_int_equal(stat(p->file, &full), 0);
	assert_in_range(full.st_size - empty.st_size, 1, 6 * 60000);
}

/* ---- what is no recording ---------------------------------------------------------------------------------------- */

static void put_file(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	close(fd);
}

static void run_sql(const char *path, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* Opens p->file, expects `code` and a single line that starts with the path and contains `words`. */
static void assert_refused(struct place *p, int code, const char *words)
{
	struct pa_recording *r = (struct pa_recording *)p;

	p->err[0] = '\0';
	assert_int_equal(pa_recording_open(p->file, &r, p->err, sizeof(p->err)), code);
	assert_null(r);
	if (!strstr(p->err, words))
		print_error("'%s' lacks '%s'\n", p->err, words);
	assert_non_null(strstr(p->err, words));
	assert_null(strchr(p->err, '\n'));
	assert_memory_equal(p->err, p->file, strlen(p->file));
}

static void finished(struct place *p, uint32_t nr)
{
	struct pa_store *s = store_begin(p);

	store_fill(s, nr);
	assert_int_equal(pa_store_close(s, true), 0);
}

static void what_is_no_recording_is_named(void **state)
{
	struct place *p = *state;

	assert_refused(p, -ENOENT, "No such file");
	put_file(p->file, "", 0);
	assert_refused(p, -ENODATA, "is empty");
	put_file(p->file, "SQLite format 3", 16);
	assert_refused(p, -ENOEXEC, "not a perfagent recording");
	put_file(p->file, "#!/bin/sh\n", 10);
	assert_refused(p, -ENOEXEC, "not a perfagent recording");
	unlink(p->file);
	run_sql(p->file, "CREATE TABLE t (x)");
	assert_refused(p, -ENOEXEC, "SQLite database but not a perfagent recording");
	strcpy(p->file, p->dir);
	assert_refused(p, -EISDIR, "directory");
}

static void newer_schema_names_both_versions(void **state)
{
	struct place *p = *state;

	finished(p, 10);
	run_sql(p->file, "PRAGMA user_version = 7");
	assert_refused(p, -EPROTONOSUPPORT, "schema 7, this perfagent reads up to 5");
}

static void missing_tables_are_damage(void **state)
{
	struct place *p = *state;

	finished(p, 10);
	run_sql(p->file, "DROP TABLE loss; CREATE VIEW loss AS WITH RECURSIVE r(process, reason, count) AS"
			 " (SELECT 0, '', 0 UNION ALL SELECT process + 1, '', 0 FROM r) SELECT * FROM r");
	assert_refused(p, -EBADMSG, "damaged");
}

static void every_truncation_is_noticed(void **state)
{
	struct place *p = *state;
	struct stat st;
	off_t step;

	finished(p, 20000);
	assert_int_equal(stat(p->file, &st), 0);
	step = st.st_size / 37;
	for (off_t size = st.st_size - 1; size >= 100; size -= step) {
		assert_int_equal(truncate(p->file, size), 0);
		assert_refused(p, -EBADMSG, "truncated");
	}
}

/* Whatever one bit of the file says: no crash, no endless loop, and errors are errors. */
static void flipped_bits_do_no_harm(void **state)
{
	struct place *p = *state;
	struct stat st;
	uint8_t byte;
	int fd;

	finished(p, 500);
	assert_int_equal(stat(p->file, &st), 0);
	fd = open(p->file, O_RDWR);
	for (off_t at = 0; at < st.st_size; at += 97) {
		int64_t nr;

		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 0x40;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		nr = samples_in(p->file);
		assert_true(nr <= 500);
		byte ^= 0x40;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	close(fd);
	assert_int_equal(samples_in(p->file), 500);
}

static void bad_chunk_gives_the_rest_and_its_offset(void **state)
{
	struct place *p = *state;
	struct pa_recording *r;
	uint64_t nr = 0;

	finished(p, 10000); /* chunks of 4096, 4096 and 1808 samples, the second is cut */
	run_sql(p->file, "UPDATE sample_chunk SET data = substr(data, 1, length(data) - 1) WHERE id = 2");
	r = recording_begin(p);
	assert_int_equal(pa_recording_samples(r, count_sample, &nr), -EBADMSG);
	assert_int_equal(nr, 9999);
	assert_non_null(strstr(pa_recording_error(r), "chunk 2"));
	assert_non_null(strstr(pa_recording_error(r), "4095 of 4096 samples"));
	pa_recording_close(r);
}

/* ---- -o ---------------------------------------------------------------------------------------------------------- */

static void assert_create_refused(struct place *p, const char *path, int code, const char *words)
{
	struct pa_store *s = (struct pa_store *)p;
	size_t before = files_in(p->dir);

	assert_int_equal(pa_store_create(path, &s, p->err, sizeof(p->err)), code);
	assert_null(s);
	if (!strstr(p->err, words))
		print_error("'%s' lacks '%s'\n", p->err, words);
	assert_non_null(strstr(p->err, words));
	assert_int_equal(files_in(p->dir), before);
}

static void somebodys_file_is_not_overwritten(void **state)
{
	struct place *p = *state;
	char text[16] = "";
	int fd;

	put_file(p->file, "my thesis", 9);
	assert_create_refused(p, p->file, -EEXIST, "not a perfagent recording: it is not overwritten");
	fd = open(p->file, O_RDONLY);
	assert_int_equal(read(fd, text, sizeof(text)), 9);
	assert_string_equal(text, "my thesis");
	close(fd);
	assert_create_refused(p, p->dir, -EISDIR, "directory");
	assert_create_refused(p, "/nonexistent/x.pfa", -ENOENT, "No such file");
}

static void old_recordings_and_empty_files_are_overwritten(void **state)
{
	struct place *p = *state;

	finished(p, 10);
	finished(p, 20);
	assert_int_equal(samples_in(p->file), 20);
	put_file(p->file, "", 0);
	finished(p, 30);
	assert_int_equal(samples_in(p->file), 30);
	assert_int_equal(files_in(p->dir), 1);
}

static void recording_in_progress_is_not_overwritten(void **state)
{
	struct place *p = *state;
	struct pa_store *s = store_begin(p);

	assert_create_refused(p, p->file, -EBUSY, "being recorded");
	store_fill(s, 10);
	assert_int_equal(pa_store_close(s, true), 0);
	assert_int_equal(samples_in(p->file), 10);
}

static void symbolic_link_is_followed(void **state)
{
	struct place *p = *state;
	char target[200];
	struct stat st;

	snprintf(target, sizeof(target), "%s/real.pfa", p->dir);
	assert_int_equal(symlink("real.pfa", p->file), 0);
	finished(p, 10); /* the link dangles */
	assert_int_equal(samples_in(target), 10);
	finished(p, 20);
	assert_int_equal(samples_in(target), 20);
	assert_int_equal(lstat(p->file, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(files_in(p->dir), 2);
}

/* ---- schema ------------------------------------------------------------------------------------------------------ */

static void golden_recording_of_schema_1_opens(void **state)
{
	struct pa_recording *r;
	char err[300] = "";
	int ret = pa_recording_open("tests/golden/schema-1.pfa", &r, err, sizeof(err));

	if (ret)
		print_error("%s\n", err);
	assert_int_equal(ret, 0);
	check_all(r, 300);
	assert_string_equal(pa_recording_meta(r, "ended"), "2026-01-01T00:00:01Z");
	pa_recording_close(r);
}

static int user_version(sqlite3 *db)
{
	sqlite3_stmt *stmt;
	int version;

	assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	version = sqlite3_column_int(stmt, 0);
	sqlite3_finalize(stmt);
	return version;
}

static void migrations_run_in_order_and_stop_at_an_error(void **state)
{
	static const struct pa_migration steps[] = {
	    {1, "ALTER TABLE note ADD COLUMN severity INTEGER"},
	    {2, "UPDATE note SET severity = 3"},
	    {3, "INSERT INTO nowhere VALUES (1)"},
	};
	sqlite3 *db;

	assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
	assert_int_equal(pa_schema_create(db), SQLITE_OK);
	assert_int_equal(user_version(db), PA_STORE_SCHEMA);
	assert_int_equal(pa_schema_migrate(db, steps, 3, 1, 1), SQLITE_OK);
	assert_int_equal(user_version(db), PA_STORE_SCHEMA); /* nothing to do */
	assert_int_equal(pa_schema_migrate(db, steps, 3, 1, 3), SQLITE_OK);
	assert_int_equal(user_version(db), 3);
	assert_int_equal(pa_schema_migrate(db, steps, 3, 3, 4), SQLITE_ERROR);
	assert_int_equal(user_version(db), 3);
	assert_int_equal(pa_schema_migrate(db, steps, 2, 3, 4), SQLITE_MISMATCH);
	sqlite3_close(db);
}

static void migrations_reach_todays_schema(void **state)
{
	size_t nr;
	const struct pa_migration *steps = pa_schema_migrations(&nr);

	assert_int_equal(nr, PA_STORE_SCHEMA - 1);
	for (size_t i = 0; i < nr; i++)
		assert_int_equal(steps[i].from, i + 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(every_table_is_read_back),
	    CASE(unclean_end_lacks_ended),
	    CASE(callers_ended_is_kept),
	    CASE(readable_after_each_commit),
	    CASE(losses_add_up_and_rows_replace_each_other),
	    CASE(callback_ends_the_visit),
	    CASE(strings_of_the_target_are_data),
	    CASE(sample_takes_at_most_six_bytes_of_file),
	    CASE(what_is_no_recording_is_named),
	    CASE(newer_schema_names_both_versions),
	    CASE(missing_tables_are_damage),
	    CASE(every_truncation_is_noticed),
	    CASE(flipped_bits_do_no_harm),
	    CASE(bad_chunk_gives_the_rest_and_its_offset),
	    CASE(somebodys_file_is_not_overwritten),
	    CASE(old_recordings_and_empty_files_are_overwritten),
	    CASE(recording_in_progress_is_not_overwritten),
	    CASE(symbolic_link_is_followed),
	    CASE(golden_recording_of_schema_1_opens),
	    CASE(migrations_run_in_order_and_stop_at_an_error),
	    CASE(migrations_reach_todays_schema),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
