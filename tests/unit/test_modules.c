/* Which file was mapped where, and when: versions over time, and what /proc and a MODULE record teach. */
#include <dlfcn.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "collector/modules.h"

static struct pa_map_version version(uint64_t start, uint64_t end, uint32_t module, uint64_t from_ns)
{
	return (struct pa_map_version){.start = start, .end = end, .bias = start, .module = module, .from_ns = from_ns};
}

static uint32_t at(const struct pa_maps *maps, uint64_t address, uint64_t time_ns)
{
	const struct pa_map_version *v = pa_maps_find(maps, address, time_ns);

	return v ? v->module : 0;
}

static void add(struct pa_maps *maps, struct pa_map_version v)
{
	assert_int_equal(pa_maps_add(maps, &v), 0);
}

#define S UINT64_C(1000000000)

static void test_old_samples_keep_the_old_name(void **state)
{
	struct pa_maps maps = {0};

	add(&maps, version(0x1000, 0x3000, 1, 10 * S));
	pa_maps_unmap(&maps, 0x1000, 0x3000, 20 * S);
	add(&maps, version(0x1000, 0x2000, 2, 30 * S));
	assert_int_equal(at(&maps, 0x1800, 15 * S), 1);
	assert_int_equal(at(&maps, 0x1800, 35 * S), 2);
	assert_int_equal(at(&maps, 0x2800, 35 * S), 0); /* gone, and nothing new there */
	assert_int_equal(at(&maps, 0x1800, 5 * S), 1);  /* before anybody told: the earliest after */
	assert_int_equal(at(&maps, 0x2800, 20 * S + PA_MAPS_GRACE_NS / 2), 1); /* its destructors */
	assert_int_equal(at(&maps, 0x0fff, 15 * S), 0);
	assert_int_equal(at(&maps, 0x3000, 15 * S), 0);
	pa_maps_fini(&maps);
}

static void test_a_new_range_ends_what_it_covers(void **state)
{
	struct pa_maps maps = {0};
	uint32_t generation;

	add(&maps, version(0x1000, 0x3000, 1, 10 * S));
	add(&maps, version(0x2000, 0x5000, 2, 30 * S)); /* no UNMAP came */
	assert_int_equal(at(&maps, 0x2800, 20 * S), 1);
	assert_int_equal(at(&maps, 0x2800, 30 * S), 2);
	assert_true(maps.changed_ns == 30 * S);
	generation = maps.generation;
	add(&maps, version(0x2000, 0x5000, 2, 40 * S)); /* says nothing new */
	assert_int_equal(maps.nr, 2);
	assert_int_equal(maps.generation, generation);
	pa_maps_fini(&maps);
}

static void test_a_child_inherits_and_goes_its_own_way(void **state)
{
	struct pa_maps parent = {0}, child = {0};

	add(&parent, version(0x1000, 0x3000, 1, 10 * S));
	assert_int_equal(pa_maps_copy(&child, &parent), 0);
	pa_maps_unmap(&child, 0x1000, 0x3000, 20 * S);
	add(&child, version(0x1000, 0x3000, 3, 21 * S));
	assert_int_equal(at(&parent, 0x1000, 30 * S), 1);
	assert_int_equal(at(&child, 0x1000, 30 * S), 3);
	pa_maps_fini(&parent);
	pa_maps_fini(&child);
}

static void test_versions_are_bounded(void **state)
{
	struct pa_maps maps = {0};
	struct pa_map_version v;

	maps.nr = PA_MAPS_MAX; /* the first PA_MAPS_MAX are of no interest */
	maps.room = PA_MAPS_MAX;
	maps.v = calloc(PA_MAPS_MAX, sizeof(*maps.v));
	v = version(0x1000, 0x2000, 1, 1);
	assert_int_equal(pa_maps_add(&maps, &v), -E2BIG);
	assert_int_equal(maps.dropped, 1);
	pa_maps_fini(&maps);
}

