# perfagent flame: folded stacks and SVG, as text, as XML and in a browser.
load recordings

@test "flame: folded stacks, sorted, processes as roots, counts add up to the report's" {
	two_processes
	"$PERFAGENT" flame -i "$T/t.pfa" --format folded >"$T/out"
	diff - "$T/out" <<-'END'
	python3 (100);main;[jit] 2
	python3 (100);main;[jit];[truncated] 1
	python3 (100);main;libz.so.1+0x1234 6
	python3 (100);main;recurse;recurse 4
	python3 (100);main;recurse;recurse;outer;inlined_leaf 10
	sh (101);[unsampled] 2
	sh (101);main;recurse 6
	END
	[ "$(awk '{ n += $NF } END { print n }' "$T/out")" -eq "$("$PERFAGENT" report -i "$T/t.pfa" --format json | jq .cpu.sample_count)" ]
}

@test "flame: folded and inverted" {
	two_processes
	"$PERFAGENT" flame -i "$T/t.pfa" --format folded --invert >"$T/out"
	diff - "$T/out" <<-'END'
	[jit];main;python3 (100) 2
	[truncated];[jit];main;python3 (100) 1
	[unsampled];sh (101) 2
	inlined_leaf;outer;recurse;recurse;main;python3 (100) 10
	libz.so.1+0x1234;main;python3 (100) 6
	recurse;main;sh (101) 6
	recurse;recurse;main;python3 (100) 4
	END
}

@test "flame: NAME.svg by default, its path printed; -o - is stdout; --title" {
	two_processes
	cd "$T" || return 1
	run --separate-stderr "$PERFAGENT" flame
	[ "$output" = python3.svg ] && [ -z "$stderr" ] || fail "$output $stderr"
	"$PERFAGENT" flame -o - | cmp - python3.svg
	run "$PERFAGENT" flame -o x.svg --title 'a <b>'
	[ "$output" = x.svg ]
	grep -q 'a &lt;b&gt;' x.svg
	[ "$(ls)" = $'python3.svg\nt.pfa\nx.svg' ] || fail "$(ls)"
}

@test "flame: every frame of the SVG is where it belongs" {
	two_processes
	"$PERFAGENT" flame -i "$T/t.pfa" -o "$T/x.svg" >/dev/null
	/usr/bin/python3 - "$T/x.svg" <<-'END'
	import sys, xml.etree.ElementTree as ET
	ns = "{http://www.w3.org/2000/svg}"
	root = ET.parse(sys.argv[1]).getroot()
	assert root[0].tag == ns + "title"  # without a title of its own a page of 12 000 frames took 10 s to load, not 1
	frames = []
	for g in root.iter(ns + "g"):
	    if g.get("class") == "f":
	        r = g.find(ns + "rect")
	        frames.append((g.find(ns + "title").text.split("\n")[0], int(g.get("data-s")), int(g.get("data-n")),
	                       int(g.get("data-d")), float(r.get("x")), float(r.get("width")), float(r.get("y"))))
	names = [(f[0], f[2], f[3]) for f in frames]
	assert names[0] == ("all", 31, 0), names[0]
	for want in [("python3 (100)", 23, 1), ("main", 23, 2), ("inlined_leaf", 10, 6), ("[unsampled]", 2, 2), ("sh (101)", 8, 1)]:
	    assert want in names, (want, names)
	px = 1180 / 31
	for name, s, n, d, x, w, y in frames:
	    assert abs(x - 10 - s * px) < 0.02 and abs(w - n * px) < 0.7, (name, x, w)
	    if d:  # it stands on exactly one frame, which holds it
	        below = [f for f in frames if f[3] == d - 1 and f[1] <= s and f[1] + f[2] >= s + n]
	        assert len(below) == 1 and below[0][6] > y, (name, below)
	for a in frames:  # no two overlap
	    assert sum(b[3] == a[3] and b[1] < a[1] + a[2] and a[1] < b[1] + b[2] for b in frames) == 1, a
	END
}

@test "R66 flame: hostile names stay text: XML is well-formed, nothing runs, folded has one line per stack" {
	hostile
	"$PERFAGENT" flame -i "$T/t.pfa" -o "$T/x.svg" --title '</text><script>alert(5)</script>' >/dev/null
	"$PERFAGENT" flame -i "$T/t.pfa" --format folded >"$T/folded"
	cat "$T/folded"
	no_controls "$T/folded"
	[ "$(wc -l <"$T/folded")" -eq 3 ]
	if grep -vqE '^[^;]+(;[^;]+)* [0-9]+$' "$T/folded"; then fail "a line that is no stack"; fi
	# the script is ours and the only one, no element or attribute came from a name
	/usr/bin/python3 - "$T/x.svg" "$PA_ROOT/report/flame.js" <<-'END'
	import sys, xml.etree.ElementTree as ET
	root = ET.parse(sys.argv[1]).getroot()
	scripts = [e for e in root.iter() if e.tag.endswith("}script")]
	assert len(scripts) == 1 and scripts[0].text.strip() == open(sys.argv[2]).read().strip()
	tags = {e.tag.split("}")[1] for e in root.iter()}
	assert tags <= {"svg", "style", "g", "title", "rect", "text", "foreignObject", "input", "script"}, tags
	attributes = {a for e in root.iter() for a in e.attrib}
	assert not [a for a in attributes if a.lower().startswith("on")], attributes
	titles = "\n".join(e.text for e in root.iter() if e.tag.endswith("}title"))
	for text in ["</script><script>alert(3)</script>", "]]><!--\\u{202e}rtl;semi\\x0acolon", "onload=\"alert(4)\" x='y'&amp;", "bad\ufffd\ufffdutf8\ufffd\ufffd"]:
	    assert text in titles, (text, titles)
	END
}

