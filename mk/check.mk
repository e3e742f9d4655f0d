# The layers of `make check`. Each is a target of its own; tests/check runs them all, goes on after a failure, and ends
# with one line of totals. A layer prints TAP through prove, or is a build that either works or does not.
JOBS     ?= 2
SCRIPTS  := .ci/run tests/check tests/tap tests/fuzz/run $(wildcard mk/*.sh demo/*.sh bench/*.sh tests/*/*.sh tests/*/*.bash)
PROVE     = PA_TAP_DIR=$(O)/check/tap O=$(O) prove -j$(JOBS) --timer
SANITIZERS := address,undefined
FUZZ_SECONDS ?= 3

.PHONY: check check-long check-build check-clang check-units check-sanitizers check-threads check-worlds check-words
.PHONY: check-e2e check-survive check-storms check-aarch64 check-fuzz
check: ## everything that must hold before a commit: all layers below, about 20 minutes on two cores
	@MAKE='$(MAKE)' O='$(O)' JOBS='$(JOBS)' tests/check build clang units sanitizers threads worlds words aarch64 fuzz e2e survive

# volume: minutes of storms, long fuzzing; before a change to what they cover is called done
check-long: ## the storms at full volume, and two minutes of each fuzzer
	@MAKE='$(MAKE)' O='$(O)' JOBS='$(JOBS)' FUZZ_SECONDS=120 tests/check storms fuzz

check-storms: all test-targets $(O)/bench/sessions
	@$(PROVE) --exec "tests/tap bats --tap" $(wildcard tests/long/*.bats)

check-build: ## gcc, warnings are errors
	@$(MAKE) --no-print-directory -j$(JOBS) O=$(O) WERROR=1 all

check-clang: ## clang, warnings are errors
	@$(MAKE) --no-print-directory -j$(JOBS) O=$(O)/clang CC=clang WERROR=1 all

check-units: ## unit tests
	@$(MAKE) --no-print-directory -j$(JOBS) O=$(O) WERROR=1 unit-programs
	@CMOCKA_MESSAGE_OUTPUT=TAP $(PROVE) --exec 'tests/tap -' $(UNIT_BIN)

check-sanitizers: ## unit tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(MAKE) --no-print-directory -j$(JOBS) O=$(O)/asan SAN=$(SANITIZERS) unit-programs
	@CMOCKA_MESSAGE_OUTPUT=TAP $(PROVE) --exec 'tests/tap -' $(patsubst $(O)/%,$(O)/asan/%,$(UNIT_BIN))

check-threads: ## the ring under ThreadSanitizer
	@$(MAKE) --no-print-directory -j$(JOBS) O=$(O)/tsan SAN=thread unit-programs UNIT_SRC="$(wildcard tests/unit/test_ring*.c)"
	@CMOCKA_MESSAGE_OUTPUT=TAP $(PROVE) --exec 'tests/tap -' $(patsubst tests/unit/%.c,$(O)/tsan/tests/unit/%,$(wildcard tests/unit/test_ring*.c))

check-worlds: $(O)/libperfagent.so ## who may call what: symbols, exports, stack use
	@$(MAKE) --no-print-directory -j$(JOBS) O=$(O)/worlds CC=gcc CFLAGS=-fcallgraph-info=su agent-objects
	@$(PROVE) --exec 'tests/tap bats --tap' tests/worlds/*.bats

# error level for bats: it holds what lets a test pass that should fail, as a bare `! command`
check-words: ## manual pages and shell scripts
	@mandoc -Tlint -W warning $(wildcard man/*.[1-9])
	@shellcheck -S warning -e SC2120 -x $(SCRIPTS)
	@shellcheck -s bats -S error -x $(wildcard tests/*/*.bats)

check-e2e: all test-targets ## the command line, end to end
	@$(PROVE) --exec 'tests/tap bats --tap' tests/e2e/*.bats

check-survive: all test-targets ## programs with and without the agent behave the same
	@$(PROVE) --exec 'tests/tap bats --tap' tests/survive/*.bats

CROSS := aarch64-linux-gnu-gcc
QEMU  := qemu-aarch64 -L /usr/aarch64-linux-gnu
# under user emulation no session can be: the helper's clone shares no memory there. The agent has to stay dormant
check-aarch64: ## the agent for aarch64 compiles, links, and leaves an emulated program as it is
	@$(MAKE) --no-print-directory -j$(JOBS) O=$(O)/aarch64 CC=$(CROSS) WERROR=1 $(O)/aarch64/libperfagent.so
	@$(CROSS) -O2 -o $(O)/aarch64/hello tests/targets/hello.c
	@out=$$($(QEMU) -E LD_PRELOAD=$(abspath $(O))/aarch64/libperfagent.so $(O)/aarch64/hello 5 2>&1); status=$$?; \
	 test "$$out" = "hello 2" -a $$status = 5 || { echo "under emulation: $$out, status $$status"; exit 1; }

check-fuzz: ## every fuzzer over its corpus and a few seconds on
	@PA_TAP_DIR=$(O)/check/tap $(MAKE) --no-print-directory O=$(O) FUZZ_SECONDS=$(FUZZ_SECONDS) fuzz
