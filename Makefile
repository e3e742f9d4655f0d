# perfagent: one non-recursive build. `make help` lists the targets.
#
# O=DIR        where everything is built (default build)     V=1   show commands
# DEBUG=1      -O0 -g3                                        SAN=address,undefined | thread   sanitizers (collector, tools, units)
# CC=clang     another compiler                               PREFIX= LIBDIR= DESTDIR=         for install

O ?= build
include mk/packages.mk
include mk/rules.mk

.DEFAULT_GOAL := all

# ---- components: a folder is a component, a new file in it is built without a line here ----------------------------
COMMON_SRC    := $(wildcard common/*.c)
AGENT_SRC     := $(wildcard agent/*.c) $(wildcard agent/arch/$(ARCH)/*.c)
REFERENCE_SRC := $(wildcard agent/reference/*.c)
COLLECTOR_SRC := $(wildcard collector/*.c)
DAEMON_SRC    := $(wildcard daemon/*.c)
REPORT_SRC    := $(wildcard report/*.c)
REMOTE_SRC    := $(wildcard remote/*.c) $(wildcard remote/arch/$(ARCH)/*.c)
TOOLS_SRC     := $(wildcard tools/*.c)

# the handler's way first and together: fewer pages to touch in a tick
AGENT_HOT     := $(patsubst %,agent/%.c,cpu_sig arena session signal_move_sig timer_sig ring_sig slots_sig walk_sig rules_sig announce_sig)
AGENT_OBJ     := $(call objects,agent,$(AGENT_HOT) $(filter-out $(AGENT_HOT),$(AGENT_SRC)) $(COMMON_SRC))
REFERENCE_OBJ := $(call objects,agent,$(REFERENCE_SRC))
PLAIN_OBJ     := $(call objects,plain,$(COMMON_SRC) $(COLLECTOR_SRC) $(REMOTE_SRC) $(REPORT_SRC))
TOOLS_OBJ     := $(call objects,plain,$(TOOLS_SRC))
DAEMON_OBJ    := $(call objects,plain,$(DAEMON_SRC))

PROGRAMS := $(O)/libperfagent.so
PROGRAMS += $(if $(REFERENCE_SRC),$(O)/libperfagent-unwind.so)
PROGRAMS += $(if $(TOOLS_SRC),$(O)/perfagent) $(if $(DAEMON_SRC),$(O)/perfagentd)

all: $(PROGRAMS) ## build the agent, the collector and the tools

$(O)/libperfagent.so: $(AGENT_OBJ) agent/arch/$(ARCH)/exports.map $(O)/flags-link
	$(call quiet,LD)$(CC) $(AGENT_LDFLAGS) -Wl,--version-script=agent/arch/$(ARCH)/exports.map -o $@ $(AGENT_OBJ) $(AGENT_LIBS)

.PHONY: agent-objects
agent-objects: $(AGENT_OBJ)

$(O)/libperfagent-unwind.so: $(REFERENCE_OBJ) agent/reference/exports.map $(O)/flags-link
	$(call quiet,LD)$(CC) $(AGENT_LDFLAGS) -Wl,--version-script=agent/reference/exports.map -o $@ $(REFERENCE_OBJ) $(REFERENCE_LIBS)

$(O)/libpa.a: $(PLAIN_OBJ)
	$(call quiet,AR)rm -f $@ && $(AR) rcs $@ $(PLAIN_OBJ)

$(O)/perfagent: $(TOOLS_OBJ) $(O)/libpa.a $(O)/flags-link
	$(call quiet,LD)$(CC) $(PLAIN_LDFLAGS) -o $@ $(TOOLS_OBJ) $(O)/libpa.a $(PLAIN_LIBS)

$(O)/perfagentd: $(DAEMON_OBJ) $(O)/libpa.a $(O)/flags-link
	$(call quiet,LD)$(CC) $(PLAIN_LDFLAGS) -o $@ $(DAEMON_OBJ) $(O)/libpa.a $(PLAIN_LIBS)

include mk/tests.mk
-include mk/tests-targets.mk
-include mk/bench.mk
include mk/regress.mk
include mk/check.mk
include mk/targets.mk

-include $(shell test -d $(O) && find $(O) -name '*.d')
