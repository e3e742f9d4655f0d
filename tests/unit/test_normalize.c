/* Forms of statements, paths and commands: what is one, what is not, and that no value is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "collector/normalize.h"

static char out[512];
static uint64_t print;

struct row {
	const char *in;
	const char *out;
};

#define ROWS(rows) (rows), sizeof(rows) / sizeof((rows)[0])

static void check_sql(enum pa_dialect dialect, const struct row *rows, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		size_t len = pa_normalize_sql(dialect, rows[i].in, strlen(rows[i].in), false, out, sizeof(out), &print);

		assert_string_equal(out, rows[i].out);
		assert_int_equal(len, strlen(out));
	}
}

static void test_literals_of_every_form_go(void **state)
{
	static const struct row rows[] = {
	    {"SELECT 'it''s', E'it\\'s', N'x', x'ff', b'01', U&'\\0041', $$a'b$$, $t$a$$b$t$",
	     "select ?, ?, ?, ?, ?, ?, ?, ?"},
	    {"select 1, -2, 3.5, .5, 1e10, 1E-5, 0xFF, 1_000, +7", "select ?, ?, ?, ?, ?, ?, ?, ?, ?"},
	    {"select a-1, a - 1, a*-1, (a)-1", "select a - ?, a - ?, a * ?, (a) - ?"},
	    {"where a = NULL and b is null and c IS NOT NULL and d = True",
	     "where a = ? and b is null and c is not null and d = ?"},
	    {"create table t1 (id int not null default null)", "create table t1(id int not null default null)"},
	    {"select 'never ends", "select ?"},
	    {"select \"never ends", "select ?"},
	    {"select $$never ends", "select ?"},
	    {"select 'a' 'b'", "select ?"},
	    {"select t1.c2, c_3, x1y from schema2.t4", "select t1.c2, c_3, x1y from schema2.t4"},
	    {"select interval '1 day', date '2020-01-01', '1'::int", "select interval ?, date ?, ?::int"},
	};

	check_sql(PA_SQL_POSTGRES, ROWS(rows));
}

static void test_placeholders_of_every_kind_are_one(void **state)
{
	static const struct row rows[] = {
	    {"select * from t where a = $1 and b = $22", "select * from t where a = ? and b = ?"},
	    {"select * from t where a=? and b=?", "select * from t where a = ? and b = ?"},
	    {"select * from t where a=%s and b = %(name)s", "select * from t where a = ? and b = ?"},
	    {"select * from t where a = :first and b = :second", "select * from t where a = ? and b = ?"},
	    {"select * from t where a = 5 and b = 'x'", "select * from t where a = ? and b = ?"},
	    {"select a ? 'key', a ?| b, a %s, x[1:n]", "select a ? ?, a ?| b, a % s, x[? : n]"},
	    {"limit $1 offset $2", "limit ? offset ?"},
	};

	check_sql(PA_SQL_POSTGRES, ROWS(rows));
}

static void test_case_space_and_comments_do_not_tell_statements_apart(void **state)
{
	static const struct row rows[] = {
	    {"SELECT  a ,b\n\tFROM T /* c /* nested */ still */ WHERE x>=1 -- end", "select a, b from t where x >= ?"},
	    {"select a,b from t where x >= 2;", "select a, b from t where x >= ?"},
	    {"select a, b from t where x>= 3 ; ; ", "select a, b from t where x >= ?"},
	    {"begin; select 1;", "begin; select ?"},
	    {"select count ( * ), \"Mixed Case\" from \"T\"", "select count(*), \"Mixed Case\" from \"T\""},
	    {"select f(a)::text from a.b", "select f(a)::text from a.b"},
	    {"select \"id\", \"order\" from \"item\"", "select id, order from item"},
	    {"-- nothing", ""},
	    {"", ""},
	};

	check_sql(PA_SQL_POSTGRES, ROWS(rows));
}

