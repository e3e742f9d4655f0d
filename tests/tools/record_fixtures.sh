#!/bin/bash
# Records the streams of tests/unit/data anew from real programs. Not part of the tests.
#
#   record_fixtures.sh postgres PATH OUT_DIR        PATH of .s.PGSQL.PORT; clients are psql and pgbench
#   record_fixtures.sh redis HOST:PORT OUT_DIR
#   record_fixtures.sh mysql HOST:PORT OUT_DIR      mariadb as $MYSQL_USER in the database $MYSQL_DATABASE; libmariadb3
#   record_fixtures.sh http HOST:PORT OUT_DIR       curl; the server has /small.txt, /big.txt which it compresses (so in
#                                                   chunks), /post, /none (204) and /moved
set -euo pipefail

[ $# = 3 ] || {
	sed -n '2,9p' "$0"
	exit 2
}
here=$(dirname "$0")
server=$2 out=$3
export PGUSER=${PGUSER:-postgres} PGDATABASE=${PGDATABASE:-postgres} PGSSLMODE=disable PGGSSENCMODE=disable
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

record() {
	local name=$1
	shift
	python3 "$here/record_streams.py" "$server" "$out/$name" bash -c "$*" >"$work/log" 2>&1 || {
		cat "$work/log"
		exit 1
	}
}

record_postgres() {
port=${server##*.}
cat >"$work/simple.sql" <<'SQL'
create temp table item (id int primary key, name text);
insert into item values (1, 'it''s one'), (2, E'tw\\o'), (3, $$three$$);
select id, name from item where id in (1, 2) order by id;
begin;
update item set name = 'x' where id = 3;
select 1/0;
rollback;
select nonsense;
select 1; select 2 \; select 3;
copy item from stdin;
4	four
5	five
\.
copy item to stdout;
do $$ begin raise notice 'hello'; end $$;
-- nothing but a comment
;
select repeat('x', 5000);
delete from item;
SQL
# shellcheck disable=SC2016 # expanded by the command
record postgres_simple 'psql -X -q -h "$PROXY_DIR" -p '"$port"' -f '"$work"'/simple.sql'
cat >"$work/extended.sql" <<'SQL'
\set a random(1, 9)
select :a + 1 as one;
select generate_series(1, :a);
SQL
# shellcheck disable=SC2016
record postgres_extended 'pgbench -n -M extended -c 1 -t 2 -h "$PROXY_DIR" -p '"$port"' -f '"$work"'/extended.sql'
# shellcheck disable=SC2016
record postgres_prepared 'pgbench -n -M prepared -c 1 -t 3 -h "$PROXY_DIR" -p '"$port"' -f '"$work"'/extended.sql'
{
	echo '\startpipeline'
	for i in $(seq 40); do echo "select $i::int as n;"; done
	echo '\endpipeline'
} >"$work/pipeline.sql"
# shellcheck disable=SC2016
record postgres_pipeline 'pgbench -n -M prepared -c 1 -t 2 -h "$PROXY_DIR" -p '"$port"' -f '"$work"'/pipeline.sql'
# shellcheck disable=SC2016
record postgres_refused 'PGDATABASE=nowhere psql -X -h "$PROXY_DIR" -p '"$port"' -c "select 1" || true'

rm -f "$out"/postgres_{extended,prepared,pipeline} # what pgbench asks first
}

record_redis() {
cat >"$work/commands" <<'RESP'
SET key:1 "a value"
GET key:1
GET key:none
MSET key:2 b key:3 c
MGET key:1 key:2 key:none
LPUSH list:7 a b c
LRANGE list:7 0 -1
INCR list:7
HSET hash f1 v1 f2 v2
HGETALL hash
MULTI
SET key:4 d
INCR key:5
EXEC
NONSENSE x
PING
EVAL "return {1, {2, 'x'}, redis.error_reply('inner')}" 0
DEL key:1 key:2 key:3 key:4 key:5 list:7 hash
RESP
# sends each line of a file as an array (or as it stands, with "inline"), waiting for the answer to each
cat >"$work/client.py" <<'PY'
import os, shlex, socket, sys, time
peer = socket.create_connection(("127.0.0.1", int(os.environ["PROXY_PORT"])))
peer.settimeout(0.1)
for line in open(sys.argv[1]):
    words = [w.encode() for w in shlex.split(line)]
    array = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)
    peer.sendall(line.rstrip("\n").encode() + b"\r\n" if sys.argv[2:] else array)
    try:
        while peer.recv(65536):
            pass
    except TimeoutError:
        pass
PY
# shellcheck disable=SC2016
record redis_resp2 "python3 '$work/client.py' '$work/commands'"
{ echo "HELLO 3" && cat "$work/commands"; } >"$work/commands3"
record redis_resp3 "python3 '$work/client.py' '$work/commands3'"
# shellcheck disable=SC2016
record redis_pipeline 'redis-benchmark -p "$PROXY_PORT" -c 1 -n 64 -P 16 -d 32 -q -t lpush'
printf 'SET inline 1\nGET   inline\n\nPING\nDEL inline\n' >"$work/inline"
record redis_inline "python3 '$work/client.py' '$work/inline' inline"
printf 'SUBSCRIBE ch:1 ch:2\nPING\nUNSUBSCRIBE ch:1 ch:2\nGET x\n' >"$work/pubsub"
publish="until redis-cli -p ${server##*:} publish ch:1 hello | grep -q 1; do :; done" # until there is a subscriber
record redis_pubsub "($publish) & python3 '$work/client.py' '$work/pubsub'; wait"
rm -f "$out"/redis_pipeline # what redis-benchmark asks first
}

