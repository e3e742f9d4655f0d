# Calls that wait: with the agent in front of them, on, they answer as they do without it.
load common

# on: event loops are looked at, so that the hooks do all they can
on() {
	PA_RECORD=(--mode cpu,memory,loop)
	run_both "$TARGETS/wait_calls" "$1" || return 1
	[ -n "$PA_SELFTEST" ] || [ -z "$2" ] || holds "$2"
}

@test "R76 results of all calls that wait: timeouts, events, bad descriptors, pointers and arguments" {
	on results 'any(.event_loop.loops[]; .kind == "epoll")'
}

@test "R76 a handler interrupts them: EINTR, what is left of the time, masks for the time of a wait" {
	on signals 'any(.event_loop.loops[]; .kind == "epoll")'
}

@test "R76 siglongjmp out of them, and what comes after is recorded still" {
	on jumps 'any(.event_loop.loops[]; .kind == "epoll" and .iterations >= 20)'
}

@test "R76 threads are cancelled in them, with their cleanup handlers" {
	on cancel
}

@test "R79 children of fork and vfork wait by themselves" {
	on forks '[.event_loop.loops[] | .process] | unique | length == 2'
}

@test "R76 handlers wait inside waits" {
	on handlers
}

@test "R76 the names of fortified programs, and none that libc would not show" {
	on fortified
}

@test "R76 errno is left alone where they succeed" {
	on errnos
}

@test "R76 the same with CPU time or loops alone" {
	local mode
	for mode in loop cpu; do
		PA_RECORD=(--mode "$mode")
		rm -f "$T/t.pfa" "$T/report.json"
		run_both "$TARGETS/wait_calls" results
		rm -f "$T/t.pfa" "$T/report.json"
		run_both "$TARGETS/wait_calls" signals
	done
}

@test "R79 asyncio and libuv behave with the agent as without it" {
	cat >"$T/a.py" <<-'END'
	import asyncio, signal, os
	async def child():
	    p = await asyncio.create_subprocess_exec("/bin/echo", "child", stdout=asyncio.subprocess.PIPE)
	    out, _ = await p.communicate()
	    print(out.decode().strip(), p.returncode)
	async def main():
	    loop = asyncio.get_running_loop()
	    got = asyncio.Event()
	    loop.add_signal_handler(signal.SIGUSR1, got.set)
	    loop.call_later(0.02, os.kill, os.getpid(), signal.SIGUSR1)
	    await asyncio.wait_for(got.wait(), 10)
	    await child()
	    try:
	        await asyncio.wait_for(asyncio.sleep(10), 0.02)
	    except asyncio.TimeoutError:
	        print("timeout")
	asyncio.run(main())
	END
	run_both /usr/bin/python3 "$T/a.py"
	rm -f "$T/t.pfa" "$T/report.json"
	command -v node >/dev/null || return 0
	run_both node -e 'require("fs").readFile("/etc/hostname", () => { console.log("read"); setTimeout(() => console.log("later"), 20); })'
}
