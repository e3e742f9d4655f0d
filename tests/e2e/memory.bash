# Recordings with allocations whose every figure can be worked out: see shop.
load recordings

# Ten seconds of one program. Stacks: 4 main handle make_buffer operator_new, 5 main _IO_file_doallocate (stdio's buffer),
# 6 main handle cache_add. Of 4: 15 calls, 15000 bytes, 14 freed, 8 temporary. Of 6: 3 calls, 3 MiB in the second second,
# 5 calls, 5 MiB in the sixth, nothing freed. Of 5: 1024 bytes, kept.
# shop [MODE...]: as the `heap` item of make_recording has it
shop() {
	{
		cat <<-'END'
		meta started 2026-11-21T12:31:34Z
		meta ended 2026-11-21T12:31:44Z
		meta started_mono_ns 1000000000
		meta ended_mono_ns 11000000000
		meta command /opt/shop --serve
		meta host buildhost
		meta mode cpu,memory
		meta period_ns 10000000
		meta version 0.1.0
		meta exit_status 0
		meta cpu_ns 100000000
		process 1 100 0 100000000 1000000 exit\s0 /opt/shop --serve
		thread 1 1 100 80000000 10000000 shop
		thread 2 1 102 20000000 10000000 worker
		module 1 full aabbcc /opt/shop
		module 2 dynsym - /usr/lib/libstdc++.so.6
		module 3 dynsym - /usr/lib/libc.so.6
		frame 1 1 0x100
		frame 2 1 0x200
		frame 3 1 0x300
		frame 4 2 0x400
		frame 5 3 0x500
		frame 6 1 0x600
		symbol 1 main /src/main.c 10
		symbol 2 handle /src/shop.c 30
		symbol 3 make_buffer /src/buf.c 77
		symbol 4 operator\snew(unsigned\slong)
		symbol 5 _IO_file_doallocate
		symbol 6 cache_add /src/cache.c 12
		stack 1 0 1
		stack 2 1 2
		stack 3 2 3
		stack 4 3 4
		stack 5 1 5
		stack 6 2 6
		sample 1 1500000000 3 1 6
		sample 1 6500000000 6 1 2
		sample 2 6500000000 2 1 2
		END
		echo "heap 1 ${*:-exact} calls=24 bytes=8404632 frees=14 freed=14000 temporary=8 own_bytes=1048576 lifetime_0=9/9000 lifetime_5=5/5000"
		cat <<-'END'
		heapchunk 1 1000000000 2000000000 4:10:10000:9:9000:8:0:0:0:8000 5:1:1024:0:0 6:3:3145728:0:0
		heapchunk 1 5000000000 6000000000 4:5:5000:5:5000:0 6:5:5242880:0:0
		heappeak 1 6000000000 11 8391632 4:2:2000 5:1:1024 6:8:8388608
		heapthread 1 20 8300000 10 10000
		heapthread 2 4 104632 4 4000
		heappoint 1 2000000000 5 3147752 10485760 4194304 0 3147776 1046528
		heappoint 1 6000000000 10 8390632 16777216 12582912 0 9437184 3145728
		heappoint 1 11000000000 10 8390632 15728640 - - - -
		END
	} | make_recording
}

# three processes' worth of growth: a second recording of the shop, whose cache is twice as large and elsewhere in the file
shop_grown() {
	shop "$@"
	mv "$T/t.pfa" "$T/base.pfa"
	make_recording <<-'END'
	meta started 2026-11-22T12:31:34Z
	meta ended 2026-11-22T12:31:39Z
	meta started_mono_ns 5000000000
	meta ended_mono_ns 10000000000
	meta command /opt/shop --serve
	meta mode cpu,memory
	meta period_ns 10000000
	process 1 200 0 100000000 1000000 exit\s0 /opt/shop --serve
	thread 1 1 200 80000000 10000000 shop
	module 1 full aabbcd /opt/shop
	frame 1 1 0x1100
	frame 2 1 0x1200
	frame 6 1 0x1600
	symbol 1 main /src/main.c 11
	symbol 2 handle /src/shop.c 31
	symbol 6 cache_add /src/cache.c 19
	stack 1 0 1
	stack 2 1 2
	stack 6 2 6
	sample 1 6500000000 6 1 5
	sample 1 6500000000 2 1 5
	heap 1 exact calls=16 bytes=16777216
	heapchunk 1 5000000000 6000000000 6:16:16777216:0:0
	heappeak 1 6000000000 16 16777216 6:16:16777216
	END
}
