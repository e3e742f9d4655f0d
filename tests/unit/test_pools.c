/* How much of a pool is taken, who waits for a connection, and what a report calls wrong. */
#include "tests/unit/store_util.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "collector/pools.h"
#include "collector/store_loop.h"
#include "common/frame.h"
#include "report/findings.h"

#define MS UINT64_C(1000000)

/* ---- use --------------------------------------------------------------------------------------------------------- */

struct scene {
	struct pa_pools pools;
	struct pa_pool *pool;
	struct pa_pooled c[3];
	uint32_t id;
};

static int begin(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));

	if (!s)
		return -1;
	s->pool = pa_pools_of(&s->pools, 1, PA_PROTO_POSTGRES, "peer", &s->id);
	*state = s;
	return s->pool ? 0 : -1;
}

static int end(void **state)
{
	struct scene *s = *state;

	pa_pools_free(&s->pools);
	free(s);
	return 0;
}

static void join(struct scene *s, size_t nr, uint64_t at)
{
	for (size_t i = 0; i < nr; i++)
		pa_pooled_join(&s->c[i], s->pool, at);
}

static struct pa_store_pool_chunk sums(struct scene *s, uint64_t until_ns)
{
	struct pa_store_pool_chunk c = {0};

	pa_pool_use_until(&s->pool->use, until_ns);
	assert_true(pa_pool_use_take(&s->pool->use, &c));
	assert_int_equal(c.last_ns, until_ns);
	return c;
}

static void a_pool_is_full_while_all_are_taken(void **state)
{
	struct scene *s = *state;
	struct pa_store_pool_chunk c;

	join(s, 2, 1000 * MS);
	pa_pooled_turn(&s->c[0], PA_POOLED_ACTIVE, 1100 * MS);
	pa_pooled_turn(&s->c[1], PA_POOLED_ACTIVE, 1150 * MS);
	pa_pooled_turn(&s->c[0], PA_POOLED_IN_TX, 1160 * MS);
	pa_pooled_turn(&s->c[0], PA_POOLED_IDLE, 1200 * MS);
	pa_pooled_turn(&s->c[1], PA_POOLED_IDLE, 1250 * MS);
	c = sums(s, 1500 * MS);
	assert_int_equal(c.first_ns, 1000 * MS);
	assert_int_equal(c.open_ns, 1000 * MS);
	assert_int_equal(c.used_ns, 150 * MS);
	assert_int_equal(c.taken_ns, 200 * MS);
	assert_int_equal(c.full_ns, 50 * MS);
	assert_int_equal(c.short_ns + c.waiting_ns + c.answered, 0);
	assert_false(pa_pool_use_take(&s->pool->use, &c));
}

/* A pause that is shorter than the work before it is the holder's; a longer one is nobody's. */
static void short_pauses_are_taken_long_ones_are_not(void **state)
{
	struct scene *s = *state;
	struct pa_store_pool_chunk c;
	uint64_t at = 1000 * MS;

	join(s, 1, at);
	for (int i = 0; i < 10; i++, at += 5 * MS) {
		pa_pooled_turn(&s->c[0], PA_POOLED_ACTIVE, at);
		pa_pooled_turn(&s->c[0], PA_POOLED_IDLE, at + 3 * MS);
	}
	for (int i = 0; i < 10; i++, at += 10 * MS) {
		pa_pooled_turn(&s->c[0], PA_POOLED_ACTIVE, at);
		pa_pooled_turn(&s->c[0], PA_POOLED_IDLE, at + 3 * MS);
	}
	c = sums(s, at);
	/* the ten that follow closely and the first of the others, without the pause after it; nine of 3 ms */
	assert_int_equal(c.full_ns, 53 * MS + 9 * 3 * MS);
	assert_int_equal(c.full_ns, c.used_ns);
}

