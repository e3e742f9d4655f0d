# Everything a person types besides `make` and `make check`.
MAN_PAGES := $(wildcard man/*.[1-9])
UNITS     := $(wildcard systemd/*/*.service systemd/*/*.socket)
UNITDIR   ?= $(PREFIX)/lib/systemd
INSTALL   ?= install

.PHONY: bench install demo fuzz format help clean
install: all ## install below $(DESTDIR)$(PREFIX)
	$(INSTALL) -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBDIR) $(DESTDIR)$(PREFIX)/include
	$(INSTALL) -m 755 $(filter %/perfagent %/perfagentd,$(PROGRAMS)) $(DESTDIR)$(BINDIR)
	$(INSTALL) -m 644 $(filter %.so,$(PROGRAMS)) $(DESTDIR)$(LIBDIR)
	$(if $(wildcard include/perfagent.h),$(INSTALL) -m 644 include/perfagent.h $(DESTDIR)$(PREFIX)/include)
	@set -e; for page in $(MAN_PAGES); do \
		dir=$(DESTDIR)$(MANDIR)/man$${page##*.}; $(INSTALL) -d $$dir; $(INSTALL) -m 644 $$page $$dir; done
	@set -e; for unit in $(UNITS); do \
		dir=$(DESTDIR)$(UNITDIR)/$$(basename $$(dirname $$unit)); $(INSTALL) -d $$dir; \
		sed 's|@BINDIR@|$(BINDIR)|' $$unit >$$dir/$${unit##*/}; chmod 644 $$dir/$${unit##*/}; done
	@test -n '$(DESTDIR)' || test $$(id -u) -ne 0 || ldconfig

demo: all $(O)/demo/shop ## profile the bundled demo service, print hot spots, draw a flame graph
	@sh demo/run.sh $(O)

$(O)/demo/shop: $(wildcard demo/*.c demo/*.h) | packages
	$(call quiet,CC)mkdir -p $(@D) && $(CC) -std=gnu11 -D_GNU_SOURCE -O2 -g $(WARN) -o $@ $(filter %.c,$^) -lpthread

bench: all test-targets bench-programs ## measure the promised figures; BENCH= names some
	@python3 bench/suite.py $(O) $(BENCH)

format: ## lay out all sources by .clang-format
	clang-format -i $$(git ls-files -co --exclude-standard '*.c' '*.h' '*.cpp')

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sort -u | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'
	@echo '  variables: O=DIR V=1 DEBUG=1 CC= SAN=address,undefined|thread WERROR=1 PREFIX= LIBDIR= DESTDIR= T=unit FUZZ_SECONDS='

clean: ## remove what was built
	rm -rf $(O)