static void test_lists_and_rows_that_repeat_are_folded(void **state)
{
	static const struct row rows[] = {
	    {"select * from t where a in (1)", "select * from t where a in (?)"},
	    {"select * from t where a in (1, 2,3 , 'x')", "select * from t where a in (?)"},
	    {"select * from t where a not in ($1,$2) and b in (?)", "select * from t where a not in (?) and b in (?)"},
	    {"select * from t where (a, b) in ((1, 2), (3, 4))", "select * from t where (a, b) in ((?, ?))"},
	    {"where a in (1, b, 2, 3)", "where a in (?, b, ?)"},
	    {"where a in (1, 2 + 3, 4)", "where a in (?, ? + ?, ?)"},
	    {"where a in (select b from c where d in (1, 2))", "where a in (select b from c where d in (?))"},
	    {"where a = any(array[1,2,3]) and f(1, 2)", "where a = any (array[?]) and f(?, ?)"},
	    {"insert into t (a, b) values (1, 2)", "insert into t(a, b) values (?, ?)"},
	    {"insert into t (a, b) values (1, 2), (3, null),('x', -5) returning id",
	     "insert into t(a, b) values (?, ?) returning id"},
	    {"insert into t values (1, now()), (2, now()) on conflict do nothing",
	     "insert into t values (?, now()) on conflict do nothing"},
	    {"insert into t values (1, 2), (now(), 2), (3, 4)", "insert into t values (?, ?), (now(), ?), (?, ?)"},
	    {"select * from (values (1), (2), (3)) as v(n)", "select * from (values (?)) as v(n)"},
	    {"insert into t values (1, 2), (3, 4); select 1", "insert into t values (?, ?); select ?"},
	};

	check_sql(PA_SQL_POSTGRES, ROWS(rows));
}

static void test_dialects_differ_in_quotes_and_comments(void **state)
{
	static const struct row mysql[] = {
	    {"select \"it's\", 'it\\'s', `a b` from `t` # rest", "select ?, ?, `a b` from t"},
	    {"select 1--1, _utf8'x', @v, @@session.x -- rest", "select ? - ?, ?, @v, @@session.x"},
	    {"insert into t values (1) on duplicate key update a = values(a), b = values(b)",
	     "insert into t values (?) on duplicate key update a = values (a), b = values (b)"},
	};
	static const struct row sqlite[] = {
	    {"select [a b], c, d from t where x = @x and y = ?1 and z = :z",
	     "select [a b], c, d from t where x = ? and y = ? and z = ?"},
	};

	check_sql(PA_SQL_MYSQL, ROWS(mysql));
	check_sql(PA_SQL_SQLITE, ROWS(sqlite));
}

static void test_any_bytes_come_out_as_text(void **state)
{
	static const char bytes[] = "select a\x01\x02 b\xff\xc3 \"q\x07\xc2\x80\xe2\x82\" \x1b[31m\0x";
	size_t len = pa_normalize_sql(PA_SQL_POSTGRES, bytes, sizeof(bytes) - 1, false, out, sizeof(out), &print);

	assert_int_equal(len, strlen(out));
	for (size_t i = 0; i < len; i++)
		assert_true((unsigned char)out[i] >= 0x20 && out[i] != 0x7f);
	assert_string_equal(out, "select a b\xef\xbf\xbd\xef\xbf\xbd \"q  \xef\xbf\xbd\xef\xbf\xbd\"[? x");
}

static void test_what_finds_no_room_still_counts(void **state)
{
	uint64_t long1, long2, same;
	char small[8];

	assert_int_equal(pa_normalize_sql(PA_SQL_POSTGRES, "select alpha", 12, false, small, sizeof(small), &long1), 7);
	assert_string_equal(small, "select ");
	pa_normalize_sql(PA_SQL_POSTGRES, "select beta", 11, false, small, sizeof(small), &long2);
	pa_normalize_sql(PA_SQL_POSTGRES, "SELECT  alpha", 13, false, out, sizeof(out), &same);
	assert_true(long1 != long2);
	assert_true(long1 == same);
	assert_int_equal(pa_normalize_sql(PA_SQL_POSTGRES, "select", 6, false, small, 1, &same), 0);
	assert_string_equal(small, "");
	/* no half character at the end */
	assert_int_equal(pa_normalize_sql(PA_SQL_POSTGRES, "abcde\xe2\x82\xac", 8, false, small, 7, &same), 5);
	assert_string_equal(small, "abcde");
	assert_int_equal(pa_normalize_sql(PA_SQL_POSTGRES, "abc\xe2\x82\xac", 6, false, small, 7, &same), 6);
}

static void test_a_cut_list_does_not_depend_on_where_it_was_cut(void **state)
{
	static const char text[] = "insert into t (a, b) values (1, 'one'), (2, 'two'), (3, 'three'), (4, 'four')";
	uint64_t first = 0;

	for (size_t len = 40; len < sizeof(text); len++) {
		pa_normalize_sql(PA_SQL_POSTGRES, text, len, true, out, sizeof(out), &print);
		assert_string_equal(out, "insert into t(a, b) values (?, ?) ...");
		assert_true(!first || first == print);
		first = print;
	}
}