@test "flame: a huge profile makes a page of bounded size, quickly" {
	make_recording <<-'END'
	meta ended 2026-11-21T12:31:36Z
	meta command bulk
	meta period_ns 10000000
	process 1 100 0 10000000 0 x bulk
	thread 1 1 100 10000000 10000000 main
	module 1 full aabb /usr/bin/bulk
	bulk 300000 100000 40
	END
	TIMEFORMAT=%U # CPU time: the machine may have other work
	took=$({ time "$PERFAGENT" flame -i "$T/t.pfa" -o "$T/x.svg" >/dev/null 2>&1; } 2>&1)
	echo "$took s, $(stat -c %s "$T/x.svg") bytes, $(grep -c '<g class="f"' "$T/x.svg") frames"
	[ "${took%.*}" -lt 10 ]
	[ "$(grep -c '<g class="f"' "$T/x.svg")" -le 30000 ]
	[ "$(stat -c %s "$T/x.svg")" -lt 10000000 ]
	grep -q 'narrow frames not drawn' "$T/x.svg"
	[ "$("$PERFAGENT" flame -i "$T/t.pfa" --format folded | awk '{ n += $NF } END { print n }')" -eq 300000 ]
}

# in_browser FILE SCRIPT: what SCRIPT leaves in document.title, run in the page after it has loaded
in_browser() {
	local browser=${CHROMIUM:-chromium} page=$T/driven.svg
	command -v "$browser" >/dev/null || skip "no chromium"
	# a script of the test at the end of the document, as if typed into the console
	sed 's#</svg>$##' "$1" >"$page"
	printf '<script><![CDATA[\nwindow.errors = []; window.addEventListener("error", function (e) { errors.push(e.message); });\n%s\n]]></script>\n</svg>\n' "$2" >>"$page"
	timeout 60 "$browser" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
		--disable-component-update --disable-sync --user-data-dir="$T/profile" --virtual-time-budget=3000 --dump-dom \
		"file://$page${3:-}" 2>/dev/null 3>&- >"$T/dom" || fail "the browser failed"
	sed -n 's/.*data-result="\([^"]*\)".*/\1/p' "$T/dom" | head -n 1
}

READ='function state() { var f = document.querySelectorAll("g.f"), shown = 0, hit = 0, widest = 0;
	f.forEach(function (g) { if (g.style.display !== "none") { shown++;
	widest += +g.querySelector("rect").getAttribute("width") > window.innerWidth - 30 ? 1 : 0; } hit += g.classList.contains("m") ? 1 : 0; });
	return [f.length, shown, widest, hit, document.querySelector(".matched").textContent].join("|"); }
	function named(n) { return Array.prototype.filter.call(document.querySelectorAll("g.f"), function (g) {
	return g.querySelector("title").textContent.split("\n")[0] === n; }); }
	function press(key, ctrl) { window.dispatchEvent(new KeyboardEvent("keydown", {key: key, ctrlKey: !!ctrl, bubbles: true, cancelable: true})); }
	function type(text) { var i = document.querySelector("input"); i.value = text; i.dispatchEvent(new Event("input")); }
	function click(g) { g.querySelector("rect").dispatchEvent(new MouseEvent("click", {bubbles: true})); }
	function done(parts) { document.documentElement.setAttribute("data-result", parts.concat(errors).join(" / ")); }'

@test "flame: in a browser it zooms, searches, resets, and keeps its state in the address" {
	two_processes
	"$PERFAGENT" flame -i "$T/t.pfa" -o "$T/x.svg" >/dev/null
	got=$(in_browser "$T/x.svg" "$READ"'
		var out = [state()];
		click(named("recurse")[0]); out.push(state(), location.hash);
		type("RECURSE"); out.push(state(), location.hash);
		press("Escape"); out.push(state());
		press("Escape"); out.push(state());
		press("f", true); out.push(document.activeElement === document.querySelector("input"));
		named("libz.so.1+0x1234")[0].querySelector("rect").dispatchEvent(new MouseEvent("mouseover", {bubbles: true}));
		out.push(document.querySelector(".details").textContent);
		done(out);')
	echo "$got"
	# 14 frames; one is as wide as the page. Zoomed: all, python3, main, recurse, recurse are; outer and leaf remain.
	# Searching counts each stack once: 14 + 6 of 31.
	[ "$got" = '14|14|1|0| / 14|7|5|0| / #z=6 / 14|7|5|3|matched 64.52 % in 3 frames / #z=6&amp;q=RECURSE / 14|7|5|0| / 14|14|1|0| / true / libz.so.1+0x1234  ·  /usr/lib/libz.so.1  ·  6 samples, 19.35 % (0.060 s)  ·  self 6, 19.35 %' ]
	got=$(in_browser "$T/x.svg" "$READ done([state()]);" '#z=6&q=leaf')
	[ "$got" = '14|7|5|1|matched 32.26 % in 1 frame' ] || fail "$got"
	got=$(in_browser "$T/x.svg" "$READ done([state()]);" '#z=99999&q=%E0%A4%A')
	[ "$got" = '14|14|1|0|' ] || fail "$got"
}

@test "R66 flame: in a browser hostile names run nothing" {
	hostile
	"$PERFAGENT" flame -i "$T/t.pfa" -o "$T/x.svg" >/dev/null
	got=$(in_browser "$T/x.svg" "$READ"' var called = 0; window.alert = function () { called++; };
		document.querySelectorAll("g.f").forEach(function (g) { click(g); type(g.querySelector("title").textContent); });
		done([called, document.querySelectorAll("script").length, state().split("|")[0]]);')
	[ "$got" = '0 / 2 / 9' ] || fail "$got"
}
