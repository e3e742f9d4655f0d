# The system's python3 on a stdlib workload.
load common

@test "python3: json, re, zlib, hashlib, sorting: the same result, honest report" {
	cat >"$T/work.py" <<-'END'
	import hashlib, json, random, re, zlib
	random.seed(1)
	data = [{"id": i, "name": "n%d" % random.randrange(10**6), "v": [random.random() for _ in range(5)]} for i in range(12000)]
	h = hashlib.sha256()
	for _ in range(6):
	    text = json.dumps(data, sort_keys=True)
	    back = json.loads(text)
	    h.update(zlib.compress(text.encode(), 6))
	    words = re.findall(r'"name": "n(\d+)"', text)
	    h.update(repr(sorted(map(int, words))[:50]).encode())
	    assert back == data
	print(h.hexdigest())
	END
	run_plain /usr/bin/python3 "$T/work.py"
	record -- /usr/bin/python3 "$T/work.py"
	same plain recorded
	honest
	sampled 200
	holds '[.symbols[].module] | any(test("python3"))'
	# zlib's library is known by name, whatever symbols it has
	has_stack 'deflate|libz'
	folded
	awk -v rooted="$(weight_of '_start')" -v all="$(weight_of .)" 'BEGIN {
		printf "%d of %d reach _start\n", rooted, all; exit !(rooted >= 0.97 * all) }'
}