static void test_deep_brackets_are_bounded(void **state)
{
	static char deep[4096];

	memset(deep, '(', sizeof(deep));
	pa_normalize_sql(PA_SQL_POSTGRES, deep, sizeof(deep), false, out, sizeof(out), &print);
	memset(deep, ')', sizeof(deep));
	pa_normalize_sql(PA_SQL_POSTGRES, deep, sizeof(deep), true, out, sizeof(out), &print);
	assert_int_equal(strlen(out), sizeof(out) - 1);
}

static void test_paths_lose_ids_and_queries(void **state)
{
	static const struct row rows[] = {
	    {"/", "/"},
	    {"", "/"},
	    {"*", "*"},
	    {"/users/42?token=secret", "/users/{id}"},
	    {"/users/42/orders/17#x", "/users/{id}/orders/{id}"},
	    {"/v1/items/3f2504e0-4f89-11d3-9a0c-0305e82c3301/", "/v1/items/{id}/"},
	    {"/blob/da39a3ee5e6b4b0d3255bfef95601890afd80709", "/blob/{id}"},
	    {"/face/deadbeef", "/face/deadbeef"},
	    {"/t/eyJhbGciOiJIUzI1NiJ9abc123", "/t/{id}"},
	    {"/img/12345.png", "/img/{id}.png"},
	    {"/order-123456/x", "/order-{id}/x"},
	    {"/day/2024-01-31", "/day/{id}"},
	    {"http://example.org:8080/a/1?b", "/a/{id}"},
	    {"http://example.org", "/"},
	    {"/oauth2/v1.2/app.js", "/oauth2/v1.2/app.js"},
	    {"/a\x01\xff", "/a \xef\xbf\xbd"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		pa_normalize_path(rows[i].in, strlen(rows[i].in), out, sizeof(out), &print);
		assert_string_equal(out, rows[i].out);
	}
}

static void test_endless_paths_end(void **state)
{
	static char path[4000];

	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = i % 2 ? 'a' : '/';
	pa_normalize_path(path, sizeof(path), out, sizeof(out), &print);
	assert_string_equal(out + strlen(out) - 8, "/a/a/...");
}

static void test_redis_commands_show_name_and_key_pattern(void **state)
{
	static const struct {
		const char *in;
		bool is_inline;
		const char *out;
	} rows[] = {
	    {"get\r\n$7\r\nuser:42", false, "GET user:{id}"},
	    {"HSET\r\n$17\r\nsession:ab12cd34ef:x", false, "HSET session:{id}:x"},
	    {"MGET\r\n$4\r\nkey1", false, "MGET key{id}"},
	    {"PING", false, "PING"},
	    {"CONFIG\r\n$3\r\nget", false, "CONFIG GET"},
	    {"EVAL\r\n$8\r\nreturn 1", false, "EVAL"},
	    {"ECHO\r\n$6\r\nsecret", false, "ECHO"},
	    {"SET   inline:7", true, "SET inline:{id}"},
	    {"SET\r\n$2\r\n\x01\xff", false, "SET  \xef\xbf\xbd"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		pa_normalize_redis(rows[i].in, strlen(rows[i].in), rows[i].is_inline, out, sizeof(out), &print);
		assert_string_equal(out, rows[i].out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_literals_of_every_form_go),
	    cmocka_unit_test(test_placeholders_of_every_kind_are_one),
	    cmocka_unit_test(test_case_space_and_comments_do_not_tell_statements_apart),
	    cmocka_unit_test(test_lists_and_rows_that_repeat_are_folded),
	    cmocka_unit_test(test_dialects_differ_in_quotes_and_comments),
	    cmocka_unit_test(test_any_bytes_come_out_as_text),
	    cmocka_unit_test(test_what_finds_no_room_still_counts),
	    cmocka_unit_test(test_a_cut_list_does_not_depend_on_where_it_was_cut),
	    cmocka_unit_test(test_deep_brackets_are_bounded),
	    cmocka_unit_test(test_paths_lose_ids_and_queries),
	    cmocka_unit_test(test_endless_paths_end),
	    cmocka_unit_test(test_redis_commands_show_name_and_key_pattern),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