static void requests_beyond_the_connections_wait(void **state)
{
	struct scene *s = *state;
	struct pa_store_pool_chunk c;

	join(s, 2, 1000 * MS);
	for (int i = 0; i < 5; i++)
		pa_pool_request(s->pool, 1010 * MS, 1, false);
	pa_pooled_turn(&s->c[0], PA_POOLED_ACTIVE, 1010 * MS);
	pa_pooled_turn(&s->c[1], PA_POOLED_ACTIVE, 1010 * MS);
	/* given back and handed on, twice */
	for (int i = 1; i <= 2; i++) {
		pa_pooled_turn(&s->c[0], PA_POOLED_IDLE, 1010 * MS + 20 * i * MS);
		pa_pool_request(s->pool, 1010 * MS + 20 * i * MS, -1, true);
		pa_pooled_turn(&s->c[0], PA_POOLED_ACTIVE, 1011 * MS + 20 * i * MS);
	}
	pa_pooled_turn(&s->c[0], PA_POOLED_IDLE, 1110 * MS);
	c = sums(s, 2000 * MS);
	assert_int_equal(c.full_ns, 100 * MS);
	assert_int_equal(c.short_ns, 100 * MS);
	assert_int_equal(c.waiting_ns, (3 * 20 + 2 * 20 + 60) * MS);
	assert_int_equal(c.short_times, 1);
	assert_int_equal(c.answered, 2);
}

static void more_changes_than_wait_count_as_they_are(void **state)
{
	struct scene *s = *state;
	struct pa_store_pool_chunk c;
	uint64_t at = 1000 * MS;

	join(s, 1, at);
	for (int i = 0; i < 3 * PA_POOL_STEPS; i++, at += 100) {
		pa_pooled_turn(&s->c[0], PA_POOLED_ACTIVE, at);
		pa_pooled_turn(&s->c[0], PA_POOLED_IDLE, at + 50);
		assert_true(s->pool->use.next - s->pool->use.first <= PA_POOL_STEPS);
	}
	c = sums(s, 2000 * MS);
	assert_true(c.full_ns >= 3 * PA_POOL_STEPS * 50 && c.full_ns <= 3 * PA_POOL_STEPS * 100);
}

static void connections_that_are_not_given_back_are_suspected(void **state)
{
	struct scene *s = *state;

	join(s, 3, 1000 * MS);
	pa_pooled_turn(&s->c[0], PA_POOLED_ACTIVE, 1000 * MS);
	pa_pooled_turn(&s->c[1], PA_POOLED_ACTIVE, 1000 * MS);
	pa_pooled_turn(&s->c[1], PA_POOLED_IN_TX, 1500 * MS);
	assert_int_equal(pa_pooled_held(&s->c[0], 1999 * MS), PA_POOL_HELD_NOT);
	assert_int_equal(pa_pooled_held(&s->c[0], 2000 * MS), PA_POOL_HELD_BUSY);
	assert_int_equal(pa_pooled_held(&s->c[1], 2000 * MS), PA_POOL_HELD_NOT);
	assert_int_equal(pa_pooled_held(&s->c[1], 2500 * MS), PA_POOL_HELD_IN_TX);
	pa_pooled_turn(&s->c[0], PA_POOLED_IDLE, 3000 * MS);
	assert_int_equal(pa_pooled_held(&s->c[0], 9000 * MS), PA_POOL_HELD_NOT);
	s->pool->row.opened += PA_POOL_HELD_OPENED;
	assert_int_equal(pa_pooled_held(&s->c[0], 9000 * MS), PA_POOL_HELD_UNUSED);
	/* never used: it waits to be */
	assert_int_equal(pa_pooled_held(&s->c[2], 9000 * MS), PA_POOL_HELD_NOT);
}

static void lifetimes_and_connects_are_counted(void **state)
{
	struct scene *s = *state;

	pa_pool_connected(s->pool, 3 * MS);
	pa_pool_connected(s->pool, 1 * MS);
	join(s, 2, 1000 * MS);
	pa_pooled_leave(&s->c[0], 1700 * MS);
	pa_pool_broke(s->pool, ETIMEDOUT, false);
	pa_pool_broke(s->pool, ECONNRESET, true);
	pa_pool_broke(s->pool, 0, true);
	pa_pool_broke(s->pool, 0, false);
	assert_int_equal(s->pool->life.connects, 2);
	assert_int_equal(s->pool->life.connect_ns, 4 * MS);
	assert_int_equal(s->pool->life.connect_max_ns, 3 * MS);
	assert_int_equal(s->pool->life.lives, 1);
	assert_int_equal(s->pool->life.life_max_ns, 700 * MS);
	assert_int_equal(s->pool->lives[pa_latency_bucket(700 * MS)], 1);
	assert_int_equal(s->pool->life.timeouts, 1);
	assert_int_equal(s->pool->life.resets, 1);
	assert_int_equal(s->pool->life.abandoned, 1);
}

