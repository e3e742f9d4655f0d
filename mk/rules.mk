# Flags per component, quiet rules, header dependencies.

CC        ?= cc
ARCH      := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine 2>/dev/null || uname -m)))
VERSION   := $(shell cat VERSION 2>/dev/null || echo 0)

PREFIX    ?= /usr/local
BINDIR    ?= $(PREFIX)/bin
LIBDIR    ?= $(PREFIX)/lib
MANDIR    ?= $(PREFIX)/share/man

# $(call cc-option,-Wx): the option, if this compiler has it
cc-option = $(shell $(CC) -Werror $(1) -x c -E /dev/null >/dev/null 2>&1 && echo $(1))

ifeq ($(V),1)
quiet =
else
quiet = @printf '  %-5s %s\n' '$(1)' '$(patsubst $(O)/%,%,$@)';
endif

WARN  := -Wall -Wextra -Wundef -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes
WARN  += -Wpointer-arith -Wno-unused-parameter $(call cc-option,-Wmissing-variable-declarations) $(if $(WERROR),-Werror)
OPT   := $(if $(DEBUG),-O0 -g3,-O2 -g)
BASE  := -std=gnu11 -D_GNU_SOURCE -I. $(OPT) $(WARN) -MMD -MP -DPA_VERSION='"$(VERSION)"' -DPA_LIBDIR='"$(LIBDIR)"'

# The agent: position independent, no TLS call, no guard that could abort in the host, CFI for every instruction so that
# cancellation and exceptions pass through its frames, everything bound at load, and nothing needed but libc.
AGENT_CFLAGS  := $(BASE) -fPIC -fvisibility=hidden -ftls-model=initial-exec -fno-stack-protector -U_FORTIFY_SOURCE
AGENT_CFLAGS  += -fexceptions -fasynchronous-unwind-tables -fno-strict-aliasing -fno-plt -mno-red-zone
AGENT_LDFLAGS := -shared -Wl,-z,now -Wl,-z,relro -Wl,-z,defs -Wl,--hash-style=both -Wl,--build-id -Wl,-z,nodelete -nostartfiles
AGENT_LIBS    := -nodefaultlibs -lc
REFERENCE_LIBS := -nodefaultlibs -lc
ifneq ($(ARCH),x86_64)
AGENT_CFLAGS  := $(filter-out -mno-red-zone,$(AGENT_CFLAGS))
endif
ifeq ($(ARCH),aarch64)
# else atomics become calls into libgcc, which the agent does not link
AGENT_CFLAGS  += -mno-outline-atomics
endif

PLAIN_CFLAGS  := $(BASE) -fstack-protector-strong $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
PLAIN_LDFLAGS := $(if $(SAN),-fsanitize=$(SAN)) -rdynamic
PLAIN_LIBS    := -lunwind-$(ARCH) -lunwind -ldw -lelf -lsqlite3 -lcjson -liberty -lz -lm

# $(call objects,kind,sources): the same source may be built for the agent and for the collector
objects = $(patsubst %.c,$(O)/obj/$(1)/%.o,$(2))

# Objects and programs are made anew when the compiler or its flags change. -Werror changes no object.
FORCE:
flags-agent = $(CC) $(filter-out -Werror,$(AGENT_CFLAGS)) $(CPPFLAGS) $(CFLAGS)
flags-plain = $(CC) $(filter-out -Werror,$(PLAIN_CFLAGS)) $(CPPFLAGS) $(CFLAGS)
flags-link  = $(CC) $(AGENT_LDFLAGS) $(AGENT_LIBS) $(REFERENCE_LIBS) $(PLAIN_LDFLAGS) $(PLAIN_LIBS)
$(O)/flags-agent $(O)/flags-plain $(O)/flags-link: FORCE
	@$(shell mkdir -p $(@D))$(file >$@.new,$($(@F)))if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

# their callers' frames are found by jumping on from the hook: there is no DEBUG build of these
$(patsubst %,$(O)/obj/agent/agent/hooks_%.o,malloc memalign mmap wait sleep lock dlsym sqlite tls): OPTIMIZED := -O2

$(O)/obj/agent/%.o: %.c $(O)/flags-agent | packages
	$(call quiet,CC)mkdir -p $(@D) && $(CC) $(AGENT_CFLAGS) $(CPPFLAGS) $(CFLAGS) $(OPTIMIZED) -c -o $@ $<

$(O)/obj/plain/%.o: %.c $(O)/flags-plain | packages
	$(call quiet,CC)mkdir -p $(@D) && $(CC) $(PLAIN_CFLAGS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# .incbin is invisible to -MMD
$(O)/obj/plain/report/svg.o: report/flame.js report/flame.css
