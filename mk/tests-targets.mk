# Target programs of the survive and e2e tests: built with -g -O2 into $(O)/tests/targets.
#   NAME.c, NAME.cpp      a program        lib_NAME.c, lib_NAME.cpp   a shared library lib_NAME.so
# A program that needs more than that has a line of its own below.
TARGET_C    := $(filter-out tests/targets/make_recording.c tests/targets/inject_try.c tests/targets/command_try.c,$(wildcard tests/targets/*.c))
TARGET_CXX  := $(wildcard tests/targets/*.cpp)
TARGET_LIB  := $(patsubst tests/targets/%,$(O)/tests/targets/%.so,$(basename $(filter tests/targets/lib_%,$(TARGET_C) $(TARGET_CXX))))
TARGET_BIN  := $(patsubst tests/targets/%,$(O)/tests/targets/%,$(basename $(filter-out tests/targets/lib_%,$(TARGET_C) $(TARGET_CXX))))
# recursion without end is what some targets are for
TARGET_OPT  := -g -O2 -I. -D_GNU_SOURCE -Wall -Wextra -Wno-unused-parameter -Wno-infinite-recursion -MMD -MP
TARGET_LIBS := -lpthread -ldl -lm
CXX         ?= c++

$(O)/tests/targets/lib_%.so: tests/targets/lib_%.c | packages
	$(call quiet,CC)mkdir -p $(@D) && $(CC) -std=gnu11 $(TARGET_OPT) -fPIC -shared -o $@ $< $(TARGET_LIBS)

$(O)/tests/targets/lib_%.so: tests/targets/lib_%.cpp | packages
	$(call quiet,CXX)mkdir -p $(@D) && $(CXX) -std=gnu++17 $(TARGET_OPT) -fPIC -shared -o $@ $< $(TARGET_LIBS)

$(O)/tests/targets/%: tests/targets/%.c | packages
	$(call quiet,CC)mkdir -p $(@D) && $(CC) -std=gnu11 $(TARGET_OPT) $(TARGET_FLAGS) -o $@ $< $(TARGET_EXTRA) $(TARGET_LIBS)

$(O)/tests/targets/%: tests/targets/%.cpp | packages
	$(call quiet,CXX)mkdir -p $(@D) && $(CXX) -std=gnu++17 $(TARGET_OPT) $(TARGET_FLAGS) -o $@ $< $(TARGET_EXTRA) $(TARGET_LIBS)

TARGET_RPATH = -L$(O)/tests/targets -Wl,-rpath,'$$ORIGIN'

# a C program that needs a C++ library which throws, and no libstdc++ of its own (who provides _Unwind_RaiseException?)
$(O)/tests/targets/cmain: TARGET_EXTRA = $(TARGET_RPATH) -l:lib_throw.so
$(O)/tests/targets/cmain: $(O)/tests/targets/lib_throw.so
# initialised before the agent: its constructor loads, unloads, forks and starts a thread
$(O)/tests/targets/early: TARGET_EXTRA = $(TARGET_RPATH) -Wl,--no-as-needed -l:lib_early.so
$(O)/tests/targets/early: $(O)/tests/targets/lib_early.so
$(O)/tests/targets/lib_symbolic.so: TARGET_OPT += -Wl,-Bsymbolic -Wl,-z,now
# allocates while it is being relocated, before the agent is initialised, and after the agent's end
$(O)/tests/targets/lib_mallocearly.so: TARGET_OPT += -fno-plt
$(O)/tests/targets/malloc_life: TARGET_EXTRA = $(TARGET_RPATH) -Wl,--no-as-needed -l:lib_mallocearly.so
$(O)/tests/targets/malloc_life: $(O)/tests/targets/lib_mallocearly.so
# the compiler knows malloc and free: pairs must stay, and be made by the functions that books name
$(addprefix $(O)/tests/targets/,life malloc_books malloc_storm malloc_calls malloc_static malloc_guest malloc_opnew): TARGET_FLAGS = -fno-builtin
# the same programs with another allocator linked in, where there is one
ALLOCATORS := jemalloc tcmalloc_minimal mimalloc
allocator_library = $(firstword $(wildcard /usr/lib/$(shell $(CC) -print-multiarch)/lib$1.so.[0-9]))
$(foreach a,$(ALLOCATORS),$(if $(call allocator_library,$a),\
	$(eval TARGET_BIN += $(O)/tests/targets/malloc_calls_$a $(O)/tests/targets/malloc_storm_$a)))
$(foreach a,$(ALLOCATORS),$(eval $(O)/tests/targets/malloc_calls_$a $(O)/tests/targets/malloc_storm_$a: ALLOCATOR = $(call allocator_library,$a)))
$(addprefix $(O)/tests/targets/malloc_calls_,$(ALLOCATORS)): tests/targets/malloc_calls.c
$(addprefix $(O)/tests/targets/malloc_storm_,$(ALLOCATORS)): tests/targets/malloc_storm.c tests/targets/books.h
$(addprefix $(O)/tests/targets/malloc_calls_,$(ALLOCATORS)) $(addprefix $(O)/tests/targets/malloc_storm_,$(ALLOCATORS)): | packages
	$(call quiet,CC)mkdir -p $(@D) && $(CC) -std=gnu11 $(filter-out -MMD -MP,$(TARGET_OPT)) -fno-builtin -o $@ $(filter %.c,$^) \
		-Wl,--no-as-needed $(ALLOCATOR) $(TARGET_LIBS)
# names for the symbol tables of the split and of the walker: no tail calls
$(O)/tests/targets/split: TARGET_FLAGS = -fno-optimize-sibling-calls
$(O)/tests/targets/loader: TARGET_EXTRA = -Wl,--enable-new-dtags -Wl,-rpath,'$$ORIGIN'
$(O)/tests/targets/hostile_names: TARGET_FLAGS = -rdynamic
$(O)/tests/targets/sqlite_books: TARGET_EXTRA = -lsqlite3
$(O)/tests/targets/sqlite_books_now: tests/targets/sqlite_books.c | packages
	$(call quiet,CC)mkdir -p $(@D) && $(CC) -std=gnu11 $(TARGET_OPT) -o $@ $< -Wl,-z,now -lsqlite3 $(TARGET_LIBS)
TARGET_BIN += $(O)/tests/targets/sqlite_books_now

# programs that cannot be preloaded
$(O)/tests/targets/hello_static: tests/targets/hello.c | packages
	$(call quiet,CC)mkdir -p $(@D) && $(CC) $(TARGET_OPT) -static -o $@ $<
$(O)/tests/targets/hello_32: tests/targets/hello32.S | packages
	$(call quiet,CC)mkdir -p $(@D) && $(CC) -m32 -nostdlib -static -o $@ $<
TARGET_BIN += $(O)/tests/targets/hello_static $(if $(filter x86_64,$(ARCH)),$(O)/tests/targets/hello_32)
ifneq ($(shell command -v musl-gcc),)
$(O)/tests/targets/hello_musl: tests/targets/hello.c | packages
	$(call quiet,CC)mkdir -p $(@D) && musl-gcc -O2 -o $@ $<
TARGET_BIN += $(O)/tests/targets/hello_musl
endif

# sanitized.c with runtimes that are libraries of their own (gcc's), and with one inside the program (clang's)
$(O)/tests/targets/sanitized_asan: SANITIZER = gcc -fsanitize=address
$(O)/tests/targets/sanitized_tsan: SANITIZER = gcc -fsanitize=thread
$(O)/tests/targets/sanitized_clang: SANITIZER = clang -fsanitize=address
$(O)/tests/targets/sanitized_%: tests/targets/sanitized.c tests/targets/target.h | packages
	$(call quiet,CC)mkdir -p $(@D) && $(SANITIZER) -std=gnu11 $(filter-out -MMD -MP -Wno-infinite-recursion,$(TARGET_OPT)) -o $@ $< $(TARGET_LIBS)
TARGET_BIN += $(patsubst %,$(O)/tests/targets/sanitized_%,asan tsan clang)

# plug-ins for the loader storms: eight distinct libraries of one source
TARGET_PLUGS := $(patsubst %,$(O)/tests/targets/plug%.so,0 1 2 3 4 5 6 7)
$(TARGET_PLUGS): $(O)/tests/targets/plug%.so: tests/targets/plug.cpp.in | packages
	$(call quiet,CXX)mkdir -p $(@D) && $(CXX) -x c++ -std=gnu++17 $(filter-out -MMD -MP,$(TARGET_OPT)) -DPLUG=$* -fPIC -shared -o $@ $<
TARGET_LIB += $(TARGET_PLUGS)

# writes recordings through the store, for the tests of the reports
$(O)/tests/targets/make_recording: $(O)/obj/plain/tests/targets/make_recording.o $(O)/libpa.a
	$(call quiet,LD)mkdir -p $(@D) && $(CC) $(PLAIN_LDFLAGS) -o $@ $^ $(PLAIN_LIBS)
TARGET_BIN += $(O)/tests/targets/make_recording

# puts a library into a running process, for the tests of the injection
$(O)/tests/targets/inject_try: $(O)/obj/plain/tests/targets/inject_try.o $(O)/libpa.a
	$(call quiet,LD)mkdir -p $(@D) && $(CC) $(PLAIN_LDFLAGS) -o $@ $^ $(PLAIN_LIBS)
TARGET_BIN += $(O)/tests/targets/inject_try

# tells a running agent to attach and to detach
$(O)/tests/targets/command_try: $(O)/obj/plain/tests/targets/command_try.o $(O)/libpa.a
	$(call quiet,LD)mkdir -p $(@D) && $(CC) $(PLAIN_LDFLAGS) -o $@ $^ $(PLAIN_LIBS)
TARGET_BIN += $(O)/tests/targets/command_try

.PHONY: test-targets
test-targets: $(TARGET_LIB) $(TARGET_BIN) ## build the target programs of the tests