record_mysql() {
cat >"$work/text.sql" <<'SQL'
create table item (id int primary key auto_increment, name text);
insert into item (name) values ('it''s one'), ("two"), (null);
select id, name from item where id in (1, 2) order by id;
begin;
update item set name = 'x' where id = 3;
rollback;
select nonsense;
select * from nowhere;
set @s = repeat('x', 300);
select @s, 17;
delimiter //
create procedure two() begin select 1; select 2, 3; end//
delimiter ;
call two();
drop procedure two;
drop table item;
SQL
# what the mariadb client never does, by its library: statements prepared by the server
cat >"$work/prepared.py" <<'PY'
import ctypes, os, sys
lib = ctypes.CDLL("libmariadb.so.3")
for name in ("mysql_init", "mysql_real_connect", "mysql_stmt_init"):
    getattr(lib, name).restype = ctypes.c_void_p
user, base = os.environ["MYSQL_USER"].encode(), os.environ["MYSQL_DATABASE"].encode()
peer = ctypes.c_void_p(lib.mysql_init(None))
if not lib.mysql_real_connect(peer, b"127.0.0.1", user, None, base, int(os.environ["PROXY_PORT"]), None, ctypes.c_ulong(0)):
    lib.mysql_error.restype = ctypes.c_char_p
    sys.exit(lib.mysql_error(peer).decode())
for text in (b"select 1 union select 2", b"do 1", b"select nonsense"):
    statement = ctypes.c_void_p(lib.mysql_stmt_init(peer))
    if lib.mysql_stmt_prepare(statement, text, ctypes.c_ulong(len(text))) == 0:
        for _ in range(2):
            lib.mysql_stmt_execute(statement)
            lib.mysql_stmt_store_result(statement)
    lib.mysql_stmt_close(statement)
lib.mysql_ping(peer)
lib.mysql_close(peer)
PY
# shellcheck disable=SC2016
record mysql_text 'mariadb -h 127.0.0.1 -P "$PROXY_PORT" -u "$MYSQL_USER" --force -B "$MYSQL_DATABASE" <'"$work"'/text.sql || true'
record mysql_prepared "python3 $work/prepared.py"
}

record_http() {
# shellcheck disable=SC2016
record http_curl 'url=http://127.0.0.1:$PROXY_PORT
	curl -s "$url/small.txt" "$url/big.txt?page=3&token=secret" "$url/missing" "$url/none" "$url/moved" --next \
		-s --compressed "$url/big.txt" --next -s -I "$url/big.txt" --next -s -d "a=1&b=2" "$url/post" --next \
		-s -H "Transfer-Encoding: chunked" -d "chunked body" "$url/post" --next -s -0 "$url/small.txt" -o /dev/null'
}

"record_$1"
for each in "$out"/*.[23]; do [ ! -e "$each" ] || mv "$each" "${each%.*}"; done