/* ---- findings ---------------------------------------------------------------------------------------------------- */

/* What a recording is made of: everything at its bound. */
struct figures {
	uint64_t median_ns, answered, repeated, blocked, short_ns, span_ns, short_answered, short_times;
	uint32_t known, shared;
};

static const struct figures at_bounds = {
    .median_ns = PA_FIND_SLOW_MEDIAN_NS + 4 * MS,
    .answered = PA_FIND_SLOW_COUNT,
    .repeated = PA_FIND_REPEATED,
    .blocked = PA_FIND_BLOCKED_COUNT,
    .short_ns = PA_FIND_SHORT_NS,
    .span_ns = PA_FIND_SHORT_NS * 100 / PA_FIND_SHORT_PCT,
    .short_answered = PA_FIND_SHORT_ANSWERED,
    .short_times = PA_FIND_SHORT_ANSWERED / PA_FIND_SHORT_EACH,
    .known = 1,
};

static void put_talks(struct pa_store *s, const struct figures *f)
{
	static uint64_t counts[PA_LAG_BUCKETS];
	const struct pa_store_exchange endpoint = {
	    .id = 1, .process = 1, .role = PA_ROLE_SERVER, .proto = PA_PROTO_HTTP, .method = "GET", .text = "/slow"};
	const struct pa_store_exchange query = {.id = 2,
						.process = 1,
						.role = PA_ROLE_CLIENT,
						.proto = PA_PROTO_POSTGRES,
						.repeats = 30,
						.repeated = (uint32_t)f->repeated,
						.text = "select ?"};
	struct pa_store_exchange_chunk chunk = {.exchange = 1,
						.first_ns = MS,
						.last_ns = 1000 * MS,
						.count = f->answered,
						.total_ns = f->answered * f->median_ns,
						.min_ns = f->median_ns,
						.max_ns = f->median_ns,
						.counts = counts};

	memset(counts, 0, sizeof(counts));
	counts[pa_latency_bucket(f->median_ns)] = f->answered;
	assert_int_equal(pa_store_put_exchange(s, &endpoint) | pa_store_put_exchange(s, &query), 0);
	assert_int_equal(pa_store_add_exchange_chunk(s, &chunk), 0);
	chunk.exchange = 2;
	assert_int_equal(pa_store_add_exchange_chunk(s, &chunk), 0);
}

static void put_pool(struct pa_store *s, const struct figures *f)
{
	static uint64_t counts[PA_LAG_BUCKETS];
	const struct pa_store_pool pool = {
	    .id = 1, .process = 1, .proto = PA_PROTO_POSTGRES, .peer = "peer", .opened = 2, .open_max = 2};
	const struct pa_store_pool_chunk chunk = {.pool = 1,
						  .first_ns = MS,
						  .last_ns = MS + f->span_ns,
						  .used_ns = f->short_ns,
						  .full_ns = f->short_ns,
						  .short_ns = f->short_ns,
						  .waiting_ns = 3 * f->short_ns,
						  .short_times = f->short_times,
						  .answered = f->short_answered};
	const struct pa_store_pool_life life = {
	    .pool = 1, .known = f->known, .shared = f->shared, .connect = counts, .life = counts};

	assert_int_equal(pa_store_put_pool(s, &pool) | pa_store_add_pool_chunk(s, &chunk), 0);
	assert_int_equal(pa_store_put_pool_life(s, &life), 0);
}

