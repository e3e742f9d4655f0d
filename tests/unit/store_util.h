/* What the tests of the store share: a private directory per case, a small recording, and looking at files. */
#ifndef PA_TESTS_STORE_UTIL_H
#define PA_TESTS_STORE_UTIL_H

#include <dirent.h>
#include <ftw.h>
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

#include "collector/store.h"
#include "collector/symbolize.h"

struct place {
	char dir[128];
	char file[160]; /* DIR/r.pfa */
	char err[300];
};

static inline int place_setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	const char *tmp = getenv("TMPDIR");

	if (!p)
		return -1;
	snprintf(p->dir, sizeof(p->dir), "%s/pa-test-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(p->dir))
		return -1;
	snprintf(p->file, sizeof(p->file), "%s/r.pfa", p->dir);
	*state = p;
	return 0;
}

static inline int place_remove(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(path);
}

static inline int place_teardown(void **state)
{
	struct place *p = *state;

	nftw(p->dir, place_remove, 8, FTW_DEPTH | FTW_PHYS);
	free(p);
	return 0;
}

static inline struct pa_store *store_begin(struct place *p)
{
	struct pa_store *s = NULL;
	int ret = pa_store_create(p->file, &s, p->err, sizeof(p->err));

	if (ret)
		print_error("%d: %s\n", ret, p->err);
	assert_int_equal(ret, 0);
	return s;
}

/* One row or more in each table; nr samples with stacks 1..100 and a weight of 1. */
static inline void store_fill(struct pa_store *s, uint32_t nr)
{
	const struct pa_symbol levels[] = {{"inner", "a.c", 12}, {"outer", NULL, 0}};
	const uint8_t id[] = {0xde, 0xad, 0, 0xbe, 0xef};

	assert_int_equal(pa_store_put_meta(s, "command", "make -j2"), 0);
	assert_int_equal(pa_store_put_meta_u64(s, "period_ns", UINT64_MAX), 0);
	assert_int_equal(pa_store_put_process(s, &(struct pa_store_process){1, 100, 7, 0, 5, 6, UINT64_MAX, 8,
									    "make -j2", "/usr/bin/make", "exit 0"}),
			 0);
	assert_int_equal(pa_store_put_thread(s, &(struct pa_store_thread){1, 1, 100, 5, 6, 7, 10101010, 2, "make"}), 0);
	assert_int_equal(pa_store_put_module(s, &(struct pa_store_module){1, "/usr/bin/make", id, sizeof(id), 3}), 0);
	assert_int_equal(pa_store_put_frame(s, 1, 0, 7, NULL), 0);
	assert_int_equal(pa_store_put_frame(s, 2, 1, UINT64_C(0xffffffffff600000), "name"), 0);
	assert_int_equal(pa_store_put_stack(s, 1, 0, 1), 0);
	assert_int_equal(pa_store_put_stack(s, 2, 1, 2), 0);
	assert_int_equal(pa_store_put_symbols(s, 2, levels, 2), 0);
	assert_int_equal(pa_store_add_loss(s, 1, "ring full", 3), 0);
	assert_int_equal(pa_store_add_note(s, 1, 9, "a sentence"), 0);
	for (uint32_t i = 0; i < nr; i++)
		assert_int_equal(pa_store_add_sample(s, 1, i * UINT64_C(1000000), 1 + i % 100, 1), 0);
}

static inline struct pa_recording *recording_begin(struct place *p)
{
	struct pa_recording *r = NULL;
	int ret = pa_recording_open(p->file, &r, p->err, sizeof(p->err));

	if (ret)
		print_error("%d: %s\n", ret, p->err);
	assert_int_equal(ret, 0);
	return r;
}

static inline int count_sample(void *arg, const struct pa_store_sample *s)
{
	(*(uint64_t *)arg)++;
	return 0;
}

/* How many samples the recording has; -errno if it does not open or is damaged. */
static inline int64_t samples_in(const char *path)
{
	struct pa_recording *r;
	char err[300];
	uint64_t nr = 0;
	int ret = pa_recording_open(path, &r, err, sizeof(err));

	if (!ret) {
		ret = pa_recording_samples(r, count_sample, &nr);
		pa_recording_close(r);
	}
	return ret ? ret : (int64_t)nr;
}

static inline size_t files_in(const char *dir)
{
	DIR *d = opendir(dir);
	size_t nr = 0;

	assert_non_null(d);
	while (readdir(d))
		nr++;
	closedir(d);
	return nr - 2;
}

#endif
