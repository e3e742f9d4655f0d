# A PostgreSQL of the test's own in $T, reached by a Unix socket only.

# postgres_data LINE...: its files, with these lines in the configuration; as root they are the user postgres's. Sets
# bin, the directory of its programs, and as, the words before a command that is to run as that user
postgres_data() {
	local found=(/usr/lib/postgresql/*/bin)
	bin=${found[-1]}
	[ -x "$bin/postgres" ] || skip "postgres is not installed"
	as=()
	if [ "$(id -u)" = 0 ]; then
		id postgres >/dev/null 2>&1 || skip "no user postgres"
		need setpriv
		as=(setpriv --reuid postgres --regid postgres --clear-groups)
		chown postgres "$T"
	fi
	"${as[@]}" "$bin/initdb" -D "$T/data" -U postgres -A trust -N >"$T/initdb.out" 2>&1
	printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$T'" "fsync = off" "$@" >>"$T/data/postgresql.conf"
}

# postgres_start: and it answers to psql and pgbench
postgres_start() {
	"${as[@]}" "$bin/pg_ctl" -D "$T/data" -l "$T/server.log" -w start >/dev/null 3>&-
	export PGHOST=$T PGUSER=postgres PGDATABASE=postgres
}

postgres_stop() {
	[ ! -s "$T/data/postmaster.pid" ] || kill -INT "$(head -n 1 "$T/data/postmaster.pid")" 2>/dev/null || true
}
