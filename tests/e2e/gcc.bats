# gcc -O2 compiling a large preprocessed file: several processes by vfork and exec.
load common

make_source() {
	awk 'BEGIN {
		print "typedef struct node { struct node *l, *r; long key; double w; } node;"
		for (i = 0; i < 260; i++) {
			printf "long f%d(node *n, long a, long b) { long s = a; for (long i = 0; i < b; i++) { if (n && n->key %% %d == i) s += n->key * %d; else s ^= (a << (i & 7)) + b;", i, i + 2, i * 7 + 1
			printf " switch ((s + i) & 7) { case 0: s += %d; break; case 1: s -= i; break; case 2: s *= 3; break; case 3: s /= (i + 1); break; default: s++; } n = n ? (s & 1 ? n->l : n->r) : 0; }", i
			printf " for (long i = 0; i < 64; i++) for (long j = 0; j < 16; j++) s += (i * j) ^ (s >> 3); %s return s; }\n", i ? "s += f" (i - 1) "(n, s, b - 1);" : ""
		}
		print "int main(void) { node n = {0}; return (int)f259(&n, 1, 2); }" }' >"$1"
}

@test "gcc -O2: the object is the same bytes; gcc, cc1 and as are in the report" {
	make_source "$T/big.i"
	run_plain gcc -O2 -c "$T/big.i" -o "$T/plain.o"
	LIMIT=90 record -- gcc -O2 -c "$T/big.i" -o "$T/recorded.o"
	same plain recorded
	cmp "$T/plain.o" "$T/recorded.o"
	honest
	sampled 200
	holds '[.processes[].command] | (any(test("cc1 "))) and (any(test("(^|/)as "))) and (any(test("(^|/)gcc ")))'
	holds '[.symbols[].module] | any(endswith("/cc1"))'
	has_stack 'cc1'
}