static void put_loop(struct pa_store *s, const struct figures *f)
{
	static uint64_t counts[PA_LAG_BUCKETS];
	const struct pa_store_loop loop = {.id = 1, .thread = 1, .kind = 1, .key = 3};
	const struct pa_store_loop_chunk chunk = {.loop = 1,
						  .first_ns = MS,
						  .last_ns = 1000 * MS,
						  .iterations = 100,
						  .busy_ns = 900 * MS,
						  .wait_ns = 100 * MS,
						  .max_ns = 60 * MS,
						  .counts = counts};

	assert_int_equal(pa_store_put_loop(s, &loop) | pa_store_add_loop_chunk(s, &chunk), 0);
	for (uint64_t i = 0; i < f->blocked; i++) {
		const struct pa_store_loop_blocked b = {
		    .loop = 1, .start_ns = 100 * i * MS + 1, .end_ns = 100 * i * MS + 60 * MS};

		assert_int_equal(pa_store_add_loop_blocked(s, &b), 0);
	}
}

/* A bit for each kind that is found. */
static unsigned found(void **state, const struct figures *f)
{
	char dir[] = "/tmp/pa-find.XXXXXX", file[64], err[300];
	struct pa_findings findings;
	struct pa_report *r;
	struct pa_store *s;
	unsigned kinds = 0;

	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/t.pfa", dir);
	assert_int_equal(pa_store_create(file, &s, err, sizeof(err)), 0);
	assert_int_equal(
	    pa_store_put_meta(s, "mode", "loop,db,http") | pa_store_put_meta_u64(s, "exchange_slow_ns", 100 * MS) |
		pa_store_put_meta_u64(s, "loop_blocked_ns", 50 * MS) | pa_store_put_meta_u64(s, "started_mono_ns", 1),
	    0);
	put_talks(s, f);
	put_pool(s, f);
	put_loop(s, f);
	assert_int_equal(pa_store_close(s, true), 0);
	assert_int_equal(pa_report_load(file, &r, err, sizeof(err)), 0);
	assert_int_equal(pa_findings_get(r, &findings), 0);
	for (size_t i = 0; i < findings.nr; i++) {
		assert_true(*findings.list[i].what && *findings.list[i].figure);
		kinds |= 1u << findings.list[i].kind;
	}
	pa_findings_fini(&findings);
	pa_report_free(r);
	unlink(file);
	rmdir(dir);
	return kinds;
}

#define ALL ((1u << PA_FIND_KINDS) - 1)

static void what_reaches_the_bounds_is_found(void **state)
{
	assert_int_equal(found(state, &at_bounds), ALL);
}

static void what_stays_below_is_not(void **state)
{
	static const struct {
		size_t field;
		enum pa_finding_kind kind;
		int64_t change;
	} cases[] = {
	    {offsetof(struct figures, median_ns), PA_FIND_SLOW_ENDPOINT, -10 * (int64_t)MS},
	    {offsetof(struct figures, answered), PA_FIND_SLOW_ENDPOINT, -1},
	    {offsetof(struct figures, repeated), PA_FIND_N_PLUS_ONE, -1},
	    {offsetof(struct figures, blocked), PA_FIND_BLOCKED_LOOP, -1},
	    {offsetof(struct figures, short_ns), PA_FIND_SMALL_POOL, -1},
	    {offsetof(struct figures, span_ns), PA_FIND_SMALL_POOL, 10 * (int64_t)MS},
	    {offsetof(struct figures, short_answered), PA_FIND_SMALL_POOL, -1},
	    {offsetof(struct figures, short_times), PA_FIND_SMALL_POOL, 1},
	};
	struct figures f;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		f = at_bounds;
		*(uint64_t *)((char *)&f + cases[i].field) += (uint64_t)cases[i].change;
		assert_int_equal(found(state, &f), ALL & ~(1u << cases[i].kind));
	}
	f = at_bounds;
	f.known = 0;
	assert_int_equal(found(state, &f), ALL & ~(1u << PA_FIND_SMALL_POOL));
	f = at_bounds;
	f.shared = 1;
	assert_int_equal(found(state, &f), ALL & ~(1u << PA_FIND_SMALL_POOL));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(a_pool_is_full_while_all_are_taken),
	    CASE(short_pauses_are_taken_long_ones_are_not),
	    CASE(requests_beyond_the_connections_wait),
	    CASE(more_changes_than_wait_count_as_they_are),
	    CASE(connections_that_are_not_given_back_are_suspected),
	    CASE(lifetimes_and_connects_are_counted),
	    CASE(what_reaches_the_bounds_is_found),
	    CASE(what_stays_below_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
