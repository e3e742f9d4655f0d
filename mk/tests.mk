# Unit tests: one program per tests/unit/test_*.c. Fuzzers: one per tests/fuzz/fuzz_*.c. Both are linked with everything
# but main functions, and with those files of the agent that run outside a session.
UNIT_SRC   ?= $(wildcard tests/unit/test_*.c)
UNIT_BIN   := $(patsubst tests/unit/%.c,$(O)/tests/unit/%,$(UNIT_SRC))
FUZZ_SRC   ?= $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_BIN   := $(patsubst tests/fuzz/%.c,$(O)/tests/fuzz/%,$(FUZZ_SRC))
AGENT_UNITS := $(filter agent/sampler_hook.c agent/addrset_hook.c agent/loop_hook.c agent/bootstrap_hook.c agent/stackdict_hook.c agent/heap_memory_hook.c agent/heap_ring_hook.c agent/heap_thread_hook.c agent/heap_chain_hook.c agent/heap_stack_hook.c agent/heap_exact_hook.c agent/sigmask_hook.c agent/exec_env_hook.c agent/exec_needed_hook.c agent/walk%.c agent/cfi%.c agent/rules_sig.c agent/probe_sig.c agent/got_late.c agent/real.c agent/ring_sig.c agent/stream_sig.c agent/arch/$(ARCH)/%.c,$(filter-out %/syscall.c,$(AGENT_SRC)))
AGENT_UNIT_OBJ := $(call objects,plain,$(AGENT_UNITS))
TOOLS_UNIT_OBJ := $(call objects,plain,$(filter-out tools/main.c,$(TOOLS_SRC)))
# an archive: of the agent a test gets what it calls, not what a session needs
DAEMON_UNIT_OBJ := $(call objects,plain,$(filter-out daemon/main.c,$(DAEMON_SRC)))
UNIT_LINK  := $(TOOLS_UNIT_OBJ) $(DAEMON_UNIT_OBJ) $(O)/libpa-agent.a $(O)/libpa.a

$(O)/libpa-agent.a: $(AGENT_UNIT_OBJ)
	$(call quiet,AR)rm -f $@ && $(AR) rcs $@ $(AGENT_UNIT_OBJ)

$(O)/tests/unit/%: tests/unit/%.c $(UNIT_LINK)
	$(call quiet,LD)mkdir -p $(@D) && $(CC) $(PLAIN_CFLAGS) $(CPPFLAGS) $(CFLAGS) -MF $@.d -o $@ $< $(UNIT_LINK) $(PLAIN_LDFLAGS) -lcmocka $(PLAIN_LIBS)

# only in a build made for it, see `fuzz` below
$(O)/tests/fuzz/%: tests/fuzz/%.c $(UNIT_LINK)
	$(call quiet,LD)mkdir -p $(@D) && $(CC) $(PLAIN_CFLAGS) $(CPPFLAGS) $(CFLAGS) -MF $@.d -o $@ $< $(UNIT_LINK) $(PLAIN_LDFLAGS) -fsanitize=fuzzer $(PLAIN_LIBS)

.PHONY: unittest unit-programs fuzz fuzz-programs
unit-programs: $(UNIT_BIN)
fuzz-programs: $(FUZZ_BIN)

unittest: $(if $(T),$(O)/tests/unit/test_$(T),$(UNIT_BIN)) ## unit tests; T=name runs one
	@fail=0; for t in $^; do echo "# $$t"; $$t || fail=1; done; exit $$fail

fuzz: ## every fuzzer over its stored inputs and on for FUZZ_SECONDS=; FUZZ=name runs one
	@$(MAKE) --no-print-directory -j$(JOBS) O=$(O)/fuzz CC=clang SAN=address,undefined,fuzzer-no-link fuzz-programs
	@tests/fuzz/run $(O)/fuzz $(FUZZ_SECONDS) $(if $(FUZZ),fuzz_$(FUZZ),$(patsubst tests/fuzz/%.c,%,$(FUZZ_SRC)))

# see tests/golden/generate.c
$(O)/tests/golden/%: tests/golden/%.c $(O)/libpa.a
	$(call quiet,LD)mkdir -p $(@D) && $(CC) $(PLAIN_CFLAGS) $(CPPFLAGS) $(CFLAGS) -MF $@.d -o $@ $< $(O)/libpa.a $(PLAIN_LDFLAGS) -lcmocka $(PLAIN_LIBS)

.PHONY: golden
golden: $(O)/tests/golden/generate ## the recording of today's schema that later versions must open
	$< tests/golden
