#!/bin/bash
# Records the streams of tests/unit/data anew from real programs: PostgreSQL (psql, pgbench) and Redis (redis-cli,
# redis-benchmark). Not part of the tests; needs a PostgreSQL and a Redis to talk to.
#
#   record_fixtures.sh PG_SOCKET REDIS_HOST:PORT OUT_DIR      PG_SOCKET: path of .s.PGSQL.PORT
set -euo pipefail

[ $# = 3 ] || {
	sed -n '2,6p' "$0"
	exit 2
}
here=$(dirname "$0")
pg=$1 redis=$2 out=$3
export PGUSER=${PGUSER:-postgres} PGDATABASE=${PGDATABASE:-postgres} PGSSLMODE=disable PGGSSENCMODE=disable
port=${pg##*.}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

record() {
	local server=$1 name=$2
	shift 2
	python3 "$here/record_streams.py" "$server" "$out/$name" bash -c "$*" >"$work/log" 2>&1 || {
		cat "$work/log"
		exit 1
	}
}

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
record "$pg" postgres_simple 'psql -X -q -h "$PROXY_DIR" -p '"$port"' -f '"$work"'/simple.sql'
cat >"$work/extended.sql" <<'SQL'
\set a random(1, 9)
select :a + 1 as one;
select generate_series(1, :a);
SQL
# shellcheck disable=SC2016
record "$pg" postgres_extended 'pgbench -n -M extended -c 1 -t 2 -h "$PROXY_DIR" -p '"$port"' -f '"$work"'/extended.sql'
# shellcheck disable=SC2016
record "$pg" postgres_prepared 'pgbench -n -M prepared -c 1 -t 3 -h "$PROXY_DIR" -p '"$port"' -f '"$work"'/extended.sql'
{
	echo '\startpipeline'
	for i in $(seq 40); do echo "select $i::int as n;"; done
	echo '\endpipeline'
} >"$work/pipeline.sql"
# shellcheck disable=SC2016
record "$pg" postgres_pipeline 'pgbench -n -M prepared -c 1 -t 2 -h "$PROXY_DIR" -p '"$port"' -f '"$work"'/pipeline.sql'
# shellcheck disable=SC2016
record "$pg" postgres_refused 'PGDATABASE=nowhere psql -X -h "$PROXY_DIR" -p '"$port"' -c "select 1" || true'

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
record "$redis" redis_resp2 "python3 '$work/client.py' '$work/commands'"
{ echo "HELLO 3" && cat "$work/commands"; } >"$work/commands3"
record "$redis" redis_resp3 "python3 '$work/client.py' '$work/commands3'"
# shellcheck disable=SC2016
record "$redis" redis_pipeline 'redis-benchmark -p "$PROXY_PORT" -c 1 -n 64 -P 16 -d 32 -q -t lpush'
printf 'SET inline 1\nGET   inline\n\nPING\nDEL inline\n' >"$work/inline"
record "$redis" redis_inline "python3 '$work/client.py' '$work/inline' inline"
printf 'SUBSCRIBE ch:1 ch:2\nPING\nUNSUBSCRIBE ch:1 ch:2\nGET x\n' >"$work/pubsub"
publish="until redis-cli -p ${redis##*:} publish ch:1 hello | grep -q 1; do :; done" # until there is a subscriber
record "$redis" redis_pubsub "($publish) & python3 '$work/client.py' '$work/pubsub'; wait"
rm -f "$out"/postgres_{extended,prepared,pipeline} "$out"/redis_pipeline # what pgbench and redis-benchmark ask first
for each in "$out"/*.[23]; do mv "$each" "${each%.*}"; done
