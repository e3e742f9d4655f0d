# Everything a person types besides `make`.
.PHONY: all check test help clean
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

clean: ## remove what was built
	rm -rf $(O)