static const struct pa_modfile *file_at(struct pa_modules *m, struct pa_maps *maps, const void *address,
					uint64_t *elf_address)
{
	const struct pa_map_version *v = pa_maps_find(maps, (uint64_t)address, S);

	if (!v)
		return NULL;
	*elf_address = (uint64_t)address - v->bias;
	return pa_modules_get(m, v->module);
}

static void test_scan_finds_program_library_and_vdso_with_their_bias(void **state)
{
	struct pa_modules *m = pa_modules_new();
	struct pa_maps maps = {0};
	const struct pa_modfile *f;
	struct link_map *map;
	uint64_t elf;
	Dl_info info;

	assert_int_equal(pa_modules_scan(m, &maps, (uint32_t)getpid(), S), 0);
	f = file_at(m, &maps, (void *)gnu_get_libc_version, &elf);
	assert_non_null(f);
	assert_non_null(strstr(f->path, "libc"));
	assert_true(f->fd >= 0);
	assert_true(f->build_id_len > 0);
	assert_int_not_equal(dladdr1((void *)gnu_get_libc_version, &info, (void **)&map, RTLD_DL_LINKMAP), 0);
	assert_int_equal(elf, (uint64_t)gnu_get_libc_version - map->l_addr);
	f = file_at(m, &maps, (void *)test_scan_finds_program_library_and_vdso_with_their_bias, &elf);
	assert_non_null(f);
	assert_non_null(strstr(f->path, "test_modules"));
	assert_true(elf < (1u << 30));
	/* the same files again: nothing new */
	elf = pa_modules_nr(m);
	assert_int_equal(pa_modules_scan(m, &maps, (uint32_t)getpid(), 2 * S), 0);
	assert_int_equal(pa_modules_nr(m), elf);
	pa_maps_fini(&maps);
	pa_modules_free(m);
}

static struct pa_module *module_record(const char *path, const char *build_id, uint64_t start, uint64_t end)
{
	struct pa_module *r = calloc(1, sizeof(*r) + PA_PATH_MAX);

	r->head.type = PA_REC_MODULE;
	r->head.time_ns = S;
	r->start = r->bias = start;
	r->end = end;
	r->path_len = (uint32_t)strlen(path);
	memcpy(r->path, path, r->path_len);
	r->build_id_len = (uint32_t)strlen(build_id);
	memcpy(r->build_id, build_id, r->build_id_len);
	return r;
}

static void test_a_file_replaced_under_its_path_is_never_opened(void **state)
{
	struct pa_modules *m = pa_modules_new();
	struct pa_maps maps = {0};
	struct pa_module *r = module_record("/proc/self/exe", "another build", 0x10000, 0x20000);
	struct pa_modfile *f;

	assert_int_equal(pa_modules_learn(m, &maps, 0, r), 0);
	f = pa_modules_get(m, at(&maps, 0x10000, S));
	assert_non_null(f);
	assert_int_equal(f->fd, -1);
	assert_int_equal(f->build_id_len, strlen("another build"));
	free(r);
	pa_maps_fini(&maps);
	pa_modules_free(m);
}

static void test_only_regular_files_are_opened(void **state)
{
	struct pa_modules *m = pa_modules_new();
	struct pa_maps maps = {0};
	struct pa_module *r = module_record("/dev/zero", "", 0x10000, 0x20000);

	assert_int_equal(pa_modules_learn(m, &maps, 0, r), 0);
	assert_int_equal(pa_modules_get(m, 1)->fd, -1);
	free(r);
	pa_maps_fini(&maps);
	pa_modules_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_old_samples_keep_the_old_name),
	    cmocka_unit_test(test_a_new_range_ends_what_it_covers),
	    cmocka_unit_test(test_a_child_inherits_and_goes_its_own_way),
	    cmocka_unit_test(test_versions_are_bounded),
	    cmocka_unit_test(test_scan_finds_program_library_and_vdso_with_their_bias),
	    cmocka_unit_test(test_a_file_replaced_under_its_path_is_never_opened),
	    cmocka_unit_test(test_only_regular_files_are_opened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
