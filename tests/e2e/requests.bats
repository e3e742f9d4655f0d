# Which request the CPU time was used for, against what servers count themselves by the clock of their threads.
load common

# served KIND CONNECTIONS REQUESTS: a server that serves that way, under record, and clients on so many connections that
# ask so often; "books" has the CPU time of each path by the program's own clock, "kinds" how many were asked
served() {
	cat >"$T/server.py" <<-'END'
		import asyncio, collections, http.client, http.server, json, os, socket, socketserver, sys, threading, time
		kind, connections, requests = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
		costs = {"/big": 0.020, "/small": 0.004, "/none": 0}
		books = collections.Counter()
		def burn(seconds):
		    until = time.thread_time() + seconds
		    while time.thread_time() < until: sum(range(500))
		class Handler(http.server.BaseHTTPRequestHandler):
		    protocol_version = "HTTP/1.1"
		    def handle_one_request(self):
		        before = time.thread_time()
		        self.path = None
		        super().handle_one_request()
		        if self.path: books[self.path] += time.thread_time() - before
		        if kind == "fork" and self.close_connection: json.dump(books, open("books.%d" % os.getpid(), "w"))
		    def do_GET(self):
		        burn(costs[self.path])
		        self.send_response(200)
		        self.send_header("Content-Length", "2")
		        self.end_headers()
		        self.wfile.write(b"ok")
		    def log_message(self, *args): pass
		class Threads(socketserver.ThreadingMixIn, http.server.HTTPServer): pass
		class Forking(socketserver.ForkingMixIn, http.server.HTTPServer): pass
		def client(port):
		    c = http.client.HTTPConnection("127.0.0.1", port)
		    for i in range(requests):
		        for path in costs:
		            c.request("GET", path)
		            assert c.getresponse().read() == b"ok"
		    c.close()
		def clients(port):
		    if os.fork():
		        return
		    threads = [threading.Thread(target=client, args=(port,)) for i in range(connections)]
		    for t in threads: t.start()
		    for t in threads: t.join()
		    os._exit(0)
		async def serve(reader, writer):
		    while head := await reader.readline():
		        before = time.thread_time()
		        while await reader.readline() != b"\r\n": pass
		        path = head.split()[1].decode()
		        for i in range(4):
		            burn(costs[path] / 4)
		            books[path] += time.thread_time() - before
		            await asyncio.sleep(0.001)
		            before = time.thread_time()
		        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		        await writer.drain()
		        books[path] += time.thread_time() - before
		    writer.close()
		async def loop():
		    server = await asyncio.start_server(serve, "127.0.0.1", 0)
		    clients(server.sockets[0].getsockname()[1])
		    await asyncio.to_thread(os.wait)
		if kind == "asyncio":
		    asyncio.run(loop())
		else:
		    server = (Forking if kind == "fork" else Threads)(("127.0.0.1", 0), Handler)
		    clients(server.server_address[1])
		    for i in range(connections): server.handle_request()
		    server.server_close()
		json.dump(books, open("books", "w"))
	END
	rm -rf "$T/t.pfa" "$T/report.json" "$T/recorded.cwd"
	record -F 250 --mode cpu,http -- /usr/bin/python3 "$T/server.py" "$@"
	[ "$(value_of recorded status)" = 0 ] || fail "$(cat "$T/recorded.err")"
	check_recording
	jq -s 'map(to_entries) | add | group_by(.key) | map({key: .[0].key, value: (map(.value) | add)}) | from_entries' \
		"$T"/recorded.cwd/books* >"$T/books"
	jq -c . "$T/books"
	jq -e 'length == 3 and .["/big"] > 0.5' "$T/books" >/dev/null || fail "the server kept no books"
	jq -c .requests "$T/report.json"
}

# A tick stands for 4 ms of CPU time: of n ticks four standard deviations are 4 sqrt(n) at most. On a crowded machine one
# that comes late stands for several, w on average, and falls where it comes: 4 sqrt(n (2 w - 1)) then, as lengths of runs
# go. Reading a request line and what stands between the books and the calls are 0.3 ms a request more at most
bound='def bound($s; $c): 0.004 * 4 * ($s / 0.004 * (2 * $c.sample_count / $c.effective_samples - 1) | sqrt) + 0.004; .cpu as $cpu |'

@test "requests: a thread each connection, and a process each: CPU time by endpoint is what they count themselves" {
	local kind
	for kind in thread fork; do
		served $kind 2 40
		holds --slurpfile books "$T/books" "$bound"'
			.requests.by_endpoint as $found | $books[0] | to_entries | all(. as $b |
				($found[] | select(.path == $b.key)) | .requests == 80 and
				(.self_time - $b.value | fabs) <= bound($b.value; $cpu) + 80 * 0.0003)'
		holds '.requests.certain_pct == 100 and .requests.several.sample_count == 0'
		holds '([.requests.by_endpoint[].sample_count, .requests.outside.sample_count] | add) == .cpu.sample_count'
	done
	"$PERFAGENT" report -i "$T/t.pfa" --by endpoint >"$T/by.txt"
	grep -qE '^ +[0-9.]+ +[0-9.]+ +80 .* GET /big$' "$T/by.txt"
	grep -q 'certain    100.0 %' "$T/by.txt"
}

@test "requests: one loop that interleaves: only what is certain is labelled, and how much that is is said" {
	served asyncio 1 30
	holds --slurpfile books "$T/books" "$bound"'.requests.certain_pct == 100 and
		(.requests.by_endpoint[] | select(.path == "/big") | (.self_time - $books[0]["/big"] | fabs) <= bound($books[0]["/big"]; $cpu) + 30 * 0.0003)'
	served asyncio 4 12
	# what is labelled is never more than what is true, and some of it is nobody's for certain
	holds --slurpfile books "$T/books" "$bound"'
		(.requests.by_endpoint | length == 3 and all(.requests == 48 and .self_time <= $books[0][.path] + bound($books[0][.path]; $cpu) + 48 * 0.0003)) and
		.requests.several.self_time > 0.3 and .requests.certain_pct < 70'
	"$PERFAGENT" report -i "$T/t.pfa" --by endpoint | grep -q '\[several requests at once\]'
}

@test "requests: the flames of one endpoint, and one that is not there" {
	served thread 1 30
	"$PERFAGENT" flame -i "$T/t.pfa" --endpoint 'GET /big' -f folded >"$T/big"
	[ "$(awk '{ n += $NF } END { print n }' "$T/big")" = "$(json '.requests.by_endpoint[] | select(.path == "/big").sample_count')" ]
	"$PERFAGENT" flame -i "$T/t.pfa" --endpoint 'GET /big' -o "$T/big.svg"
	grep -q 'GET /big' "$T/big.svg"
	one_line 2 "$PERFAGENT" flame -i "$T/t.pfa" --endpoint 'GET /gone'
	grep -qF "'GET /big', 'GET /small', 'GET /none'" "$T/bad.err"
	one_line 2 "$PERFAGENT" flame -i "$T/t.pfa" --endpoint 'GET /big' --kind alloc
	rm -rf "$T/t.pfa" "$T/report.json"
	record --mode cpu -- true
	one_line 2 "$PERFAGENT" report -i "$T/t.pfa" --by endpoint
	one_line 2 "$PERFAGENT" flame -i "$T/t.pfa" --endpoint 'GET /big'
}
