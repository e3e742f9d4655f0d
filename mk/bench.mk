# Benchmarks: one program per bench/bench_*.c, linked like a unit test but without a sanitizer's help; each prints a table.
BENCH_SRC ?= $(wildcard bench/bench_*.c)
BENCH_BIN := $(patsubst bench/%.c,$(O)/bench/%,$(BENCH_SRC))

# the walker as the agent has it: its flags decide what a frame costs
WALK_BENCH_OBJ := $(call objects,agent,$(filter agent/walk% agent/cfi% agent/rules_sig.c agent/probe_sig.c agent/got_late.c agent/real.c agent/arch/%,$(AGENT_UNITS)))

$(O)/bench/bench_walk: bench/bench_walk.c $(WALK_BENCH_OBJ)
	$(call quiet,LD)mkdir -p $(@D) && $(CC) $(AGENT_CFLAGS) -fno-optimize-sibling-calls $(CPPFLAGS) $(CFLAGS) -MF $@.d -o $@ $< $(WALK_BENCH_OBJ)

$(O)/bench/%: bench/%.c $(UNIT_LINK)
	$(call quiet,LD)mkdir -p $(@D) && $(CC) $(PLAIN_CFLAGS) $(CPPFLAGS) $(CFLAGS) -MF $@.d -o $@ $< $(UNIT_LINK) $(PLAIN_LDFLAGS) $(PLAIN_LIBS)

# a target like any other, and the least a hook on malloc can cost
$(O)/bench/pairs: bench/malloc/pairs.c
	$(call quiet,LD)mkdir -p $(@D) && $(CC) $(BASE) -pthread -MF $@.d -o $@ $<

# hundreds of agents for one daemon
$(O)/bench/sessions: bench/load/sessions.c
	$(call quiet,LD)mkdir -p $(@D) && $(CC) $(BASE) -MF $@.d -o $@ $<

$(O)/bench/forward.so: bench/malloc/forward.c
	$(call quiet,LD)mkdir -p $(@D) && $(CC) $(BASE) -fPIC -shared -MF $@.d -o $@ $<

$(O)/bench/wait_calls: bench/waits/calls.c
	$(call quiet,LD)mkdir -p $(@D) && $(CC) -O2 -D_GNU_SOURCE $(WARN) -o $@ $<

$(O)/bench/talk: bench/waits/talk.c
	$(call quiet,LD)mkdir -p $(@D) && $(CC) -O2 -std=gnu11 -D_GNU_SOURCE $(WARN) -o $@ $<

$(O)/bench/forward_waits.so: bench/waits/forward.c
	$(call quiet,LD)mkdir -p $(@D) && $(CC) -O2 -D_GNU_SOURCE $(WARN) -fPIC -shared -o $@ $<

.PHONY: bench-programs $(patsubst bench/bench_%.c,bench-%,$(BENCH_SRC))
bench-programs: $(BENCH_BIN) $(O)/bench/sessions $(O)/bench/pairs $(O)/bench/forward.so $(O)/bench/wait_calls $(O)/bench/talk $(O)/bench/forward_waits.so

$(patsubst bench/bench_%.c,bench-%,$(BENCH_SRC)): bench-%: $(O)/bench/bench_%
	@$<

# the walker against libunwind in real programs; a few minutes, not part of `check`
.PHONY: oracle
$(O)/oracle/oracle_preload.so: tests/oracle/oracle_preload.c $(WALK_BENCH_OBJ)
	$(call quiet,LD)mkdir -p $(@D) && $(CC) $(AGENT_CFLAGS) $(CPPFLAGS) $(CFLAGS) -shared -MF $@.d -o $@ $< $(WALK_BENCH_OBJ)

oracle: $(O)/oracle/oracle_preload.so ## our walker and libunwind on the same samples of real programs; NAMES= runs some
	@tests/oracle/run-oracle $< $(O)/oracle/stacks $(NAMES)
