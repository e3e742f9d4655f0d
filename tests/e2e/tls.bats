# Encrypted connections, at the calls of OpenSSL: what is said on them, against what the programs and the servers count.
load common

certificate() {
	need openssl
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$T/key.pem" -out "$T/cert.pem" -days 2 -subj /CN=localhost 2>"$T/openssl.err" ||
		fail "$(cat "$T/openssl.err")"
}

@test "tls: HTTPS in python, the library on the sockets and on memory, server and client" {
	certificate
	record --mode cpu,http -- /usr/bin/python3 "$PA_ROOT/tests/e2e/tls_books.py" "$T/cert.pem" "$T/key.pem"
	[ "$(value_of recorded status)" = 0 ] || fail "$(cat "$T/recorded.out" "$T/recorded.err")"
	check_recording
	holds --slurpfile books "$T/recorded.cwd/books.json" '[.endpoints, .external] | all(
		map({(.path): {count, errors, unanswered}}) | add == ($books[0] | map_values({count: ., errors: 0, unanswered: 0})))'
	# who the peer is says the request, where no descriptor does
	holds 'any(.external[]; .peer == "service.example") and any(.external[]; .peer | startswith("localhost:"))'
}

@test "tls: nothing of it is different, and without http or db nothing is looked at" {
	certificate
	run_plain /usr/bin/python3 "$PA_ROOT/tests/e2e/tls_books.py" "$T/cert.pem" "$T/key.pem"
	PA_RECORD=(--mode cpu,http,db,loop)
	run_recorded /usr/bin/python3 "$PA_ROOT/tests/e2e/tls_books.py" "$T/cert.pem" "$T/key.pem"
	same plain recorded
	record --mode cpu,loop -- /usr/bin/python3 "$PA_ROOT/tests/e2e/tls_books.py" "$T/cert.pem" "$T/key.pem"
	check_recording
	[ "$(sqlite3 "$T/t.pfa" 'select count(*) from exchange')" = 0 ]
}

@test "tls: redis-cli --tls, as redis counts its commands" {
	need redis-server
	certificate
	local port
	ldd "$(command -v redis-cli)" | grep -q libssl || skip "redis-cli is built without TLS"
	port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	redis-server --port 0 --tls-port "$port" --tls-cert-file "$T/cert.pem" --tls-key-file "$T/key.pem" --tls-auth-clients no \
		--tls-ca-cert-file "$T/cert.pem" --bind 127.0.0.1 --dir "$T" --save "" --appendonly no >"$T/redis.out" 2>&1 3>&- </dev/null &
	PA_BACKGROUND+=($!)
	local cli=(redis-cli --tls --cacert "$T/cert.pem" -p "$port") i
	for i in $(seq 200); do "${cli[@]}" ping >/dev/null 2>&1 && break; sleep 0.05; done
	for i in $(seq 30); do echo "set key:$i value"; echo "get key:$i"; done >"$T/commands"
	"${cli[@]}" config resetstat >/dev/null
	record --mode cpu,db -- sh -c "exec redis-cli --tls --cacert '$T/cert.pem' -p $port <'$T/commands'"
	[ "$(value_of recorded status)" = 0 ] || fail "$(cat "$T/recorded.err")"
	check_recording
	for i in set get; do
		[ "$("${cli[@]}" info commandstats | sed -n "s/^cmdstat_$i:calls=\([0-9]*\),.*/\1/p")" = 30 ]
		holds "[.database.queries[] | select(.protocol == \"redis\" and (.fingerprint | ascii_downcase | startswith(\"$i \"))) | .count] == [30]"
	done
}
