/* What is kept of a directory of recordings, and the words that say so. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/retention.h"

#define KIB 1024

struct place {
	char path[64];
	int fd;
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	snprintf(p->path, sizeof(p->path), "/tmp/pa-retention.XXXXXX");
	assert_non_null(mkdtemp(p->path));
	p->fd = open(p->path, O_RDONLY | O_DIRECTORY);
	assert_true(p->fd >= 0);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	char command[128];

	close(p->fd);
	snprintf(command, sizeof(command), "rm -rf '%s'", p->path);
	assert_int_equal(system(command), 0);
	free(p);
	return 0;
}

static void put(const struct place *p, const char *name, size_t bytes, long time_s)
{
	int fd = openat(p->fd, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
	struct timespec times[2] = {{time_s, 0}, {time_s, 0}};

	assert_true(fd >= 0);
	assert_int_equal(posix_fallocate(fd, 0, (off_t)bytes), 0);
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
}

static bool there(const struct place *p, const char *name)
{
	struct stat st;

	return fstatat(p->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void test_words(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes, seconds;
	} good[] = {
	    {"1GiB,7d", UINT64_C(1) << 30, 7 * 86400},
	    {"7d", 0, 7 * 86400},
	    {"512k", 512 << 10, 0},
	    {"2h,10MB", 10 << 20, 7200},
	    {"10m", 10 << 20, 0},
	    {"1g,10m", 1 << 30, 600},
	    {"1T", UINT64_C(1) << 40, 0},
	    {"90s,3kib", 3 << 10, 90},
	    {"5min", 0, 300},
	    {"1w", 0, 604800},
	};
	static const char *const bad[] = {"",   "7",   "d",   "1GiB,", ",1d",          "1GiB,2GiB",  "1d,2h",
					  "0k", "-1k", "1kk", "1 d",   "99999999999g", "1GiB,7d,1h", "k1"};
	struct pa_keep keep;
	char err[128];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(pa_keep_parse(&keep, good[i].text, err, sizeof(err)), 0);
		assert_int_equal(keep.bytes, good[i].bytes);
		assert_int_equal(keep.seconds, good[i].seconds);
	}
	keep = (struct pa_keep){1, 2};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_true(pa_keep_parse(&keep, bad[i], err, sizeof(err)) < 0);
	assert_int_equal(keep.bytes, 1);
	assert_int_equal(keep.seconds, 2);
}

static void test_the_oldest_go_until_the_rest_fits(void **state)
{
	const struct place *p = *state;
	struct pa_retention r = {.keep = {.bytes = 250 * KIB}, .now_s = 1000};
	struct pa_retention_result result;

	put(p, "c.pfa", 100 * KIB, 30);
	put(p, "a.pfa", 100 * KIB, 10);
	put(p, "b.pfa", 100 * KIB, 20);
	put(p, "a.pfa-wal", 60 * KIB, 11);
	put(p, "notes.txt", 900 * KIB, 1);
	assert_int_equal(pa_retention_apply(p->fd, &r, &result), 0);
	assert_int_equal(result.dropped, 1);
	assert_int_equal(result.dropped_bytes, 160 * KIB);
	assert_int_equal(result.nr, 2);
	assert_int_equal(result.bytes, 200 * KIB);
	assert_false(there(p, "a.pfa"));
	assert_false(there(p, "a.pfa-wal"));
	assert_true(there(p, "b.pfa"));
	assert_true(there(p, "c.pfa"));
	assert_true(there(p, "notes.txt"));
	/* and then there is nothing to do */
	assert_int_equal(pa_retention_apply(p->fd, &r, &result), 0);
	assert_int_equal(result.dropped, 0);
}

static void test_age(void **state)
{
	const struct place *p = *state;
	struct pa_retention r = {.keep = {.seconds = 100}, .now_s = 1000};
	struct pa_retention_result result;

	put(p, "old.pfa", 4 * KIB, 899);
	put(p, "edge.pfa", 4 * KIB, 900);
	put(p, "alive.pfa", 4 * KIB, 10);
	put(p, "alive.pfa-wal", 4 * KIB, 990); /* written to a moment ago */
	assert_int_equal(pa_retention_apply(p->fd, &r, &result), 0);
	assert_int_equal(result.dropped, 1);
	assert_false(there(p, "old.pfa"));
	assert_true(there(p, "edge.pfa"));
	assert_true(there(p, "alive.pfa"));
}

static bool is_written(void *arg, dev_t dev, ino_t ino)
{
	const struct stat *st = arg;

	return st->st_ino == ino && st->st_dev == dev;
}

static void test_what_is_written_stays(void **state)
{
	const struct place *p = *state;
	struct stat st;
	struct pa_retention r = {.keep = {.bytes = 1, .seconds = 1},
				 .free_bytes = UINT64_MAX,
				 .now_s = 1000,
				 .writing = is_written,
				 .arg = &st};
	struct pa_retention_result result;

	put(p, "now.pfa", 100 * KIB, 10);
	put(p, "then.pfa", 100 * KIB, 999);
	assert_int_equal(fstatat(p->fd, "now.pfa", &st, 0), 0);
	assert_int_equal(pa_retention_apply(p->fd, &r, &result), 0);
	assert_true(there(p, "now.pfa"));
	assert_false(there(p, "then.pfa"));
	assert_int_equal(result.nr, 1);
	assert_int_equal(result.bytes, 100 * KIB);
}

static void test_a_full_disk_costs_the_oldest(void **state)
{
	const struct place *p = *state;
	struct pa_retention r = {.free_bytes = UINT64_MAX, .now_s = 1000};
	struct pa_retention_result result;

	put(p, "x.pfa", 100 * KIB, 10);
	assert_int_equal(pa_retention_apply(p->fd, &r, &result), 0);
	assert_int_equal(result.dropped, 1);
	r.free_bytes = 1;
	put(p, "y.pfa", 100 * KIB, 10);
	assert_int_equal(pa_retention_apply(p->fd, &r, &result), 0);
	assert_int_equal(result.dropped, 0);
}

static void test_users_directories_and_links(void **state)
{
	const struct place *p = *state;
	struct pa_retention r = {.keep = {.bytes = 1}, .now_s = 1000};
	struct pa_retention_result result;
	char own[16], name[64];

	snprintf(own, sizeof(own), "%u", geteuid());
	assert_int_equal(mkdirat(p->fd, own, 0700), 0);
	assert_int_equal(mkdirat(p->fd, "elsewhere", 0700), 0);
	put(p, "elsewhere/kept.pfa", 100 * KIB, 10);
	snprintf(name, sizeof(name), "%s/gone.pfa", own);
	put(p, name, 100 * KIB, 10);
	/* names that are links, and a directory of digits that is one: neither they nor what they lead to is touched */
	assert_int_equal(symlinkat("elsewhere/kept.pfa", p->fd, "link.pfa"), 0);
	assert_int_equal(symlinkat("elsewhere", p->fd, "4000000001"), 0);
	assert_int_equal(mkdirat(p->fd, "directory.pfa", 0700), 0);
	assert_int_equal(pa_retention_apply(p->fd, &r, &result), 0);
	assert_int_equal(result.dropped, 1);
	assert_int_equal(result.failed, 0);
	assert_false(there(p, name));
	assert_true(there(p, "elsewhere/kept.pfa"));
	assert_true(there(p, "link.pfa"));
	assert_true(there(p, "directory.pfa"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_words),
	    cmocka_unit_test_setup_teardown(test_the_oldest_go_until_the_rest_fits, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_age, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_what_is_written_stays, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_full_disk_costs_the_oldest, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_users_directories_and_links, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
