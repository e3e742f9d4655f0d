# The Debian packages each kind of target needs. The stamp below is a makefile: make builds it before anything else and
# then starts anew, so that nothing is asked of a compiler before there is one. While the stamp stands, no query is made.
# As root what is missing is installed; otherwise it is named and make stops.

PACKAGES_BUILD := gcc libc6-dev make pkg-config libunwind-dev libelf-dev libdw-dev libcjson-dev zlib1g-dev libsqlite3-dev
PACKAGES_BUILD += libiberty-dev
# compilers and checkers
PACKAGES_TEST  := g++ clang libclang-rt-14-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user musl-tools libcmocka-dev
PACKAGES_TEST  += bats perl mandoc shellcheck strace binutils elfutils dwz xz-utils gdb libc6-dbg
# programs the tests put the agent into, and tools they look with
PACKAGES_TEST  += openssl
PACKAGES_TEST  += python3 python3-uvloop nodejs redis-server redis-tools postgresql-15 jq sqlite3 procps util-linux chromium systemd
PACKAGES_TEST  += python3-fastapi python3-asyncpg python3-uvicorn
# allocators the heap engine has to get along with, and an independent judge of its figures
PACKAGES_TEST  += libjemalloc2 libtcmalloc-minimal4 libmimalloc2.0 valgrind fakeroot faketime
# more programs that bench and oracle compare on
PACKAGES_BENCH := ffmpeg openssl heaptrack libjemalloc2 libgoogle-perftools-dev
# whose regression tests `make regress` runs with and without the agent
PACKAGES_REGRESS := libpython3-testsuite nginx-light wrk
PACKAGES_FORMAT := clang-format

TEST_GOALS   := check check-% unittest unit-programs test-targets fuzz fuzz-%
BENCH_GOALS  := bench bench-% oracle oracle-%
REGRESS_GOALS := regress
NO_PACKAGES  := help clean packages packages-list
GOALS        := $(or $(MAKECMDGOALS),all)
PACKAGE_KIND := $(if $(filter $(BENCH_GOALS),$(GOALS)),bench,$(if $(filter $(TEST_GOALS),$(GOALS)),test))
PACKAGE_KIND := $(if $(filter $(REGRESS_GOALS),$(GOALS)),regress,$(PACKAGE_KIND))
PACKAGE_KIND := $(or $(PACKAGE_KIND),$(if $(filter-out $(NO_PACKAGES) format,$(GOALS)),build),$(if $(filter format,$(GOALS)),format))
PACKAGES_test   := $(PACKAGES_BUILD) $(PACKAGES_TEST)
PACKAGES_bench  := $(PACKAGES_test) $(PACKAGES_BENCH)
PACKAGES_regress := $(PACKAGES_test) $(PACKAGES_REGRESS)
PACKAGES_build  := $(PACKAGES_BUILD)
PACKAGES_format := $(PACKAGES_FORMAT)

ifneq ($(PACKAGE_KIND),)
include $(O)/packages-$(PACKAGE_KIND).mk
endif

$(O)/packages-%.mk: mk/packages.mk mk/packages.sh
	@mkdir -p $(@D) && sh mk/packages.sh $(PACKAGES_$*)
	@echo '# every package of "$*" was there when this was made' > $@

# objects name this as an order-only prerequisite; by the time a rule runs the stamp has done the work
.PHONY: packages packages-list
packages:
packages-list: ## the packages that the build and the tests need
	@echo build: $(PACKAGES_BUILD); echo test: $(PACKAGES_TEST); echo bench: $(PACKAGES_BENCH); echo regress: $(PACKAGES_REGRESS); echo format: $(PACKAGES_FORMAT)
