# Unit tests: one program per tests/unit/test_*.c, linked with everything but main functions.
UNIT_SRC   := $(wildcard tests/unit/test_*.c)
UNIT_BIN   := $(patsubst tests/unit/%.c,$(O)/tests/unit/%,$(UNIT_SRC))
AGENT_UNITS := $(filter agent/walk_sig.c agent/cfi_sig.c agent/ring_sig.c agent/arch/$(ARCH)/%.c,$(AGENT_SRC))
AGENT_UNIT_OBJ := $(call objects,plain,$(AGENT_UNITS))

$(O)/tests/unit/%: tests/unit/%.c $(AGENT_UNIT_OBJ) $(O)/libpa.a
	$(call quiet,LD)mkdir -p $(@D) && $(CC) $(PLAIN_CFLAGS) $(CPPFLAGS) $(CFLAGS) -MF $@.d -o $@ $< $(AGENT_UNIT_OBJ) $(O)/libpa.a $(PLAIN_LDFLAGS) -lcmocka $(PLAIN_LIBS)

.PHONY: unittest
unittest: $(UNIT_BIN) ## unit tests; T=name runs one
	@set -e; for t in $(if $(T),$(O)/tests/unit/test_$(T),$(UNIT_BIN)); do echo "# $$t"; $$t; done
